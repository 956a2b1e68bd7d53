/** Reads that return lists, and what brings a process to life. No statement holds the database for longer than a page. */
import type { Pid, TimerClock, Turn } from "../../journal/types.ts";
import { number, text, word } from "../columns.ts";
import type { Row } from "../columns.ts";
import { processStates } from "../port.ts";
import type {
  DeadLetterRow,
  InboxRow,
  LogRow,
  NameRow,
  OperationRow,
  ProcessFilter,
  ProcessKey,
  ProcessLoad,
  ProcessRow,
  ProcessState,
  Recovery,
  TimerRow,
} from "../port.ts";
import { readLog, readProcess, readSnapshot, readTimer } from "../rows.ts";
import { DamagedRow, journalCorrupt } from "./damage.ts";
import { processNotFound } from "./errors.ts";
import { whole } from "./line.ts";
import type { Line } from "./line.ts";
import { queries, selectProcess } from "./queries.ts";
import { readCheckpoint, readDeadLetter, readInput, readMonitor, readName, readOperation } from "./rows.ts";
import { readRestore, readTurn } from "./rows.ts";
import { beginReading, step } from "./wire/session.ts";
import type { Statement } from "./wire/session.ts";
import type { Type, Value } from "./wire/values.ts";

const pageRows = 1000;
/** Turns can be large. */
const turnPageRows = 500;

/** Reads page after page until `limit` rows are there or no more come. */
async function paged<T>(
  limit: number,
  read: (rowsWanted: number, last: T | undefined) => Promise<readonly T[]>,
): Promise<T[]> {
  const all: T[] = [];
  while (all.length < limit) {
    const wanted = Math.min(pageRows, limit - all.length);
    const page = await read(wanted, all.at(-1));
    for (const row of page) all.push(row);
    if (page.length < wanted) break;
  }
  return all;
}

/** What people know a process by. */
export async function pidOf(line: Line, process: ProcessKey): Promise<Pid> {
  const row = await line.get(queries.pidOf, process);
  return row === undefined ? `number ${process}` : text(row, "pid");
}

export async function listProcesses(line: Line, filter: ProcessFilter): Promise<ProcessRow[]> {
  const conditions: string[] = ["process.key < $1"];
  const types: Type[] = ["int8"];
  const values: Value[] = [];
  const equal = (column: string, words: readonly string[] | undefined): void => {
    if (words === undefined) return;
    types.push("text[]");
    values.push(words);
    conditions.push(`${column} = ANY ($${types.length})`);
  };
  const one = (word: string | undefined): readonly string[] | undefined => (word === undefined ? undefined : [word]);
  equal("state", filter.states);
  equal("exit_reason", filter.reasons);
  equal("parent", filter.parent === "" ? undefined : one(filter.parent));
  if (filter.parent === "") conditions.push("parent IS NULL");
  equal("label", one(filter.label));
  equal("role", one(filter.role));
  equal("entry", one(filter.entry));
  equal("program.hash", one(filter.program));
  const sql = `${selectProcess} WHERE ${conditions.join(" AND ")} ORDER BY process.key DESC LIMIT $${types.length + 1}`;
  const select: Statement = { sql, types: [...types, "int8"], once: true };
  const before = whole(filter.before ?? Infinity);
  return paged<ProcessRow>(filter.limit, async (wanted, last) =>
    (await line.all(select, last?.key ?? before, ...values, wanted)).map(readProcess),
  );
}

export async function countProcesses(line: Line): Promise<Record<ProcessState, number>> {
  const counts: Record<ProcessState, number> = { running: 0, paused: 0, crashed: 0, broken: 0, moving: 0, exited: 0 };
  for (const row of await line.all(queries.countByState)) {
    counts[word(row, "state", processStates)] = number(row, "count");
  }
  return counts;
}

/** Turns `from` … of a process, at most `limit`; refuses gaps. */
export async function readTurns(line: Line, process: ProcessKey, from: number, limit: number): Promise<Turn[]> {
  const turns: Turn[] = [];
  let next = Math.max(1, from);
  while (turns.length < limit) {
    const wanted = Math.min(turnPageRows, limit - turns.length);
    const rows = await line.all(queries.turns, process, next, wanted);
    for (const row of rows) turns.push(readTurn(process, row, next++));
    if (rows.length < wanted) break;
  }
  // It may have been pruned in between, and what was read last be the rest of it.
  return turns.length < turnPageRows || (await line.get(queries.pidOf, process)) !== undefined ? turns : [];
}

export async function readLogs(
  line: Line,
  process: ProcessKey | undefined,
  after: number,
  limit: number,
): Promise<LogRow[]> {
  return paged<LogRow>(limit, async (wanted, last) => {
    const from = whole(last?.seq ?? after);
    const rows =
      process === undefined
        ? await line.all(queries.logs, from, wanted)
        : await line.all(queries.logsOf, process, from, wanted);
    return rows.map(readLog);
  });
}

export async function readNames(line: Line, of: "namesAfter" | "membersAfter"): Promise<NameRow[]> {
  return paged<NameRow>(Infinity, async (wanted, last) =>
    (await line.all(queries[of], last?.name ?? "", last?.process ?? 0, wanted)).map(readName),
  );
}

