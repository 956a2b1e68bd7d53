/**
 * Looks through a store for damage that reading process by process would not show: rows of nobody, gaps in the journal, turns that are
 * not what was written, blobs that are not what they are called. Reads only, page by page. The server's own files are its own
 * affair (`pg_amcheck`, data checksums).
 */
import { createHash } from "node:crypto";
import { decodeTurn } from "../../journal/encoding.ts";
import { checksum } from "../checksum.ts";
import { bytes, number, text } from "../columns.ts";
import type { Row } from "../columns.ts";
import type { ProcessKey, StoreFault } from "../port.ts";
import type { Line } from "./line.ts";
import { readExported } from "./exports.ts";
import { has } from "./has.ts";
import { readTombstone } from "./stones.ts";
import { statement } from "./wire/session.ts";
import type { Statement } from "./wire/session.ts";

type Report = (fault: StoreFault) => void;
type Progress = (done: number, total: number) => void;

/** Of one kind in one table. */
const maxFaults = 100;
const pageRows = 1_000;
/** Blobs read at a time. */
const blobPageRows = 20;

/** Rows of these are there as long as their process lives. */
const livesWithProcess = ["operation", "timer", "inbox", "snapshot", "checkpoint", "checkpoint_tie", "name", "member"];
/** Of a pruned process they go slice by slice. */
const staysWithProcess = ["journal", "restore", "edge", "dead_letter"];
const ties = [
  ["link", "a"],
  ["link", "b"],
  ["monitor", "watcher"],
  ["monitor", "target"],
] as const;

export async function audit(line: Line, report: Report, progress: Progress): Promise<void> {
  const parts: (() => Promise<void>)[] = [
    ...livesWithProcess.map((table) => () => owners(line, report, { table, column: "process", alive: true })),
    ...staysWithProcess.map((table) => () => owners(line, report, { table, column: "process", alive: false })),
    ...ties.map(
      ([table, column]) =>
        () =>
          owners(line, report, { table, column, alive: true }),
    ),
    () => blobs(line, report),
    () => tombstones(line, report, stonePage, readTombstone),
    () => tombstones(line, report, exportedPage, readExported),
  ];
  const rows = number((await line.get(countTurns)) ?? {}, "count");
  const total = parts.length * pageRows + rows;
  let done = 0;
  for (const part of parts) {
    await part();
    progress((done += pageRows), total);
  }
  await journal(line, report, (read) => progress(Math.min(total, done + read), total));
  progress(total, total);
}

const countTurns: Statement = { sql: "SELECT count(*) AS count FROM ~.journal", types: [], once: true };

interface Owned {
  readonly table: string;
  readonly column: string;
  readonly alive: boolean;
}

async function owners(line: Line, report: Report, { table, column, alive }: Owned): Promise<void> {
  const sql = `SELECT owned.owner, p.pid FROM (SELECT DISTINCT ${column} AS owner FROM ~.${table}) AS owned
    LEFT JOIN ~.process AS p ON p.key = owned.owner
    WHERE (p.pid IS NULL AND NOT EXISTS (SELECT 1 FROM ~.remains AS r WHERE r.process = owned.owner))
      ${alive ? "OR p.state = 'exited'" : ""} LIMIT ${maxFaults}`;
  for (const row of await line.all({ sql, types: [], once: true })) {
    const process = number(row, "owner");
    const isNobodys = row["pid"] === null;
    const detail = isNobodys
      ? `table ${table} has rows of process number ${process}, which is not there`
      : `table ${table} has rows of it, and it has exited`;
    report({ rule: isNobodys ? "owner" : "leftover", process: isNobodys ? undefined : process, detail });
  }
}

// What is left of a pruned process is no journal any more.
const turnPage = statement(
  `SELECT process, turn, at_ms, crc, body FROM ~.journal AS j WHERE (process, turn) > ($1, $2)
     AND ${has("~.process AS p WHERE p.key = j.process")} ORDER BY process, turn LIMIT $3`,
  ...(["int8", "int8", "int8"] as const),
);

async function journal(line: Line, report: Report, read: (rows: number) => void): Promise<void> {
  let faults = 0;
  const fault = (rule: StoreFault["rule"], process: ProcessKey, detail: string): void => {
    if (faults++ < maxFaults) report({ rule, process, detail });
  };
  let last = { process: 0, turn: 0 };
  for (let seen = 0; ;) {
    const rows = await line.all(turnPage, last.process, last.turn, pageRows);
    for (const row of rows) {
      const [process, turn] = [number(row, "process"), number(row, "turn")];
      const expected = last.process === process ? last.turn + 1 : 1;
      if (turn !== expected) fault("journal-gap", process, `turn ${turn} stands where turn ${expected} should`);
      last = { process, turn };
      const body = bytes(row, "body");
      const problem =
        number(row, "crc") === checksum(body, process, turn)
          ? misplaced(body, turn, number(row, "at_ms"))
          : "its bytes are not those that were written";
      if (problem !== undefined) fault("journal-row", process, `turn ${turn}: ${problem}`);
    }
    read((seen += rows.length));
    if (rows.length < pageRows) return;
  }
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

const stonePage = statement("SELECT * FROM ~.tombstone WHERE pid > $1 ORDER BY pid LIMIT $2", "text", "int8");

const exportedPage = statement("SELECT * FROM ~.exported WHERE pid > $1 ORDER BY pid LIMIT $2", "text", "int8");

async function tombstones(
  line: Line,
  report: Report,
  page: Statement,
  read: (path: string, row: Row) => unknown,
): Promise<void> {
  for (let after = ""; ;) {
    const rows = await line.all(page, after, pageRows);
    for (const row of rows) {
      after = text(row, "pid");
      try {
        read(line.place.path, row);
      } catch (error) {
        const detail = error instanceof Error ? error.message : String(error);
        report({ rule: "tombstone", process: undefined, detail: detail.replace(/\. Its id stays taken[^]*$/, "") });
      }
    }
    if (rows.length < pageRows) return;
  }
}

// Images are a cache, and not called by what is in them.
const blobPage = statement(
  "SELECT hash, bytes FROM ~.blob WHERE hash > $1 AND hash NOT LIKE 'image:%' ORDER BY hash LIMIT $2",
  "text",
  "int8",
);

async function blobs(line: Line, report: Report): Promise<void> {
  for (let after = ""; ;) {
    const rows = await line.all(blobPage, after, blobPageRows);
    for (const row of rows) {
      after = text(row, "hash");
      const found = createHash("sha256").update(bytes(row, "bytes")).digest("hex");
      if (found !== after)
        report({ rule: "blob", process: undefined, detail: `the blob ${after} has bytes of the hash ${found}` });
    }
    if (rows.length < blobPageRows) return;
  }
}
