/** Processes that leave for another store, and those that came from one. */
import { PerdureError } from "../../base/errors.ts";
import { readEdgeAddress } from "../../base/edge-key.ts";
import type { Pid } from "../../journal/types.ts";
import { checksum } from "../checksum.ts";
import { bytes, number, text } from "../columns.ts";
import type { Row } from "../columns.ts";
import { decodeExported, encodeExported, lateInput } from "../exports-encoding.ts";
import type { Departure, ExportedRow, ImportedRow } from "../exports.ts";
import type { CommitBatch, InboxRow, ProcessKey, ProcessRow } from "../port.ts";
import { readProcess } from "../rows.ts";
import type { CommitPlan, Committed } from "./commit.ts";
import { DamagedRow, journalCorrupt } from "./damage.ts";
import { processNotFound } from "./errors.ts";
import { whole } from "./line.ts";
import type { Line } from "./line.ts";
import { arrivals } from "./parts/arrivals.ts";
import { endsOf } from "./parts/locks.ts";
import type { Owner } from "./parts/locks.ts";
import { deleteBelongings } from "./parts/processes.ts";
import { some } from "./parts/relations.ts";
import { lastWords } from "./parts/ties.ts";
import { inboxColumns, queries, selectProcess } from "./queries.ts";
import { readEdge, readInput } from "./rows.ts";
import { statement, step } from "./wire/session.ts";
import type { Step } from "./wire/session.ts";
import type { Run, Write } from "./writer.ts";

const none: readonly never[] = [];

// -- departures and arrivals ------------------------------------------------------------------------------------

const readReceipt = statement("SELECT put, gone FROM ~.receipt WHERE incarnation = $1 AND number = $2", "int8", "int8");

type Planned = CommitPlan & Pick<Write<Committed>, "decide">;

/** They come last in a commit. What stays of a process that leaves is read when all else is done. */
export function withMoves(plan: CommitPlan, batch: CommitBatch, path: string, owner: Owner): Planned {
  const { departures = none, atMs } = batch;
  const arriving = arrivals(batch.arrivals ?? none, atMs);
  if (departures.length === 0) return { ...plan, after: [...plan.after, ...arriving] };
  return {
    ...plan,
    decide: async (run, id) => {
      await run([...plan.before, plan.receipt(id), ...plan.after]);
      const leaving = await depart(run, departures, { path, atMs });
      const told = some(endsOf(batch), (rows) => [lastWords(rows, batch, owner)]);
      return {
        before: [...told, ...leaving, ...arriving],
        receipt: ({ incarnation, number: own }) => step(readReceipt, incarnation, own),
      };
    },
  };
}

// Whoever posts to one of them has done so before, and is seen by what follows, or finds it gone.
const hold = statement(
  `${selectProcess} WHERE process.key = ANY ($1) ORDER BY process.key FOR UPDATE OF process`,
  "int8[]",
);
const lateInputs = statement(
  `SELECT ${inboxColumns} FROM unnest($1, $2) AS t (process, after)
   JOIN ~.inbox AS i ON i.process = t.process AND i.seq > t.after ORDER BY i.seq`,
  "int8[]",
  "int8[]",
);
// One that somebody takes at this moment is his.
const letters = statement(
  "SELECT process, seq FROM ~.dead_letter WHERE process = ANY ($1) ORDER BY seq FOR UPDATE",
  "int8[]",
);
const edgesAsked = statement(
  `SELECT e.process, e.key, e.at_ms, e.digest, e.about, e.state, e.crc, e.answer FROM unnest($1, $2) AS t (process, key)
   JOIN ~.edge AS e ON e.process = t.process AND e.key = t.key`,
  "int8[]",
  "text[]",
);
const putExported = statement(
  "INSERT INTO ~.exported (pid, process, at_ms, crc, body) VALUES ($1, $2, $3, $4, $5)",
  ...(["text", "int8", "int8", "int8", "bytea"] as const),
);
const deleteProcesses = statement(
  `WITH restores AS (DELETE FROM ~.restore WHERE process = ANY ($1)), letters AS (DELETE FROM ~.dead_letter WHERE process = ANY ($1)),
     processes AS (DELETE FROM ~.process WHERE key = ANY ($1))
   INSERT INTO ~.remains (process) SELECT * FROM unnest($1)`,
  "int8[]",
);

interface At {
  readonly path: string;
  readonly atMs: number;
}

