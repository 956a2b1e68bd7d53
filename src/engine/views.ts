/** What people and tools see of a store: processes, turns and logs, readable. Works on any reader, with or without a node. */
import { PerdureError } from "../base/errors.ts";
import type { Payload } from "../base/value.ts";
import type { CommandDigest, ExitReason, Input, LogLevel, Pid, Turn } from "../journal/types.ts";
import type { OperationState, ProcessFilter, ProcessRow, ProcessState, StoreReader } from "../store/port.ts";

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
  /** How it ended. */
  readonly exit?: { readonly atMs: number; readonly reason: ExitReason };
}

export interface ProcessDetails extends ProcessView {
  /** Turns it has taken. */
  readonly turns: number;
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
  readonly lastError: string;
}

export interface TurnView {
  readonly turn: number;
  readonly timeMs: number;
  readonly inputs: readonly Input[];
  readonly commands: readonly CommandDigest[];
}

export interface LogView {
  readonly seq: number;
  readonly pid: Pid;
  readonly turn: number;
  readonly atMs: number;
  readonly level: LogLevel;
  readonly text: string;
}

export function processView(row: ProcessRow): ProcessView {
  const { pid, state, program, problem, startedAtMs, exit } = row;
  const view = { pid, state, entry: row.entry || "default", program, problem, startedAtMs };
  return exit === undefined ? view : { ...view, exit: { atMs: exit.atMs, reason: exit.reason } };
}

export async function findProcess(store: StoreReader, pid: Pid): Promise<ProcessRow> {
  const row = await store.findProcess(pid);
  if (row === undefined) {
    throw new PerdureError(
      "PROCESS_NOT_FOUND",
      `There is no process with the pid ${JSON.stringify(pid)}. \`perdure ps\` lists those there are.`,
      { details: { pid } },
    );
  }
  return row;
}

export async function processDetails(store: StoreReader, pid: Pid): Promise<ProcessDetails> {
  const row = await findProcess(store, pid);
  const [operations, timers, inbox, turns] = await Promise.all([
    store.operations(row.key),
    store.timers(row.key),
    store.inbox(row.key),
    store.lastTurn(row.key),
  ]);
  return {
    ...processView(row),
    turns,
    operations: operations.map(({ number, name, state, attempt, notBeforeMs, lastError }) => ({
      number,
      name,
      state,
      attempt,
      notBeforeMs,
      lastError,
    })),
    timers: timers.map(({ number, dueMs, clock }) => ({ number, dueMs, clock })),
    inbox: inbox.map(({ input, atMs }) => ({ kind: input.kind, atMs })),
  };
}

export async function listProcesses(store: StoreReader, filter: ProcessFilter): Promise<ProcessView[]> {
  return (await store.listProcesses(filter)).map(processView);
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
  return turns.map(turnView);
}

function turnView(turn: Turn): TurnView {
  return { turn: turn.number, timeMs: turn.timeMs, inputs: turn.inputs, commands: turn.commands };
}

/** The process's exit, or undefined while it lives. */
export async function findExit(
  store: StoreReader,
  pid: Pid,
): Promise<{ reason: ExitReason; value: Payload; atMs: number } | undefined> {
  return (await findProcess(store, pid)).exit;
}
