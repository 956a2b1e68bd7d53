/** What people and tools see of a store: processes, turns and logs, readable. Works on any reader, with or without a node. */
import { PerdureError } from "../base/errors.ts";
import type { CommandDigest, DroppedOperation, ExitReason, Input, LogLevel, Pid, Turn } from "../journal/types.ts";
import type { OperationState, ProcessFilter, ProcessRow, ProcessState, StoreReader, Tombstone } from "../store/port.ts";
import { processExported } from "../store/exports.ts";
import { readDirectory } from "./directory.ts";
import type { Directory } from "./directory.ts";
import { findEver, isExported, isPruned } from "./generations.ts";

export interface ProcessView {
  readonly pid: Pid;
  readonly state: ProcessState;
  /** Export it was started as; "default" for the default export. */
  readonly entry: string;
  /** Hash of its program. */
  readonly program: string;
  /** Why it waits for a person; "" if it does not. */
  readonly problem: string;
  readonly startedAtMs: number;
  /** The process that spawned it; "" if it was started from outside. */
  readonly parent: Pid;
  /** What its parent calls it, such as a supervisor's child id or a keyed server's key; "" if it has no such name. */
  readonly label: string;
  /** `server`, `supervisor`, `task`, or "". */
  readonly role: string;
  /** How often its supervisor had restarted this child when it started this process. */
  readonly restarts: number;
  /** The names it is registered under. */
  readonly names: readonly string[];
  /** The label that its node must have; "": any node will do. */
  readonly needs: string;
  /** What it waits for if no node that is there may run it: "a node with the label gpu". Else "". */
  readonly lacks: string;
  /** The node it lives on, by name. Undefined where the store has one owner, and while no node has taken the process over. */
  readonly node?: string;
  /** How it ended. */
  readonly exit?: Ending;
  /** Only this much is left of it: it was pruned. */
  readonly pruned?: true;
  /** Of a crashed process: how it will end unless its supervisor lets it go on. */
  readonly crash?: Ending;
}

export interface Ending {
  readonly atMs: number;
  readonly reason: ExitReason;
}

export interface ProcessDetails extends ProcessView {
  /** Turns it has taken. */
  readonly turns: number;
  /** From 1; each time it goes back to its checkpoint another life begins. */
  readonly life: number;
  /** Processes it is linked to, and those it monitors. */
  readonly links: readonly Pid[];
  readonly monitors: readonly Pid[];
  /** What it waits for. */
  readonly operations: readonly OperationView[];
  readonly timers: readonly { readonly number: number; readonly dueMs: number; readonly clock: "wall" | "service" }[];
  /** Inputs that have arrived and were not taken yet. */
  readonly inbox: readonly { readonly kind: Input["kind"]; readonly atMs: number }[];
}

export interface OperationView {
  readonly number: number;
  readonly name: string;
  readonly state: OperationState;
  readonly attempt: number;
  /** Wall time of the next attempt, if it waits for one. */
  readonly notBeforeMs: number;
  /** When a start of it was put on record whose outcome is not known yet; 0: none is, or nobody asked for that. */
  readonly startedAtMs: number;
  readonly lastError: string;
}

export interface TurnView {
  readonly turn: number;
  readonly timeMs: number;
  readonly inputs: readonly Input[];
  readonly commands: readonly CommandDigest[];
  /** Operations whose result nobody waited for any more from this turn on, and how far they had got. */
  readonly dropped: readonly DroppedOperation[];
}

export interface LogView {
  readonly seq: number;
  readonly pid: Pid;
  readonly turn: number;
  readonly atMs: number;
  readonly level: LogLevel;
  readonly text: string;
}

export function processView(row: ProcessRow, { names, nodes, lacks }: Directory): ProcessView {
  const { key, pid, state, program, problem, startedAtMs, parent, label, role, restarts, needs, exit, shard } = row;
  const node = shard === undefined || state === "exited" ? undefined : nodes.get(shard);
  const about = {
    parent,
    label,
    role,
    restarts,
    names: names.get(key) ?? [],
    needs,
    lacks: state === "exited" ? "" : lacks(row),
    ...(node === undefined ? {} : { node }),
  };
  const view = { pid, state, entry: row.entry || "default", program, problem, startedAtMs, ...about };
  if (exit === undefined) return view;
  const ending = { atMs: exit.atMs, reason: exit.reason };
  // What the kernel notes of a crash is for itself.
  return state === "exited" ? { ...view, exit: ending } : { ...view, problem: "", crash: ending };
}

