/**
 * The schema of a Perdure store in SQLite.
 *
 * ## The tables
 *
 * - `meta`       one row: who the store is, its schema version, the lease (incarnation, owner, clean), the time account.
 * - `process`    one row for each process that ever was. `key` is its number in here, `pid` its name outside.
 * - `journal`    the turns, one row each, in the order they were committed. Append-only: no statement of Perdure ever
 *                updates or deletes a row of it. `body` is the encoded turn (`journal/encoding.ts`).
 * - `operation`  operations without an outcome yet. The outcome is an input and so lies in the journal.
 * - `timer`      timers that have not fired, on one of two clocks (`wall`, `service` = wall − `meta.downtime_ms`).
 * - `inbox`      inputs that no turn has taken yet. `seq` never comes twice, so a reader may remember where it was.
 * - `log`        what programs printed.
 * - `snapshot`   the two newest of each process: a cache, as long as the journal is whole.
 * - `program`    what processes are pinned to, by hash; `blob` holds the bytes it consists of, by hash.
 *
 * ## The flow
 *
 * A step of a program is one row appended to `journal`, and changes to the rows of what it asked for: an operation
 * appears in `operation`, runs, and disappears in the commit of the turn that takes its result. An input that a process
 * can take at once never sees `inbox`. A process that sleeps is one row of `process`, its first turns and a `timer`.
 * Exits leave `process` and `journal`, and clear the rest.
 *
 * ## The guarantees
 *
 * - A group commit is one transaction, synced before it is reported (`synchronous=FULL`; WAL).
 * - One engine owns the file: it holds an exclusive lock on the empty database `<file>-lock`, which the operating system
 *   frees however the owner dies. Besides, every transaction of the owner begins by checking its incarnation against
 *   `meta.incarnation`, and `(process, turn)` is unique: an owner that lost its lease unawares can add nothing.
 * - Others may read at any time, and insert into `inbox` (`seq` and the state of the process are checked by the same
 *   transaction). The owner notices by `PRAGMA data_version`.
 * - Inputs are all that a process's state derives from, and an operation's arguments are what it does to the world; so rows
 *   of `journal`, `inbox` and `operation` carry a CRC-32 over what they hold and whose it is. A row that fails it is never
 *   handed out.
 *
 * ## Why it looks like this
 *
 * - `journal` is not clustered by process: appending at the end and keeping a narrow index inserts faster by a factor.
 * - `operation` and `timer` are clustered (`WITHOUT ROWID`): short-lived rows, always reached by process.
 * - `blob`, `snapshot` keep their bytes in the last column of a rowid table, so that a search by key never reads them; the same
 *   goes for `process.exit_value`.
 * - Times are milliseconds since 1970 (`…_ms`). Due times are REAL, since programs compute them; SQLite stores whole ones
 *   as integers all the same.
 *
 * ## By hand
 *
 * `sqlite3 store.db` and then `SELECT * FROM v_process;`. The views show pids instead of keys and times one can read:
 * `v_process`, `v_turn`, `v_operation`, `v_timer`, `v_inbox`, `v_log`. Reading is safe beside a running node; writing is not.
 */

/** "Perd" in the header's application id: `file store.db` shows it, and no other program's database is taken for ours. */
export const applicationId = 0x50657264;

/** Grows with every change of the schema. A store with a greater one was written by a newer release. */
export const schemaVersion = 1;

