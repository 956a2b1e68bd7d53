/** What a process goes on from after it failed: checkpoints and restores; and the messages that were set aside for it. */
import { decodeInput, decodePayload, encodeInput, encodePayload } from "../../journal/encoding.ts";
import { exitReasons } from "../../journal/types.ts";
import type { Pid } from "../../journal/types.ts";
import type { CheckpointRow, CommitBatch, DeadLetterRow, ProcessKey, RestoreRow } from "../port.ts";
import { checksum, restoreBody } from "../checksum.ts";
import { verified } from "./checksum.ts";
import { bytes, number, word } from "../columns.ts";
import type { Row } from "../columns.ts";
import { notAlive } from "./connection.ts";
import type { Connection } from "./connection.ts";
import { postInput } from "./inbox.ts";

type Part<K extends keyof CommitBatch> = NonNullable<CommitBatch[K]> extends readonly (infer T)[] ? T : never;

const none: readonly never[] = [];

export function applyLives(connection: Connection, batch: CommitBatch): void {
  for (const row of batch.checkpoints ?? none) putCheckpoint(connection, row);
  for (const row of batch.restores ?? none) putRestore(connection, row);
  for (const row of batch.deadLetters ?? none) putDeadLetter(connection, row);
  for (const seq of batch.deadLettersGone ?? none) connection.sql.deleteDeadLetter.run(seq);
}

function putCheckpoint({ sql }: Connection, { process, turn, body, ties }: Part<"checkpoints">): void {
  sql.putCheckpoint.run(process, turn, checksum(body, process, turn), body);
  sql.deleteCheckpointTies.run(process);
  for (const target of ties ?? none) sql.putCheckpointTie.run(process, target);
}

function putRestore(connection: Connection, { process, turn, from, life }: Part<"restores">): void {
  const { sql } = connection;
  if (sql.setLife.run(life, process).changes === 0) throw notAlive(connection, process);
  sql.putRestore.run(process, turn, from, checksum(restoreBody(from), process, turn));
  sql.deleteSnapshotsBetween.run(process, from, turn);
}

function putDeadLetter({ sql }: Connection, row: Part<"deadLetters">): void {
  const input = encodeInput(row.input);
  const crc = checksum(input, row.process, 0);
  sql.putDeadLetter.run(row.process, row.atMs, row.reason, encodePayload(row.value), crc, input);
}

export function readCheckpoint(connection: Connection, process: ProcessKey): CheckpointRow | undefined {
  const row = connection.sql.checkpoint.get(process);
  if (row === undefined) return undefined;
  const turn = number(row, "turn");
  const stored = { body: bytes(row, "body"), crc: number(row, "crc"), process, index: turn };
  const name = { noun: "The checkpoint after turn", detail: "turn", value: turn } as const;
  return { turn, body: verified(connection, stored, name, (body) => body) };
}

export function readRestores(connection: Connection, process: ProcessKey): RestoreRow[] {
  return connection.sql.restores.all(process).map((row) => {
    const turn = number(row, "turn");
    const from = number(row, "from_turn");
    const stored = { body: restoreBody(from), crc: number(row, "crc"), process, index: turn };
    const name = { noun: "The restore at turn", detail: "turn", value: turn } as const;
    return { turn, from: verified(connection, stored, name, () => from) };
  });
}

export function readDeadLetter(connection: Connection, row: Row): DeadLetterRow {
  const seq = number(row, "seq");
  const process = number(row, "process");
  const stored = { body: bytes(row, "input"), crc: number(row, "crc"), process, index: 0 };
  return {
    seq,
    process,
    input: verified(connection, stored, { noun: "Dead letter", detail: "seq", value: seq }, decodeInput),
    atMs: number(row, "at_ms"),
    reason: word(row, "reason", exitReasons),
    value: decodePayload(bytes(row, "value")),
  };
}

/** To be called within a transaction. */
export function takeDeadLetter(connection: Connection, seq: number, to: Pid | undefined, atMs: number): boolean {
  const row = connection.sql.deadLetter.get(seq);
  if (row === undefined) return false;
  if (to !== undefined) postInput(connection, to, readDeadLetter(connection, row).input, atMs);
  connection.sql.deleteDeadLetter.run(seq);
  return true;
}
