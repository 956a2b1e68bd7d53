/** What a commit changes that concerns processes of other nodes, and what becomes of the ties and inputs of those that exit. */
import { encodeInput } from "../../../journal/encoding.ts";
import type { AwayBatch, CommitBatch } from "../../port.ts";
import { checksum } from "../../checksum.ts";
import { has } from "../has.ts";
import { statement, step } from "../wire/session.ts";
import type { Statement, Step } from "../wire/session.ts";
import { encodedFor, plain, putting } from "./inbox.ts";
import { hearers, toldColumns, unheard, unheardColumns, untold } from "./locks.ts";
import type { Owner } from "./locks.ts";
import { downOf, inputChecksum, noProcess, noticeCrc, signalOf } from "./notices.ts";
import { some } from "./relations.ts";

/** Of those whose target lives the tie is made; the others are told. */
function tying(insert: string): Statement {
  return statement(
    `WITH t AS MATERIALIZED (
       SELECT t.*, ${has("~.process AS p WHERE p.key = t.target AND p.state <> 'exited'")} AS alive
       FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY AS t (process, target, monitor, crc, input, n)),
     tied AS (${insert} FROM t WHERE alive ON CONFLICT DO NOTHING),
     ${putting(
       `SELECT t.process, $6 AS at_ms, t.crc, t.input, CAST(NULL AS text) AS sender, t.target AS tie, t.monitor, CAST(NULL AS bigint) AS else_process,
          CAST(NULL AS bigint) AS else_crc, CAST(NULL AS bytea) AS else_input, p.shard, 1 AS counted, t.n
        FROM t JOIN ~.process AS p ON p.key = t.process AND p.state <> 'exited'
        WHERE NOT t.alive AND (t.monitor IS NOT NULL
          OR NOT ${has("~.inbox AS i WHERE i.process = t.process AND i.tie = t.target AND i.monitor IS NULL")})`,
       "$7",
     )}
     SELECT count(*) FROM hint`,
    ...(["int8[]", "int8[]", "int8[]", "int8[]", "bytea[]", "int8", "text"] as const),
  );
}

const putLinks = tying("INSERT INTO ~.link (a, b) SELECT DISTINCT least(process, target), greatest(process, target)");
const putMonitors = tying("INSERT INTO ~.monitor (watcher, number, target) SELECT process, monitor, target");

const dropInputs = statement(
  `WITH gone AS (
     DELETE FROM ~.inbox AS i USING (${unheard(["$1", "$2", "$3"])}) AS u WHERE i.seq = u.seq
     RETURNING i.seq, i.else_process, i.else_crc, i.else_input),
   ${putting(
     `SELECT * FROM (
        SELECT g.else_process, $4, g.else_crc, g.else_input, ${plain}, p.shard, 1, row_number() OVER (ORDER BY g.seq)
        FROM gone AS g JOIN ~.process AS p ON p.key = g.else_process AND p.state <> 'exited')
      AS due (process, at_ms, crc, input, sender, tie, monitor, else_process, else_crc, else_input, shard, counted, n)`,
     "$5",
   )}
   SELECT count(*) FROM hint`,
  ...(["int8[]", "int8[]", "int8[]", "int8", "text"] as const),
);

const moveProcesses = statement(
  "UPDATE ~.process AS p SET shard = t.shard FROM unnest($1, $2) AS t (process, shard) WHERE p.key = t.process",
  "int8[]",
  "int8[]",
);
const moveTimers = statement(
  "UPDATE ~.timer AS i SET shard = t.shard FROM unnest($1, $2) AS t (process, shard) WHERE i.process = t.process",
  "int8[]",
  "int8[]",
);
// To its new owner, all that waits for the process is others'; and there is one input more.
const moveInputs = statement(
  `WITH t AS (SELECT * FROM unnest($1, $2, $3, $4) AS t (process, shard, crc, input)),
   due AS MATERIALIZED (
     SELECT i.seq, t.process, t.shard, CAST(NULL AS bigint) AS crc, CAST(NULL AS bytea) AS input
     FROM t JOIN ~.inbox AS i ON i.process = t.process WHERE NOT t.shard = ANY ($5)
     UNION ALL SELECT NULL, t.process, t.shard, t.crc, t.input
     FROM t JOIN ~.process AS p ON p.key = t.process AND p.state <> 'exited'),
   counters AS (
     UPDATE ~.shard AS s SET posted = s.posted + c.rows FROM (SELECT shard, count(*) AS rows FROM due GROUP BY shard) AS c
     WHERE s.shard = c.shard RETURNING s.shard, s.posted - c.rows AS base),
   numbered AS MATERIALIZED (
     SELECT d.*, c.base + row_number() OVER (PARTITION BY d.shard ORDER BY d.seq NULLS LAST, d.process) AS posted
     FROM due AS d JOIN counters AS c ON c.shard = d.shard),
   moved AS (
     UPDATE ~.inbox AS i SET shard = n.shard, posted = n.posted FROM numbered AS n WHERE i.seq = n.seq),
   put AS (
     INSERT INTO ~.inbox (process, at_ms, crc, input, shard, posted)
     SELECT process, $6, crc, input, shard, posted FROM numbered WHERE seq IS NULL ORDER BY posted)
   SELECT pg_notify($7, string_agg(CAST(shard AS text), ' ')) FROM counters HAVING count(*) > 0 AND $7 <> ''`,
  ...(["int8[]", "int8[]", "int8[]", "bytea[]", "int8[]", "int8", "text"] as const),
);

