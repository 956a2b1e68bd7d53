/** Every statement Perdure runs on a store, prepared once when it is opened. The lists' filters are in `queries.ts`. */
import type { DatabaseSync, StatementSync } from "node:sqlite";

const processColumns = `key, pid, program.hash AS program, entry, args_digest, state, problem, started_at_ms, exited_at_ms, exit_reason, exit_value`;
const processTables = `process LEFT JOIN program ON program.id = process.program`;
const operationColumns = `process, number, name, state, attempt, not_before_ms, started, deaths, created_at_ms, last_error, options, crc, args`;

/** What `rows.ts` reads a process from. */
export const selectProcess: string = `SELECT ${processColumns} FROM ${processTables}`;

const statements = {
  begin: "BEGIN IMMEDIATE",
  commit: "COMMIT",
  rollback: "ROLLBACK",
  dataVersion: "PRAGMA data_version",

  // Lease
  readMeta: "SELECT store_id, schema_version, incarnation, clean, owner_pid, owner_host, downtime_ms FROM meta",
  claim: `UPDATE meta SET incarnation = incarnation + 1, clean = 0, owner_pid = :pid, owner_host = :host,
            downtime_ms = downtime_ms + max(0, :now - ifnull(alive_at_ms, :now)), alive_at_ms = :now`,
  // Both a sign of life and the fence: it changes no row for an owner whose lease is void.
  alive: "UPDATE meta SET alive_at_ms = ? WHERE incarnation = ?",
  fence: "SELECT 1 FROM meta WHERE incarnation = ?",
  release: "UPDATE meta SET alive_at_ms = ?, clean = 1, owner_pid = NULL, owner_host = NULL WHERE incarnation = ?",
  lastProcessKey: "SELECT ifnull(max(key), 0) AS key FROM process",

  // Commit
  putProcess: `INSERT INTO process (key, pid, program, entry, args_digest, state, problem, started_at_ms, exited_at_ms, exit_reason, exit_value)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  // Changes no row when the turn before it is missing (before the first, the process).
  putTurn: "INSERT INTO journal (process, turn, at_ms, crc, body) VALUES (?, ?, ?, ?, ?)",
  putOperation: `INSERT OR REPLACE INTO operation (${operationColumns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  deleteOperation: "DELETE FROM operation WHERE process = ? AND number = ?",
  putTimer: "INSERT OR REPLACE INTO timer (process, number, clock, due_ms) VALUES (?, ?, ?, ?)",
  deleteTimer: "DELETE FROM timer WHERE process = ? AND number = ?",
  deleteInput: "DELETE FROM inbox WHERE seq = ?",
  putInput: "INSERT INTO inbox (process, at_ms, crc, input) VALUES (?, ?, ?, ?)",
  putLog: "INSERT INTO log (process, turn, at_ms, level, text) VALUES (?, ?, ?, ?, ?)",
  setState: "UPDATE process SET state = ?, problem = ? WHERE key = ? AND state <> 'exited'",
  setExit:
    "UPDATE process SET state = 'exited', exited_at_ms = ?, exit_reason = ?, exit_value = ? WHERE key = ? AND state <> 'exited'",
  deleteOperations: "DELETE FROM operation WHERE process = ?",
  deleteTimers: "DELETE FROM timer WHERE process = ?",
  deleteInbox: "DELETE FROM inbox WHERE process = ?",
  deleteSnapshots: "DELETE FROM snapshot WHERE process = ?",
  putSnapshot: "INSERT OR REPLACE INTO snapshot (process, turn, body) VALUES (?, ?, ?)",
  deleteOldSnapshots: `DELETE FROM snapshot WHERE process = :process AND turn <
                         (SELECT turn FROM snapshot WHERE process = :process ORDER BY turn DESC LIMIT 1 OFFSET 1)`,

  // Programs
  putProgram: `INSERT INTO program (hash, file, created_at_ms, bundle, source_map, prelude, engine) VALUES (?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT (hash) DO UPDATE SET file = excluded.file, created_at_ms = excluded.created_at_ms, bundle = excluded.bundle,
                 source_map = excluded.source_map, prelude = excluded.prelude, engine = excluded.engine`,
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
  logs: "SELECT seq, process, turn, at_ms, level, text FROM log WHERE seq > ? ORDER BY seq LIMIT ?",
  logsOf: "SELECT seq, process, turn, at_ms, level, text FROM log WHERE process = ? AND seq > ? ORDER BY seq LIMIT ?",
  snapshots: "SELECT turn, body FROM snapshot WHERE process = ? ORDER BY turn DESC",
};

export type Statements = Readonly<Record<keyof typeof statements, StatementSync>>;

export function prepareStatements(db: DatabaseSync): Statements {
  const prepared = Object.entries(statements).map(([name, sql]) => [name, db.prepare(sql)]);
  return Object.fromEntries(prepared) as Statements;
}
