/** What waits: operations, timers, inputs; and the log. */
import { checksum, operationIdentity } from "../../checksum.ts";
import { encodePayload } from "../../../journal/encoding.ts";
import type { CommitBatch, OperationRow, TimerRow } from "../../port.ts";
import { statement, step } from "../wire/session.ts";
import type { Statement, Step } from "../wire/session.ts";
import { lastOf } from "./last.ts";

type Part<K extends keyof CommitBatch> = NonNullable<CommitBatch[K]>;
interface Numbered {
  readonly process: number;
  readonly number: number;
}

const numbered = (row: Numbered): string => `${row.process} ${row.number}`;

const putOperations = statement(
  `INSERT INTO ~.operation (process, number, name, state, attempt, not_before_ms, started_at_ms, deaths, created_at_ms, last_error,
     options, crc, args)
   SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
   ON CONFLICT (process, number) DO UPDATE SET name = excluded.name, state = excluded.state, attempt = excluded.attempt,
     not_before_ms = excluded.not_before_ms, started_at_ms = excluded.started_at_ms, deaths = excluded.deaths,
     created_at_ms = excluded.created_at_ms, last_error = excluded.last_error, options = excluded.options, crc = excluded.crc,
     args = excluded.args`,
  ...(["int8[]", "int8[]", "text[]", "text[]", "int8[]", "float8[]", "int8[]", "int8[]", "int8[]", "text[]"] as const),
  ...(["text[]", "int8[]", "bytea[]"] as const),
);

export function operations(rows: readonly OperationRow[]): Step[] {
  const last = lastOf(rows, numbered);
  const args = last.map((row) => encodePayload(row.args));
  const all = <T>(of: (row: OperationRow) => T): T[] => last.map(of);
  return [
    step(
      putOperations,
      all((row) => row.process),
      all((row) => row.number),
      all((row) => row.name),
      all((row) => row.state),
      all((row) => row.attempt),
      all((row) => row.notBeforeMs),
      all((row) => row.startedAtMs),
      all((row) => row.deaths),
      all((row) => row.createdAtMs),
      all((row) => row.lastError),
      all((row) => row.options),
      last.map((row, i) => checksum(args[i] ?? new Uint8Array(), row.process, row.number, operationIdentity(row))),
      args,
    ),
  ];
}

function deleteNumbered(table: string): Statement {
  return statement(
    `DELETE FROM ~.${table} AS o USING unnest($1, $2) AS t (process, number) WHERE o.process = t.process AND o.number = t.number`,
    "int8[]",
    "int8[]",
  );
}

const deleteOperations = deleteNumbered("operation");
const deleteTimers = deleteNumbered("timer");

export function operationsGone(rows: readonly Numbered[]): Step[] {
  return [gone(deleteOperations, rows)];
}

export function timersGone(rows: readonly Numbered[]): Step[] {
  return [gone(deleteTimers, rows)];
}

function gone(from: Statement, rows: readonly Numbered[]): Step {
  return step(
    from,
    rows.map((row) => row.process),
    rows.map((row) => row.number),
  );
}

const putTimers = statement(
  `INSERT INTO ~.timer (process, number, shard, clock, due_ms) SELECT t.process, t.number, p.shard, t.clock, t.due_ms
   FROM unnest($1, $2, $3, $4) AS t (process, number, clock, due_ms) JOIN ~.process AS p ON p.key = t.process
   ON CONFLICT (process, number) DO UPDATE SET clock = excluded.clock, due_ms = excluded.due_ms`,
  ...(["int8[]", "int8[]", "text[]", "float8[]"] as const),
);

export function timers(rows: readonly TimerRow[]): Step[] {
  const last = lastOf(rows, numbered);
  return [
    step(
      putTimers,
      last.map((row) => row.process),
      last.map((row) => row.number),
      last.map((row) => row.clock),
      last.map((row) => row.dueMs),
    ),
  ];
}

const deleteInputs = statement("DELETE FROM ~.inbox WHERE seq = ANY ($1)", "int8[]");

export function inboxGone(seqs: readonly number[]): Step[] {
  return [step(deleteInputs, seqs)];
}

const putLogs = statement(
  `INSERT INTO ~.log (process, turn, at_ms, level, text)
   SELECT process, turn, at_ms, level, text
   FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY AS t (process, turn, at_ms, level, text, n) ORDER BY n`,
  ...(["int8[]", "int8[]", "int8[]", "text[]", "text[]"] as const),
);

export function logs(rows: Part<"logs">): Step[] {
  return [
    step(
      putLogs,
      rows.map((row) => row.process),
      rows.map((row) => row.turn),
      rows.map((row) => row.atMs),
      rows.map((row) => row.level),
      rows.map((row) => row.text),
    ),
  ];
}
