/** Rows of the inbox, wherever they come from. */
import { encodeInput } from "../../../journal/encoding.ts";
import type { Input } from "../../../journal/types.ts";
import type { CommitBatch, ProcessKey } from "../../port.ts";
import { has } from "../has.ts";
import { statement, step } from "../wire/session.ts";
import type { Step } from "../wire/session.ts";
import type { Owner } from "./locks.ts";
import { inputChecksum, monitorOf } from "./notices.ts";

/**
 * SQL of common table expressions that put what `due` selects into the inbox: `put` has the seqs, `counters` the shards that got
 * numbers, `hint` tells their owners, if it is read. The columns of `due` are those of the table up to `else_input`, and then
 * `shard` (the receiver's), `counted` (1: it gets a number) and `n` (the order).
 */
export function putting(due: string, channel: string): string {
  return `due AS MATERIALIZED (${due}),
   counters AS (
     UPDATE ~.shard AS s SET posted = s.posted + c.rows
     FROM (SELECT shard, count(*) AS rows FROM due WHERE counted = 1 GROUP BY shard) AS c
     WHERE s.shard = c.shard RETURNING s.shard, s.posted - c.rows AS base),
   put AS (
     INSERT INTO ~.inbox (process, at_ms, crc, input, sender, tie, monitor, else_process, else_crc, else_input, shard, posted)
     SELECT d.process, d.at_ms, d.crc, d.input, d.sender, d.tie, d.monitor, d.else_process, d.else_crc, d.else_input, c.shard,
       c.base + row_number() OVER (PARTITION BY d.shard, d.counted ORDER BY d.n)
     FROM due AS d LEFT JOIN counters AS c ON c.shard = d.shard AND d.counted = 1 ORDER BY d.n RETURNING seq),
   hint AS MATERIALIZED (
     SELECT pg_notify(${channel}, string_agg(CAST(shard AS text), ' ')) AS sent FROM counters HAVING count(*) > 0 AND ${channel} <> '')`;
}

/** SQL: the remaining columns of a row that tells of no end and has no other in its place. */
export const plain =
  "CAST(NULL AS text), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bytea)";

const putInputs = statement(
  `WITH gone AS (
     DELETE FROM ~.inbox AS i
     USING unnest($4, $5, $6) WITH ORDINALITY AS t (process, key, digest, n)
       JOIN ~.edge AS e ON e.process = t.process AND e.key = t.key AND e.digest = t.digest
     WHERE i.seq = e.posted RETURNING i.seq, t.n),
   t AS MATERIALIZED (
     SELECT t.*, ${has("~.process AS p WHERE p.key = t.process AND p.state <> 'exited'")}
       AND (t.else_process IS NULL OR t.tie IS NULL
         OR ${has("~.link AS l WHERE l.a = least(t.process, t.tie) AND l.b = greatest(t.process, t.tie)")}) AS reached
     FROM unnest($9, $10, $11, $12, $13, $14, $15, $16, $17, $18) WITH ORDINALITY
       AS t (process, at_ms, crc, input, tie, monitor, else_process, else_crc, else_input, away, n)),
   ${putting(
     `SELECT t.process, t.at_ms, t.crc, t.input, CAST(NULL AS text) AS sender, t.tie, t.monitor, t.else_process, t.else_crc, t.else_input, p.shard,
        CASE WHEN t.away = 0 AND p.shard = ANY ($7) THEN 0 ELSE 1 END AS counted, t.n, 1 AS told
      FROM t JOIN ~.process AS p ON p.key = t.process WHERE t.reached
      UNION ALL SELECT t.else_process, t.at_ms, t.else_crc, t.else_input, ${plain}, p.shard, 1, t.n, 0
      FROM t JOIN ~.process AS p ON p.key = t.else_process AND p.state <> 'exited' WHERE NOT t.reached`,
     "$8",
   )},
   seqs AS (
     SELECT d.n, p.seq FROM (SELECT n, told, row_number() OVER (ORDER BY n) AS k FROM due) AS d
     JOIN (SELECT seq, row_number() OVER (ORDER BY seq) AS k FROM put) AS p ON p.k = d.k WHERE d.told = 1)
   INSERT INTO ~.receipt (incarnation, number, at_ms, put, gone)
   SELECT $1, $2, $3,
     (SELECT string_agg(CAST(coalesce(s.seq, 0) AS text), ' ' ORDER BY t.n) FROM t LEFT JOIN seqs AS s ON s.n = t.n),
     (SELECT string_agg(CAST(seq AS text), ' ' ORDER BY n) FROM gone)
   WHERE (SELECT count(*) FROM hint) >= 0
   RETURNING put, gone`,
  ...(["int8", "int8", "int8", "int8[]", "text[]", "bytea[]", "int8[]", "text"] as const),
  ...(["int8[]", "int8[]", "int8[]", "bytea[]", "int8[]", "int8[]", "int8[]", "int8[]", "bytea[]", "int8[]"] as const),
);

