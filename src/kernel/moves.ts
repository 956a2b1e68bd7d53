/**
 * Processes that are exported. `hold` stops one between two turns and puts that on record; then its rows can be read at leisure.
 * `leave` takes it out of the store, in the commit that tells everyone tied to it and leaves its `ExportedRow`. Between the two the
 * state is `moving`: an operator's `resume` takes it back, and a node that dies and comes again changes nothing.
 */
import { PerdureError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import type { Input, Pid } from "../journal/types.ts";
import { noConnection, processExported } from "../store/exports.ts";
import type { ExportedRow, ProcessKey, Store } from "../store/port.ts";
import { Arrivals } from "./arrivals.ts";
import type { ArrivalsPorts } from "./arrivals.ts";
import type { Edges } from "./edges.ts";
import { exited } from "./errors.ts";
import { isBegun, queueInput, tellDurable } from "./live.ts";
import type { Live, PendingOperation } from "./live.ts";
import type { KernelEvents } from "./ports.ts";
import { gone } from "./registry.ts";
import { stageControl, stageMessage, stageSpill } from "./staging.ts";
import { downInput, signalInput } from "./ties.ts";
import type { Ties } from "./ties.ts";

export interface HoldRequest {
  /** The id of the file it is to be written to. */
  readonly file: string;
  /** Cut its links, monitors and names when it leaves. Otherwise a process that has any is refused. */
  readonly detach: boolean;
  /** Do not wait for an operation that must not be begun twice: whether it happened will not be known. */
  readonly force: boolean;
  /** How long attempts of operations under way may take to end. */
  readonly waitMs: number;
}

export interface LeaveRequest {
  readonly file: string;
  readonly detach: boolean;
  /** Of the file's body, hex. */
  readonly sha256: string;
  /** Waiting inputs up to this one are in it. */
  readonly inboxSeq: number;
}

export interface MovesPorts extends ArrivalsPorts {
  readonly store: Pick<
    Store,
    "exported" | "findProcess" | "getProcess" | "groups" | "imported" | "listProcesses" | "prune"
  >;
  readonly clock: Clock;
  readonly edges: Edges;
  readonly ties: Ties;
  readonly events: KernelEvents;
  readonly downtimeMs: number;
  /** The process a pid stands for. Throws PROCESS_NOT_FOUND, PROCESS_EXPORTED. */
  find(pid: Pid): Promise<Live>;
  control(live: Live, kind: "resume"): boolean;
}

const lookEveryMs = 20;
const sweepRows = 1_000;

export class Moves {
  readonly #ports: MovesPorts;
  readonly arrivals: Arrivals;

  constructor(ports: MovesPorts) {
    this.#ports = ports;
    this.arrivals = new Arrivals(ports);
  }

  /**
   * Stops a process so that it can be written out. Resolves when that is durable. One that is held already is held for the new file: the
   * one before will never be complete. Throws PROCESS_NOT_FOUND, PROCESS_EXITED, PROCESS_EXPORTED, EXPORT_REFUSED.
   */
  async hold(pid: Pid, request: HoldRequest): Promise<void> {
    const live = await this.#ports.find(pid);
    live.pins++;
    try {
      if (!request.detach) await this.#checkTies(live);
      checkState(live);
      const paused = live.row.state === "paused" || wasPaused(live);
      this.#set(live, "moving", markOf("stopping", request.file, paused));
      await this.#untilStill(live, request);
      this.#ports.attempts.abandon(live);
      const { stage } = this.#ports.committer;
      for (const queued of live.inputs) if (isLasting(queued.input)) stageSpill(stage, live, queued);
      this.#set(live, "moving", markOf("held", request.file, paused));
      await this.#ports.awaited.commit();
    } finally {
      live.pins--;
    }
  }

  /** Takes a process back that is held for this file: it goes on as before. */
  async back(pid: Pid, file: string): Promise<void> {
    const live = await this.#ports.find(pid);
    if (!isMeant(live, file)) return;
    this.#release(live);
    await this.#ports.awaited.commit();
  }

  /** Takes it out of the store. Resolves when that is durable, with what stays. Throws EXPORT_REFUSED if it is not held for this file. */
  async leave(pid: Pid, request: LeaveRequest): Promise<ExportedRow> {
    const live = await this.#ports.find(pid);
    live.pins++;
    try {
      if (!request.detach) await this.#checkTies(live);
      const away = await this.#gather(live);
      if (gone(live) || !isHeldFor(live.row, request.file)) throw takenBack(live, request.file);
      if (!request.detach && live.relations !== undefined && sizeOf(live) > 0) throw tied(pid, ["new ties"]);
      this.#stage(live, request, away);
      await this.#ports.awaited.commit();
    } finally {
      live.pins--;
    }
    const row = await this.#ports.store.exported(pid);
    if (row === undefined) throw new Error(`nothing stayed of ${pid}`);
    this.#told(live, row);
    return row;
  }

  /** Deletes what is left of processes that have gone, a little at a time. */
  async sweep(): Promise<void> {
    for (;;) {
      await this.#ports.committer.back();
      const atMs = this.#ports.clock.nowMs();
      const { rows, left } = await this.#ports.store.prune({ atMs, processes: [], rows: sweepRows });
      if (!left || rows === 0) return;
    }
  }

  // -- holding --------------------------------------------------------------------------------------------------

  #set(live: Live, state: "moving" | "running" | "paused", problem: string): void {
    live.row = { ...live.row, state, problem };
    stageControl(this.#ports.committer.stage, live);
  }

  #release(live: Live): void {
    if (!wasPaused(live)) this.#ports.control(live, "resume");
    else {
      this.#set(live, "paused", "");
      this.#ports.attempts.resume(live);
    }
  }

  /** The turn that runs is through, and so are attempts, or they have had their time. */
  async #untilStill(live: Live, { file, force, waitMs }: HoldRequest): Promise<void> {
    const { clock, attempts } = this.#ports;
    const untilMs = clock.nowMs() + waitMs;
    for (;;) {
      if (gone(live)) throw exited(live.row.pid);
      if (!isMeant(live, file)) throw takenBack(live, file);
      const isStill = live.running === undefined && live.uncommitted === 0 && !attempts.isTransacting(live);
      const underway = [...live.operations.values()].filter(({ token }) => token !== undefined);
      if (isStill && underway.length === 0) return;
      if (isStill && clock.nowMs() >= untilMs) {
        const begun = underway.find(({ row }) => isBegun(row));
        if (begun === undefined || force) return;
        this.#release(live);
        throw underWay(live, begun);
      }
      await new Promise<void>((resolve) => void clock.after(lookEveryMs, resolve));
    }
  }

  /** Throws EXPORT_REFUSED, naming whoever would notice. */
  async #checkTies(live: Live): Promise<void> {
    const { pid, key, parent } = live.row;
    const { store, names, registry } = this.#ports;
    const pidOf = async (peer: ProcessKey): Promise<Pid> =>
      registry.get(peer)?.row.pid ?? (await store.getProcess(peer))?.pid ?? `number ${peer}`;
    const list = async (what: string, keys: Iterable<ProcessKey>): Promise<string[]> =>
      await Promise.all([...new Set(keys)].map(async (peer) => `${what} ${await pidOf(peer)}`));
    const { links = [], monitors, watchers } = live.relations ?? {};
    const children = await store.listProcesses({ parent: pid, states: alive, limit: 5 });
    const above = parent === "" ? undefined : await registry.reach(parent);
    const groups = (await store.groups()).filter(({ process }) => process === key);
    const found = [
      ...(await list("a link with", links)),
      ...(await list("a monitor on", monitors?.values() ?? [])),
      ...(await list("is monitored by", watchers?.keys() ?? [])),
      ...names.namesOf(key).map((name) => `the name ${JSON.stringify(name)}`),
      ...groups.map(({ name }) => `the group ${JSON.stringify(name)}`),
      ...(above === undefined ? [] : [`the parent ${above.row.pid}`]),
      ...children.map((child) => `the child ${child.pid}`),
    ];
    if (found.length > 0) throw tied(pid, found);
  }

  // -- leaving --------------------------------------------------------------------------------------------------

  /** Everyone it is tied to is in memory when this returns, but for those of other nodes: who they are. */
  async #gather(live: Live): Promise<ReadonlyMap<ProcessKey, Pid>> {
    const { registry } = this.#ports;
    const absent = new Set<ProcessKey>();
    const away = new Map<ProcessKey, Pid>();
    for (;;) {
      const { links = [], watchers, monitors } = live.relations ?? {};
      const keys = [...links, ...(watchers?.keys() ?? []), ...(monitors?.values() ?? [])];
      const missing = keys.filter((key) => registry.get(key) === undefined && !absent.has(key));
      if (missing.length === 0) return away;
      for (const key of missing) {
        const peer = await registry.reach(key);
        if (peer?.away !== false) absent.add(key);
        if (peer?.away === true) away.set(key, peer.row.pid);
      }
    }
  }

  #stage(live: Live, { file, sha256, inboxSeq }: LeaveRequest, away: ReadonlyMap<ProcessKey, Pid>): void {
    const { committer, ties, names, clock, downtimeMs } = this.#ports;
    const { stage } = committer;
    const { key, trapsExits } = live.row;
    const nowMs = clock.nowMs();
    for (const queued of live.inputs) if (isLasting(queued.input)) stageSpill(stage, live, queued);
    for (const input of this.#farewells(live, trapsExits, away)) stageMessage(stage, live, queueInput(input, nowMs));
    ties.breakAll(live, noConnection);
    names.forget(key);
    live.exiting = true;
    stage.departures.push({ process: key, exported: { file, sha256, serviceMs: nowMs - downtimeMs, inboxSeq } });
  }

  /** What it will find where it arrives. A link that would end it is cut without a word: it is not the one that was left. */
  #farewells({ relations }: Live, trapsExits: boolean, away: ReadonlyMap<ProcessKey, Pid>): Input[] {
    const { registry } = this.#ports;
    const pidOf = (key: ProcessKey): Pid | undefined => registry.get(key)?.row.pid ?? away.get(key);
    const links = trapsExits ? [...(relations?.links ?? [])] : [];
    return [
      ...links.flatMap((key) => {
        const pid = pidOf(key);
        return pid === undefined ? [] : [signalInput(pid, noConnection, true, "")];
      }),
      ...[...(relations?.monitors ?? [])].flatMap(([number, key]) => {
        const pid = pidOf(key);
        return pid === undefined ? [] : [downInput(number, pid, noConnection)];
      }),
    ];
  }

  /** It is durable. */
  #told(live: Live, row: ExportedRow): void {
    const { registry, edges, events } = this.#ports;
    const error = processExported(row);
    live.row = { ...live.row, state: "exited" };
    for (const queued of live.inputs) tellDurable(queued, error);
    registry.departed(live, error);
    edges.stopped(live.row.key);
    events.departed(row.pid);
  }
}

