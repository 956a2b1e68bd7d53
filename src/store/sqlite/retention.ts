/** Pruning: finished processes, their tombstones, programs nobody runs. In the transaction of the caller, a little at a time. */
import { encodePayload, decodePayload } from "../../journal/encoding.ts";
import { exitReasons } from "../../journal/types.ts";
import type { Pid } from "../../journal/types.ts";
import { nextGeneration } from "../generations.ts";
import { maxTombstoneValueBytes } from "../port.ts";
import type {
  FinishedPlace,
  FinishedRow,
  ProcessExit,
  ProcessKey,
  ProcessRow,
  PruneReport,
  PruneRequest,
  Store,
  Tombstone,
  TombstonePlace,
} from "../port.ts";
import { PerdureError } from "../../base/errors.ts";
import { stoneChecksum } from "../checksum.ts";
import type { Stone } from "../checksum.ts";
import { bytes, number, text, word } from "../columns.ts";
import type { Row } from "../columns.ts";
import type { Connection } from "./connection.ts";
import { readProcess } from "../rows.ts";

/** A slice of turns holds no more than this, unless one alone does. */
const sliceBytes = 1 << 20;
/** Above every pid in the order of their bytes. */
const afterAllPids = "\u{10ffff}";

export function readFinished(
  { sql }: Connection,
  after: FinishedPlace | undefined,
  untilMs: number,
  limit: number,
): FinishedRow[] {
  const from = after ?? { atMs: Number.MIN_SAFE_INTEGER, key: 0 };
  return sql.finished.all(from.atMs, from.key, untilMs, limit).map((row) => ({
    ...readPlace(row),
    pid: text(row, "pid"),
    reason: word(row, "exit_reason", exitReasons),
    held: number(row, "held") !== 0,
  }));
}

export function findFinishedBeyond({ sql }: Connection, count: number): FinishedPlace | undefined {
  const row = sql.finishedBeyond.get(count);
  return row === undefined ? undefined : readPlace(row);
}

function readPlace(row: Row): FinishedPlace {
  return { atMs: number(row, "exited_at_ms"), key: number(row, "key") };
}

export function prune(connection: Connection, { atMs, processes, rows }: PruneRequest): PruneReport {
  const pruned = processes.filter((process) => pruneProcess(connection, process, atMs));
  return { pruned, ...deleteRemains(connection, rows) };
}

/** False if it may not go. */
function pruneProcess(connection: Connection, process: ProcessKey, atMs: number): boolean {
  const { sql, lastTurns } = connection;
  const found = sql.prunable.get(process);
  if (found === undefined) return false;
  const row = readProcess(found);
  if (row.exit === undefined) return false;
  if (row.parent === "") putTombstone(connection, row, row.exit, atMs);
  // An exit leaves none of the first three; but a row of nobody's would stop the next owner.
  for (const each of [sql.deleteInbox, sql.deleteOperations, sql.deleteTimers, sql.deleteRestores, sql.deleteProcess]) {
    each.run(process);
  }
  sql.prunedKey.run(process);
  sql.putRemains.run(process);
  lastTurns.delete(process);
  return true;
}

function putTombstone({ sql }: Connection, row: ProcessRow, exit: ProcessExit, atMs: number): void {
  const value = encodePayload(exit.value);
  const isKept = value.length <= maxTombstoneValueBytes;
  const stone: Stone = {
    pid: row.pid,
    program: row.program,
    entry: row.entry,
    argsDigest: row.argsDigest,
    startedAtMs: row.startedAtMs,
    exitedAtMs: exit.atMs,
    prunedAtMs: atMs,
    reason: exit.reason,
    valueBytes: value.length,
  };
  const kept = isKept ? value : undefined;
  sql.putTombstone.run(
    row.pid,
    row.program,
    row.entry,
    Buffer.from(row.argsDigest, "hex"),
    row.startedAtMs,
    exit.atMs,
    atMs,
    exit.reason,
    value.length,
    stoneChecksum(stone, kept),
    kept ?? null,
  );
}

export function findTombstone(connection: Connection, pid: Pid): Tombstone | undefined {
  const row = connection.sql.tombstone.get(pid);
  if (row === undefined) return undefined;
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
  if (number(row, "crc") !== stoneChecksum(stone, value)) throw damaged(connection, pid);
  const { program, entry, argsDigest, startedAtMs, prunedAtMs, valueBytes } = stone;
  const exit = {
    atMs: stone.exitedAtMs,
    reason,
    value: value === undefined ? undefined : decodePayload(value),
  };
  return { pid, program, entry, argsDigest, startedAtMs, prunedAtMs, exit, valueBytes };
}

function damaged({ path }: Connection, pid: Pid): PerdureError {
  return new PerdureError(
    "JOURNAL_CORRUPT",
    `The tombstone of the pruned process ${pid} is damaged in the store ${path}: its bytes are not those that were written. Its id stays taken. Restore a backup of the store, or look up its end in an archive.`,
    { details: { path, pid } },
  );
}

/** Remains looked at in one call. */
const maxRemains = 500;

function deleteRemains({ sql }: Connection, rows: number): Pick<PruneReport, "rows" | "left"> {
  const processes = sql.remains.all(Math.min(rows, maxRemains) + 1).map((row) => number(row, "process"));
  let left = rows;
  let leftBytes = sliceBytes;
  let waiting = 0;
  for (const process of processes) {
    if (left === 0 || leftBytes <= 0) return { rows: rows - left, left: true };
    const turns = sql.lastTurnsOf.all(process, left);
    for (const turn of turns) {
      if (leftBytes <= 0) return { rows: rows - left, left: true };
      leftBytes -= number(turn, "bytes");
      left--;
      sql.deleteTurn.run(number(turn, "seq"));
    }
    if (left > 0) left -= Number(sql.deleteLogs.run(process, left).changes);
    if (left > 0) left -= Number(sql.deleteEdges.run(process, left).changes);
    if (left === 0) continue;
    if (sql.hasLogs.get(process) === undefined) sql.deleteRemains.run(process);
    else waiting++;
  }
  // The newest line of all waits until it is not the newest any more.
  return { rows: rows - left, left: sql.remains.all(waiting + 1).length > waiting };
}

export function pruneTombstones(
  { sql }: Connection,
  untilMs: number,
  before: TombstonePlace | undefined,
  limit: number,
): Awaited<ReturnType<Store["pruneTombstones"]>> {
  const from = before ?? { atMs: Number.MAX_SAFE_INTEGER, pid: afterAllPids };
  const rows = sql.tombstonesBefore.all(untilMs, from.atMs, from.pid, limit);
  let dropped = 0;
  for (const row of rows) {
    const pid = text(row, "pid");
    if (sql.isNeeded.get(pid, nextGeneration(pid)) !== undefined) continue;
    sql.deleteTombstone.run(pid);
    dropped++;
  }
  const last = rows.at(-1);
  const isAll = last === undefined || rows.length < limit;
  return { dropped, next: isAll ? undefined : { atMs: number(last, "exited_at_ms"), pid: text(last, "pid") } };
}

export function prunePrograms({ sql, programIds }: Connection, untilMs: number, keep: readonly string[]): number {
  const unused = sql.unusedPrograms.all(untilMs).filter((row) => !keep.includes(text(row, "hash")));
  for (const row of unused) sql.deleteProgram.run(number(row, "id"));
  if (unused.length > 0) sql.deleteStrayBlobs.run();
  programIds.clear();
  return unused.length;
}
