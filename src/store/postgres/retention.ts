/** Pruning: finished processes, their tombstones, programs nobody runs. Reads what may go, decides, and lets it go, in one transaction. */
import { number, text } from "../columns.ts";
import type { Row } from "../columns.ts";
import { nextGeneration } from "../generations.ts";
import type { FinishedPlace, PruneReport, PruneRequest, Store, TombstonePlace } from "../port.ts";
import { readProcess } from "../rows.ts";
import { has } from "./has.ts";
import { whole } from "./line.ts";
import { isHeldBesides, selectProcess } from "./queries.ts";
import { putTombstone } from "./stones.ts";
import { statement, step } from "./wire/session.ts";
import type { Step } from "./wire/session.ts";
import type { Run } from "./writer.ts";

/** A slice of turns holds no more than this, unless one alone does. */
const sliceBytes = 1 << 20;
/** Remains looked at in one call. */
const maxRemains = 500;
/** Above every pid in the order of their bytes. */
const afterAllPids = "\u{10ffff}";

export interface Decision<T> {
  readonly steps: readonly Step[];
  readonly result: T;
}

export function readPlace(row: Row): FinishedPlace {
  return { atMs: number(row, "exited_at_ms"), key: number(row, "key") };
}

// -- processes --------------------------------------------------------------------------------------------------

// With their state in it, this might read all that are in that state.
const candidates = statement(`${selectProcess} WHERE process.key = ANY ($1) AND NOT ${isHeldBesides}`, "int8[]");
const childrenOf = statement(
  `SELECT key, parent FROM ~.process WHERE parent = ANY (CAST(ARRAY(SELECT pid FROM ~.process WHERE key = ANY ($1)) AS text[]))`,
  "int8[]",
);
const deleteProcesses = statement(
  `WITH inboxes AS (DELETE FROM ~.inbox WHERE process = ANY ($1)), operations AS (DELETE FROM ~.operation WHERE process = ANY ($1)),
     timers AS (DELETE FROM ~.timer WHERE process = ANY ($1)), restores AS (DELETE FROM ~.restore WHERE process = ANY ($1)),
     processes AS (DELETE FROM ~.process WHERE key = ANY ($1))
   INSERT INTO ~.remains (process) SELECT * FROM unnest($1)`,
  "int8[]",
);

export async function prune(run: Run, { atMs, processes, rows }: PruneRequest): Promise<Decision<PruneReport>> {
  const [found, children] = await run([step(candidates, processes), step(childrenOf, processes)]);
  const byKey = new Map((found?.rows ?? []).map((row) => [number(row, "key"), readProcess(row)]));
  const pruned = new Set<number>();
  const steps: Step[] = [];
  for (const key of processes) {
    const row = byKey.get(key);
    if (row?.state !== "exited" || row.exit === undefined || pruned.has(key)) continue;
    const isParent = (child: Row): boolean => text(child, "parent") === row.pid && !pruned.has(number(child, "key"));
    if (row.parent !== "" && children?.rows.some(isParent) === true) continue;
    if (row.parent === "") steps.push(putTombstone(row, row.exit, atMs));
    pruned.add(key);
  }
  if (pruned.size > 0) {
    await run([...steps, step(deleteProcesses, [...pruned])]);
  }
  const remains = await deleteRemains(run, rows);
  return { steps: remains.steps, result: { pruned: [...pruned], ...remains.result } };
}