const tables = `
CREATE TABLE meta (
  one            INTEGER PRIMARY KEY CHECK (one = 1),
  store_id       TEXT    NOT NULL,
  schema_version INTEGER NOT NULL,
  incarnation    INTEGER NOT NULL,  -- grows with every claim; the lease in force
  clean          INTEGER NOT NULL,  -- 1 when the last owner released the store, 0 while it is owned and after a crash
  owner_pid      INTEGER,           -- operating system's process id of the owner, for people
  owner_host     TEXT,
  alive_at_ms    INTEGER,           -- the last sign of life of an owner; NULL before the first
  downtime_ms    INTEGER NOT NULL   -- total time without an owner, up to the last claim
) STRICT;

CREATE TABLE process (
  key           INTEGER PRIMARY KEY,
  pid           TEXT    NOT NULL UNIQUE,
  program       INTEGER NOT NULL,   -- program.id
  entry         TEXT    NOT NULL,
  args_digest   BLOB    NOT NULL,   -- SHA-256 over entry and arguments
  state         TEXT    NOT NULL,   -- running, paused, broken, exited
  problem       TEXT    NOT NULL,   -- why it is broken
  started_at_ms INTEGER NOT NULL,
  exited_at_ms  INTEGER,
  exit_reason   TEXT,
  exit_value    BLOB
) STRICT;
CREATE INDEX process_by_state ON process (state);

CREATE TABLE journal (
  seq     INTEGER PRIMARY KEY,
  process INTEGER NOT NULL,
  turn    INTEGER NOT NULL,         -- from 1, without gaps
  at_ms   INTEGER NOT NULL,
  crc     INTEGER NOT NULL,
  body    BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX journal_by_turn ON journal (process, turn);

CREATE TABLE operation (
  process       INTEGER NOT NULL,
  number        INTEGER NOT NULL,
  name          TEXT    NOT NULL,
  state         TEXT    NOT NULL,   -- pending, unavailable, quarantined
  attempt       INTEGER NOT NULL,
  not_before_ms REAL    NOT NULL,   -- 0 = at once
  started       INTEGER NOT NULL,   -- 1 when the start of the attempt is on record
  deaths        INTEGER NOT NULL,   -- nodes that died while it ran
  created_at_ms INTEGER NOT NULL,
  last_error    TEXT    NOT NULL,
  options       TEXT    NOT NULL,
  crc           INTEGER NOT NULL,
  args          BLOB    NOT NULL,
  PRIMARY KEY (process, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE timer (
  process INTEGER NOT NULL,
  number  INTEGER NOT NULL,
  clock   TEXT    NOT NULL,         -- wall, service
  due_ms  REAL    NOT NULL,         -- on that clock
  PRIMARY KEY (process, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX timer_by_due ON timer (clock, due_ms);

CREATE TABLE inbox (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  process INTEGER NOT NULL,
  at_ms   INTEGER NOT NULL,
  crc     INTEGER NOT NULL,
  input   BLOB    NOT NULL
) STRICT;
CREATE INDEX inbox_by_process ON inbox (process);

CREATE TABLE log (
  seq     INTEGER PRIMARY KEY,
  process INTEGER NOT NULL,
  turn    INTEGER NOT NULL,
  at_ms   INTEGER NOT NULL,
  level   TEXT    NOT NULL,
  text    TEXT    NOT NULL
) STRICT;
CREATE INDEX log_by_process ON log (process);

CREATE TABLE snapshot (
  process INTEGER NOT NULL,
  turn    INTEGER NOT NULL,         -- the state after this turn
  body    BLOB    NOT NULL,
  PRIMARY KEY (process, turn)
) STRICT;

CREATE TABLE program (
  id            INTEGER PRIMARY KEY,
  hash          TEXT    NOT NULL UNIQUE,
  file          TEXT    NOT NULL,
  created_at_ms INTEGER NOT NULL,
  bundle        TEXT    NOT NULL,   -- this and the following: blob.hash
  source_map    TEXT    NOT NULL,
  prelude       TEXT    NOT NULL,
  engine        TEXT    NOT NULL
) STRICT;

CREATE TABLE blob (
  hash  TEXT PRIMARY KEY,
  bytes BLOB NOT NULL
) STRICT;
`;

function readable(column: string): string {
  return `strftime('%Y-%m-%d %H:%M:%f', ${column} / 1000.0, 'unixepoch')`;
}

const views = `
CREATE VIEW v_process AS
  SELECT process.key, pid, state, entry, file AS program, ${readable("started_at_ms")} AS started_at,
         ${readable("exited_at_ms")} AS exited_at, exit_reason, problem,
         (SELECT max(turn) FROM journal WHERE process = process.key) AS turns,
         (SELECT count(*) FROM operation WHERE process = process.key) AS operations,
         (SELECT count(*) FROM timer WHERE process = process.key) AS timers,
         (SELECT count(*) FROM inbox WHERE process = process.key) AS inbox
  FROM process LEFT JOIN program ON program.id = process.program;

CREATE VIEW v_turn AS
  SELECT pid, turn, ${readable("at_ms")} AS at, length(body) AS size_bytes, seq
  FROM journal JOIN process ON process.key = journal.process;

CREATE VIEW v_operation AS
  SELECT pid, number, name, operation.state, attempt, started, deaths, ${readable("created_at_ms")} AS created_at,
         CASE not_before_ms WHEN 0 THEN NULL ELSE ${readable("not_before_ms")} END AS not_before, last_error, options,
         length(args) AS args_size_bytes
  FROM operation JOIN process ON process.key = operation.process;

-- The wall time a service timer is due at holds as long as the store keeps its owner.
CREATE VIEW v_timer AS
  SELECT pid, number, clock,
         ${readable("(due_ms + CASE clock WHEN 'service' THEN downtime_ms ELSE 0 END)")} AS due_at
  FROM timer JOIN process ON process.key = timer.process JOIN meta;

CREATE VIEW v_inbox AS
  SELECT seq, pid, ${readable("at_ms")} AS at, length(input) AS size_bytes
  FROM inbox JOIN process ON process.key = inbox.process;

CREATE VIEW v_log AS
  SELECT seq, pid, turn, ${readable("at_ms")} AS at, level, text
  FROM log JOIN process ON process.key = log.process;
`;

/** Makes an empty database a Perdure store. Run it in one transaction; then insert the row of `meta`. */
export const createSchema: string = `${tables}${views}
PRAGMA application_id = ${applicationId};
PRAGMA user_version = ${schemaVersion};
`;