const alive = ["running", "paused", "crashed", "broken", "moving"] as const;

/** Timers have rows of their own. */
function isLasting({ kind }: Input): boolean {
  return kind !== "timer";
}

function sizeOf({ relations }: Live): number {
  return relations === undefined ? 0 : relations.links.size + relations.monitors.size + relations.watchers.size;
}

/** What the row of a process says that is to be held, and of one that is. */
const marks = {
  stopping: "it comes to a stop, to be exported as process file ",
  held: "it is being exported as process file ",
} as const;
const pausedWords = ", and was paused before";

type Stage = keyof typeof marks;

function markOf(stage: Stage, file: string, paused: boolean): string {
  return `${marks[stage]}${file}${paused ? pausedWords : ""}`;
}

/** Of the problem of a process that is `moving` out of the store. */
export function wasPausedBefore(problem: string): boolean {
  return problem.endsWith(pausedWords);
}

function wasPaused({ row }: Live): boolean {
  return row.state === "moving" && wasPausedBefore(row.problem);
}

/** Whether its row says that it stands still for this file. */
export function isHeldFor({ state, problem }: Live["row"], file: string): boolean {
  return state === "moving" && (problem === markOf("held", file, false) || problem === markOf("held", file, true));
}

/** The file that a process is being written to; undefined if it is to none. */
export function heldFile({ state, problem }: Live["row"]): string | undefined {
  const words = Object.values(marks).find((mark) => problem.startsWith(mark));
  if (state !== "moving" || words === undefined) return undefined;
  return problem.slice(words.length).replace(pausedWords, "");
}