/** Reads and locks; gives the steps that take them away. Throws PROCESS_NOT_FOUND, JOURNAL_CORRUPT. */
async function depart(run: Run, departures: readonly Departure[], { path, atMs }: At): Promise<Step[]> {
  const keys = departures.map(({ process }) => process);
  const afters = departures.map(({ exported }) => whole(exported?.inboxSeq ?? Infinity));
  const [held, inbox, dead] = await run([step(hold, keys), step(lateInputs, keys, afters), step(letters, keys)]);
  const found = new Map((held?.rows ?? []).map((row) => [number(row, "key"), readProcess(row)]));
  const seqs = Map.groupBy(dead?.rows ?? [], (row) => number(row, "process"));
  const late = await withEdges(run, inbox?.rows ?? [], (key) => found.get(key)?.pid ?? `number ${key}`, path);
  const steps: Step[] = [];
  for (const { process, exported } of departures) {
    const row = found.get(process);
    if (!found.delete(process) || row === undefined) throw processNotFound(path, `number ${process}`);
    if (exported === undefined) continue;
    const ofLetters = (seqs.get(process) ?? []).map((each) => number(each, "seq"));
    steps.push(stays(row, exported, { exportedAtMs: atMs, late: late.get(process) ?? [], letters: ofLetters }));
  }
  return [...steps, step(deleteBelongings, keys), step(deleteProcesses, keys)];
}

/** What came after the file's body had been written, and under which keys. */
async function withEdges(
  run: Run,
  rows: readonly Row[],
  pidOf: (key: ProcessKey) => Pid,
  path: string,
): Promise<ReadonlyMap<ProcessKey, ExportedRow["late"]>> {
  try {
    const inputs = rows.map(readInput);
    const asked = inputs.flatMap((row) => {
      const key = keyOf(row);
      return key === undefined ? [] : [{ process: row.process, key }];
    });
    const [found] =
      asked.length === 0
        ? []
        : await run([
            step(
              edgesAsked,
              asked.map(({ process }) => process),
              asked.map(({ key }) => key),
            ),
          ]);
    const edges = new Map((found?.rows ?? []).map(readEdge).map((row) => [`${row.process} ${row.key}`, row] as const));
    return new Map(
      [...Map.groupBy(inputs, (row) => row.process)].map(([process, own]) => [
        process,
        own.map((row) => lateInput(row, (key) => edges.get(`${process} ${key}`))),
      ]),
    );
  } catch (error) {
    if (error instanceof DamagedRow) throw journalCorrupt(path, pidOf(error.process), error);
    throw error;
  }
}

function keyOf({ input }: InboxRow): string | undefined {
  return input.kind === "message" ? readEdgeAddress(input.from)?.key : undefined;
}

function stays(
  { pid, key: process, program, entry, argsDigest, startedAtMs }: ProcessRow,
  { file, sha256, serviceMs }: NonNullable<Departure["exported"]>,
  rest: Pick<ExportedRow, "exportedAtMs" | "late" | "letters">,
): Step {
  const about = { pid, process, program, entry, argsDigest, startedAtMs };
  const body = encodeExported({ ...about, file, sha256, serviceMs, ...rest });
  return step(putExported, pid, process, rest.exportedAtMs, checksum(body, process, 0), body);
}

// -- reading ----------------------------------------------------------------------------------------------------

export async function findExported(line: Line, of: Pid | ProcessKey): Promise<ExportedRow | undefined> {
  const row = await (typeof of === "string" ? line.get(queries.exported, of) : line.get(queries.exportedKey, of));
  return row === undefined ? undefined : readExported(line.place.path, row);
}

export async function readExports(line: Line, limit: number): Promise<ExportedRow[]> {
  return (await line.all(queries.exports, whole(limit))).map((row) => readExported(line.place.path, row));
}

/** Throws JOURNAL_CORRUPT. */
export function readExported(path: string, row: Row): ExportedRow {
  const body = bytes(row, "body");
  const pid = text(row, "pid");
  if (number(row, "crc") === checksum(body, number(row, "process"), 0)) return decodeExported(body);
  throw new PerdureError(
    "JOURNAL_CORRUPT",
    `What is left of the exported process ${pid} is damaged in the store ${path}: its bytes are not those that were written. Its id stays taken. Restore a backup of the store.`,
    { details: { path, pid } },
  );
}

export async function findImported(line: Line, file: string): Promise<ImportedRow | undefined> {
  const row = await line.get(queries.imported, file);
  return row === undefined ? undefined : readImported(row);
}

export async function readImports(line: Line, pid: Pid): Promise<ImportedRow[]> {
  return (await line.all(queries.imports, pid)).map(readImported);
}

function readImported(row: Row): ImportedRow {
  return { file: text(row, "file"), pid: text(row, "pid"), atMs: number(row, "at_ms") };
}
