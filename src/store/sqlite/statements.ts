/** Every statement Perdure runs on a store, prepared once when it is opened. The lists' filters are in `queries.ts`. */
import type { DatabaseSync, StatementSync } from "node:sqlite";

const processColumns = `key, pid, program.hash AS program, entry, args_digest, state, problem, started_at_ms, parent, label, role, restarts, needs, held,
                        traps_exits, life, exited_at_ms, exit_reason, exit_value`;
const processTables = `process LEFT JOIN program ON program.id = process.program`;
const deadLetterColumns = "seq, process, at_ms, reason, value, crc, input";
const edgeColumns = "process, key, at_ms, digest, about, state, crc, answer";
const operationColumns = `process, number, name, state, attempt, not_before_ms, started_at_ms, deaths, created_at_ms, last_error, options, crc, args`;

/** What a process may have that a load shows: the bits of `belongings`. */
export const has = {
  operations: 1,
  timers: 2,
  inbox: 4,
  snapshots: 8,
  checkpoint: 16,
  links: 32,
  /** Its own, or others' on it. */
  monitors: 64,
} as const;

const exists = (tables: string, bit: number): string => `EXISTS (SELECT 1 FROM ${tables}) * ${bit}`;

/** What `rows.ts` reads a process from. */
export const selectProcess: string = `SELECT ${processColumns} FROM ${processTables}`;

/** What keeps a finished process from being pruned: see `Store.prune`. */
const isHeld = (key: string): string => `(EXISTS (SELECT 1 FROM dead_letter WHERE process = ${key})
  OR EXISTS (SELECT 1 FROM checkpoint_tie WHERE target = ${key})
  OR parent IS NOT NULL AND EXISTS (SELECT 1 FROM process AS child WHERE child.parent = process.pid)
  OR parent IS NULL AND role = 'server' AND EXISTS (SELECT 1 FROM edge WHERE process = ${key}))`;

