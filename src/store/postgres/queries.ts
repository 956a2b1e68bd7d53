/** Every statement that reads, for all but the writer. Long lists are read page after page. */
import { has } from "./has.ts";
import { statement } from "./wire/session.ts";
import type { Statement } from "./wire/session.ts";
import type { Type } from "./wire/values.ts";

const processColumns = `process.key, pid, shard, program.hash AS program, entry, args_digest, state, problem, started_at_ms, parent, label,
  role, restarts, needs, held, traps_exits, life, exited_at_ms, exit_reason, exit_value`;
const deadLetterColumns = "seq, process, at_ms, reason, value, crc, input";
const edgeColumns = "process, key, at_ms, digest, about, state, crc, answer";
const operationColumns = `process, number, name, state, attempt, not_before_ms, started_at_ms, deaths, created_at_ms, last_error,
  options, crc, args`;
const logColumns = "seq, process, turn, at_ms, level, text";
/** Of `inbox AS i`. */
export const inboxColumns = "i.seq, i.process, i.at_ms, i.crc, i.input, i.sender, i.tie, i.monitor";
/** Of the incarnation in the first parameter. */
const ownShards = "SELECT shard FROM ~.shard WHERE owner = $1";

/** What `../rows.ts` reads a process from. */
export const selectProcess: string = `SELECT ${processColumns}
  FROM ~.process AS process LEFT JOIN ~.program AS program ON program.id = process.program`;

/** What keeps a finished process from being pruned, but for children: see `Retainer.prune`. */
export const isHeldBesides: string = `(${has("~.dead_letter AS d WHERE d.process = process.key")}
  OR ${has("~.checkpoint_tie AS c WHERE c.target = process.key")}
  OR parent IS NULL AND role = 'server' AND ${has("~.edge AS e WHERE e.process = process.key")})`;
const isHeld = `(${isHeldBesides}
  OR parent IS NOT NULL AND ${has("~.process AS child WHERE child.parent = process.pid")})`;

/** The types of the parameters stand before the SQL. */
function read(query: string): Statement {
  const [, types = "", sql = ""] = /^(?:\(([^)]*)\) )?([^]*)$/.exec(query) ?? [];
  return statement(sql, ...(types === "" ? [] : (types.split(", ") as Type[])));
}

