/** Processes that leave for another store, and those that come from one. In the transaction of the caller. */
import { PerdureError } from "../../base/errors.ts";
import type { Pid } from "../../journal/types.ts";
import { decodeExported, encodeExported, lateInput } from "../exports-encoding.ts";
import type { Arrival, Departure, ExportedRow, ImportedRow } from "../exports.ts";
import type { CommitBatch, ProcessKey } from "../port.ts";
import { checksum } from "../checksum.ts";
import { bytes, number, text } from "../columns.ts";
import type { Row } from "../columns.ts";
import { processNotFound } from "./connection.ts";
import type { Connection } from "./connection.ts";
import { findEdge } from "./edges.ts";
import { violatedKey } from "./errors.ts";
import { readInboxRow } from "./inbox.ts";
import { readProcess } from "../rows.ts";

const none: readonly never[] = [];

export function applyMoves(connection: Connection, batch: CommitBatch): void {
  for (const departure of batch.departures ?? none) depart(connection, departure, batch.atMs);
  for (const arrival of batch.arrivals ?? none) arrive(connection, arrival, batch.atMs);
}

function depart(connection: Connection, { process, exported }: Departure, atMs: number): void {
  const { sql, lastTurns } = connection;
  const found = sql.processByKey.get(process);
  if (found === undefined) throw processNotFound(connection, `number ${process}`);
  if (exported !== undefined) {
    const { pid, program, entry, argsDigest, startedAtMs } = readProcess(found);
    const late = sql.inboxOfAfter
      .all(process, exported.inboxSeq)
      .map((row) => lateInput(readInboxRow(connection, row), (key) => findEdge(connection, process, key)));
    const letters = sql.deadLetterSeqs.all(process).map((row) => number(row, "seq"));
    const { file, sha256, serviceMs } = exported;
    const about = { pid, process, program, entry, argsDigest, startedAtMs };
    const row: ExportedRow = { ...about, file, sha256, serviceMs, exportedAtMs: atMs, late, letters };
    const body = encodeExported(row);
    sql.putExported.run(pid, process, atMs, checksum(body, process, 0), body);
  }
  for (const each of [
    sql.deleteOperations,
    sql.deleteTimers,
    sql.deleteInbox,
    sql.deleteSnapshots,
    sql.deleteCheckpoint,
    sql.deleteCheckpointTies,
    sql.deleteLinks,
    sql.deleteMonitors,
    sql.deleteNames,
    sql.deleteMemberships,
    sql.deleteRestores,
    sql.deleteDeadLettersOf,
    sql.deleteProcess,
  ])
    each.run(process);
  sql.prunedKey.run(process);
  sql.putRemains.run(process);
  lastTurns.delete(process);
}

function arrive(connection: Connection, { process, pid, state, files }: Arrival, atMs: number): void {
  const { sql, path } = connection;
  const taken = (cause?: unknown): PerdureError =>
    new PerdureError(
      "PROCESS_ID_CONFLICT",
      `A process ${pid} exists already in the store ${path}. Nothing of this commit was kept.`,
      { cause, details: { path, pid, process } },
    );
  sql.deleteExported.run(pid);
  if (sql.isPidTaken.get(pid) !== undefined) throw taken();
  try {
    if (sql.arrive.run(pid, state, process).changes === 0) throw processNotFound(connection, `number ${process}`);
  } catch (error) {
    throw violatedKey(error) === "process.pid" ? taken(error) : error;
  }
  for (const file of files) sql.putImported.run(file, pid, atMs);
}

export function findExported(connection: Connection, of: Pid | ProcessKey): ExportedRow | undefined {
  const { sql } = connection;
  const row = typeof of === "string" ? sql.exported.get(of) : sql.exportedKey.get(of);
  return row === undefined ? undefined : readExported(connection, row);
}

export function readExports(connection: Connection, limit: number): ExportedRow[] {
  return connection.sql.exports.all(limit).map((row) => readExported(connection, row));
}

function readExported({ path }: Connection, row: Row): ExportedRow {
  const body = bytes(row, "body");
  const pid = text(row, "pid");
  if (number(row, "crc") === checksum(body, number(row, "process"), 0)) return decodeExported(body);
  throw new PerdureError(
    "JOURNAL_CORRUPT",
    `What is left of the exported process ${pid} is damaged in the store ${path}: its bytes are not those that were written. Its id stays taken. Restore a backup of the store.`,
    { details: { path, pid } },
  );
}

export function findImported({ sql }: Connection, file: string): ImportedRow | undefined {
  const row = sql.imported.get(file);
  return row === undefined ? undefined : readImported(row);
}

export function readImports({ sql }: Connection, pid: Pid): ImportedRow[] {
  return sql.imports.all(pid).map(readImported);
}

function readImported(row: Row): ImportedRow {
  return { file: text(row, "file"), pid: text(row, "pid"), atMs: number(row, "at_ms") };
}