const remainsFirst = statement("SELECT process FROM ~.remains ORDER BY process LIMIT $1", "int8");
const turnsOf = statement(
  `SELECT r.process, j.turn, j.bytes FROM unnest($1) AS r (process)
   CROSS JOIN LATERAL (SELECT turn, octet_length(body) AS bytes FROM ~.journal WHERE process = r.process
                       ORDER BY turn DESC LIMIT $2) AS j
   ORDER BY r.process, j.turn DESC LIMIT $2`,
  "int8[]",
  "int8",
);
// The newest line of all stays until it is not the newest any more.
const logsOf = statement(
  `SELECT r.process, l.seq FROM unnest($1) AS r (process)
   CROSS JOIN LATERAL (SELECT seq FROM ~.log WHERE process = r.process AND seq < (SELECT max(seq) FROM ~.log)
                       ORDER BY seq LIMIT $2) AS l
   ORDER BY r.process, l.seq LIMIT $2`,
  "int8[]",
  "int8",
);
const newestLog = statement("SELECT process FROM ~.log ORDER BY seq DESC LIMIT 1");
const edgesOf = statement(
  `SELECT r.process, e.id FROM unnest($1) AS r (process)
   CROSS JOIN LATERAL (SELECT id FROM ~.edge WHERE process = r.process LIMIT $2) AS e
   ORDER BY r.process LIMIT $2`,
  "int8[]",
  "int8",
);
const deleteTurns = statement(
  "DELETE FROM ~.journal AS j USING unnest($1, $2) AS t (process, turn) WHERE j.process = t.process AND j.turn = t.turn",
  "int8[]",
  "int8[]",
);
const deleteLogs = statement("DELETE FROM ~.log WHERE seq = ANY ($1)", "int8[]");
const deleteEdges = statement("DELETE FROM ~.edge WHERE id = ANY ($1)", "int8[]");
const deleteDone = statement("DELETE FROM ~.remains WHERE process = ANY ($1)", "int8[]");

/** Process by process: the newest turns first, then log lines and edges, as far as `rows` and the size of a slice go. */
async function deleteRemains(run: Run, rows: number): Promise<Decision<Pick<PruneReport, "rows" | "left">>> {
  const [first] = await run([step(remainsFirst, Math.min(rows, maxRemains) + 1)]);
  const processes = (first?.rows ?? []).map((row) => number(row, "process"));
  if (processes.length === 0 || rows === 0) return { steps: [], result: { rows: 0, left: processes.length > 0 } };
  // One more than may go tells whether that is all.
  const [turns, logs, newest, edges] = await run([
    step(turnsOf, processes, rows + 1),
    step(logsOf, processes, rows + 1),
    step(newestLog),
    step(edgesOf, processes, rows + 1),
  ]);
  const keeper = newest?.rows[0] === undefined ? undefined : number(newest.rows[0], "process");
  const of = (all: readonly Row[] | undefined): Map<number, Row[]> =>
    Map.groupBy(all ?? [], (row) => number(row, "process"));
  const slice = new Slice(rows, { turns: of(turns?.rows), logs: of(logs?.rows), edges: of(edges?.rows) });
  let waiting = 0;
  for (const process of processes) {
    if (!slice.take(process)) break;
    if (process === keeper) waiting++;
    else slice.done.push(process);
  }
  const gone = slice.done.length + waiting;
  // There are more of them than were looked at, or not all of these are through.
  const left = gone < processes.length;
  return { steps: slice.steps(), result: { rows: rows - slice.left, left } };
}

interface Remains {
  readonly turns: ReadonlyMap<number, readonly Row[]>;
  readonly logs: ReadonlyMap<number, readonly Row[]>;
  readonly edges: ReadonlyMap<number, readonly Row[]>;
}

class Slice {
  readonly #remains: Remains;
  readonly #turns: Row[] = [];
  readonly #logs: number[] = [];
  readonly #edges: number[] = [];
  readonly done: number[] = [];
  left: number;
  #leftBytes = sliceBytes;

  constructor(rows: number, remains: Remains) {
    this.left = rows;
    this.#remains = remains;
  }