const statements = {
  begin: "BEGIN IMMEDIATE",
  commit: "COMMIT",
  rollback: "ROLLBACK",
  dataVersion: "PRAGMA data_version",

  isMoved: "SELECT 1 FROM migration WHERE role = 'source' OR state = 'under-way'",

  // Lease
  readMeta: "SELECT schema_version, incarnation, clean, downtime_ms, signs FROM meta",
  claim: `UPDATE meta SET incarnation = incarnation + 1, clean = 0, owner_pid = :pid, owner_host = :host,
            downtime_ms = downtime_ms + max(0, :now - ifnull(alive_at_ms, :now)), alive_at_ms = :now, signs = signs + 1`,
  // Both a sign of life and the fence: it changes no row for an owner whose lease is void.
  alive: "UPDATE meta SET alive_at_ms = ?, signs = signs + 1 WHERE incarnation = ?",
  fence: "SELECT 1 FROM meta WHERE incarnation = ?",
  release:
    "UPDATE meta SET alive_at_ms = ?, signs = signs + 1, clean = 1, owner_pid = NULL, owner_host = NULL WHERE incarnation = ?",
  owner: `SELECT owner_pid, owner_host, (SELECT name FROM node WHERE state = 'active' AND node.incarnation = meta.incarnation) AS name
          FROM meta`,
  // The signs of life of an owner are the store's. One whose lease is void owns nothing.
  nodes: `SELECT id, name, host, pid, release, about, 0 AS load, state, node.incarnation, since_ms,
                 CASE state WHEN 'active' THEN max(seen_ms, alive_at_ms) ELSE seen_ms END AS seen_ms
          FROM node JOIN meta
          WHERE CASE state WHEN 'active' THEN node.incarnation = meta.incarnation ELSE seen_ms >= ? END
          ORDER BY state, since_ms, id`,
  putNode: `INSERT INTO node (id, name, host, pid, release, about, state, incarnation, since_ms, seen_ms)
            VALUES (:id, :name, :host, :pid, :release, :about, :state, :incarnation, :now, :now)
            ON CONFLICT (id) DO UPDATE SET since_ms = iif(state = excluded.state, since_ms, excluded.since_ms), state = excluded.state,
              incarnation = excluded.incarnation, seen_ms = excluded.seen_ms`,
  deleteNode: "DELETE FROM node WHERE id = ?",
  deleteDeadNodes: "DELETE FROM node WHERE state = 'active' OR seen_ms < ?",
  lastProcessKey: "SELECT max(pruned_key, (SELECT ifnull(max(key), 0) FROM process)) AS key FROM meta",

  // Commit
  putProcess: `INSERT INTO process (key, pid, program, entry, args_digest, state, problem, started_at_ms, parent, label, role, restarts,
                 needs, held, traps_exits, life, exited_at_ms, exit_reason, exit_value)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  // That it follows on the one before is checked in `journal.ts`.
  putTurn: "INSERT INTO journal (process, turn, at_ms, crc, body) VALUES (?, ?, ?, ?, ?)",
  putOperation: `INSERT OR REPLACE INTO operation (${operationColumns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  deleteOperation: "DELETE FROM operation WHERE process = ? AND number = ?",
  putTimer: "INSERT OR REPLACE INTO timer (process, number, clock, due_ms) VALUES (?, ?, ?, ?)",
  deleteTimer: "DELETE FROM timer WHERE process = ? AND number = ?",
  deleteInput: "DELETE FROM inbox WHERE seq = ?",
  putInput: "INSERT INTO inbox (process, at_ms, crc, input) VALUES (?, ?, ?, ?)",
  putLog: "INSERT INTO log (process, turn, at_ms, level, text) VALUES (?, ?, ?, ?, ?)",
  setState: `UPDATE process SET state = ?, problem = ?, exited_at_ms = ?, exit_reason = ?, exit_value = ?
             WHERE key = ? AND state <> 'exited'`,
  setTraps: "UPDATE process SET traps_exits = ? WHERE key = ? AND state <> 'exited'",
  setLife: "UPDATE process SET life = ? WHERE key = ? AND state <> 'exited'",
  setExit:
    "UPDATE process SET state = 'exited', exited_at_ms = ?, exit_reason = ?, exit_value = ? WHERE key = ? AND state <> 'exited'",
  deleteOperations: "DELETE FROM operation WHERE process = ?",
  deleteTimers: "DELETE FROM timer WHERE process = ?",
  deleteInbox: "DELETE FROM inbox WHERE process = ?",
  deleteSnapshots: "DELETE FROM snapshot WHERE process = ?",
  deleteSnapshotsBetween: "DELETE FROM snapshot WHERE process = ? AND turn > ? AND turn < ?",
  putSnapshot: "INSERT OR REPLACE INTO snapshot (process, turn, body) VALUES (?, ?, ?)",
  deleteOldSnapshots: `DELETE FROM snapshot WHERE process = :process AND turn <
                         (SELECT turn FROM snapshot WHERE process = :process ORDER BY turn DESC LIMIT 1 OFFSET 1)
                         AND turn IS NOT (SELECT max(s.turn) FROM snapshot AS s JOIN checkpoint AS c USING (process)
                                          WHERE s.process = :process AND s.turn <= c.turn)`,
  putCheckpoint: "INSERT OR REPLACE INTO checkpoint (process, turn, crc, body) VALUES (?, ?, ?, ?)",
  deleteCheckpoint: "DELETE FROM checkpoint WHERE process = ?",
  putCheckpointTie: "INSERT INTO checkpoint_tie (process, target) VALUES (?, ?) ON CONFLICT DO NOTHING",
  deleteCheckpointTies: "DELETE FROM checkpoint_tie WHERE process = ?",
  putRestore: "INSERT OR REPLACE INTO restore (process, turn, from_turn, crc) VALUES (?, ?, ?, ?)",
  putDeadLetter: "INSERT INTO dead_letter (process, at_ms, reason, value, crc, input) VALUES (?, ?, ?, ?, ?, ?)",
  deleteDeadLetter: "DELETE FROM dead_letter WHERE seq = ?",

  // Edges
  putEdge: `INSERT INTO edge (process, key, at_ms, digest, about, state, posted, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT DO NOTHING`,
  endEdge: `UPDATE edge SET state = :state, crc = :crc, answer = :answer
            WHERE process = :process AND key = :key AND digest = :digest
              AND (state = 'open' OR (:state = 'answered' AND state IN ('set-aside', 'forgotten')))`,
  edge: `SELECT ${edgeColumns} FROM edge WHERE process = ? AND key = ?`,
  edgesOf: `SELECT ${edgeColumns} FROM edge WHERE process = ? AND key > ? ORDER BY key LIMIT ?`,
  postedWith: `SELECT posted AS seq FROM edge JOIN inbox ON inbox.seq = posted
               WHERE edge.process = ? AND key = ? AND digest = ?`,
  deleteOldEdges: `DELETE FROM edge WHERE id IN (
                     SELECT id FROM edge LEFT JOIN process ON process.key = edge.process
                     WHERE at_ms < ? AND (edge.state <> 'open' OR ifnull(process.state, 'exited') = 'exited')
                     ORDER BY at_ms LIMIT ?)`,

  // Relations
  putLink: "INSERT INTO link (a, b) VALUES (?, ?) ON CONFLICT DO NOTHING",
  deleteLink: "DELETE FROM link WHERE a = ? AND b = ?",
  deleteLinks: "DELETE FROM link WHERE a = ?1 OR b = ?1",
  putMonitor: "INSERT INTO monitor (watcher, number, target) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
  deleteMonitor: "DELETE FROM monitor WHERE watcher = ? AND number = ?",
  deleteMonitors: "DELETE FROM monitor WHERE watcher = ?1 OR target = ?1",
  // Changes no row when another process has the name.
  putName: `INSERT INTO name (name, process) VALUES (?, ?)
            ON CONFLICT (name) DO UPDATE SET process = process WHERE process = excluded.process`,
  deleteName: "DELETE FROM name WHERE name = ?",
  deleteNames: "DELETE FROM name WHERE process = ?",
  putMember: "INSERT INTO member (name, process) VALUES (?, ?) ON CONFLICT DO NOTHING",
  deleteMember: "DELETE FROM member WHERE name = ? AND process = ?",
  deleteMemberships: "DELETE FROM member WHERE process = ?",

  // Retention
  finished: `SELECT key, pid, exited_at_ms, exit_reason, ${isHeld("process.key")} AS held FROM process INDEXED BY process_by_end
             WHERE state = 'exited' AND (exited_at_ms, key) > (?, ?) AND exited_at_ms <= ? ORDER BY exited_at_ms, key LIMIT ?`,
  finishedBeyond: `SELECT key, exited_at_ms FROM process INDEXED BY process_by_end
                   WHERE state = 'exited' ORDER BY exited_at_ms DESC, key DESC LIMIT 1 OFFSET ?`,
  // What may be pruned of what is asked for: see `Store.prune`.
  prunable: `${selectProcess} WHERE key = ?1 AND state = 'exited'
               AND NOT ${isHeld("?1")}`,
  deleteProcess: "DELETE FROM process WHERE key = ?",
  deleteRestores: "DELETE FROM restore WHERE process = ?",
  prunedKey: "UPDATE meta SET pruned_key = max(pruned_key, ?)",
  putRemains: "INSERT INTO remains (process) VALUES (?)",
  remains: "SELECT process FROM remains ORDER BY process LIMIT ?",
  deleteRemains: "DELETE FROM remains WHERE process = ?",
  lastTurnsOf: "SELECT seq, length(body) AS bytes FROM journal WHERE process = ? ORDER BY turn DESC LIMIT ?",
  deleteTurn: "DELETE FROM journal WHERE seq = ?",
  // The newest line of all stays, so that its number does not come again.
  deleteLogs: `DELETE FROM log WHERE seq IN (SELECT seq FROM log WHERE process = ? ORDER BY seq LIMIT ?) AND seq < (SELECT max(seq) FROM log)`,
  deleteEdges: "DELETE FROM edge WHERE id IN (SELECT id FROM edge WHERE process = ? LIMIT ?)",
  hasLogs: "SELECT 1 FROM log WHERE process = ? LIMIT 1",
  putTombstone: `INSERT INTO tombstone (pid, program, entry, args_digest, started_at_ms, exited_at_ms, pruned_at_ms, exit_reason, value_bytes,
                   crc, exit_value) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  tombstone: "SELECT * FROM tombstone WHERE pid = ?",
  hasTombstone: "SELECT 1 FROM tombstone WHERE pid = ?",
  // Once and for all: whoever had it is pruned, or was exported.
  isPidTaken: "SELECT 1 FROM tombstone WHERE pid = ?1 UNION ALL SELECT 1 FROM exported WHERE pid = ?1",
  tombstonesBefore: `SELECT pid, exited_at_ms FROM tombstone WHERE exited_at_ms <= ? AND (exited_at_ms, pid) < (?, ?)
                     ORDER BY exited_at_ms DESC, pid DESC LIMIT ?`,
  isNeeded: `SELECT 1 WHERE EXISTS (SELECT 1 FROM process WHERE parent = ?1) OR EXISTS (SELECT 1 FROM process WHERE pid = ?2)
             OR EXISTS (SELECT 1 FROM tombstone WHERE pid = ?2)`,
  deleteTombstone: "DELETE FROM tombstone WHERE pid = ?",
  unusedPrograms: `SELECT id, hash FROM program WHERE created_at_ms <= ? AND NOT EXISTS (SELECT 1 FROM process WHERE process.program = program.id)
                   AND EXISTS (SELECT 1 FROM program AS newer WHERE newer.file = program.file
                               AND (newer.created_at_ms, newer.id) > (program.created_at_ms, program.id))`,
  deleteProgram: "DELETE FROM program WHERE id = ?",
  deleteStrayBlobs: `DELETE FROM blob WHERE hash NOT IN
                       (SELECT bundle FROM program UNION SELECT source_map FROM program UNION SELECT prelude FROM program
                        UNION SELECT engine FROM program)`,

  // Processes that move
  inboxOfAfter: "SELECT seq, process, at_ms, crc, input FROM inbox WHERE process = ? AND seq > ? ORDER BY seq",
  deadLetterSeqs: "SELECT seq FROM dead_letter WHERE process = ? ORDER BY seq",
  deleteDeadLettersOf: "DELETE FROM dead_letter WHERE process = ?",
  putExported: "INSERT INTO exported (pid, process, at_ms, crc, body) VALUES (?, ?, ?, ?, ?)",
  deleteExported: "DELETE FROM exported WHERE pid = ?",
  exported: "SELECT pid, process, crc, body FROM exported WHERE pid = ?",
  exportedKey: "SELECT pid, process, crc, body FROM exported WHERE process = ?",
  exports: "SELECT pid, process, crc, body FROM exported ORDER BY id DESC LIMIT ?",
  arrive: "UPDATE process SET pid = ?, state = ?, problem = '' WHERE key = ? AND state = 'moving'",
  putImported: "INSERT INTO imported (file, pid, at_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
  imported: "SELECT file, pid, at_ms FROM imported WHERE file = ?",
  imports: "SELECT file, pid, at_ms FROM imported WHERE pid = ? ORDER BY file",

  // Programs
  putProgram: `INSERT INTO program (hash, file, created_at_ms, bundle, source_map, prelude, engine, operations)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT (hash) DO UPDATE SET file = excluded.file, created_at_ms = excluded.created_at_ms, bundle = excluded.bundle,
                 source_map = excluded.source_map, prelude = excluded.prelude, engine = excluded.engine,
                 operations = excluded.operations`,
  putBlob: `INSERT INTO blob (hash, bytes) VALUES (?, ?)
            ON CONFLICT (hash) DO UPDATE SET bytes = excluded.bytes WHERE bytes IS NOT excluded.bytes`,
  programId: "SELECT id FROM program WHERE hash = ?",
  program: "SELECT * FROM program WHERE hash = ?",
  programs: "SELECT * FROM program ORDER BY created_at_ms DESC, id DESC",
  blob: "SELECT bytes FROM blob WHERE hash = ?",

  // Reading
  processByPid: `${selectProcess} WHERE pid = ?`,
  processByKey: `${selectProcess} WHERE key = ?`,
  pidOf: "SELECT pid FROM process WHERE key = ?",
  stateOf: "SELECT key, state FROM process WHERE pid = ?",
  countByState: "SELECT state, count(*) AS count FROM process GROUP BY state",
  turns: "SELECT turn, crc, body FROM journal WHERE process = ? AND turn >= ? ORDER BY turn LIMIT ?",
  lastTurn: "SELECT ifnull(max(turn), 0) AS turn FROM journal WHERE process = ?",
  lastTurnRow: "SELECT turn, crc, body FROM journal WHERE process = ? ORDER BY turn DESC LIMIT 1",
  operationsOf: `SELECT ${operationColumns} FROM operation WHERE process = ? ORDER BY number`,
  operationsAfter: `SELECT ${operationColumns} FROM operation WHERE (process, number) > (?, ?) ORDER BY process, number LIMIT ?`,
  timersOf: "SELECT process, number, clock, due_ms FROM timer WHERE process = ? ORDER BY number",
  // The due time a page has to reach so that it holds `limit` timers and does not split those of one due time.
  duePageEnd:
    "SELECT due_ms FROM timer WHERE clock = ? AND due_ms > ? AND due_ms <= ? ORDER BY due_ms LIMIT 1 OFFSET ?",
  timersDue:
    "SELECT process, number, clock, due_ms FROM timer WHERE clock = ? AND due_ms > ? AND due_ms <= ? ORDER BY due_ms, process, number",
  inboxOf: "SELECT seq, process, at_ms, crc, input FROM inbox WHERE process = ? ORDER BY seq",
  inboxAfter: "SELECT seq, process, at_ms, crc, input FROM inbox WHERE seq > ? ORDER BY seq LIMIT ?",
  processesWithInbox: "SELECT DISTINCT process FROM inbox WHERE process > ? ORDER BY process LIMIT ?",
  // What is left of pruned processes is nobody's.
  logs: `SELECT seq, process, turn, at_ms, level, text FROM log WHERE seq > ? AND process NOT IN (SELECT process FROM remains)
         ORDER BY seq LIMIT ?`,
  logsOf: `SELECT seq, process, turn, at_ms, level, text FROM log WHERE process = ?1 AND seq > ?2
           AND NOT EXISTS (SELECT 1 FROM remains WHERE process = ?1) ORDER BY seq LIMIT ?3`,
  snapshots: "SELECT turn, body FROM snapshot WHERE process = ? ORDER BY turn DESC",
  // Most processes have few of these: asking once is cheaper than looking for each.
  belongings: `SELECT ${[
    exists("operation WHERE process = ?1", has.operations),
    exists("timer WHERE process = ?1", has.timers),
    exists("inbox WHERE process = ?1", has.inbox),
    exists("snapshot WHERE process = ?1", has.snapshots),
    exists("checkpoint WHERE process = ?1", has.checkpoint),
    exists("link WHERE a = ?1 OR b = ?1", has.links),
    exists("monitor WHERE watcher = ?1 OR target = ?1", has.monitors),
  ].join(" + ")} AS bits`,
  checkpoint: "SELECT turn, crc, body FROM checkpoint WHERE process = ?",
  restores: "SELECT turn, from_turn, crc FROM restore WHERE process = ? ORDER BY turn",
  linksOf: "SELECT b AS process FROM link WHERE a = ?1 UNION SELECT a FROM link WHERE b = ?1 ORDER BY process",
  monitorsOf: "SELECT watcher, number, target FROM monitor WHERE watcher = ? ORDER BY number",
  watchersOf: "SELECT watcher, number, target FROM monitor WHERE target = ? ORDER BY watcher, number",
  namesAfter: `SELECT name, process, pid FROM name JOIN process ON process.key = name.process
               WHERE (name, process) > (?, ?) ORDER BY name, process LIMIT ?`,
  membersAfter: `SELECT name, process, pid FROM member JOIN process ON process.key = member.process
                 WHERE (name, process) > (?, ?) ORDER BY name, process LIMIT ?`,
  nameHolder: "SELECT process FROM name WHERE name = ?",
  deadLetter: `SELECT ${deadLetterColumns} FROM dead_letter WHERE seq = ?`,
  deadLetters: `SELECT ${deadLetterColumns} FROM dead_letter WHERE seq > ? ORDER BY seq LIMIT ?`,
  deadLettersOf: `SELECT ${deadLetterColumns} FROM dead_letter WHERE process = ? AND seq > ? ORDER BY seq LIMIT ?`,
};

export type Statements = Readonly<Record<keyof typeof statements, StatementSync>>;

export function prepareStatements(db: DatabaseSync): Statements {
  const prepared = Object.entries(statements).map(([name, sql]) => [name, db.prepare(sql)]);
  return Object.fromEntries(prepared) as Statements;
}
