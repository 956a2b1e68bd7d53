/** A process as the kernel holds it while there is something to do for it. Everything here can be rebuilt from the store. */
import type { Payload } from "../base/value.ts";
import type { Input, Pid, SpawnOptions } from "../journal/types.ts";
import type {
  CheckpointRow,
  NewEdge,
  OperationRow,
  ProcessKey,
  ProcessLoad,
  ProcessRow,
  RestoreRow,
  TimerRow,
} from "../store/port.ts";

/** An input on its way into a turn. */
export interface QueuedInput {
  /** What ends its process when it runs is replaced by that end; then `culprit` is what it was. */
  input: Input;
  culprit: Input | undefined;
  /** Its inbox row, once there is one. */
  seq: number | undefined;
  /** A turn that consumed it has been staged for commit. */
  consumed: boolean;
  /** Its inbox row has been staged for commit. */
  spilled: boolean;
  readonly arrivedMs: number;
  /** What it is asked under, until that is staged. */
  edge: NewEdge | undefined;
  /** Called once, when the input is durable, or with the error that made that impossible. See `tellDurable`. */
  onDurable: ((error?: Error) => void)[];
}

/** The input as it arrived. Rows hold that: what is fatal in one attempt need not be so in another. */
export function arrived({ input, culprit }: QueuedInput): Input {
  return culprit ?? input;
}

export interface PendingOperation {
  row: OperationRow;
  /** It comes from the store: another node may have begun it. */
  readonly inherited: boolean;
  /** Of the attempt under way; undefined while none is. */
  token: string | undefined;
  /** Its result has arrived and waits in the queue of inputs. */
  settled: boolean;
}

export interface PendingTimer {
  readonly row: TimerRow;
  fired: boolean;
}

/** A process that is started: by another one, or from outside (`parent` is ""). */
export interface Birth extends SpawnOptions {
  readonly pid: Pid;
  readonly program: string;
  readonly entry: string;
  readonly args: Payload;
  readonly parent: Pid;
  /** Set where a repeated start has to agree with it. */
  readonly argsDigest?: string;
}

/** What ties a process to others, by their keys. */
export interface Relations {
  readonly links: Set<ProcessKey>;
  /** Its own monitors: whom they watch, by number. */
  readonly monitors: Map<number, ProcessKey>;
  /** Others' monitors on it: their numbers, by watcher. */
  readonly watchers: Map<ProcessKey, Set<number>>;
}

export interface Live {
  row: ProcessRow;
  /** It is another node's, or nobody's: this is only what the store says of it. What is sent to it becomes a row of its inbox. */
  away: boolean;
  /** It is being given up: it takes no more turns here. */
  leaving: boolean;
  /** Requests to move it that wait for their turn: it must not be forgotten meanwhile. */
  awaited: number;
  /** Kernel operations that another node answers, and has not answered. */
  asked: Set<number> | undefined;
  /** Its start, until that is durable. */
  start: QueuedInput | undefined;
  /** The process row has been staged for commit. */
  rowStaged: boolean;
  lastTurn: number;
  lastTimeMs: number;
  /** In order of arrival. */
  inputs: QueuedInput[];
  /** Inputs of the turn that is running. */
  running: QueuedInput[] | undefined;
  /** The machine is believed to hold its heap as after `lastTurn`. */
  resident: boolean;
  /** The machine lost its heap while it was in motion: it gets it back before others begin. */
  interrupted: boolean;
  /** Its exit has been staged: it takes no more turns, and nothing more is sent to it. */
  exiting: boolean;
  /** Staged or running commits that hold turns of it. */
  uncommitted: number;
  /** Staged or running commits that change something of it beside its own turns: it must not be forgotten before. */
  pins: number;
  /** Undefined as long as it has none. */
  relations: Relations | undefined;
  checkpoint: CheckpointRow | undefined;
  /** When it was restored to which turn, in order. The last one may be still to come: then its turn is the next. */
  restores: RestoreRow[];
  /** So many inputs get a turn each: one of them is known to make the process fail, and it is not known which. */
  oneByOne: number;
  readonly operations: Map<number, PendingOperation>;
  readonly timers: Map<number, PendingTimer>;
  /** What replaying it from its last snapshot would cost, in µs. */
  replayMicros: number;
  /** What its last snapshot has cost, in µs. */
  snapshotMicros: number;
  /** Turn numbers of snapshots that turned out to be unusable. */
  readonly damagedSnapshots: Set<number>;
  /** In the ready queue, or being loaded for it. */
  queued: boolean;
  /** When it last had something to do. */
  lastActiveMs: number;
}