/** A process, or what is left of it when it was pruned. Throws PROCESS_NOT_FOUND; PROCESS_EXPORTED. */
export async function findKnown(store: StoreReader, pid: Pid): Promise<ProcessRow | Tombstone> {
  const found = await findEver(store, pid);
  if (isExported(found)) throw processExported(found);
  if (found !== undefined) return found;
  throw new PerdureError(
    "PROCESS_NOT_FOUND",
    `There is no process with the pid ${JSON.stringify(pid)}. \`perdure ps\` lists those there are.`,
    { details: { pid } },
  );
}

/** Throws PROCESS_NOT_FOUND; PROCESS_EXPORTED; PROCESS_PRUNED for one of which only a tombstone is left. */
export async function findProcess(store: StoreReader, pid: Pid): Promise<ProcessRow> {
  const found = await findKnown(store, pid);
  if (isPruned(found)) throw pruned(found);
  return found;
}

function pruned({ pid, exit: { reason, atMs } }: Pick<Tombstone, "pid"> & { readonly exit: Ending }): PerdureError {
  const message = `The process ${JSON.stringify(pid)} ended with ${reason} and was pruned: its turns and logs are gone. Look them up in an archive if there is one; \`perdure result\` still tells how it ended.`;
  return new PerdureError("PROCESS_PRUNED", message, { details: { pid, reason, atMs } });
}

/** Call it after what was read of a process: a finished one may be pruned in between, and that must not look like an empty one. */
async function checkNotPruned(store: StoreReader, { key, pid, state, exit }: ProcessRow): Promise<void> {
  if (state !== "exited" || exit === undefined || (await store.getProcess(key)) !== undefined) return;
  throw pruned({ pid, exit });
}

function tombstoneDetails({ pid, entry, program, startedAtMs, exit }: Tombstone): ProcessDetails {
  const { atMs, reason } = exit;
  const about = {
    problem: "",
    startedAtMs,
    parent: "",
    label: "",
    role: "",
    restarts: 0,
    names: [],
    needs: "",
    lacks: "",
  };
  const rest = { turns: 0, life: 1, links: [], monitors: [], operations: [], timers: [], inbox: [] };
  const view = { pid, state: "exited" as const, entry: entry || "default", program, ...about };
  return { ...view, exit: { atMs, reason }, pruned: true, ...rest };
}

/** `names`: where they have been read already. */
export async function processDetails(store: StoreReader, pid: Pid, directory?: Directory): Promise<ProcessDetails> {
  const row = await findKnown(store, pid);
  if (isPruned(row)) return tombstoneDetails(row);
  const [operations, timers, inbox, turns, { links, monitors }] = await Promise.all([
    store.operations(row.key),
    store.timers(row.key),
    store.inbox(row.key),
    store.lastTurn(row.key),
    store.relations(row.key),
  ]);
  await checkNotPruned(store, row);
  return {
    ...processView(row, directory ?? (await readDirectory(store))),
    turns,
    life: row.life,
    links,
    monitors,
    operations: operations.map(({ number, name, state, attempt, notBeforeMs, startedAtMs, lastError }) => ({
      number,
      name,
      state,
      attempt,
      notBeforeMs,
      startedAtMs,
      lastError,
    })),
    timers: timers.map(({ number, dueMs, clock }) => ({ number, dueMs, clock })),
    inbox: inbox.map(({ input, atMs }) => ({ kind: input.kind, atMs })),
  };
}

export async function listProcesses(store: StoreReader, filter: ProcessFilter): Promise<ProcessView[]> {
  const [rows, directory] = await Promise.all([store.listProcesses(filter), readDirectory(store)]);
  return rows.map((row) => processView(row, directory));
}

export interface HistoryOptions {
  /** First turn wanted. Default 1. */
  readonly from?: number;
  /** Default 1,000. */
  readonly limit?: number;
}

/** The process's turns, in order. */
export async function history(store: StoreReader, pid: Pid, options: HistoryOptions = {}): Promise<TurnView[]> {
  const row = await findProcess(store, pid);
  const turns = await store.turns(row.key, options.from ?? 1, options.limit ?? 1000);
  await checkNotPruned(store, row);
  return turns.map(turnView);
}

export function turnView({ number, timeMs, inputs, commands, dropped = [] }: Turn): TurnView {
  // Those of a life that is forgotten were dropped by its parent's word, which the first input of the next one tells of.
  const before = inputs.flatMap((input) => (input.kind === "restore" ? (input.dropped ?? []) : []));
  return { turn: number, timeMs, inputs, commands, dropped: [...before, ...dropped] };
}
