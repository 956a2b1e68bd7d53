/** What a commit locks before it looks and writes, each kind in an order that all keep: see `schema.ts`. */
import { noConnection } from "../../exports.ts";
import type { CommitBatch, ProcessExit, ProcessKey } from "../../port.ts";
import { statement, step } from "../wire/session.ts";
import type { Step } from "../wire/session.ts";
import { guard, ownShards } from "./raise.ts";

/** Who commits, and which shards it had when it began to: others' rows there need no numbers. */
export interface Owner {
  readonly incarnation: number;
  readonly shards: readonly number[];
  /** Where hints are sent; "": nowhere. */
  readonly channel: string;
}

/** SQL: rows of the inbox that no turn is to hear of, see `unheardColumns`. */
export function unheard([process, tie, seqs]: readonly [string, string, string]): string {
  return `SELECT i.seq, i.else_process FROM ~.inbox AS i JOIN unnest(${process}, ${tie}) AS t (process, tie)
       ON i.process = t.process AND i.tie = t.tie WHERE i.monitor IS NULL
     UNION SELECT seq, else_process FROM ~.inbox WHERE seq = ANY (${seqs})`;
}

const lockProcesses = statement(
  `WITH wanted AS (
     SELECT key, max(own) AS own FROM (
       SELECT key, 1 AS own FROM unnest($1) AS t (key)
       UNION ALL SELECT key, 0 FROM unnest($2) AS t (key)
       UNION ALL SELECT b, 0 FROM ~.link WHERE a = ANY ($3)
       UNION ALL SELECT a, 0 FROM ~.link WHERE b = ANY ($3)
       UNION ALL SELECT watcher, 0 FROM ~.monitor WHERE target = ANY ($3)
       UNION ALL SELECT else_process, 0 FROM ~.inbox WHERE process = ANY ($3) AND else_process IS NOT NULL
       UNION ALL SELECT else_process, 0 FROM (${unheard(["$5", "$6", "$7"])}) AS u WHERE else_process IS NOT NULL) AS each
     GROUP BY key)
   SELECT count(mine.one), count(others.one) FROM (SELECT key, own FROM wanted ORDER BY key) AS w
   LEFT JOIN LATERAL (
     SELECT 1 AS one FROM ~.process AS p WHERE p.key = w.key AND w.own = 1 FOR NO KEY UPDATE) AS mine ON true
   LEFT JOIN LATERAL (
     SELECT 1 AS one FROM ~.process AS p WHERE p.key = w.key AND w.own = 0 AND NOT p.shard = ANY ($4) FOR SHARE) AS others ON true`,
  ...(["int8[]", "int8[]", "int8[]", "int8[]", "int8[]", "int8[]", "int8[]"] as const),
);

/** Processes that leave for another store: to those who are tied to them it is an end. */
export function endsOf({ departures = [], atMs }: CommitBatch): { process: ProcessKey; exit: ProcessExit }[] {
  const leaving = departures.filter(({ exported }) => exported !== undefined);
  return leaving.map(({ process }) => ({ process, exit: { atMs, ...noConnection } }));
}

/** Rows of processes, in the order of their keys: those that are changed, and others' that must not come to their end meanwhile. */
export function processLocks(batch: CommitBatch, { shards }: Owner): Step[] {
  const { states = [], traps = [], restores = [], exits = [], inbox = [], names = [], groups = [], away } = batch;
  const dropping = unheardColumns(away);
  // Whoever cuts a link waits for those who send something through it, and they for it.
  const own = keysOf([states, traps, restores, exits, away?.moved, away?.cut]);
  const others = new Set([
    ...inbox.flatMap(({ process, orElse }) => (orElse === undefined ? [process] : [process, orElse.process])),
    ...[...names, ...groups].map(({ process }) => process),
    ...(away?.links ?? []).map(({ target }) => target),
    ...(away?.monitors ?? []).map(({ target }) => target),
  ]);
  const ending = [...exits, ...endsOf(batch)].map(({ process }) => process);
  const isAlone = others.size === 0 && ending.length === 0 && own.length < 2;
  if (isAlone && dropping.every(({ length }) => length === 0)) return [];
  return [step(lockProcesses, own, [...others], ending, shards, ...dropping)];
}

const elsewhere = guard(
  "'shard'",
  `SELECT t.process, n FROM unnest($1) WITH ORDINALITY AS t (process, n) JOIN ~.process AS p ON p.key = t.process
   WHERE NOT p.shard = ANY (${ownShards("$2")})`,
  "int8[]",
  "int8",
);

/** Fails unless the node owns all processes that it writes to as their owner. Of those that have turns, `turns` looks at that. */
export function ownership(batch: CommitBatch, { incarnation }: Owner): Step[] {
  const { turns, operations, timers, states, traps, restores, checkpoints, exits, snapshots, departures, away } = batch;
  const looked = new Set((turns ?? []).map(({ process }) => process));
  const written = keysOf([
    ...[operations, timers, states, traps, restores, checkpoints, exits, snapshots, departures, batch.arrivals],
    away?.moved,
  ]).filter((key) => !looked.has(key));
  return written.length === 0 ? [] : [step(elsewhere, written, incarnation)];
}

