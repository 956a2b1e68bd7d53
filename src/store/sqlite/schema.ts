/**
 * The schema of a Perdure store in SQLite.
 *
 * ## The tables
 *
 * - `meta`       one row: who the store is, its schema version, the lease (incarnation, owner, clean), the time account.
 * - `migration`  whether the store was moved to another place, or came from one (`../migration/port.ts`).
 * - `node`       who owns the store and who stands by, by what they said last: for people. The lease is in `meta`, and who holds the lock
 *                decides; a row of a node that died stays until the next claim.
 * - `process`    one row for each process that was not pruned. `key` is its number in here, `pid` its name outside.
 * - `journal`    the turns, one row each, in the order they were committed. Append-only: no statement of Perdure ever
 *                updates a row of it, or deletes one but of a pruned process. `body` is the encoded turn (`journal/encoding.ts`).
 * - `operation`  operations without an outcome yet. The outcome is an input and so lies in the journal.
 * - `timer`      timers that have not fired, on one of two clocks (`wall`, `service` = wall − `meta.downtime_ms`).
 * - `inbox`      inputs that no turn has taken yet. `seq` never comes twice, so a reader may remember where it was.
 * - `log`        what programs printed.
 * - `snapshot`   the two newest of each process: a cache, as long as the journal is whole.
 * - `link`       which processes end together, and `monitor`, who is told of whose end.
 * - `name`       registered names, and `member`, who is in which group.
 * - `checkpoint` what a process can be restored to, and `restore`, where in its journal that was done.
 * - `dead_letter` messages that made their process fail. They stay until a person removes them. `seq` is like that of `inbox`.
 * - `edge`       what callers outside asked under keys of their own, and the answers, so that asking again does it once.
 * - `checkpoint_tie` whom the process was tied to at its checkpoint: to go back there it has to find them, dead or alive.
 * - `tombstone`  what is left of a pruned process that was started from outside: a repeated start finds it.
 * - `exported`   what is left of a process that was exported: which file it is in, and what that file is still to be completed by.
 * - `imported`   files that processes came in, so that none is imported twice.
 * - `remains`    pruned and exported processes whose turns, log lines and edges are still being deleted, a slice at a time.
 * - `program`    what processes are pinned to, by hash; `blob` holds the bytes it consists of, by hash.
 *
 * ## The flow
 *
 * A step of a program is one row appended to `journal`, and changes to the rows of what it asked for: an operation
 * appears in `operation`, runs, and disappears in the commit of the turn that takes its result. An input that a process
 * can take at once never sees `inbox`. A process that sleeps is one row of `process`, its first turns and a `timer`.
 * Exits leave `process`, `journal`, `log`, `restore`, `dead_letter` and `edge`, and clear the rest.
 *
 * Pruning ends what an exit has left. One commit removes the row of `process` and its `restore`, puts the `tombstone`, and notes
 * the key in `remains`; from then on the process is gone for every reader. Rows of `journal`, `log` and `edge` without a process are those
 * of `remains`, and no others. They go in slices, by whoever owns the store, and the note goes with the last of them. The last row
 * of `log` stays for a while: its `seq` must not come again, since readers remember where they were. In a store that came from elsewhere that
 * may be a line of process 0, who is nobody.
 *
 * A process that is exported or imported is `moving` meanwhile, which to the scheduler is nothing at all. It leaves in one commit,
 * which takes all its rows as pruning does and puts `exported`. It comes in many, under the pid `@import:<file>`; the last one
 * gives it its own pid and state, and puts `imported`.
 *
 * A process whose turn failed may be `crashed` for a while: then `exited_at_ms` and what follows it say how it will end,
 * unless its parent lets it go on. If that is from its checkpoint, `restore` holds the turn its new life begins with and the
 * turn after which the heap is taken: what lies between stays in `journal`, and replay passes over it.
 *
 * ## The guarantees
 *
 * - A group commit is one transaction, synced before it is reported (`synchronous=FULL`; WAL).
 * - One engine owns the file: it holds an exclusive lock on the empty database `<file>-lock`, which the operating system
 *   frees however the owner dies. Besides, every transaction of the owner begins by checking its incarnation against
 *   `meta.incarnation`, and `(process, turn)` is unique: an owner that lost its lease unawares can add nothing.
 * - Beside these tables lie the user's own, which transactional operations make and write (`transactions.ts`). What such an operation
 *   does there commits together with its result: its row leaves `operation` and the result enters `inbox` in the same transaction.
 *   Names that begin with `perdure_` are kept free for tables to come.
 * - Others may read at any time, insert into `inbox` (`seq` and the state of the process are checked by the same
 *   transaction), and put their own row of `node`. The owner notices by `PRAGMA data_version`.
 * - Inputs are all that a process's state derives from, and what an operation is (name, options, arguments, whether it was
 *   begun) is what it does to the world; so rows
 *   of `journal`, `inbox`, `operation`, `checkpoint`, `restore`, `dead_letter`, `edge`, `tombstone` and `exported` carry a CRC-32 over what they hold and whose
 *   it is. A row that fails it is never handed out.
 * - A name belongs to one process at a time. A `process.key` is given once: `meta.pruned_key` remembers those that are gone.
 *
 * ## Why it looks like this
 *
 * - `journal` is not clustered by process: appending at the end and keeping a narrow index inserts faster by a factor.
 * - `operation`, `timer`, `link`, `monitor`, `name` and `member` are clustered (`WITHOUT ROWID`): small, short-lived rows, reached
 *   by their key. Those that tie two processes have an index for the other one: an exit finds them from either end.
 * - `blob`, `snapshot`, `checkpoint`, `edge` keep their bytes in the last column of a rowid table, so that a search by key never reads them; the same
 *   goes for `process.exit_value`.
 * - Times are milliseconds since 1970 (`…_ms`). Due times are REAL, since programs compute them; SQLite stores whole ones
 *   as integers all the same.
 *
 * ## By hand
 *
 * `sqlite3 store.db` and then `SELECT * FROM v_process;`. The views show pids instead of keys and times one can read:
 * `v_process`, `v_turn`, `v_operation`, `v_timer`, `v_inbox`, `v_log`, `v_link`, `v_monitor`, `v_name`, `v_group`,
 * `v_dead_letter`, `v_edge`, `v_tombstone`, `v_exported`, `v_node`. Reading is safe beside a running node; writing is not.
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
  signs          INTEGER NOT NULL,  -- how many signs of life there were; see seen.ts
  downtime_ms    INTEGER NOT NULL,  -- total time without an owner, up to the last claim
  pruned_key     INTEGER NOT NULL   -- the greatest process.key that was pruned
) STRICT;

CREATE TABLE migration (
  role     TEXT    PRIMARY KEY,     -- source: the store leaves; target: it comes from elsewhere
  id       TEXT    NOT NULL,        -- of the migration: the same in both stores
  state    TEXT    NOT NULL,        -- under-way, complete
  place    TEXT    NOT NULL,        -- of the other store
  store_id TEXT    NOT NULL,        -- of the source
  at_ms    INTEGER NOT NULL,        -- when it began
  progress TEXT    NOT NULL         -- of a target: what has come so far
) STRICT, WITHOUT ROWID;

CREATE TABLE node (
  id          TEXT    PRIMARY KEY,  -- random, for each time an engine opens the store
  name        TEXT    NOT NULL,
  host        TEXT    NOT NULL,
  pid         INTEGER NOT NULL,     -- operating system's process id
  release     TEXT    NOT NULL,     -- of Perdure
  about       TEXT    NOT NULL,     -- JSON: its labels, its program's file, the host operations that it offers
  state       TEXT    NOT NULL,     -- active, standing-by
  incarnation INTEGER NOT NULL,     -- of its lease; 0 for one that stands by
  since_ms    INTEGER NOT NULL,     -- when it became what it is
  seen_ms     INTEGER NOT NULL      -- of an owner, see also meta.alive_at_ms
) STRICT, WITHOUT ROWID;

CREATE TABLE process (
  key           INTEGER PRIMARY KEY,
  pid           TEXT    NOT NULL UNIQUE,
  program       INTEGER NOT NULL,   -- program.id
  entry         TEXT    NOT NULL,
  args_digest   BLOB    NOT NULL,   -- SHA-256 over entry and arguments
  state         TEXT    NOT NULL,   -- running, paused, crashed, broken, moving, exited
  problem       TEXT    NOT NULL,   -- why it is broken; where it is moving
  started_at_ms INTEGER NOT NULL,
  parent        TEXT,               -- pid of who spawned it; NULL when it was started from outside
  label         TEXT    NOT NULL,   -- what its parent calls it
  role          TEXT    NOT NULL,   -- server, supervisor, task
  restarts      INTEGER NOT NULL,   -- of this child, before this process
  needs         TEXT    NOT NULL,   -- the label that its node must have; '' for none
  held          INTEGER NOT NULL,   -- 1: when it fails, its parent is asked before it exits
  traps_exits   INTEGER NOT NULL,   -- 1: exit signals are messages to it
  life          INTEGER NOT NULL,   -- from 1; a restore begins the next
  exited_at_ms  INTEGER,            -- from here on: how it ended, or while it is crashed, how it will
  exit_reason   TEXT,
  exit_value    BLOB
) STRICT;
CREATE INDEX process_by_state ON process (state);
CREATE INDEX process_by_parent ON process (parent) WHERE parent IS NOT NULL;
CREATE INDEX process_by_program ON process (program);
CREATE INDEX process_by_end ON process (exited_at_ms) WHERE state = 'exited';

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
  started_at_ms INTEGER NOT NULL,   -- when a start was put on record; 0 = none is
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

-- A link has no direction: a is the lesser key.
CREATE TABLE link (
  a INTEGER NOT NULL,
  b INTEGER NOT NULL,
  PRIMARY KEY (a, b)
) STRICT, WITHOUT ROWID;
CREATE INDEX link_by_b ON link (b);

CREATE TABLE monitor (
  watcher INTEGER NOT NULL,         -- the process that is told
  number  INTEGER NOT NULL,         -- the watcher's
  target  INTEGER NOT NULL,         -- the process it is told of
  PRIMARY KEY (watcher, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX monitor_by_target ON monitor (target);

CREATE TABLE name (
  name    TEXT    PRIMARY KEY,
  process INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX name_by_process ON name (process);

CREATE TABLE member (
  name    TEXT    NOT NULL,         -- the group's
  process INTEGER NOT NULL,
  PRIMARY KEY (name, process)
) STRICT, WITHOUT ROWID;
CREATE INDEX member_by_process ON member (process);

CREATE TABLE checkpoint (
  process INTEGER PRIMARY KEY,
  turn    INTEGER NOT NULL,         -- the heap is that after this turn
  crc     INTEGER NOT NULL,
  body    BLOB    NOT NULL          -- what was pending then
) STRICT;

CREATE TABLE checkpoint_tie (
  process INTEGER NOT NULL,         -- whose checkpoint it is
  target  INTEGER NOT NULL,
  PRIMARY KEY (process, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX checkpoint_tie_by_target ON checkpoint_tie (target);

CREATE TABLE restore (
  process   INTEGER NOT NULL,
  turn      INTEGER NOT NULL,       -- the first of a new life
  from_turn INTEGER NOT NULL,       -- its heap is that after this turn
  crc       INTEGER NOT NULL,
  PRIMARY KEY (process, turn)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letter (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  process INTEGER NOT NULL,
  at_ms   INTEGER NOT NULL,
  reason  TEXT    NOT NULL,         -- this and value: the exit it led to
  value   BLOB    NOT NULL,
  crc     INTEGER NOT NULL,
  input   BLOB    NOT NULL
) STRICT;
CREATE INDEX dead_letter_by_process ON dead_letter (process);

CREATE TABLE edge (
  id      INTEGER PRIMARY KEY,
  process INTEGER NOT NULL,
  key     TEXT    NOT NULL,
  at_ms   INTEGER NOT NULL,         -- when it was asked first
  digest  BLOB    NOT NULL,         -- of what is asked
  about   TEXT    NOT NULL,         -- the same in a line, for people
  state   TEXT    NOT NULL,         -- sent, open, answered, set-aside, forgotten
  posted  INTEGER,                  -- inbox.seq, if it was posted beside the owner
  crc     INTEGER NOT NULL,
  answer  BLOB                      -- the message that was the answer
) STRICT;
CREATE UNIQUE INDEX edge_by_key ON edge (process, key);
CREATE INDEX edge_by_age ON edge (at_ms);

CREATE TABLE tombstone (
  id            INTEGER PRIMARY KEY,
  pid           TEXT    NOT NULL UNIQUE,
  program       TEXT    NOT NULL,   -- its hash; the program may be gone
  entry         TEXT    NOT NULL,
  args_digest   BLOB    NOT NULL,
  started_at_ms INTEGER NOT NULL,
  exited_at_ms  INTEGER NOT NULL,
  pruned_at_ms  INTEGER NOT NULL,
  exit_reason   TEXT    NOT NULL,
  value_bytes   INTEGER NOT NULL,   -- size of the value the process ended with
  crc           INTEGER NOT NULL,   -- over all the others
  exit_value    BLOB                -- NULL when it was too large to be kept
) STRICT;
CREATE INDEX tombstone_by_end ON tombstone (exited_at_ms, pid);

CREATE TABLE exported (
  id      INTEGER PRIMARY KEY,
  pid     TEXT    NOT NULL UNIQUE,
  process INTEGER NOT NULL,         -- the key it had
  at_ms   INTEGER NOT NULL,
  crc     INTEGER NOT NULL,
  body    BLOB    NOT NULL          -- JSON, see store/exports-encoding.ts
) STRICT;
CREATE INDEX exported_by_process ON exported (process);

CREATE TABLE imported (
  file  TEXT    PRIMARY KEY,
  pid   TEXT    NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX imported_by_pid ON imported (pid);

CREATE TABLE remains (
  process INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE program (
  id            INTEGER PRIMARY KEY,
  hash          TEXT    NOT NULL UNIQUE,
  file          TEXT    NOT NULL,
  created_at_ms INTEGER NOT NULL,
  bundle        TEXT    NOT NULL,   -- this and the following: blob.hash
  source_map    TEXT    NOT NULL,
  prelude       TEXT    NOT NULL,
  engine        TEXT    NOT NULL,
  operations    TEXT    NOT NULL    -- JSON: names of the host operations it may ask for
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
  SELECT process.key, pid, state, entry, file AS program, parent, label, role, restarts, needs,
         ${readable("started_at_ms")} AS started_at,
         CASE state WHEN 'exited' THEN ${readable("exited_at_ms")} END AS exited_at, exit_reason, problem,
         (SELECT max(turn) FROM journal WHERE process = process.key) AS turns,
         (SELECT count(*) FROM operation WHERE process = process.key) AS operations,
         (SELECT count(*) FROM timer WHERE process = process.key) AS timers,
         (SELECT count(*) FROM inbox WHERE process = process.key) AS inbox
  FROM process LEFT JOIN program ON program.id = process.program;

CREATE VIEW v_turn AS
  SELECT pid, turn, ${readable("at_ms")} AS at, length(body) AS size_bytes, seq
  FROM journal JOIN process ON process.key = journal.process;

CREATE VIEW v_operation AS
  SELECT pid, number, name, operation.state, attempt, deaths, ${readable("created_at_ms")} AS created_at,
         CASE operation.started_at_ms WHEN 0 THEN NULL ELSE ${readable("operation.started_at_ms")} END AS started_at,
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

CREATE VIEW v_link AS
  SELECT one.pid, other.pid AS linked_to
  FROM link JOIN process AS one ON one.key = link.a JOIN process AS other ON other.key = link.b;

CREATE VIEW v_monitor AS
  SELECT watcher.pid, number, target.pid AS watches
  FROM monitor JOIN process AS watcher ON watcher.key = monitor.watcher
               JOIN process AS target ON target.key = monitor.target;

CREATE VIEW v_name AS
  SELECT name, pid
  FROM name JOIN process ON process.key = name.process;

CREATE VIEW v_group AS
  SELECT name, pid
  FROM member JOIN process ON process.key = member.process;

CREATE VIEW v_dead_letter AS
  SELECT seq, pid, ${readable("at_ms")} AS at, reason, length(input) AS size_bytes
  FROM dead_letter JOIN process ON process.key = dead_letter.process;

CREATE VIEW v_edge AS
  SELECT pid, edge.key, ${readable("at_ms")} AS at, edge.state, about, length(answer) AS answer_size_bytes
  FROM edge JOIN process ON process.key = edge.process;

CREATE VIEW v_tombstone AS
  SELECT pid, entry, exit_reason, ${readable("exited_at_ms")} AS exited_at, ${readable("pruned_at_ms")} AS pruned_at, value_bytes
  FROM tombstone;

CREATE VIEW v_node AS
  SELECT name, state, node.incarnation, release, host, node.pid, ${readable("since_ms")} AS since,
         ${readable("CASE state WHEN 'active' THEN max(seen_ms, alive_at_ms) ELSE seen_ms END")} AS seen
  FROM node JOIN meta WHERE state <> 'active' OR node.incarnation = meta.incarnation;
CREATE VIEW v_exported AS
  SELECT pid, ${readable("at_ms")} AS exported_at, CAST(body AS TEXT) ->> 'file' AS file
  FROM exported;
`;

/** Makes an empty database a Perdure store. Run it in one transaction; then insert the row of `meta`. */
export const createSchema: string = `${tables}${views}
PRAGMA application_id = ${applicationId};
PRAGMA user_version = ${schemaVersion};
`;

/** Tables, indexes and views of the engine's, in lower case: user SQL must not touch them. */
export const engineNames: ReadonlySet<string> = new Set(
  [...createSchema.matchAll(/^CREATE (?:UNIQUE )?(?:TABLE|INDEX|VIEW) (\w+)/gm)].map(([, name = ""]) =>
    name.toLowerCase(),
  ),
);