  /** False if something of the process has to wait for the next slice. */
  take(process: number): boolean {
    for (const turn of this.#remains.turns.get(process) ?? []) {
      if (this.left === 0 || this.#leftBytes <= 0) return false;
      this.left--;
      this.#leftBytes -= number(turn, "bytes");
      this.#turns.push(turn);
    }
    for (const row of this.#remains.logs.get(process) ?? []) {
      if (this.left === 0) return false;
      this.left--;
      this.#logs.push(number(row, "seq"));
    }
    for (const row of this.#remains.edges.get(process) ?? []) {
      if (this.left === 0) return false;
      this.left--;
      this.#edges.push(number(row, "id"));
    }
    return true;
  }

  steps(): Step[] {
    return [
      step(
        deleteTurns,
        this.#turns.map((row) => number(row, "process")),
        this.#turns.map((row) => number(row, "turn")),
      ),
      step(deleteLogs, this.#logs),
      step(deleteEdges, this.#edges),
      step(deleteDone, this.done),
    ];
  }
}

// -- tombstones -------------------------------------------------------------------------------------------------

const stonesBefore = statement(
  `SELECT pid, exited_at_ms FROM ~.tombstone WHERE exited_at_ms <= $1 AND (exited_at_ms, pid) < ($2, $3)
   ORDER BY exited_at_ms DESC, pid DESC LIMIT $4`,
  ...(["int8", "int8", "text", "int8"] as const),
);
const neededStones = statement(
  `SELECT t.pid, CASE WHEN ${has("~.process AS p WHERE p.parent = t.pid")}
            OR ${has("~.process AS p WHERE p.pid = t.next")} THEN 1 ELSE 0 END AS living,
     CASE WHEN ${has("~.tombstone AS s WHERE s.pid = t.next")} THEN 1 ELSE 0 END AS stone
   FROM unnest($1, $2) WITH ORDINALITY AS t (pid, next, n) ORDER BY n`,
  "text[]",
  "text[]",
);
const deleteStones = statement("DELETE FROM ~.tombstone WHERE pid = ANY ($1)", "text[]");

export async function pruneTombstones(
  run: Run,
  untilMs: number,
  before: TombstonePlace | undefined,
  limit: number,
): Promise<Decision<Awaited<ReturnType<Store["pruneTombstones"]>>>> {
  const from = before ?? { atMs: Number.MAX_SAFE_INTEGER, pid: afterAllPids };
  const [found] = await run([step(stonesBefore, whole(untilMs), whole(from.atMs), from.pid, whole(limit))]);
  const rows = found?.rows ?? [];
  const pids = rows.map((row) => text(row, "pid"));
  const [needed] = await run([step(neededStones, pids, pids.map(nextGeneration))]);
  const dropped = new Set<string>();
  for (const row of needed?.rows ?? []) {
    const pid = text(row, "pid");
    const isNext = number(row, "stone") === 1 && !dropped.has(nextGeneration(pid));
    if (number(row, "living") === 0 && !isNext) dropped.add(pid);
  }
  const last = rows.at(-1);
  const isAll = last === undefined || rows.length < limit;
  return {
    steps: [step(deleteStones, [...dropped])],
    result: {
      dropped: dropped.size,
      next: isAll ? undefined : { atMs: number(last, "exited_at_ms"), pid: text(last, "pid") },
    },
  };
}

// -- programs ---------------------------------------------------------------------------------------------------

const unusedPrograms = statement(
  `SELECT id, hash FROM ~.program AS program WHERE created_at_ms <= $1
     AND NOT EXISTS (SELECT 1 FROM ~.process AS p WHERE p.program = program.id)
     AND EXISTS (SELECT 1 FROM ~.program AS newer WHERE newer.file = program.file
                 AND (newer.created_at_ms, newer.id) > (program.created_at_ms, program.id))`,
  "int8",
);
const deletePrograms = statement("DELETE FROM ~.program WHERE id = ANY ($1)", "int8[]");
const deleteStrayBlobs = statement(
  `DELETE FROM ~.blob WHERE hash NOT IN (SELECT bundle FROM ~.program UNION SELECT source_map FROM ~.program
     UNION SELECT prelude FROM ~.program UNION SELECT engine FROM ~.program)`,
);

export async function prunePrograms(run: Run, untilMs: number, keep: readonly string[]): Promise<Decision<number>> {
  const [found] = await run([step(unusedPrograms, whole(untilMs))]);
  const unused = (found?.rows ?? []).filter((row) => !keep.includes(text(row, "hash")));
  const ids = unused.map((row) => number(row, "id"));
  return {
    steps: ids.length === 0 ? [] : [step(deletePrograms, ids), step(deleteStrayBlobs)],
    result: ids.length,
  };
}