const all = {
  processByPid: `(text) ${selectProcess} WHERE pid = $1`,
  processByKey: `(int8) ${selectProcess} WHERE process.key = $1`,
  pidOf: "(int8) SELECT pid FROM ~.process WHERE key = $1",
  pidsOf: "(int8[]) SELECT key, pid FROM ~.process WHERE key = ANY ($1)",
  placeOf: `(text) SELECT (SELECT key FROM ~.process WHERE pid = $1) AS key, (SELECT 1 FROM ~.tombstone WHERE pid = $1) AS stone`,
  countByState: "SELECT state, count(*) AS count FROM ~.process GROUP BY state",
  // None of a process that has been pruned.
  turns: `(int8, int8, int8) SELECT turn, crc, body FROM ~.journal WHERE process = $1 AND turn >= $2
       AND EXISTS (SELECT 1 FROM ~.process WHERE key = $1) ORDER BY turn LIMIT $3`,
  lastTurn: `(int8) SELECT coalesce(max(turn), 0) AS turn FROM ~.journal
     WHERE process = $1 AND EXISTS (SELECT 1 FROM ~.process WHERE key = $1)`,
  lastTurnRow: "(int8) SELECT turn, crc, body FROM ~.journal WHERE process = $1 ORDER BY turn DESC LIMIT 1",
  operationsOf: `(int8) SELECT ${operationColumns} FROM ~.operation WHERE process = $1 ORDER BY number`,
  operationsAfter: `(int8[], int8, int8, int8) SELECT ${operationColumns} FROM ~.operation AS o WHERE (process, number) > ($2, $3)
     AND ${has("~.process AS p WHERE p.key = o.process AND p.shard = ANY ($1)")} ORDER BY process, number LIMIT $4`,
  timersOf: "(int8) SELECT process, number, clock, due_ms FROM ~.timer WHERE process = $1 ORDER BY number",
  // Up to the due time a page has to reach so that it holds so many timers and does not split those of one due time.
  timersDue: `(int8, text, float8, float8, int8) SELECT process, number, clock, due_ms FROM (${ownShards}) AS s
     CROSS JOIN LATERAL (
       SELECT process, number, clock, due_ms FROM ~.timer AS t WHERE t.shard = s.shard AND clock = $2 AND due_ms > $3
         AND due_ms <= coalesce((SELECT due_ms FROM (${ownShards}) AS o CROSS JOIN LATERAL (
           SELECT due_ms FROM ~.timer AS n WHERE n.shard = o.shard AND clock = $2 AND due_ms > $3 AND due_ms <= $4 ORDER BY due_ms LIMIT $5 + 1
         ) AS near ORDER BY due_ms LIMIT 1 OFFSET $5), $4)) AS due
     ORDER BY due_ms, process, number`,
  inboxOf: `(int8) SELECT ${inboxColumns} FROM ~.inbox AS i WHERE process = $1 ORDER BY seq`,
  inboxAfter: `(int8, int8) SELECT ${inboxColumns} FROM ~.inbox AS i WHERE seq > $1 ORDER BY seq LIMIT $2`,
  processesWithInbox: `(int8[], int8, int8) SELECT DISTINCT process FROM ~.inbox AS i WHERE process > $2
     AND ${has("~.process AS p WHERE p.key = i.process AND p.shard = ANY ($1)")} ORDER BY process LIMIT $3`,
  shards: "SELECT shard, owner FROM ~.shard ORDER BY shard",
  ownShards: `(int8) ${ownShards} ORDER BY shard`,
  // What others put there since the numbers that are given with the shards.
  posted: `(int8, int8[], int8[], int8) SELECT ${inboxColumns}, i.shard, i.posted
     FROM unnest($2, $3) AS c (shard, after) JOIN (${ownShards}) AS s ON s.shard = c.shard
     CROSS JOIN LATERAL (SELECT * FROM ~.inbox AS n WHERE n.shard = c.shard AND n.posted > c.after ORDER BY n.posted LIMIT $4) AS i
     ORDER BY i.shard, i.posted LIMIT $4`,
  nameChanges: "SELECT names FROM ~.change",
  logs: `(int8, int8) SELECT ${logColumns} FROM ~.log WHERE seq > $1 AND NOT EXISTS (SELECT 1 FROM ~.remains AS r WHERE r.process = log.process)
     ORDER BY seq LIMIT $2`,
  logsOf: `(int8, int8, int8) SELECT ${logColumns} FROM ~.log WHERE process = $1 AND seq > $2
       AND NOT EXISTS (SELECT 1 FROM ~.remains WHERE process = $1) ORDER BY seq LIMIT $3`,
  snapshots: "(int8) SELECT turn, body FROM ~.snapshot WHERE process = $1 ORDER BY turn DESC",
  checkpoint: "(int8) SELECT turn, crc, body FROM ~.checkpoint WHERE process = $1",
  restores: "(int8) SELECT turn, from_turn, crc FROM ~.restore WHERE process = $1 ORDER BY turn",
  linksOf:
    "(int8) SELECT b AS process FROM ~.link WHERE a = $1 UNION SELECT a FROM ~.link WHERE b = $1 ORDER BY process",
  monitorsOf: "(int8) SELECT watcher, number, target FROM ~.monitor WHERE watcher = $1 ORDER BY number",
  watchersOf: "(int8) SELECT watcher, number, target FROM ~.monitor WHERE target = $1 ORDER BY watcher, number",
  namesAfter: `(text, int8, int8) SELECT name, process, pid, shard FROM ~.name JOIN ~.process AS p ON p.key = name.process
     WHERE (name, process) > ($1, $2) ORDER BY name, process LIMIT $3`,
  membersAfter: `(text, int8, int8) SELECT name, process, pid, shard FROM ~.member JOIN ~.process AS p ON p.key = member.process
     WHERE (name, process) > ($1, $2) ORDER BY name, process LIMIT $3`,
  deadLetter: `(int8) SELECT ${deadLetterColumns} FROM ~.dead_letter WHERE seq = $1`,
  deadLetters: `(int8, int8) SELECT ${deadLetterColumns} FROM ~.dead_letter WHERE seq > $1 ORDER BY seq LIMIT $2`,
  deadLettersOf: `(int8, int8, int8) SELECT ${deadLetterColumns} FROM ~.dead_letter WHERE process = $1 AND seq > $2 ORDER BY seq LIMIT $3`,
  edge: `(int8, text) SELECT ${edgeColumns} FROM ~.edge WHERE process = $1 AND key = $2`,
  edgesOf: `(int8, text, int8) SELECT ${edgeColumns} FROM ~.edge WHERE process = $1 AND key > $2 ORDER BY key LIMIT $3`,
  tombstone: "(text) SELECT * FROM ~.tombstone WHERE pid = $1",
  exported: "(text) SELECT pid, process, crc, body FROM ~.exported WHERE pid = $1",
  exportedKey: "(int8) SELECT pid, process, crc, body FROM ~.exported WHERE process = $1",
  exports: "(int8) SELECT pid, process, crc, body FROM ~.exported ORDER BY id DESC LIMIT $1",
  imported: "(text) SELECT file, pid, at_ms FROM ~.imported WHERE file = $1",
  imports: "(text) SELECT file, pid, at_ms FROM ~.imported WHERE pid = $1 ORDER BY file",
  finished: `(int8, int8, int8, int8) SELECT key, pid, exited_at_ms, exit_reason, CASE WHEN ${isHeld} THEN 1 ELSE 0 END AS held FROM ~.process AS process
     WHERE state = 'exited' AND (exited_at_ms, key) > ($1, $2) AND exited_at_ms <= $3 ORDER BY exited_at_ms, key LIMIT $4`,
  finishedBeyond: `(int8) SELECT key, exited_at_ms FROM ~.process WHERE state = 'exited' ORDER BY exited_at_ms DESC, key DESC LIMIT 1 OFFSET $1`,
  program: "(text) SELECT * FROM ~.program WHERE hash = $1",
  programs: "SELECT * FROM ~.program ORDER BY created_at_ms DESC, id DESC",
  blob: "(text) SELECT bytes FROM ~.blob WHERE hash = $1",
};

export const queries: Readonly<Record<keyof typeof all, Statement>> = Object.fromEntries(
  Object.entries(all).map(([name, sql]) => [name, read(sql)]),
) as Record<keyof typeof all, Statement>;