/** `start` for a process that is not in the store yet. */
export function newLive(row: ProcessRow, start?: QueuedInput, away = false): Live {
  return {
    row,
    away,
    leaving: false,
    awaited: 0,
    asked: undefined,
    start,
    rowStaged: start === undefined,
    lastTurn: 0,
    lastTimeMs: 0,
    inputs: [],
    running: undefined,
    resident: false,
    interrupted: false,
    exiting: false,
    uncommitted: 0,
    pins: 0,
    relations: undefined,
    checkpoint: undefined,
    restores: [],
    oneByOne: 0,
    operations: new Map(),
    timers: new Map(),
    replayMicros: 0,
    snapshotMicros: 0,
    damagedSnapshots: new Set(),
    queued: false,
    lastActiveMs: row.startedAtMs,
  };
}

/** A process that this node does not own, as the store has it. */
export function awayLive(row: ProcessRow): Live {
  return newLive(row, undefined, true);
}

/** What only the node can give a new process. */
export interface Cradle {
  readonly key: ProcessKey;
  /** Undefined where there are none. */
  readonly shard: number | undefined;
  readonly atMs: number;
  readonly seed: Uint8Array;
  readonly env: Readonly<Record<string, string>>;
}

/** A new process and its first input. Neither is staged. */
export function bear(
  birth: Birth,
  { key, shard, atMs, seed, env }: Cradle,
  isMine: (row: ProcessRow) => boolean,
): { readonly child: Live; readonly start: QueuedInput } {
  const { pid, program, entry, args, parent, argsDigest = "" } = birth;
  const { label = "", role = "", restarts = 0, needs = "", held = false } = birth;
  const row: ProcessRow = {
    key,
    pid,
    program,
    entry,
    argsDigest,
    state: "running",
    problem: "",
    startedAtMs: atMs,
    parent,
    label,
    role,
    restarts,
    needs,
    held,
    trapsExits: false,
    life: 1,
    ...(shard === undefined ? {} : { shard }),
  };
  const start = queueInput({ kind: "start", entry, args, seed, env }, atMs);
  return { child: newLive(row, start, !isMine(row)), start };
}

export function queueInput(
  input: Input,
  arrivedMs: number,
  onDurable?: (error?: Error) => void,
  seq?: number,
): QueuedInput {
  const tell = onDurable === undefined ? [] : [onDurable];
  const spilled = seq !== undefined;
  return { input, culprit: undefined, seq, consumed: false, spilled, arrivedMs, edge: undefined, onDurable: tell };
}

export function relationsOf(live: Live): Relations {
  live.relations ??= { links: new Set(), monitors: new Map(), watchers: new Map() };
  return live.relations;
}

export function watch(target: Live, watcher: ProcessKey, number: number): void {
  const { watchers } = relationsOf(target);
  const numbers = watchers.get(watcher);
  if (numbers === undefined) watchers.set(watcher, new Set([number]));
  else numbers.add(number);
}

export function unwatch(target: Live, watcher: ProcessKey, number: number): void {
  const numbers = target.relations?.watchers.get(watcher);
  numbers?.delete(number);
  if (numbers?.size === 0) target.relations?.watchers.delete(watcher);
}

/** Takes over what the store knows of a process's ties. */
export function loadRelations(live: Live, load: ProcessLoad): void {
  live.checkpoint = load.checkpoint;
  live.restores = [...load.restores];
  addRelations(live, load);
  for (const { number, target } of load.monitors) relationsOf(live).monitors.set(number, target);
}

/** Ties that others have made with the process, from other nodes. */
export function addRelations(live: Live, { links, watchers }: Pick<ProcessLoad, "links" | "watchers">): void {
  if (links.length + watchers.length === 0) return;
  const relations = relationsOf(live);
  for (const key of links) relations.links.add(key);
  for (const { watcher, number } of watchers) watch(live, watcher, number);
}

/** Tells everyone who waits for it that an input is durable, or why it will not be. */
export function tellDurable(queued: QueuedInput, error?: Error): void {
  for (const tell of queued.onDurable.splice(0)) tell(error);
}

/** Resolves when the input is durable. */
export function durable(queued: QueuedInput): Promise<void> {
  return new Promise((resolve, reject) => {
    queued.onDurable.push((error) => (error === undefined ? resolve() : reject(error)));
  });
}

/** Whether the kernel may forget it: the store knows all there is to know. */
export function atRest(live: Live): boolean {
  return (
    live.inputs.length === 0 &&
    live.running === undefined &&
    live.uncommitted === 0 &&
    live.pins === 0 &&
    live.awaited === 0 &&
    live.operations.size === 0 &&
    !live.queued
  );
}

/** Its last known start is that of the attempt that runs, or ran when the node ended: no wait came after it. */
export function isBegun({ startedAtMs, notBeforeMs }: OperationRow): boolean {
  return startedAtMs > 0 && notBeforeMs === 0;
}
