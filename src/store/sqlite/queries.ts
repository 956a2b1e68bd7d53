/** Reads that return lists. None holds the database for longer than a page: see `pageRows` in `journal.ts`. */
import type { SQLInputValue, StatementSync } from "node:sqlite";
import { isPerdureError } from "../../base/errors.ts";
import type { TimerClock } from "../../journal/types.ts";
import { processStates } from "../port.ts";
import type {
  DeadLetterRow,
  InboxRow,
  LogRow,
  NameRow,
  OperationRow,
  ProcessFilter,
  ProcessKey,
  ProcessRow,
  ProcessState,
  Recovery,
  TimerRow,
} from "../port.ts";
import { number, word } from "../columns.ts";
import type { Row } from "../columns.ts";
import type { Connection } from "./connection.ts";
import { readInboxRow } from "./inbox.ts";
import { readDeadLetter } from "./lives.ts";
import { readOperation } from "./operations.ts";
import { readName } from "./relations.ts";
import { readLog, readProcess, readTimer } from "../rows.ts";
import { selectProcess } from "./statements.ts";

const pageRows = 1000;
const maxOffset = 2 ** 31;

/** Reads page after page until `limit` rows are there or no more come. */
function paged<T>(limit: number, read: (rowsWanted: number, last: T | undefined) => T[]): T[] {
  const all: T[] = [];
  while (all.length < limit) {
    const wanted = Math.min(pageRows, limit - all.length);
    const page = read(wanted, all.at(-1));
    for (const row of page) all.push(row);
    if (page.length < wanted) break;
  }
  return all;
}

export function listProcesses(connection: Connection, filter: ProcessFilter): ProcessRow[] {
  const conditions: string[] = ["key < ?"];
  const values: SQLInputValue[] = [];
  const oneOf = (column: string, words: readonly string[] | undefined): void => {
    if (words === undefined) return;
    conditions.push(`${column} IN (${words.map(() => "?").join(", ")})`);
    values.push(...words);
  };
  oneOf("state", filter.states);
  oneOf("exit_reason", filter.reasons);
  oneOf("parent", filter.parent === undefined || filter.parent === "" ? undefined : [filter.parent]);
  if (filter.parent === "") conditions.push("parent IS NULL");
  oneOf("label", filter.label === undefined ? undefined : [filter.label]);
  oneOf("role", filter.role === undefined ? undefined : [filter.role]);
  oneOf("entry", filter.entry === undefined ? undefined : [filter.entry]);
  oneOf("program.hash", filter.program === undefined ? undefined : [filter.program]);
  const select = connection.db.prepare(`${selectProcess} WHERE ${conditions.join(" AND ")} ORDER BY key DESC LIMIT ?`);
  const before = filter.before ?? Number.MAX_SAFE_INTEGER;
  return paged<ProcessRow>(filter.limit, (wanted, last) =>
    select.all(last?.key ?? before, ...values, wanted).map(readProcess),
  );
}

export function countProcesses({ sql }: Connection): Record<ProcessState, number> {
  const counts: Record<ProcessState, number> = { running: 0, paused: 0, crashed: 0, broken: 0, moving: 0, exited: 0 };
  for (const row of sql.countByState.all()) counts[word(row, "state", processStates)] = number(row, "count");
  return counts;
}

export function readLogs({ sql }: Connection, process: ProcessKey | undefined, after: number, limit: number): LogRow[] {
  return paged<LogRow>(limit, (wanted, last) => {
    const from = last?.seq ?? after;
    const rows: Row[] = process === undefined ? sql.logs.all(from, wanted) : sql.logsOf.all(process, from, wanted);
    return rows.map(readLog);
  });
}

export function readNames({ sql }: Connection): NameRow[] {
  return readNamesBy(sql.namesAfter);
}

export function readMembers({ sql }: Connection): NameRow[] {
  return readNamesBy(sql.membersAfter);
}

function readNamesBy(statement: StatementSync): NameRow[] {
  return paged<NameRow>(Infinity, (wanted, last) =>
    statement.all(last?.name ?? "", last?.process ?? 0, wanted).map(readName),
  );
}

export function readDeadLetters(
  connection: Connection,
  process: ProcessKey | undefined,
  after: number,
  limit: number,
): DeadLetterRow[] {
  const { sql } = connection;
  return paged<DeadLetterRow>(limit, (wanted, last) => {
    const from = last?.seq ?? after;
    const rows: Row[] =
      process === undefined ? sql.deadLetters.all(from, wanted) : sql.deadLettersOf.all(process, from, wanted);
    return rows.map((row) => readDeadLetter(connection, row));
  });
}

export function readInboxAfter(connection: Connection, after: number, limit: number): InboxRow[] {
  return paged<InboxRow>(limit, (wanted, last) =>
    connection.sql.inboxAfter.all(last?.seq ?? after, wanted).map((row) => readInboxRow(connection, row)),
  );
}

export function readDueTimers(
  { sql }: Connection,
  clock: TimerClock,
  afterMs: number,
  untilMs: number,
  limit: number,
): TimerRow[] {
  const end = sql.duePageEnd.get(clock, afterMs, untilMs, Math.min(Math.max(limit, 1), maxOffset) - 1);
  const lastDueMs = end === undefined ? untilMs : number(end, "due_ms");
  return sql.timersDue.all(clock, afterMs, lastDueMs).map(readTimer);
}

export function recover(connection: Connection): Recovery {
  const { sql } = connection;
  const operations: OperationRow[] = [];
  const damaged: Recovery["damaged"][number][] = [];
  paged<Row>(Infinity, (wanted, last) => {
    const rows = sql.operationsAfter.all(last?.["process"] ?? 0, last?.["number"] ?? 0, wanted);
    for (const row of rows) {
      try {
        operations.push(readOperation(connection, row));
      } catch (error) {
        if (!isPerdureError(error, "JOURNAL_CORRUPT")) throw error;
        damaged.push({ process: number(row, "process"), problem: error.message });
      }
    }
    return rows;
  });
  const withInbox = paged<ProcessKey>(Infinity, (wanted, last) =>
    sql.processesWithInbox.all(last ?? 0, wanted).map((row) => number(row, "process")),
  );
  return { operations, withInbox, damaged };
}
