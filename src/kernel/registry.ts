/** Which processes the kernel holds in memory, by key and by pid; who waits for their end; when to forget them. */
import { isPerdureError } from "../base/errors.ts";
import type { PerdureError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import type { Input, Pid } from "../journal/types.ts";
import { processExported } from "../store/exports.ts";
import type { ExportedRow, InboxRow, ProcessExit, ProcessKey, ProcessRow, Store, Tombstone } from "../store/port.ts";
import { broken, elsewhere, exited, notFound, resultPruned } from "./errors.ts";
import { atRest, awayLive, loadRelations, newLive, queueInput } from "./live.ts";
import type { Live, QueuedInput } from "./live.ts";

export interface RegistryPorts {
  readonly store: Pick<Store, "exported" | "findProcess" | "getProcess" | "inbox" | "lastTurn" | "load" | "tombstone">;
  readonly clock: Clock;
  /** False for a process of another node. */
  isMine(row: ProcessRow): boolean;
  /** Grows when that changes for any: what was read before is old. */
  era(): number;
  /** Throws if the kernel is not open. */
  checkOpen(): void;
  /** It has exited, or is at rest: the machine may let go of its heap. */
  drop(live: Live): void;
  /** It came from the store. */
  loaded(live: Live): void;
  /** It came from the store, and what it needs to go on is damaged there. */
  damaged(live: Live, problem: string): void;
}

/** A process as it is in memory or in the store, or what is left of it. */
export type Known = Live | ProcessRow | Tombstone | ExportedRow;

interface Waiter {
  /** As the store had it when the wait began. */
  row?: ProcessRow;
  resolve(exit: ProcessExit): void;
  reject(error: Error): void;
}

/** At rest for so long, a process is forgotten: the store knows it, and its next input brings it back. */
const forgetAfterMs = 2_000;
/** More than this many in memory, and those at rest go at once. */
const manyLives = 10_000;

export class Registry {
  readonly #ports: RegistryPorts;
  readonly #byKey = new Map<ProcessKey, Live>();
  readonly #byPid = new Map<Pid, Live>();
  readonly #loading = new Map<ProcessKey, Promise<Live | undefined>>();
  readonly #waiters = new Map<Pid, Set<Waiter>>();
  /** Lookups that the store has not answered, and who has left since there are any. */
  #lookups = 0;
  readonly #left = new Set<Pid>();
  readonly #reserved = new Map<Pid, PromiseWithResolvers<void>>();
  #lastSweepMs = 0;

  constructor(ports: RegistryPorts) {
    this.#ports = ports;
  }

  add(live: Live): void {
    this.#byKey.set(live.row.key, live);
    this.#byPid.set(live.row.pid, live);
  }

  get(key: ProcessKey): Live | undefined {
    return this.#byKey.get(key);
  }

  /** As it is in memory, else as it is in the store. */
  async find(pid: Pid): Promise<Live | ProcessRow | undefined> {
    // Not a moment later than need be: who is first decides much.
    const reserved = this.#reserved.get(pid);
    if (reserved !== undefined) await reserved.promise;
    const present = this.#byPid.get(pid);
    if (present !== undefined) return present;
    this.beginLooking();
    try {
      const found = (await this.#ports.store.findProcess(pid)) ?? this.#byPid.get(pid);
      if (found !== undefined || !this.#left.has(pid)) return found;
      // It was born and has gone while the store answered.
      return await this.#ports.store.findProcess(pid);
    } finally {
      this.endLooking();
    }
  }

  /** Until `unreserve` the pid is taken, and whoever looks for it waits: its process is on its way to the store. */
  reserve(pid: Pid): void {
    this.#reserved.set(pid, Promise.withResolvers());
  }

  unreserve(pid: Pid): void {
    this.#reserved.get(pid)?.resolve();
    this.#reserved.delete(pid);
  }

  isReserved(pid: Pid): boolean {
    return this.#reserved.has(pid);
  }

  /** From now on it is noted who leaves: what a store has answered of those may be old. `endLooking` must follow. */
  beginLooking(): void {
    this.#lookups++;
  }

  /** Whether the process was in memory and has gone, since somebody who still looks has begun to. */
  hasLeft(pid: Pid): boolean {
    return this.#left.has(pid);
  }

  /** It is durable, on another node: what was not found a moment ago may be there. */
  begins(pid: Pid): void {
    if (this.#lookups > 0) this.#left.add(pid);
  }

  endLooking(): void {
    if (--this.#lookups === 0) this.#left.clear();
  }

  /** The same, or what was left of it when it was pruned or exported. A damaged tombstone is there, and says no more: JOURNAL_CORRUPT. */
  async known(pid: Pid): Promise<Known | undefined> {
    this.beginLooking();
    try {
      return (await this.#look(pid)) ?? (this.#left.has(pid) ? await this.#look(pid) : undefined);
    } finally {
      this.endLooking();
    }
  }

  /** For those who only want to know that there was one. */
  async knownOrDamaged(pid: Pid): Promise<Known | "damaged" | undefined> {
    const known = await this.known(pid).catch(damage);
    return known instanceof Error ? "damaged" : known;
  }

  async #look(pid: Pid): Promise<Known | undefined> {
    const found = await this.find(pid);
    if (found !== undefined) return found;
    this.#ports.checkOpen();
    const left = (await this.#ports.store.tombstone(pid)) ?? (await this.#ports.store.exported(pid));
    return left ?? this.#byPid.get(pid);
  }

  named(pid: Pid): Live | undefined {
    return this.#byPid.get(pid);
  }

  /** The process, loaded if need be, dead or alive. Throws PROCESS_NOT_FOUND; PROCESS_EXITED if it has been pruned; PROCESS_EXPORTED. */
  async activate(pid: Pid): Promise<Live> {
    // A damaged row is an error; a damaged tombstone is one of a process that has ended.
    const known = (await this.find(pid)) ?? (await this.knownOrDamaged(pid));
    // Whoever asks shall not wait for another look at the store when nothing can come of it any more.
    this.#ports.checkOpen();
    if (known === undefined) throw notFound(pid);
    if (known === "damaged" || isTombstone(known)) throw exited(pid);
    if (isExported(known)) throw processExported(known);
    if (!("row" in known) && !this.#ports.isMine(known)) throw elsewhere(known);
    const live = "row" in known ? known : await this.#load(known.key);
    if (live?.away === true) throw elsewhere(live.row);
    // One that was found a moment ago has ended for certain: it is pruned now.
    if (live === undefined) throw exited(pid);
    return live;
  }

  /**
   * The process of a pid or key, loaded if need be; of another node's, what the store says of it (`Live.away`). Undefined if there is no
   * such process or it has exited: what is sent to it is lost, as in OTP.
   */
  async reach(to: Pid | ProcessKey): Promise<Live | undefined> {
    const found = typeof to === "number" ? (this.#byKey.get(to) ?? to) : await this.find(to);
    if (found === undefined) return undefined;
    const key = typeof found === "number" ? found : "row" in found ? found : found.key;
    const live = typeof key === "number" ? await this.#load(key) : key;
    return live === undefined || gone(live) ? undefined : live;
  }

  /** Undefined if it has exited, or is another node's. */
  async activateKey(key: ProcessKey): Promise<Live | undefined> {
    const live = await this.reach(key);
    return live?.away === true ? undefined : live;
  }

  /** Undefined if it has been pruned. One of another node's is not held. */
  #load(key: ProcessKey): Promise<Live | undefined> {
    const present = this.#byKey.get(key);
    if (present !== undefined) return Promise.resolve(present);
    const underway = this.#loading.get(key);
    if (underway !== undefined) return underway;
    const loading = this.#read(key).finally(() => this.#loading.delete(key));
    this.#loading.set(key, loading);
    return loading;
  }

  async #read(key: ProcessKey): Promise<Live | undefined> {
    const era = this.#ports.era();
    const load = await this.#ports.store.load(key).catch(damageOrAbsence);
    // Its owner of then may have done more with it before it became this node's.
    if (era !== this.#ports.era()) return await this.#read(key);
    if (load === undefined) return undefined;
    if (load instanceof Error) return await this.#readDamaged(key, load);
    if (!this.#ports.isMine(load.process)) return awayLive(load.process);
    const live = newLive(load.process);
    if (load.process.state === "exited") return live;
    live.lastTurn = load.lastTurn;
    live.lastTimeMs = load.lastTimeMs;
    live.lastActiveMs = this.#ports.clock.nowMs();
    for (const row of load.operations)
      live.operations.set(row.number, { row, inherited: true, token: undefined, settled: false });
    for (const row of load.timers) live.timers.set(row.number, { row, fired: false });
    loadRelations(live, load);
    takeInbox(live, load.inbox);
    for (const { input } of live.inputs) {
      const operation = input.kind === "result" ? live.operations.get(input.operation) : undefined;
      if (operation !== undefined) operation.settled = true;
    }
    this.add(live);
    this.#ports.loaded(live);
    return live;
  }

  /** Damage to one process is that process's: it is held as a broken one, so that it can be looked at and killed. */
  async #readDamaged(key: ProcessKey, error: PerdureError): Promise<Live> {
    const { store } = this.#ports;
    const row = await store.getProcess(key);
    if (row === undefined) throw error;
    if (!this.#ports.isMine(row)) return awayLive(row);
    const live = newLive(row);
    live.lastTurn = await store.lastTurn(key);
    // A kill may be waiting for it.
    const inbox = await store.inbox(key).catch(damage);
    if (!(inbox instanceof Error)) takeInbox(live, inbox);
    this.add(live);
    if (row.state !== "broken") this.#ports.damaged(live, error.message);
    this.#ports.loaded(live);
    return live;
  }

  // -- the end of processes -------------------------------------------------------------------------------------

  /** Begins to wait before it asks the store: the exit may come while that answers. */
  exit(pid: Pid): Promise<ProcessExit> {
    const { promise, resolve, reject } = Promise.withResolvers<ProcessExit>();
    const waiter: Waiter = { resolve, reject };
    const waiters = this.#waiters.get(pid) ?? new Set();
    this.#waiters.set(pid, waiters.add(waiter));
    const settle = (known: Known | undefined): void => {
      const row = known !== undefined && "row" in known ? known.row : known;
      if (row === undefined) reject(notFound(pid));
      else if (isTombstone(row) || isExported(row)) settleBy(row, resolve, reject);
      // A crashed process has an exit too, which it may be spared.
      else if (row.state === "exited" && row.exit !== undefined) resolve(row.exit);
      // What is in memory alone is told by `broke`, when it is durable.
      else if (row.state === "broken" && (row === known || (known as Live).uncommitted === 0)) reject(broken(row));
      else if (row === known && !this.#ports.isMine(row)) reject(elsewhere(row));
      else {
        waiter.row = row;
        return;
      }
      waiters.delete(waiter);
      if (waiters.size === 0 && this.#waiters.get(pid) === waiters) this.#waiters.delete(pid);
    };
    const look = async (): Promise<void> => {
      const era = this.#ports.era();
      const known = await this.known(pid);
      // It may have ended on another node before it became this node's.
      if (era !== this.#ports.era()) return await look();
      // It may have been started while the store answered.
      settle(known ?? this.#byPid.get(pid));
    };
    look().catch(reject);
    return promise;
  }

  exited(live: Live, exit: ProcessExit): void {
    this.#remove(live);
    for (const waiter of this.#takeWaiters(live.row.pid)) waiter.resolve(exit);
  }

  /** It has left the store. */
  departed(live: Live, error: PerdureError): void {
    this.#remove(live);
    for (const waiter of this.#takeWaiters(live.row.pid)) waiter.reject(error);
  }

  /** Forgets a process, whatever it was doing: the store knows better. */
  discard(key: ProcessKey): void {
    const live = this.#byKey.get(key);
    if (live === undefined) return;
    live.exiting = true;
    this.#remove(live);
  }

  broke(live: Live): void {
    for (const waiter of this.#takeWaiters(live.row.pid)) waiter.reject(broken(live.row));
  }

  rejectWaiters(error: Error): void {
    for (const pid of [...this.#waiters.keys()]) for (const waiter of this.#takeWaiters(pid)) waiter.reject(error);
  }

  #takeWaiters(pid: Pid): ReadonlySet<Waiter> {
    const waiters = this.#waiters.get(pid) ?? new Set();
    this.#waiters.delete(pid);
    return waiters;
  }

  /** It is given up: another node goes on with it. */
  leave(live: Live): void {
    this.#remove(live);
    // Whoever has it in hand still may not take it for this node's.
    live.away = true;
    for (const waiter of this.#takeWaiters(live.row.pid)) waiter.reject(elsewhere(live.row));
  }

  /** Who waits for the end of one that is no more this node's, and was not in memory. */
  rejectElsewhere(): void {
    for (const [pid, waiters] of this.#waiters) {
      const away = [...waiters].find(({ row }) => row !== undefined && !this.#ports.isMine(row))?.row;
      if (away === undefined || this.#byPid.has(pid)) continue;
      for (const waiter of this.#takeWaiters(pid)) waiter.reject(elsewhere(away));
    }
  }

  /** How many are in memory. */
  get size(): number {
    return this.#byKey.size;
  }

  /** All that are in memory. */
  lives(): Iterable<Live> {
    return this.#byKey.values();
  }

  // -- forgetting -----------------------------------------------------------------------------------------------

  forget(nowMs: number): void {
    const crowded = this.#byKey.size > manyLives;
    if (!crowded && Math.abs(nowMs - this.#lastSweepMs) < forgetAfterMs) return;
    this.#lastSweepMs = nowMs;
    for (const live of this.#byKey.values()) {
      if (atRest(live) && (crowded || nowMs - live.lastActiveMs >= forgetAfterMs)) this.#remove(live);
    }
  }

  #remove(live: Live): void {
    this.#byKey.delete(live.row.key);
    this.#byPid.delete(live.row.pid);
    if (this.#lookups > 0) this.#left.add(live.row.pid);
    this.#ports.drop(live);
  }
}

/** What changes the heap that is gone back to comes first, whatever was waiting before. */
function takeInbox(live: Live, rows: readonly InboxRow[]): void {
  const early: QueuedInput[] = [];
  for (const { input, atMs, seq } of rows) {
    const queued = queueInput(input, atMs, undefined, seq);
    // Before all else: a discard may be left from a life before.
    if (input.kind === "restore") early.unshift(queued);
    else if (input.kind === "discard" || isRelease(live, input)) early.push(queued);
    else live.inputs.push(queued);
  }
  live.inputs.unshift(...early);
}

/** Its parent has let it go. */
export function isRelease({ row }: Live, input: Input): boolean {
  return input.kind === "exit" && input.held === "exit" && input.from === row.pid;
}

/** The end of a pruned process, as far as it was kept. An exported one has none here. */
function settleBy(left: Tombstone | ExportedRow, resolve: Waiter["resolve"], reject: Waiter["reject"]): void {
  if (isExported(left)) return reject(processExported(left));
  const { atMs, reason, value } = left.exit;
  if (value === undefined) reject(resultPruned(left));
  else resolve({ atMs, reason, value });
}

/** A timer that was set and cleared may come up long after its process was pruned. */
function damageOrAbsence(error: unknown): PerdureError | undefined {
  return isPerdureError(error, "PROCESS_NOT_FOUND") ? undefined : damage(error);
}

/** Damage is an answer, any other error is thrown on. */
function damage(error: unknown): PerdureError {
  if (isPerdureError(error, "JOURNAL_CORRUPT")) return error;
  throw error;
}

/** It was pruned: only this is left of it. */
export function isTombstone(known: Known | undefined): known is Tombstone {
  return known !== undefined && !("row" in known) && !("key" in known) && !("file" in known);
}

/** It was exported: only this stayed of it. */
export function isExported(known: Known | undefined): known is ExportedRow {
  return known !== undefined && "file" in known;
}

export function gone(live: Live): boolean {
  return live.exiting || live.row.state === "exited";
}