function isMeant(live: Live, file: string): boolean {
  return !gone(live) && heldFile(live.row) === file;
}

function checkState(live: Live): void {
  const { pid, state, problem } = live.row;
  if (state === "exited") throw exited(pid);
  const isArriving = state === "moving" && heldFile(live.row) === undefined;
  if (state === "running" || state === "paused" || (state === "moving" && !isArriving)) return;
  const why =
    state === "crashed"
      ? "its supervisor is about to decide what becomes of it. Try again in a moment"
      : state === "broken"
        ? `it cannot go on (${problem}), here or elsewhere. Look at it with: perdure verify ${pid}`
        : "it is just being imported. Try again when it has arrived";
  throw refused(pid, `${why}.`, { state });
}

function tied(pid: Pid, ties: readonly string[]): PerdureError {
  const shown = ties.length > 8 ? [...ties.slice(0, 8), `${ties.length - 8} more`] : ties;
  return refused(pid, `others would notice: ${shown.join(", ")}. With --detach (detach: true) these ties are cut.`, {
    ties,
  });
}

function underWay({ row: { pid } }: Live, { row: { number, name } }: PendingOperation): PerdureError {
  const message = `operation ${number} (${name}) is under way, and must not be begun twice. Wait for it with --wait (waitMs), or use --force (force: true): then it is not known whether it happened, as after a crash.`;
  return refused(pid, message, { operation: number, name });
}

function takenBack({ row: { pid } }: Live, file: string): PerdureError {
  return refused(pid, `it was taken back. The file ${file} is void; export it again.`, { file });
}

function refused(pid: Pid, why: string, details: Readonly<Record<string, unknown>>): PerdureError {
  return new PerdureError("EXPORT_REFUSED", `The process ${JSON.stringify(pid)} is not exported: ${why}`, {
    details: { pid, ...details },
  });
}