function keysOf(parts: readonly (readonly { readonly process: ProcessKey }[] | undefined)[]): ProcessKey[] {
  return [...new Set(parts.flatMap((part) => (part ?? []).map(({ process }) => process)))];
}

/** SQL: who hears of the ends of the processes in $n, by what. */
export function hearers(ending: string): string {
  return `SELECT b AS process, a AS tie, CAST(NULL AS bigint) AS monitor FROM ~.link WHERE a = ANY (${ending})
     UNION ALL SELECT a, b, NULL FROM ~.link WHERE b = ANY (${ending})
     UNION ALL SELECT watcher, target, number FROM ~.monitor WHERE target = ANY (${ending})`;
}

/** SQL: that they were not told by the commit itself. */
export function untold(
  heard: string,
  [linked, to, watcher, number]: readonly [string, string, string, string],
): string {
  return `NOT EXISTS (SELECT 1 FROM unnest(${linked}, ${to}) AS t (process, ending)
       WHERE ${heard}.monitor IS NULL AND t.process = ${heard}.process AND t.ending = ${heard}.tie)
     AND NOT EXISTS (SELECT 1 FROM unnest(${watcher}, ${number}) AS t (process, number)
       WHERE t.process = ${heard}.process AND t.number = ${heard}.monitor)`;
}

const lockCounters = statement(
  `SELECT count(*) FROM (SELECT shard FROM ~.shard WHERE shard IN (
     SELECT shard FROM unnest($1) AS t (shard)
     UNION SELECT p.shard FROM unnest($2) AS t (key) JOIN ~.process AS p ON p.key = t.key WHERE NOT p.shard = ANY ($3)
     UNION SELECT p.shard FROM unnest($4, $5) AS t (key, missing) JOIN ~.process AS p ON p.key = t.key
       WHERE NOT EXISTS (SELECT 1 FROM ~.process AS m WHERE m.key = t.missing AND m.state <> 'exited')
     UNION SELECT p.shard FROM (${hearers("$6")}) AS h JOIN ~.process AS p ON p.key = h.process AND p.state <> 'exited'
       WHERE ${untold("h", ["$7", "$8", "$9", "$10"])}
     UNION SELECT p.shard FROM ~.inbox AS i JOIN ~.process AS p ON p.key = i.else_process AND p.state <> 'exited'
       WHERE i.process = ANY ($6)
     UNION SELECT p.shard FROM (${unheard(["$11", "$12", "$13"])}) AS u JOIN ~.process AS p ON p.key = u.else_process)
   ORDER BY shard FOR NO KEY UPDATE) AS locked`,
  ...(["int8[]", "int8[]", "int8[]", "int8[]", "int8[]", "int8[]", "int8[]", "int8[]", "int8[]", "int8[]"] as const),
  ...(["int8[]", "int8[]", "int8[]"] as const),
);

/** No process has that key. */
const nobody: ProcessKey = 0;

/** Rows of shards in their order: those whose inboxes get numbered rows, and those that are given up. */
export function counterLocks(batch: CommitBatch, { shards }: Owner): Step[] {
  const { inbox = [], exits = [], away } = batch;
  const ending = [...exits, ...endsOf(batch)].map(({ process }) => process);
  if (inbox.length === 0 && ending.length === 0 && away === undefined) return [];
  const whole = new Set([...(away?.yielded ?? []), ...(away?.moved ?? []).map(({ shard }) => shard)]);
  const instead: [ProcessKey, ProcessKey][] = [];
  // Whether two are linked, only the commit finds out.
  for (const { process, orElse, tie } of inbox)
    if (orElse !== undefined) instead.push([orElse.process, tie === undefined ? process : nobody]);
  for (const { process, target } of away?.links ?? []) instead.push([process, target]);
  for (const { watcher, target } of away?.monitors ?? []) instead.push([watcher, target]);
  return [
    step(
      lockCounters,
      [...whole],
      [...new Set(inbox.map(({ process }) => process))],
      shards,
      instead.map(([key]) => key),
      instead.map(([, missing]) => missing),
      ending,
      ...toldColumns(batch),
      ...unheardColumns(away),
    ),
  ];
}

/** Rows of the inbox that no turn is to hear of: process and other end of links that are cut; seqs of what is refused. */
export function unheardColumns(away: CommitBatch["away"]): readonly [number[], number[], readonly number[]] {
  const { cut = [], refused = [] } = away ?? {};
  return [cut.map(({ process }) => process), cut.map(({ from }) => from), refused];
}

/** Those that the commit has told of ends: linked process and ending one; watcher and number. */
export function toldColumns({ away }: CommitBatch): readonly [number[], number[], number[], number[]] {
  const links = (away?.notified ?? []).flatMap((row) => row.links.map((process) => [process, row.process] as const));
  const monitors = (away?.notified ?? []).flatMap((row) => row.monitors);
  return [
    links.map(([process]) => process),
    links.map(([, ending]) => ending),
    monitors.map(([watcher]) => watcher),
    monitors.map(([, number]) => number),
  ];
}
