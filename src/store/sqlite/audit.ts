/**
 * Looks through a store for damage that reading process by process would not show: pages and indices, rows of nobody, turns that an
 * index hides, blobs that are not what they are called. Reads only; in pieces, so that a node beside it can start its write-ahead log
 * over.
 */
import { createHash } from "node:crypto";
import { setImmediate as breath } from "node:timers/promises";
import { decodeTurn } from "../../journal/encoding.ts";
import type { ProcessKey, StoreFault } from "../port.ts";
import { checksum } from "../checksum.ts";
import { bytes, number, text } from "../columns.ts";
import type { Connection } from "./connection.ts";
import { isStoreOwned } from "./ownership.ts";
import { findExported } from "./exports.ts";
import { findTombstone } from "./retention.ts";

type Report = (fault: StoreFault) => void;
type Step = (done: number, total: number) => void;

/** Of one kind in one table. */
const maxFaults = 100;
const pageRows = 2_000;
/** Of turns read at a time. */
const blobPageRows = 20;

/** Rows of these are there as long as their process lives. */
const livesWithProcess = ["operation", "timer", "inbox", "snapshot", "checkpoint", "checkpoint_tie", "name", "member"];
/** Of a pruned process they go slice by slice. The last row of `log` may stay for long, whosever it was. */
const staysWithProcess = ["journal", "restore", "edge", "dead_letter"];
const ties: readonly (readonly [table: string, column: string])[] = [
  ["link", "a"],
  ["link", "b"],
  ["monitor", "watcher"],
  ["monitor", "target"],
];

export async function audit(connection: Connection, report: Report, step: Step): Promise<void> {
  const parts: (() => void | Promise<void>)[] = [
    ...fileParts(connection, report),
    ...livesWithProcess.map((table) => () => owners(connection, report, { table, column: "process", alive: true })),
    ...staysWithProcess.map((table) => () => owners(connection, report, { table, column: "process", alive: false })),
    ...ties.map(
      ([table, column]) =>
        () =>
          owners(connection, report, { table, column, alive: true }),
    ),
    () => blobs(connection, report),
    () => tombstones(connection, report, "tombstone", findTombstone),
    () => tombstones(connection, report, "exported", findExported),
  ];
  const rows = countOf(connection);
  const total = parts.length * pageRows + rows;
  let done = 0;
  for (const part of parts) {
    await attempt(report, part);
    step((done += pageRows), total);
    await breath();
  }
  await attempt(report, () => journal(connection, report, (read) => step(Math.min(total, done + read), total)));
  step(total, total);
}

/** A part that cannot be read is a finding, and the others are looked at all the same. */
async function attempt(report: Report, part: () => void | Promise<void>): Promise<void> {
  try {
    await part();
  } catch (error) {
    const detail = `the database cannot be read here: ${error instanceof Error ? error.message : String(error)}`;
    report({ rule: "file", process: undefined, detail });
  }
}

function countOf({ db }: Connection): number {
  try {
    return number(db.prepare("SELECT ifnull(max(seq), 0) AS last FROM journal").get() ?? {}, "last");
  } catch {
    return 0;
  }
}

// -- the file ---------------------------------------------------------------------------------------------------

/** Beside a node table by table: nothing is held for long. Without one everything at once, the list of free pages too. */
function fileParts(connection: Connection, report: Report): (() => void)[] {
  const { db, path } = connection;
  if (!isStoreOwned(path)) return [() => integrity(connection, report, "")];
  const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all();
  return tables.map((row) => () => integrity(connection, report, text(row, "name")));
}

function integrity({ db }: Connection, report: Report, table: string): void {
  const argument = table === "" ? String(maxFaults) : `"${table.replaceAll('"', '""')}"`;
  for (const row of db.prepare(`PRAGMA integrity_check(${argument})`).all()) {
    const said = text(row, "integrity_check");
    if (said !== "ok") report({ rule: "file", process: undefined, detail: said.replaceAll("\n", ", ") });
  }
}

// -- whose rows -------------------------------------------------------------------------------------------------

interface Owned {
  readonly table: string;
  readonly column: string;
  readonly alive: boolean;
}

function owners({ db }: Connection, report: Report, { table, column, alive }: Owned): void {
  const rows = db
    .prepare(
      `SELECT owner, pid FROM (SELECT DISTINCT ${column} AS owner FROM ${table}) LEFT JOIN process ON process.key = owner
       WHERE (pid IS NULL AND NOT EXISTS (SELECT 1 FROM remains WHERE process = owner)) ${alive ? "OR state = 'exited'" : ""}
       LIMIT ${maxFaults}`,
    )
    .all();
  for (const row of rows) {
    const process = number(row, "owner");
    const isNobodys = row["pid"] === null;
    const detail = isNobodys
      ? `table ${table} has rows of process number ${process}, which is not there`
      : `table ${table} has rows of it, and it has exited`;
    report({ rule: isNobodys ? "owner" : "leftover", process: isNobodys ? undefined : process, detail });
  }
}

// -- the journal ------------------------------------------------------------------------------------------------

