/** Tombstones: what is left of pruned processes that were started from outside. */
import { PerdureError } from "../../base/errors.ts";
import { decodePayload, encodePayload } from "../../journal/encoding.ts";
import { exitReasons } from "../../journal/types.ts";
import type { Pid } from "../../journal/types.ts";
import { stoneChecksum } from "../checksum.ts";
import type { Stone } from "../checksum.ts";
import { bytes, number, text, word } from "../columns.ts";
import type { Row } from "../columns.ts";
import { maxTombstoneValueBytes } from "../port.ts";
import type { ProcessExit, ProcessRow, Tombstone } from "../port.ts";
import { statement, step } from "./wire/session.ts";
import type { Step } from "./wire/session.ts";

const putStone = statement(
  `INSERT INTO ~.tombstone (pid, program, entry, args_digest, started_at_ms, exited_at_ms, pruned_at_ms, exit_reason, value_bytes,
     crc, exit_value) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
  ...(["text", "text", "text", "bytea", "int8", "int8", "int8", "text", "int8", "int8", "bytea"] as const),
);

export function putTombstone(row: ProcessRow, exit: ProcessExit, prunedAtMs: number): Step {
  const { pid, program, entry, argsDigest, startedAtMs } = row;
  const { atMs: exitedAtMs, reason } = exit;
  const value = encodePayload(exit.value);
  const valueBytes = value.length;
  const kept = valueBytes <= maxTombstoneValueBytes ? value : undefined;
  const stone: Stone = { pid, program, entry, argsDigest, startedAtMs, exitedAtMs, prunedAtMs, reason, valueBytes };
  const digest = Buffer.from(argsDigest, "hex");
  const times = [startedAtMs, exitedAtMs, prunedAtMs] as const;
  return step(
    putStone,
    pid,
    program,
    entry,
    digest,
    ...times,
    reason,
    valueBytes,
    stoneChecksum(stone, kept),
    kept ?? null,
  );
}

export function readTombstone(path: string, row: Row): Tombstone {
  const pid = text(row, "pid");
  const reason = word(row, "exit_reason", exitReasons);
  const value = row["exit_value"] === null ? undefined : bytes(row, "exit_value");
  const stone: Stone = {
    pid,
    program: text(row, "program"),
    entry: text(row, "entry"),
    argsDigest: Buffer.from(bytes(row, "args_digest")).toString("hex"),
    startedAtMs: number(row, "started_at_ms"),
    exitedAtMs: number(row, "exited_at_ms"),
    prunedAtMs: number(row, "pruned_at_ms"),
    reason,
    valueBytes: number(row, "value_bytes"),
  };
  if (number(row, "crc") !== stoneChecksum(stone, value)) throw damaged(path, pid);
  const { program, entry, argsDigest, startedAtMs, prunedAtMs, valueBytes } = stone;
  const exit = { atMs: stone.exitedAtMs, reason, value: value === undefined ? undefined : decodePayload(value) };
  return { pid, program, entry, argsDigest, startedAtMs, prunedAtMs, exit, valueBytes };
}

function damaged(path: string, pid: Pid): PerdureError {
  return new PerdureError(
    "JOURNAL_CORRUPT",
    `The tombstone of the pruned process ${pid} is damaged in the store ${path}: its bytes are not those that were written. Its id stays taken. Restore a backup of the store, or look up its end in an archive.`,
    { details: { path, pid } },
  );
}
