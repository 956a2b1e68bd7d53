/** Rows of the tables as the port shows them: what SQLite and PostgreSQL read alike. */
import { decodePayload } from "../journal/encoding.ts";
import { exitReasons, logLevels, timerClocks } from "../journal/types.ts";
import { nodeStates } from "./nodes.ts";
import type { NodeRow } from "./nodes.ts";
import { processStates } from "./port.ts";
import type { LogRow, ProcessExit, ProcessRow, ProgramRow, SnapshotRow, TimerRow } from "./port.ts";
import { bytes, json, number, text, word } from "./columns.ts";
import type { Row } from "./columns.ts";

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
    parent: row["parent"] === null ? "" : text(row, "parent"),
    label: text(row, "label"),
    role: text(row, "role"),
    restarts: number(row, "restarts"),
    needs: text(row, "needs"),
    held: number(row, "held") !== 0,
    trapsExits: number(row, "traps_exits") !== 0,
    life: number(row, "life"),
    ...(row["shard"] === undefined ? {} : { shard: number(row, "shard") }),
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
    clock: word(row, "clock", timerClocks),
    dueMs: number(row, "due_ms"),
  };
}

export function readLog(row: Row): LogRow {
  return {
    seq: number(row, "seq"),
    process: number(row, "process"),
    turn: number(row, "turn"),
    atMs: number(row, "at_ms"),
    level: word(row, "level", logLevels),
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
    operations: json(row, "operations") as string[],
  };
}

export function readNode(row: Row): NodeRow {
  return {
    id: text(row, "id"),
    name: text(row, "name"),
    host: text(row, "host"),
    pid: number(row, "pid"),
    release: text(row, "release"),
    ...(json(row, "about") as Pick<NodeRow, "labels" | "file" | "operations">),
    state: word(row, "state", nodeStates),
    incarnation: number(row, "incarnation"),
    sinceMs: number(row, "since_ms"),
    seenMs: number(row, "seen_ms"),
    load: number(row, "load"),
  };
}
