/** Rows that carry a checksum, as the port shows them. Those without one are read by `../rows.ts`. */
import { decodeInput, decodePayload, decodeTurn } from "../../journal/encoding.ts";
import { exitReasons } from "../../journal/types.ts";
import type { Turn } from "../../journal/types.ts";
import { edgeBody, operationIdentity, restoreBody, tieIdentity } from "../checksum.ts";
import { bytes, number, text, word } from "../columns.ts";
import type { Row } from "../columns.ts";
import { edgeStates, operationStates } from "../port.ts";
import type {
  CheckpointRow,
  DeadLetterRow,
  EdgeRow,
  InboxRow,
  MonitorRow,
  NameRow,
  OperationRow,
  ProcessKey,
  RestoreRow,
} from "../port.ts";
import { DamagedRow, verified } from "./damage.ts";
import type { RowName } from "./damage.ts";
import { composed, signalCrc } from "./parts/notices.ts";

export function readTurn(process: ProcessKey, row: Row, expected: number): Turn {
  const name: RowName = { noun: "Turn", detail: "turn", value: expected };
  if (number(row, "turn") !== expected) throw new DamagedRow(process, name, "it is missing");
  const stored = { body: bytes(row, "body"), crc: number(row, "crc"), process, index: expected };
  return verified(stored, name, decodeTurn);
}

export function readOperation(row: Row): OperationRow {
  const process = number(row, "process");
  const index = number(row, "number");
  const name = text(row, "name");
  const options = text(row, "options");
  const startedAtMs = number(row, "started_at_ms");
  const beside = operationIdentity({ name, options, startedAtMs });
  const stored = { body: bytes(row, "args"), crc: number(row, "crc"), process, index, beside };
  return {
    process,
    number: index,
    name,
    args: verified(stored, { noun: "Operation", detail: "operation", value: index }, decodePayload),
    options,
    state: word(row, "state", operationStates),
    attempt: number(row, "attempt"),
    notBeforeMs: number(row, "not_before_ms"),
    startedAtMs,
    deaths: number(row, "deaths"),
    lastError: text(row, "last_error"),
    createdAtMs: number(row, "created_at_ms"),
  };
}

export function readInput(row: Row): InboxRow {
  const seq = number(row, "seq");
  const process = number(row, "process");
  const atMs = number(row, "at_ms");
  const [body, crc] = [bytes(row, "input"), number(row, "crc")];
  const name: RowName = { noun: "Waiting input", detail: "seq", value: seq };
  const monitor = row["monitor"] === null ? undefined : number(row, "monitor");
  if (row["tie"] === null) {
    return { seq, process, input: verified({ body, crc, process, index: 0 }, name, decodeInput), atMs };
  }
  const tie = number(row, "tie");
  if (row["sender"] === null) {
    const stored = { body, crc, process, index: 0, beside: tieIdentity(tie, monitor) };
    return { seq, process, input: verified(stored, name, decodeInput), atMs, tie };
  }
  const notice = { process, monitor, sender: text(row, "sender") };
  const signal = { body, crc: signalCrc(crc, notice), process, of: tie, index: 0 };
  return { seq, process, input: verified(signal, name, (each) => composed(decodeInput(each), notice)), atMs, tie };
}

export function readDeadLetter(row: Row): DeadLetterRow {
  const seq = number(row, "seq");
  const process = number(row, "process");
  const stored = { body: bytes(row, "input"), crc: number(row, "crc"), process, index: 0 };
  return {
    seq,
    process,
    input: verified(stored, { noun: "Dead letter", detail: "seq", value: seq }, decodeInput),
    atMs: number(row, "at_ms"),
    reason: word(row, "reason", exitReasons),
    value: decodePayload(bytes(row, "value")),
  };
}

export function readCheckpoint(process: ProcessKey, row: Row): CheckpointRow {
  const turn = number(row, "turn");
  const stored = { body: bytes(row, "body"), crc: number(row, "crc"), process, index: turn };
  const name = { noun: "The checkpoint after turn", detail: "turn", value: turn } as const;
  return { turn, body: verified(stored, name, (body) => body) };
}

export function readRestore(process: ProcessKey, row: Row): RestoreRow {
  const turn = number(row, "turn");
  const from = number(row, "from_turn");
  const stored = { body: restoreBody(from), crc: number(row, "crc"), process, index: turn };
  const name = { noun: "The restore at turn", detail: "turn", value: turn } as const;
  return { turn, from: verified(stored, name, () => from) };
}

export function readEdge(row: Row): EdgeRow {
  const process = number(row, "process");
  const key = text(row, "key");
  const digest = Buffer.from(bytes(row, "digest")).toString("hex");
  const state = word(row, "state", edgeStates);
  const answer = row["answer"] === null ? undefined : bytes(row, "answer");
  const stored = { body: edgeBody({ key, digest, state }, answer), crc: number(row, "crc"), process, index: 0 };
  const name = { noun: "What was asked under the key", detail: "key", value: JSON.stringify(key) } as const;
  return {
    process,
    key,
    digest,
    about: text(row, "about"),
    atMs: number(row, "at_ms"),
    state,
    answer: verified(stored, name, () => (answer === undefined ? undefined : decodePayload(answer))),
  };
}

export function readMonitor(row: Row): MonitorRow {
  return { watcher: number(row, "watcher"), number: number(row, "number"), target: number(row, "target") };
}

export function readName(row: Row): NameRow {
  return {
    name: text(row, "name"),
    process: number(row, "process"),
    pid: text(row, "pid"),
    shard: number(row, "shard"),
  };
}