export async function readDeadLetters(
  line: Line,
  process: ProcessKey | undefined,
  after: number,
  limit: number,
): Promise<DeadLetterRow[]> {
  return paged<DeadLetterRow>(limit, async (wanted, last) => {
    const from = whole(last?.seq ?? after);
    const rows =
      process === undefined
        ? await line.all(queries.deadLetters, from, wanted)
        : await line.all(queries.deadLettersOf, process, from, wanted);
    return rows.map(readDeadLetter);
  });
}

export async function readInboxAfter(line: Line, after: number, limit: number): Promise<InboxRow[]> {
  return paged<InboxRow>(limit, async (wanted, last) =>
    (await line.all(queries.inboxAfter, whole(last?.seq ?? after), wanted)).map(readInput),
  );
}

export async function readDueTimers(
  line: Line,
  incarnation: number,
  clock: TimerClock,
  afterMs: number,
  untilMs: number,
  limit: number,
): Promise<TimerRow[]> {
  const offset = whole(Math.max(limit, 1)) - 1;
  return (await line.all(queries.timersDue, incarnation, clock, afterMs, untilMs, offset)).map(readTimer);
}

/** Rows that others put, for the shards with the numbers of the last ones seen; tells of new ones. Damaged ones are left out. */
export async function readPosted(
  line: Line,
  incarnation: number,
  cursors: ReadonlyMap<number, number>,
  limit: number,
): Promise<{ readonly rows: InboxRow[]; readonly seen: ReadonlyMap<number, number>; readonly isAll: boolean }> {
  const found = await line.all(queries.posted, incarnation, [...cursors.keys()], [...cursors.values()], whole(limit));
  const seen = new Map(found.map((row) => [number(row, "shard"), number(row, "posted")]));
  const rows = found.flatMap((row) => {
    try {
      return [readInput(row)];
    } catch (error) {
      if (error instanceof DamagedRow) return [];
      throw error;
    }
  });
  return { rows, seen, isAll: found.length < limit };
}

export async function readRelations(
  line: Line,
  process: ProcessKey,
): Promise<{ readonly links: readonly Pid[]; readonly monitors: readonly Pid[] }> {
  const [links, monitors] = await line.read([step(queries.linksOf, process), step(queries.monitorsOf, process)]);
  const linked = (links?.rows ?? []).map((row) => number(row, "process"));
  const watched = (monitors?.rows ?? []).map((row) => number(row, "target"));
  const pids = new Map(
    (await line.all(queries.pidsOf, [...linked, ...watched])).map((row) => [number(row, "key"), text(row, "pid")]),
  );
  const show = (key: ProcessKey): Pid => pids.get(key) ?? `number ${key}`;
  return { links: linked.map(show), monitors: watched.map(show) };
}

export async function recover(line: Line, shards: readonly number[]): Promise<Recovery> {
  const operations: OperationRow[] = [];
  const damaged: Recovery["damaged"][number][] = [];
  await paged<Row>(Infinity, async (wanted, last) => {
    const rows = await line.all(
      queries.operationsAfter,
      shards,
      last === undefined ? 0 : number(last, "process"),
      last === undefined ? 0 : number(last, "number"),
      wanted,
    );
    for (const row of rows) {
      try {
        operations.push(readOperation(row));
      } catch (error) {
        if (!(error instanceof DamagedRow)) throw error;
        const process = number(row, "process");
        const { message } = journalCorrupt(line.place.path, await pidOf(line, process), error);
        damaged.push({ process, problem: message });
      }
    }
    return rows;
  });
  const withInbox = await paged<ProcessKey>(Infinity, async (wanted, last) =>
    (await line.all(queries.processesWithInbox, shards, last ?? 0, wanted)).map((row) => number(row, "process")),
  );
  return { operations, withInbox, damaged };
}

const loadedAtOnce = [
  queries.processByKey,
  queries.lastTurnRow,
  queries.snapshots,
  queries.operationsOf,
  queries.timersOf,
  queries.inboxOf,
  queries.linksOf,
  queries.monitorsOf,
  queries.watchersOf,
  queries.checkpoint,
  queries.restores,
] as const;

/** All of one moment, in one round trip. */
export async function readLoad(line: Line, process: ProcessKey): Promise<ProcessLoad> {
  const results = await line.read(
    loadedAtOnce.map((of) => step(of, process)),
    beginReading,
  );
  const rows = (of: (typeof loadedAtOnce)[number]): readonly Row[] => results[loadedAtOnce.indexOf(of)]?.rows ?? [];
  const [found] = rows(queries.processByKey);
  if (found === undefined) throw processNotFound(line.place.path, `number ${process}`);
  const [lastRow] = rows(queries.lastTurnRow);
  const last = lastRow === undefined ? undefined : readTurn(process, lastRow, number(lastRow, "turn"));
  const [checkpoint] = rows(queries.checkpoint);
  return {
    process: readProcess(found),
    snapshots: rows(queries.snapshots).map(readSnapshot),
    operations: rows(queries.operationsOf).map(readOperation),
    timers: rows(queries.timersOf).map(readTimer),
    inbox: rows(queries.inboxOf).map(readInput),
    links: rows(queries.linksOf).map((row) => number(row, "process")),
    monitors: rows(queries.monitorsOf).map(readMonitor),
    watchers: rows(queries.watchersOf).map(readMonitor),
    checkpoint: checkpoint === undefined ? undefined : readCheckpoint(process, checkpoint),
    restores: rows(queries.restores).map((row) => readRestore(process, row)),
    lastTurn: last?.number ?? 0,
    lastTimeMs: last?.timeMs ?? 0,
  };
}