type Asked = readonly [number[], string[], Uint8Array[]];

/** `asked`: those that may take the place of posted inputs. */
export function inputs(
  receipt: readonly [incarnation: number, number: number, atMs: number],
  rows: NonNullable<CommitBatch["inbox"]>,
  asked: Asked,
  { shards, channel }: Owner,
): Step {
  const bodies = rows.map((row) => encodeInput(row.input));
  const monitors = rows.map((row) => (row.tie === undefined ? undefined : monitorOf(row.input)));
  const instead = rows.map(({ orElse }) => (orElse === undefined ? undefined : encodedFor(orElse)));
  return step(
    putInputs,
    ...receipt,
    ...asked,
    shards,
    channel,
    rows.map((row) => row.process),
    rows.map((row) => row.atMs),
    rows.map((row, i) => inputChecksum(bodies[i] ?? new Uint8Array(), row.process, row.tie, monitors[i])),
    bodies,
    rows.map((row) => row.tie ?? null),
    monitors.map((monitor) => monitor ?? null),
    instead.map((row) => row?.process ?? null),
    instead.map((row) => row?.crc ?? null),
    instead.map((row) => row?.body ?? null),
    rows.map(({ away = false }) => (away ? 1 : 0)),
  );
}

interface Encoded {
  readonly process: ProcessKey;
  readonly crc: number;
  readonly body: Uint8Array;
}

export function encodedFor({ process, input }: { readonly process: ProcessKey; readonly input: Input }): Encoded {
  const body = encodeInput(input);
  return { process, crc: inputChecksum(body, process), body };
}

const postInput = statement(
  `WITH ${putting(
    `SELECT p.key AS process, $2 AS at_ms, $3 AS crc, $4 AS input, CAST(NULL AS text) AS sender, CAST(NULL AS bigint) AS tie, CAST(NULL AS bigint) AS monitor,
       CAST(NULL AS bigint) AS else_process, CAST(NULL AS bigint) AS else_crc, CAST(NULL AS bytea) AS else_input, p.shard, 1 AS counted, 1 AS n
     FROM ~.process AS p WHERE p.key = $1`,
    "$5",
  )},
   edges AS (UPDATE ~.edge SET posted = (SELECT seq FROM put) WHERE process = $1 AND key = $6)
   SELECT count(*) FROM hint`,
  ...(["int8", "int8", "int8", "bytea", "text", "text"] as const),
);

/** Of a process whose row is locked. `key`: what was asked under this came with it. */
export function posting(
  process: ProcessKey,
  { input, atMs, key }: { readonly input: Input; readonly atMs: number; readonly key: string | undefined },
  channel: string,
): Step {
  const { crc, body } = encodedFor({ process, input });
  return step(postInput, process, atMs, crc, body, channel, key ?? null);
}
