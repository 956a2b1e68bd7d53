/** What the engine itself says in a transaction of user code: before it, whose operations are waited for; at its end, that they have come to theirs. */
import { encodeInput } from "../../../journal/encoding.ts";
import type { Payload } from "../../../base/value.ts";
import { number } from "../../columns.ts";
import type { Row } from "../../columns.ts";
import type { TransactionJob, TransactionOutcome } from "../../transactions.ts";
import { settings } from "../line.ts";
import { inputChecksum } from "../parts/notices.ts";
import { raised } from "../parts/raise.ts";
import { queries } from "../queries.ts";
import { readInput } from "../rows.ts";
import { statement, step } from "../wire/session.ts";
import type { Session, Statement, Step } from "../wire/session.ts";

/** What a transaction is known by when its connection was lost at its end: nobody else's receipt has it. */
export interface TransactionId {
  /** Negative, and random. */
  readonly incarnation: number;
  readonly number: number;
}

export type Job = Pick<TransactionJob, "process" | "number">;

export interface Finished extends Job {
  readonly value: Payload;
}

/** The server gives up later than we do: its limits are for transactions that nobody minds any more. */
export const marginMs = 2_000;

export const beginSerializable: Statement = statement("BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE");

const checkNode = statement(
  `SELECT ${raised("fenced", "0", "0", "0", "count(*)")} FROM ~.node WHERE incarnation = $1 AND state = 'live' HAVING count(*) = 0`,
  "int8",
);
const findWanted = statement(
  `SELECT t.n FROM unnest($2, $3) WITH ORDINALITY AS t (process, number, n)
   JOIN ~.operation AS o ON o.process = t.process AND o.number = t.number
   JOIN ~.process AS p ON p.key = t.process AND p.state <> 'exited'
   JOIN ~.shard AS s ON s.shard = p.shard AND s.owner = $1`,
  ...(["int8", "int8[]", "int8[]"] as const),
);

/** Asked before the transaction: it must look at nothing there that others change. Fails if the incarnation is fenced. */
export function wanted(incarnation: number, jobs: readonly Job[]): Step[] {
  const [processes, numbers] = [jobs.map(({ process }) => process), jobs.map((job) => job.number)];
  return [step(checkNode, incarnation), step(findWanted, incarnation, processes, numbers)];
}

/** Whether it was committed before, by a transaction of which nobody has heard: the result that waits then. */
export async function committedBefore(session: Session, job: Job): Promise<TransactionOutcome | undefined> {
  const [found] = await session.run([step(queries.inboxOf, job.process)]);
  for (const row of found?.rows ?? []) {
    const { seq, input } = readInput(row);
    if (input.kind === "result" && input.operation === job.number && input.ok) {
      return { kind: "committed", value: input.value, seq };
    }
  }
  return undefined;
}

const fenceNode = statement(
  `WITH own AS (SELECT 1 AS one FROM ~.node WHERE incarnation = $1 AND state = 'live' FOR KEY SHARE)
   SELECT ${raised("fenced", "0", "0", "0", "count(*)")} FROM own HAVING count(*) = 0`,
  "int8",
);
const lockProcesses = statement(
  `WITH held AS (
     SELECT p.one FROM (SELECT DISTINCT key FROM unnest($1) AS t (key) ORDER BY key) AS w
     CROSS JOIN LATERAL (SELECT 1 AS one FROM ~.process WHERE key = w.key AND state <> 'exited' FOR SHARE) AS p)
   SELECT ${raised("unwanted", "0", "0", "0", "count(*)")} FROM held HAVING count(*) < $2`,
  "int8[]",
  "int8",
);
// Whoever has it at this moment is about to take it away.
const lockOperation = statement(
  `WITH held AS (SELECT 1 AS one FROM ~.operation WHERE process = $1 AND number = $2 FOR UPDATE NOWAIT)
   SELECT ${raised("unwanted", "$1", "$2", "0", "count(*)")} FROM held HAVING count(*) = 0`,
  "int8",
  "int8",
);
const takeOperation = statement("DELETE FROM ~.operation WHERE process = $1 AND number = $2", "int8", "int8");
const lockShards = statement(
  `WITH held AS (
     SELECT s.shard FROM ~.shard AS s WHERE s.owner = $1 AND s.shard IN (SELECT shard FROM ~.process WHERE key = ANY ($2))
     ORDER BY s.shard FOR KEY SHARE)
   SELECT ${raised("unwanted", "0", "0", "0", "count(*)")} FROM ~.process AS p
   WHERE p.key = ANY ($2) AND NOT EXISTS (SELECT 1 FROM held WHERE held.shard = p.shard) HAVING count(*) > 0`,
  "int8",
  "int8[]",
);
// A result that the owner hears of by itself needs no number.
const putResults = statement(
  `WITH put AS (
     INSERT INTO ~.inbox (process, at_ms, crc, input)
     SELECT process, $3, crc, input FROM unnest($4, $5, $6) WITH ORDINALITY AS t (process, crc, input, n) ORDER BY n
     RETURNING seq)
   INSERT INTO ~.receipt (incarnation, number, at_ms, put)
   SELECT $1, $2, $3, (SELECT string_agg(CAST(seq AS text), ' ' ORDER BY seq) FROM put) RETURNING put, gone`,
  ...(["int8", "int8", "int8", "int8[]", "int8[]", "bytea[]"] as const),
);
/**
 * User SQL may have set what it likes for the transaction. A look through a whole table would be in the way of every other transaction
 * that changes it.
 */
