/** Rows of the tables as the port shows them. */
import { decodePayload } from "../../journal/encoding.ts";
import type { ExitReason, LogLevel, TimerClock } from "../../journal/types.ts";
import type { LogRow, ProcessExit, ProcessRow, ProcessState, ProgramRow, SnapshotRow, TimerRow } from "../port.ts";
import { bytes, number, text, word } from "./columns.ts";
import type { Row } from "./columns.ts";

export const processStates: ReadonlySet<ProcessState> = new Set<ProcessState>([
  "running",
  "paused",
  "broken",
  "exited",
]);
const clocks: ReadonlySet<TimerClock> = new Set<TimerClock>(["wall", "service"]);
const levels: ReadonlySet<LogLevel> = new Set<LogLevel>(["debug", "info", "log", "warn", "error"]);
const exitReasons: ReadonlySet<ExitReason> = new Set<ExitReason>([
  "normal",
  "error",
  "cancelled",
  "out_of_fuel",
  "out_of_memory",
  "stack_overflow",
  "trap",
  "killed",
]);

export function readProcess(row: Row): ProcessRow {
  const process = {
    key: number(row, "key"),
    pid: text(row, "pid"),
    program: text(row, "program"),
    entry: text(row, "entry"),
    argsDigest: Buffer.from(bytes(row, "args_digest")).toString("hex"),
    state: word(row, "state", processStates),
    problem: text(row, "problem"),
    startedAtMs: number(row, "started_at_ms"),
  };
  return row["exited_at_ms"] === null ? process : { ...process, exit: readExit(row) };
}

function readExit(row: Row): ProcessExit {
  return {
    atMs: number(row, "exited_at_ms"),
    reason: word(row, "exit_reason", exitReasons),
    value: decodePayload(bytes(row, "exit_value")),
  };
}

export function readTimer(row: Row): TimerRow {
  return {
    process: number(row, "process"),
    number: number(row, "number"),
    clock: word(row, "clock", clocks),
    dueMs: number(row, "due_ms"),
  };
}

export function readLog(row: Row): LogRow {
  return {
    seq: number(row, "seq"),
    process: number(row, "process"),
    turn: number(row, "turn"),
    atMs: number(row, "at_ms"),
    level: word(row, "level", levels),
    text: text(row, "text"),
  };
}

export function readSnapshot(row: Row): SnapshotRow {
  return { turn: number(row, "turn"), body: bytes(row, "body") };
}

export function readProgram(row: Row): ProgramRow {
  return {
    hash: text(row, "hash"),
    file: text(row, "file"),
    createdAtMs: number(row, "created_at_ms"),
    bundle: text(row, "bundle"),
    sourceMap: text(row, "source_map"),
    prelude: text(row, "prelude"),
    engine: text(row, "engine"),
  };
}