const yieldShards = statement(
  "UPDATE ~.shard SET owner = 0, clean = 1 WHERE shard = ANY ($1) AND owner = $2",
  "int8[]",
  "int8",
);

/** Rows that no turn is to hear of go. To be done before the commit puts any: a link that it makes again is another. */
export function dropped(batch: AwayBatch, { channel }: Owner): Step[] {
  const { atMs, cut, refused } = batch;
  return cut.length + refused.length === 0 ? [] : [step(dropInputs, ...unheardColumns(batch), atMs, channel)];
}

/** To be done behind all else of its commit but the exits. */
export function away({ atMs, links, monitors, moved, yielded }: AwayBatch, owner: Owner): Step[] {
  return [
    ...some(links, (rows) => {
      const bodies = rows.map(({ pid }) => encodeInput(noProcess(pid)));
      return [
        step(
          putLinks,
          rows.map((row) => row.process),
          rows.map((row) => row.target),
          rows.map(() => null),
          rows.map((row, i) => inputChecksum(bodies[i] ?? new Uint8Array(), row.process, row.target)),
          bodies,
          atMs,
          owner.channel,
        ),
      ];
    }),
    ...some(monitors, (rows) => {
      const bodies = rows.map(({ pid, number }) => encodeInput(downOf(noProcess(pid), number)));
      return [
        step(
          putMonitors,
          rows.map((row) => row.watcher),
          rows.map((row) => row.target),
          rows.map((row) => row.number),
          rows.map((row, i) => inputChecksum(bodies[i] ?? new Uint8Array(), row.watcher, row.target, row.number)),
          bodies,
          atMs,
          owner.channel,
        ),
      ];
    }),
    ...some(moved, (rows) => {
      const columns = [rows.map((row) => row.process), rows.map((row) => row.shard)] as const;
      const inputs = rows.map(encodedFor);
      const encoded = [inputs.map(({ crc }) => crc), inputs.map(({ body }) => body)] as const;
      return [
        step(moveProcesses, ...columns),
        step(moveTimers, ...columns),
        step(moveInputs, ...columns, ...encoded, owner.shards, atMs, owner.channel),
      ];
    }),
    ...some(yielded, (shards) => [step(yieldShards, shards, owner.incarnation)]),
  ];
}

const bequeath = statement(
  `WITH ending AS MATERIALIZED (
     SELECT x.*, p.pid FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS x (process, at_ms, crc, input, n)
     JOIN ~.process AS p ON p.key = x.process),
   ${putting(
     `SELECT due.*, row_number() OVER (ORDER BY ending, kind, process, place) AS n FROM (
        SELECT h.process, e.at_ms, ${noticeCrc("e.crc", "h.process", "h.monitor", "e.pid")} AS crc, e.input, e.pid AS sender, h.tie, h.monitor,
          CAST(NULL AS bigint) AS else_process, CAST(NULL AS bigint) AS else_crc, CAST(NULL AS bytea) AS else_input, p.shard, 1 AS counted,
          e.n AS ending, CASE WHEN h.monitor IS NULL THEN 1 ELSE 2 END AS kind, h.monitor AS place
        FROM (${hearers("$1")}) AS h JOIN ending AS e ON e.process = h.tie
          JOIN ~.process AS p ON p.key = h.process AND p.state <> 'exited'
        WHERE ${untold("h", ["$5", "$6", "$7", "$8"])}
        UNION ALL
        SELECT i.else_process, i.at_ms, i.else_crc, i.else_input, ${plain}, p.shard, 1, e.n, 3, i.seq
        FROM ending AS e JOIN ~.inbox AS i ON i.process = e.process
          JOIN ~.process AS p ON p.key = i.else_process AND p.state <> 'exited') AS due`,
     "$9",
   )}
   SELECT count(*) FROM hint`,
  ...(["int8[]", "int8[]", "int8[]", "bytea[]", "int8[]", "int8[]", "int8[]", "int8[]", "text"] as const),
);

/** Of processes that are at their end, before anything of them goes: who is tied to them hears of it, and what they never take goes elsewhere. */
export function lastWords(rows: NonNullable<CommitBatch["exits"]>, batch: CommitBatch, { channel }: Owner): Step {
  const bodies = rows.map(({ exit }) => encodeInput(signalOf("", exit)));
  return step(
    bequeath,
    rows.map(({ process }) => process),
    rows.map(({ exit }) => exit.atMs),
    rows.map(({ process }, i) => checksum(bodies[i] ?? new Uint8Array(), process, 0)),
    bodies,
    ...toldColumns(batch),
    channel,
  );
}
