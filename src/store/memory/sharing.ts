/** A memory store that several nodes own together: leases that run out, shards, and ties that reach across them. */
import { PerdureError } from "../../base/errors.ts";
import { encodeValue } from "../../base/value.ts";
import type { Input, Pid } from "../../journal/types.ts";
import type {
  AcquiredShard,
  AwayBatch,
  CommitBatch,
  InboxRow,
  NewInboxRow,
  Notified,
  ProcessExit,
  ProcessKey,
  ProcessRow,
  TimerRow,
} from "../port.ts";
import type { Relations } from "./relations.ts";

interface NodeRecord {
  readonly handle: object;
  /** What the store's downtime was when it joined. */
  readonly downtimeMs: number;
  seenMs: number;
  /** Its lease has run out, whatever the time. */
  isOver: boolean;
}

interface ShardRecord {
  owner: number;
  clean: boolean;
  /** The last number given to a row that others than its owner put. */
  posted: number;
}

/** What is needed of a disk. */
export interface SharedDisk {
  readonly downtimeMs: number;
  readonly processes: ReadonlyMap<
    ProcessKey,
    { row: ProcessRow; readonly relations: Relations; readonly timers: Map<number, TimerRow> }
  >;
  readonly keys: ReadonlyMap<Pid, ProcessKey>;
  readonly tombstones: ReadonlyMap<Pid, unknown>;
  readonly exported: ReadonlyMap<Pid, unknown>;
  readonly names: Map<string, ProcessKey>;
  readonly inbox: Map<number, InboxRow>;
  putInput(row: Omit<InboxRow, "seq">): number;
}

const none: readonly never[] = [];

export class SharedOwners {
  readonly #leaseMs: number;
  readonly #nowMs: (() => number) | undefined;
  /** Those whose leases are in force, by incarnation. */
  readonly #nodes = new Map<number, NodeRecord>();
  readonly #shards = new Map<number, ShardRecord>();
  readonly #listeners = new Map<object, () => void>();
  readonly #reserved = new Map<Pid, number>();
  /** What is put in place of a row that its process never takes, by seq. */
  readonly #orElse = new Map<number, Omit<InboxRow, "seq">>();
  /** Of rows that others than the shard's owner put, and of notices; by seq. */
  readonly #numbers = new Map<number, { readonly shard: number; readonly number: number }>();

  /** `nowMs` is the store's own clock, as a database has one: leases run by it, whatever the nodes' clocks show. Default: theirs. */
  constructor(shards: number, leaseMs: number, nowMs?: () => number) {
    this.#leaseMs = leaseMs;
    this.#nowMs = nowMs;
    for (let shard = 1; shard <= shards; shard++) this.#shards.set(shard, { owner: 0, clean: true, posted: 0 });
  }

  /** Whether any lease is in force. */
  isAnyAlive(nowMs: number): boolean {
    return this.#lapsed(nowMs).length < this.#nodes.size;
  }