const ownSettings = statement(
  "SELECT set_config('role', $1, true), set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)",
  "text",
);

export interface Ending {
  readonly incarnation: number;
  readonly atMs: number;
  readonly role: string;
  readonly limitMs: number;
}

/** The last step's row holds the seqs of the results. Fails if the transaction must not be. */
export function finish(
  session: Session,
  { incarnation, atMs, role, limitMs }: Ending,
  jobs: readonly Finished[],
  id: TransactionId,
): Step[] {
  const processes = jobs.map(({ process }) => process);
  const bodies = jobs.map(({ number: operation, value }) =>
    encodeInput({ kind: "result", operation, ok: true, value }),
  );
  return [
    step(resetAll),
    settings(session, limitMs),
    step(ownSettings, role),
    step(fenceNode, incarnation),
    step(lockProcesses, processes, new Set(processes).size),
    ...jobs.map((job) => step(lockOperation, job.process, job.number)),
    ...jobs.map((job) => step(takeOperation, job.process, job.number)),
    step(lockShards, incarnation, processes),
    step(
      putResults,
      id.incarnation,
      id.number,
      atMs,
      processes,
      bodies.map((body, i) => inputChecksum(body, processes[i] ?? 0)),
      bodies,
    ),
  ];
}

const readPut = statement("SELECT put FROM ~.receipt WHERE incarnation = $1 AND number = $2", "int8", "int8");

/** What the receipt of a transaction says: the seqs it has put, if it has put any. */
export async function seqsOf(session: Session, id: TransactionId): Promise<number[] | undefined> {
  const [found] = await session.run([step(readPut, id.incarnation, id.number)]);
  const put = found?.rows[0]?.["put"];
  return typeof put === "string" ? readSeqs(put) : undefined;
}

export function readSeqs(put: string): number[] {
  return put.split(" ").map(Number);
}

const defaultsOf = statement("SELECT current_setting('search_path') AS path, current_setting('role') AS role");

/** What a connection has when nobody has set anything. */
export interface Defaults {
  readonly path: string;
  readonly role: string;
}

/** The engine's schema is not among those that user SQL finds without naming them. */
export async function readDefaults(session: Session, schema: string): Promise<Defaults> {
  const [found] = await session.run([step(defaultsOf)]);
  const { path, role } = found?.rows[0] ?? {};
  const own = new Set([schema, `"${schema.replaceAll('"', '""')}"`]);
  const parts = String(path).split(",");
  const others = parts.filter((part) => !own.has(part.trim()));
  return { path: others.join(","), role: String(role) };
}

const userSettings = statement(
  `SELECT set_config('search_path', $1, true), set_config('role', $2, true), set_config('bytea_output', 'hex', true),
     set_config('DateStyle', 'ISO', true), set_config('standard_conforming_strings', 'on', true),
     set_config('statement_timeout', $3, true), set_config('idle_in_transaction_session_timeout', $4, true)`,
  ...(["text", "text", "text", "text"] as const),
);

const resetAll = statement("RESET ALL");

/**
 * What each operation begins with, whatever the one before it has set. A timeout of statements counts only if it is below that of the
 * transaction, which counts from here on.
 */
export function asUser(session: Session, { path, role }: Defaults, limitMs: number): readonly Step[] {
  const wholeMs = limitMs + marginMs;
  const [limit, whole] = [limitMs, wholeMs].map((ms) => String(Math.ceil(ms)));
  return [
    step(resetAll),
    settings(session, wholeMs, "users"),
    step(userSettings, path, role, limit ?? null, whole ?? null),
  ];
}

/** What is left of user SQL on a connection, outside of any transaction. */
const cleaning = [
  "RESET SESSION AUTHORIZATION",
  "RESET ALL",
  "UNLISTEN *",
  "DISCARD TEMP",
  "SELECT pg_advisory_unlock_all()",
]
  .map((sql) => statement(sql))
  .map((each) => step(each));
// If it should come back, nobody minds.
const lazily = statement("SELECT set_config('synchronous_commit', 'off', true)");
const dropReceipt = statement("DELETE FROM ~.receipt WHERE incarnation = $1 AND number = $2", "int8", "int8");

/** `known`: a transaction of which it is known what became of it. */
export function clean(known: TransactionId | undefined): readonly Step[] {
  if (known === undefined) return cleaning;
  return [...cleaning, step(lazily), step(dropReceipt, known.incarnation, known.number)];
}

/** The places of those of the jobs that `wanted` has found. */
export function readWanted(rows: readonly Row[]): ReadonlySet<number> {
  return new Set(rows.map((row) => number(row, "n") - 1));
}
