/** Processes: new ones, their states, their ends. */
import { encodePayload } from "../../../journal/encoding.ts";
import type { CommitBatch, ProcessExit, ProcessRow } from "../../port.ts";
import { has } from "../has.ts";
import { statement, step } from "../wire/session.ts";
import type { Statement, Step } from "../wire/session.ts";
import { lastOf } from "./last.ts";
import { alive, raise } from "./raise.ts";

type Part<K extends keyof CommitBatch> = NonNullable<CommitBatch[K]>;

const checkNew = statement(
  `SELECT CAST('perdure|' || why || '|' || CAST(key AS text) || '|0|0|' ||
            CASE why WHEN 'key' THEN coalesce((SELECT o.pid FROM ~.process AS o WHERE o.key = bad.key), 'another one of this commit')
                     WHEN 'program' THEN program ELSE '' END || '|' || pid AS bigint)
   FROM (SELECT * FROM (
     SELECT t.key, t.pid, t.program, n, CASE
       WHEN g.id IS NULL THEN 'program'
       WHEN t.parent = '' AND (${has("~.tombstone AS s WHERE s.pid = t.pid")}
         OR ${has("~.exported AS x WHERE x.pid = t.pid")}) THEN 'pid'
       WHEN t.flaw = 'digest' THEN 'digest'
       WHEN t.flaw = 'key' OR ${has("~.process AS p WHERE p.key = t.key")} THEN 'key'
       WHEN t.flaw = 'pid' OR ${has("~.process AS p WHERE p.pid = t.pid")} THEN 'pid' END AS why
     FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY AS t (key, pid, program, parent, flaw, n)
     LEFT JOIN ~.program AS g ON g.hash = t.program) AS rows
   WHERE why IS NOT NULL ORDER BY n LIMIT 1) AS bad`,
  "int8[]",
  "text[]",
  "text[]",
  "text[]",
  "text[]",
);

// Whoever reserves some of the same pids locks them in this order, too.
const putNew = statement(
  `WITH own AS MATERIALIZED (SELECT pid FROM ~.reserved WHERE pid = ANY ($3) ORDER BY pid FOR UPDATE),
     kept AS (DELETE FROM ~.reserved WHERE pid IN (SELECT pid FROM own))
   INSERT INTO ~.process (key, pid, program, shard, entry, args_digest, state, problem, started_at_ms, parent, label, role,
     restarts, needs, held, traps_exits, life, exited_at_ms, exit_reason, exit_value)
   SELECT t.key, t.pid, g.id, t.shard, t.entry, t.args_digest, t.state, t.problem, t.started_at_ms, nullif(t.parent, ''), t.label, t.role,
     t.restarts, t.needs, t.held, t.traps_exits, t.life, t.exited_at_ms, t.exit_reason, t.exit_value
   FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
     AS t (shard, key, pid, program, entry, args_digest, state, problem, started_at_ms, parent, label, role, restarts, needs, held, traps_exits,
           life, exited_at_ms, exit_reason, exit_value)
   JOIN ~.program AS g ON g.hash = t.program`,
  ...(["int8[]", "int8[]", "text[]", "text[]", "text[]", "bytea[]", "text[]", "text[]", "int8[]", "text[]"] as const),
  ...(["text[]", "text[]", "int8[]", "text[]", "int8[]", "int8[]", "int8[]", "int8[]", "text[]", "bytea[]"] as const),
);

export function newProcesses(rows: readonly ProcessRow[]): Step[] {
  const keys = new Set<number>();
  const pids = new Set<string>();
  const flaws: string[] = [];
  const digests: Buffer[] = [];
  for (const { key, pid, argsDigest } of rows) {
    const digest = Buffer.from(argsDigest, "hex");
    const isHex = digest.toString("hex") === argsDigest;
    flaws.push(!isHex ? "digest" : keys.has(key) ? "key" : pids.has(pid) ? "pid" : "");
    digests.push(digest);
    keys.add(key);
    pids.add(pid);
  }
  const all = <T>(of: (row: ProcessRow) => T): T[] => rows.map(of);
  const [key, pid, program, parent] = [
    all((r) => r.key),
    all((r) => r.pid),
    all((r) => r.program),
    all((r) => r.parent),
  ];
  return [
    step(checkNew, key, pid, program, parent, flaws),
    step(
      putNew,
      all((r) => r.shard ?? 0),
      key,
      pid,
      program,
      all((r) => r.entry),
      digests,
      all((r) => r.state),
      all((r) => r.problem),
      all((r) => r.startedAtMs),
      parent,
      all((r) => r.label),
      all((r) => r.role),
      all((r) => r.restarts),
      all((r) => r.needs),
      all((r) => (r.held ? 1 : 0)),
      all((r) => (r.trapsExits ? 1 : 0)),
      all((r) => r.life),
      ...exitColumns(all((r) => r.exit)),
    ),
  ];
}