  /** Those there are, and whether their last owners gave them up in good order. */
  states(): { shard: number; clean: boolean }[] {
    return [...this.#shards].map(([shard, { clean }]) => ({ shard, clean }));
  }

  /** These, which nobody owns, take the place of those there are. */
  settle(states: readonly { readonly shard: number; readonly clean: boolean }[]): void {
    this.#shards.clear();
    for (const { shard, clean } of states) this.#shards.set(shard, { owner: 0, clean, posted: 0 });
  }

  /** What is put in place of a row that its process never takes. */
  insteadOf(seq: number): Omit<InboxRow, "seq"> | undefined {
    return this.#orElse.get(seq);
  }

  putInstead(seq: number, row: Omit<InboxRow, "seq">): void {
    this.#orElse.set(seq, row);
  }

  listen(handle: object, fn: () => void): void {
    this.#listeners.set(handle, fn);
  }

  /** Somebody has written. */
  hint(): void {
    for (const fn of this.#listeners.values()) fn();
  }

  deafen(handle: object): void {
    this.#listeners.delete(handle);
  }

  join(incarnation: number, handle: object, nowMs: number, downtimeMs: number): void {
    this.#nodes.set(incarnation, { handle, seenMs: this.#now(nowMs), downtimeMs, isOver: false });
  }

  /** The lease of this incarnation, or of all that the handle has, runs out now. */
  lapse(whose: number | object): void {
    for (const [incarnation, node] of this.#nodes) {
      if (incarnation === whose || node.handle === whose) node.isOver = true;
    }
  }

  isAlive(incarnation: number, handle: object): boolean {
    return this.#nodes.get(incarnation)?.handle === handle;
  }

  isInForce(incarnation: number): boolean {
    return this.#nodes.has(incarnation);
  }

  /** Of an incarnation whose lease is in force: its last sign of life. */
  seenMs(incarnation: number): number | undefined {
    const node = this.#nodes.get(incarnation);
    return node?.isOver === false ? node.seenMs : undefined;
  }

  seen(incarnation: number, nowMs: number): void {
    const node = this.#nodes.get(incarnation);
    if (node !== undefined) Object.assign(node, { seenMs: this.#now(nowMs), isOver: false });
  }

  leave(incarnation: number): void {
    this.#nodes.delete(incarnation);
    for (const shard of this.#shards.values()) {
      if (shard.owner === incarnation) Object.assign(shard, { owner: 0, clean: true });
    }
  }

  /** All leases are void. Answers whose. */
  usurp(disk: SharedDisk): number[] {
    const dead = [...this.#nodes.keys()];
    for (const incarnation of dead) this.#bury(disk, incarnation, -Infinity);
    return dead;
  }

  reap(disk: SharedDisk, nowMs: number, self: number): number[] {
    const dead = this.#lapsed(nowMs).filter((incarnation) => incarnation !== self);
    for (const incarnation of dead) this.#bury(disk, incarnation, this.#now(nowMs));
    return dead;
  }

  #now(nowMs: number): number {
    return this.#nowMs?.() ?? nowMs;
  }

  #lapsed(nowMs: number): number[] {
    const untilMs = this.#now(nowMs) - this.#leaseMs;
    const isOver = ({ seenMs, isOver: over }: NodeRecord): boolean => over || seenMs < untilMs;
    return [...this.#nodes].flatMap(([incarnation, node]) => (isOver(node) ? [incarnation] : []));
  }

  #bury(disk: SharedDisk, incarnation: number, nowMs: number): void {
    const node = this.#nodes.get(incarnation);
    if (node === undefined) return;
    this.#nodes.delete(incarnation);
    // From its last sign of life on, service time stood still for its processes.
    const stoodStillMs = Math.max(0, nowMs - disk.downtimeMs - (node.seenMs - node.downtimeMs));
    for (const { row, timers } of disk.processes.values()) {
      if (!this.owns(incarnation, row)) continue;
      for (const timer of timers.values()) {
        if (timer.clock === "service") timers.set(timer.number, { ...timer, dueMs: timer.dueMs + stoodStillMs });
      }
    }
    for (const shard of this.#shards.values()) {
      if (shard.owner === incarnation) Object.assign(shard, { owner: 0, clean: false });
    }
    for (const [pid, keeper] of this.#reserved) if (keeper === incarnation) this.#reserved.delete(pid);
  }

  shards(): { shard: number; owner: number }[] {
    return [...this.#shards].map(([shard, { owner }]) => ({ shard, owner }));
  }

  incarnations(): number[] {
    return [...this.#nodes].flatMap(([incarnation, { isOver }]) => (isOver ? [] : [incarnation]));
  }

  /** Answers also the number of the last row that was put for each. */
  acquire(wanted: readonly number[], incarnation: number): (AcquiredShard & { readonly posted: number })[] {
    return wanted.flatMap((shard) => {
      const found = this.#shards.get(shard);
      if (found?.owner !== 0) return [];
      found.owner = incarnation;
      return [{ shard, clean: found.clean, posted: found.posted }];
    });
  }

  /** What was put for the shards of this incarnation after the rows with these numbers, in that order; moves the numbers on. */
  posted(disk: SharedDisk, incarnation: number, seen: Map<number, number>, limit: number): InboxRow[] {
    const rows: InboxRow[] = [];
    for (const [seq, { shard, number }] of this.#numbers) {
      if (rows.length === limit) break;
      const row = disk.inbox.get(seq);
      if (row === undefined || this.#shards.get(shard)?.owner !== incarnation || number <= (seen.get(shard) ?? 0))
        continue;
      seen.set(shard, number);
      rows.push(row);
    }
    return rows;
  }

  owns(incarnation: number, row: ProcessRow | undefined): boolean {
    return row?.shard !== undefined && this.#shards.get(row.shard)?.owner === incarnation;
  }

  reserve(disk: SharedDisk, pid: Pid, incarnation: number, returning: boolean): boolean {
    if (disk.keys.has(pid) || disk.tombstones.has(pid) || (!returning && disk.exported.has(pid))) return false;
    const keeper = this.#reserved.get(pid) ?? incarnation;
    if (keeper !== incarnation && this.#nodes.has(keeper)) return false;
    this.#reserved.set(pid, incarnation);
    return true;
  }

  /** A process of this pid is there: nobody needs to keep it. */
  begun(pid: Pid): void {
    this.#reserved.delete(pid);
  }

  /** What only an owner may write must be an owner's. */
  check(disk: SharedDisk, batch: CommitBatch, incarnation: number): void {
    const born = new Map((batch.newProcesses ?? none).map((row) => [row.key, row]));
    const written = [
      batch.turns,
      batch.operations,
      batch.timers,
      batch.states,
      batch.traps,
      batch.restores,
      batch.checkpoints,
      batch.exits,
      batch.snapshots,
      batch.departures,
      batch.arrivals,
      batch.away?.moved,
    ];
    for (const { process } of written.flatMap((part): readonly { process: ProcessKey }[] => part ?? none)) {
      const row = born.get(process) ?? disk.processes.get(process)?.row;
      if (row === undefined || this.owns(incarnation, row)) continue;
      throw new PerdureError("STORE_FENCED", `Process number ${process} is not this node's. Nothing was kept.`);
    }
  }

  /** To be called when all but the exits is applied. */
  apply(disk: SharedDisk, batch: AwayBatch, incarnation: number): void {
    const { atMs, links, monitors, moved, yielded } = batch;
    const put = (row: Omit<InboxRow, "seq">): void => this.#notify(disk, row);
    for (const { process, target, pid } of links) {
      const other = alive(disk, target);
      if (other !== undefined) {
        disk.processes.get(process)?.relations.links.add(target);
        other.relations.links.add(process);
      } else if (!isToldOf(disk, process, target)) {
        put({ process, input: exitNotice(pid, noProcess), atMs, tie: target });
      }
    }
    for (const { watcher, number, target, pid } of monitors) {
      const other = alive(disk, target);
      if (other !== undefined) {
        const row = { watcher, number, target };
        disk.processes.get(watcher)?.relations.monitors.set(number, row);
        other.relations.watchers.add(row);
      } else put({ process: watcher, input: downNotice(number, pid, noProcess), atMs, tie: target });
    }
    for (const { process, shard, input } of moved) {
      const record = disk.processes.get(process);
      if (record === undefined) continue;
      this.#move(disk, record, shard);
      put({ process, input, atMs });
    }
    for (const shard of yielded) {
      const found = this.#shards.get(shard);
      if (found?.owner === incarnation) Object.assign(found, { owner: 0, clean: true });
    }
  }

  /** Rows that no turn will hear of: what is to be put in place of them is put. To be called before the commit puts any. */
  drop(disk: SharedDisk, { refused, cut }: AwayBatch): void {
    const isCut = ({ process, tie, input }: InboxRow): boolean =>
      tie !== undefined && input.kind === "exit" && cut.some((link) => link.process === process && link.from === tie);
    const rows = [...disk.inbox.values()].filter((row) => refused.includes(row.seq) || isCut(row));
    for (const { seq } of rows) {
      const instead = this.#orElse.get(seq);
      disk.inbox.delete(seq);
      this.taken(seq);
      if (instead !== undefined) this.#notify(disk, instead);
    }
  }

  #move(disk: SharedDisk, record: { row: ProcessRow }, shard: number): void {
    const owner = this.#shards.get(record.row.shard ?? 0)?.owner;
    record.row = { ...record.row, shard };
    // To another owner, all that waits for the process is others'.
    if (this.#shards.get(shard)?.owner === owner) return;
    for (const { seq, process } of disk.inbox.values()) if (process === record.row.key) this.#number(seq, shard);
  }

  #number(seq: number, shard: number): void {
    const counter = this.#shards.get(shard);
    this.#numbers.delete(seq);
    if (counter !== undefined) this.#numbers.set(seq, { shard, number: ++counter.posted });
  }

  /** To be called before anything of the exiting process goes. */
  exit(disk: SharedDisk, process: ProcessKey, exit: ProcessExit, notified: Notified | undefined): void {
    const record = disk.processes.get(process);
    if (record === undefined) return;
    const put = (row: Omit<InboxRow, "seq">): void => this.#notify(disk, row);
    const { pid } = record.row;
    const ending = exit.reason === "normal" ? { ...exit, value: nothing } : exit;
    const told = new Set(notified?.links);
    const toldMonitors = new Set(notified?.monitors.map(String));
    for (const key of record.relations.links) {
      if (!told.has(key)) put({ process: key, input: exitNotice(pid, ending), atMs: exit.atMs, tie: process });
    }
    for (const { watcher, number } of record.relations.watchers) {
      const input = downNotice(number, pid, ending);
      if (!toldMonitors.has(String([watcher, number]))) put({ process: watcher, input, atMs: exit.atMs, tie: process });
    }
    for (const row of disk.inbox.values()) {
      const instead = row.process === process ? this.#orElse.get(row.seq) : undefined;
      if (instead !== undefined) put(instead);
    }
  }

  /** A row for a process that may be at its end. Answers its seq. */
  put(disk: SharedDisk, { orElse, away = false, ...row }: NewInboxRow, incarnation: number): number {
    const instead = orElse === undefined ? undefined : { ...orElse, atMs: row.atMs };
    const receiver = alive(disk, row.process);
    const isUntied = instead !== undefined && row.tie !== undefined && receiver?.relations.links.has(row.tie) !== true;
    if (receiver === undefined || isUntied) {
      if (instead !== undefined) this.#notify(disk, instead);
      return 0;
    }
    const seq = disk.putInput(row);
    const { row: of } = receiver;
    if (away || !this.owns(incarnation, of)) this.#number(seq, of.shard ?? 0);
    if (instead !== undefined) this.#orElse.set(seq, instead);
    return seq;
  }

  /** A row from beside the owners, or one that a commit causes. To a process that is no more, it is lost. */
  #notify(disk: SharedDisk, row: Omit<InboxRow, "seq">): void {
    if (alive(disk, row.process) !== undefined) this.post(disk, row);
  }

  post(disk: SharedDisk, row: Omit<InboxRow, "seq">): number {
    const seq = disk.putInput(row);
    this.#number(seq, disk.processes.get(row.process)?.row.shard ?? 0);
    return seq;
  }

  /** The row is gone: it was taken, or its process is no more. */
  taken(seq: number): void {
    this.#orElse.delete(seq);
    this.#numbers.delete(seq);
  }
}

const nothing = encodeValue(undefined);
const noProcess = { reason: "noproc", value: nothing } as const;

function alive(
  disk: SharedDisk,
  key: ProcessKey,
): { readonly row: ProcessRow; readonly relations: Relations } | undefined {
  const record = disk.processes.get(key);
  return record?.row.state === "exited" ? undefined : record;
}

/** It was linked to it, and its end waits in the inbox. */
function isToldOf(disk: SharedDisk, process: ProcessKey, target: ProcessKey): boolean {
  const rows = [...disk.inbox.values()];
  return rows.some((row) => row.process === process && row.tie === target && row.input.kind === "exit");
}

type End = Pick<ProcessExit, "reason" | "value">;

function exitNotice(from: Pid, { reason, value }: End): Input {
  return { kind: "exit", from, reason, value, linked: true, held: "" };
}

function downNotice(monitor: number, from: Pid, { reason, value }: End): Input {
  return { kind: "down", monitor, from, reason, value };
}