/** By the table, as it lies there, then by the index: what one of them lacks, the other may have. */
async function journal({ db }: Connection, report: Report, read: (rows: number) => void): Promise<void> {
  const lasts = new Map<ProcessKey, number>();
  const missing = new Map<ProcessKey, number>();
  let faults = 0;
  // What is left of a pruned process is no journal any more.
  const isLiving = db.prepare("SELECT 1 FROM process WHERE key = ?");
  const fault = (rule: StoreFault["rule"], process: ProcessKey, detail: string): void => {
    if (faults >= maxFaults || isLiving.get(process) === undefined) return;
    faults++;
    report({ rule, process, detail });
  };
  const page = db.prepare(
    "SELECT seq, process, turn, at_ms, crc, body FROM journal NOT INDEXED WHERE seq > ? ORDER BY seq LIMIT ?",
  );
  let last = 0;
  for (;;) {
    const rows = page.all(last, pageRows);
    for (const row of rows) {
      last = number(row, "seq");
      const process = number(row, "process");
      const turn = number(row, "turn");
      const expected = (lasts.get(process) ?? 0) + 1;
      if (turn !== expected) {
        missing.set(process, (missing.get(process) ?? 0) + turn - expected);
        fault("journal-gap", process, `in the journal's table turn ${turn} stands where turn ${expected} should`);
      }
      lasts.set(process, turn);
      const body = bytes(row, "body");
      const problem =
        number(row, "crc") === checksum(body, process, turn)
          ? misplaced(body, turn, number(row, "at_ms"))
          : "its bytes are not those that were written";
      if (problem !== undefined) fault("journal-row", process, `turn ${turn}: ${problem}`);
    }
    if (rows.length < pageRows) break;
    read(last);
    await breath();
  }
  for (const [process, count] of missing) lasts.set(process, (lasts.get(process) ?? 0) - count);
  await byIndex(db, lasts, fault);
}

function misplaced(body: Uint8Array, number: number, atMs: number): string | undefined {
  try {
    const turn = decodeTurn(body);
    if (turn.number !== number) return `the row is that of turn ${turn.number}`;
    return turn.timeMs === atMs ? undefined : `its row says ${atMs} ms, and the turn ${turn.timeMs} ms`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

type Fault = (rule: StoreFault["rule"], process: ProcessKey, detail: string) => void;

/** The journal only grows: an index that is read later may show more, and never less. */
async function byIndex(db: Connection["db"], inTable: Map<ProcessKey, number>, fault: Fault): Promise<void> {
  const counted = db.prepare(
    `SELECT process, count(*) AS count, max(turn) AS last FROM journal INDEXED BY journal_by_turn
     WHERE process > ? GROUP BY process ORDER BY process LIMIT ?`,
  );
  let after = 0;
  for (;;) {
    const rows = counted.all(after, pageRows);
    for (const row of rows) {
      after = number(row, "process");
      const [count, last] = [number(row, "count"), number(row, "last")];
      const there = inTable.get(after) ?? 0;
      inTable.delete(after);
      if (count < there) fault("journal-index", after, `the index shows ${count} turns, and the table holds ${there}`);
      else if (count !== last) fault("journal-gap", after, `the index shows ${count} turns, and the last is ${last}`);
    }
    if (rows.length < pageRows) break;
    await breath();
  }
  for (const [process, there] of inTable)
    fault("journal-index", process, `the index shows none of the ${there} turns that the table holds`);
}

// -- what is left of pruned and exported processes ---------------------------------------------------------------------------

async function tombstones(
  connection: Connection,
  report: Report,
  table: "tombstone" | "exported",
  read: (connection: Connection, pid: string) => unknown,
): Promise<void> {
  const page = connection.db.prepare(`SELECT pid FROM ${table} WHERE pid > ? ORDER BY pid LIMIT ?`);
  for (let after = ""; ;) {
    const rows = page.all(after, pageRows);
    for (const row of rows) {
      after = text(row, "pid");
      try {
        read(connection, after);
      } catch (error) {
        const detail = error instanceof Error ? error.message : String(error);
        report({ rule: "tombstone", process: undefined, detail: detail.replace(/\. Its id stays taken[^]*$/, "") });
      }
    }
    if (rows.length < pageRows) return;
    await breath();
  }
}

// -- blobs ------------------------------------------------------------------------------------------------------

async function blobs({ db }: Connection, report: Report): Promise<void> {
  const page = db.prepare(
    "SELECT hash, bytes FROM blob WHERE hash > ? AND hash NOT LIKE 'image:%' ORDER BY hash LIMIT ?",
  );
  for (let after = ""; ;) {
    const rows = page.all(after, blobPageRows);
    for (const row of rows) {
      after = text(row, "hash");
      const found = createHash("sha256").update(bytes(row, "bytes")).digest("hex");
      if (found !== after)
        report({ rule: "blob", process: undefined, detail: `the blob ${after} has bytes of the hash ${found}` });
    }
    if (rows.length < blobPageRows) return;
    await breath();
  }
}