function exitColumns(
  exits: readonly (ProcessExit | undefined)[],
): [(number | null)[], (string | null)[], (Uint8Array | null)[]] {
  return [
    exits.map((exit) => exit?.atMs ?? null),
    exits.map((exit) => exit?.reason ?? null),
    exits.map((exit) => (exit === undefined ? null : encodePayload(exit.value))),
  ];
}

const setStates = statement(
  `UPDATE ~.process AS p SET state = t.state, problem = t.problem, exited_at_ms = t.exited_at_ms, exit_reason = t.exit_reason,
     exit_value = t.exit_value
   FROM unnest($1, $2, $3, $4, $5, $6) AS t (process, state, problem, exited_at_ms, exit_reason, exit_value)
   WHERE p.key = t.process AND p.state <> 'exited'`,
  ...(["int8[]", "text[]", "text[]", "int8[]", "text[]", "bytea[]"] as const),
);

export function states(rows: Part<"states">): Step[] {
  const last = lastOf(rows, (row) => row.process);
  return [
    alive(rows.map((row) => row.process)),
    step(
      setStates,
      last.map((row) => row.process),
      last.map((row) => row.state),
      last.map((row) => row.problem),
      ...exitColumns(last.map((row) => (row.state === "crashed" ? row.exit : undefined))),
    ),
  ];
}

const setTraps = statement(
  `UPDATE ~.process AS p SET traps_exits = t.traps_exits FROM unnest($1, $2) AS t (process, traps_exits)
   WHERE p.key = t.process AND p.state <> 'exited'`,
  "int8[]",
  "int8[]",
);

export function traps(rows: Part<"traps">): Step[] {
  const last = lastOf(rows, (row) => row.process);
  const processes = last.map((row) => row.process);
  return [
    alive(rows.map((row) => row.process)),
    step(
      setTraps,
      processes,
      last.map((row) => (row.on ? 1 : 0)),
    ),
  ];
}

const setExits = statement(
  `UPDATE ~.process AS p SET state = 'exited', exited_at_ms = t.exited_at_ms, exit_reason = t.exit_reason, exit_value = t.exit_value
   FROM unnest($1, $2, $3, $4) AS t (process, exited_at_ms, exit_reason, exit_value)
   WHERE p.key = t.process AND p.state <> 'exited'`,
  ...(["int8[]", "int8[]", "text[]", "bytea[]"] as const),
);

const belongings = ["operation", "timer", "inbox", "snapshot", "checkpoint", "checkpoint_tie", "name", "member"];

/** What goes with the life of processes. */
export const deleteBelongings: Statement = statement(
  `WITH ${belongings.map((table) => `${table}s AS (DELETE FROM ~.${table} WHERE process = ANY ($1))`).join(", ")},
     links_a AS (DELETE FROM ~.link WHERE a = ANY ($1)), links_b AS (DELETE FROM ~.link WHERE b = ANY ($1) AND NOT a = ANY ($1)),
     watchers AS (DELETE FROM ~.monitor WHERE watcher = ANY ($1)),
     watched AS (DELETE FROM ~.monitor WHERE target = ANY ($1) AND NOT watcher = ANY ($1))
   SELECT 1`,
  "int8[]",
);

/** `lastWords`: what there is to be done when they count as exited and still have all they had. */
export function exits(rows: Part<"exits">, lastWords: Step): Step[] {
  const processes: number[] = [];
  const seen = new Set<number>();
  for (const { process } of rows) {
    // It exits in this commit already.
    if (seen.has(process)) return [alive(processes), raise("exited", process)];
    seen.add(process);
    processes.push(process);
  }
  return [
    alive(processes),
    step(setExits, processes, ...exitColumns(rows.map((row) => row.exit))),
    lastWords,
    step(deleteBelongings, processes),
  ];
}
