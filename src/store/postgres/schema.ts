/**
 * The schema of a Perdure store in PostgreSQL: the tables of SQLite's (`sqlite/schema.ts` tells what they are for and what flows
 * between them), and what several machines need besides.
 *
 * ## What is different
 *
 * - All tables lie in one schema of the database (default `perdure`), and every statement names it.
 * - `node`     one row for each claim of the store: an incarnation. It is `live` until its owner releases it (`released`), closes its
 *              handle (`closed`), or another one takes over (`dead`). `expires_at` is by the database's clock. `session` grows
 *              with each connection its writer makes: what an older one still has to say does not count.
 * - `standby`  one row for each node that waits for the store, which it renews. Claims delete those of the dead.
 * - `receipt`  one row for each write of a node, in the transaction of that write: after a connection was lost they tell what was
 *              done, and what came of it (`put`, `gone`: seqs of the inbox). Also the node's signs of life. Old ones are deleted. A
 *              write from outside has one with a random negative `incarnation`.
 * - `change`   one row, counted up by writes from outside the owner. Whoever puts rows into `inbox` holds a lock on it, so
 *              that their seqs become visible in their order, as readers of `inboxAfter` want it.
 * - `process.owner` is the incarnation that created it.
 * - `journal`, `log` and the others have no places of their own (rowids): a heap appends wherever its key lies.
 *
 * ## How a commit is safe
 *
 * - It is one transaction, sent in one piece: `BEGIN`, settings, fence, guards and changes, `COMMIT`. A fence or a guard that finds
 *   something wrong casts a text to a number, which fails and takes the transaction with it; the text says what it was.
 * - The fence reads the node's row `FOR SHARE`. A takeover updates that row: it waits for commits in flight, and later ones fail.
 * - After a lost connection the writer counts up `session` first. That update waits for a transaction of the old connection which is
 *   still running, and fences whatever of it is still on its way. From then on the receipts tell exactly what was done.
 * - `(process, turn)`, `process.key`, `process.pid` and `name.name` are unique, whoever writes.
 *
 * ## What is used beyond the core of SQL-92
 *
 * - types `bytea`, `text`, `double precision`, `bigint`, and arrays of them as parameters
 * - `unnest(…) WITH ORDINALITY` of several arrays, `LATERAL`, `= ANY(array)`
 * - `INSERT … ON CONFLICT`, `UPDATE … FROM`, `DELETE … USING`, `RETURNING`
 * - common table expressions, also ones that change data
 * - `FOR SHARE`, `FOR UPDATE`
 * - identity columns, `LIMIT` and `OFFSET`, comparisons of rows, partial indexes, `IS DISTINCT FROM`
 * - the collation `"C"` (by code points), `string_agg`, `octet_length`, `greatest`, `clock_timestamp()`, `extract(epoch …)`,
 *   `set_config(…, true)`
 * - `pg_advisory_xact_lock` and `pg_namespace` while a store is made, `pg_notify` and `LISTEN` (can be switched off)
 *
 * No functions, triggers, extensions, enumerations, temporary tables or settings of the session.
 */

/** Grows with every change of the schema. A store with a greater one was written by a newer release. */
export const schemaVersion = 1;

/** The `n`-th leads from version `n` to the next. */
export const migrations: readonly (readonly string[])[] = [
  [
    `CREATE TABLE ~.meta (
  one            bigint PRIMARY KEY CHECK (one = 1),
  store_id       text   NOT NULL,
  schema_version bigint NOT NULL,
  downtime_ms    bigint NOT NULL,  -- total time without an owner, up to the last claim
  pruned_key     bigint NOT NULL   -- the greatest process.key that was pruned
)`,
    `CREATE TABLE ~.node (
  incarnation   bigint PRIMARY KEY,
  token         text   NOT NULL,   -- of who claims, to know its own row after a lost connection
  state         text   NOT NULL,   -- live, released, closed, dead
  session       bigint NOT NULL,   -- of its writer's connections, the newest
  lease_ms      bigint NOT NULL,
  expires_at    timestamptz NOT NULL,
  host          text   NOT NULL,   -- this and os_pid: for people
  os_pid        bigint NOT NULL,
  node_id       text,              -- this, name and release: how it calls itself; NULL if it does not
  name          text,
  release       text,
  first_key     bigint NOT NULL,   -- the first process.key it may give
  started_at_ms bigint NOT NULL,   -- this and what follows: by the node's clock
  alive_at_ms   bigint NOT NULL,   -- a sign of life, at the time of this receipt; later receipts may tell of later ones
  alive_number  bigint NOT NULL
)`,
    `CREATE TABLE ~.standby (
  id       text   PRIMARY KEY,     -- random, of one handle on the store
  name     text   NOT NULL,
  host     text   NOT NULL,
  os_pid   bigint NOT NULL,
  release  text   NOT NULL,
  since_ms bigint NOT NULL,        -- this and seen_ms: by the node's clock
  seen_ms  bigint NOT NULL
)`,
    `CREATE TABLE ~.receipt (
  incarnation bigint NOT NULL,
  number      bigint NOT NULL,     -- of this incarnation's writes
  at_ms       bigint,              -- of writes that are a sign of life
  put         text,                -- seqs given to inputs, in their order
  gone        text,                -- seqs of inputs whose place others took
  PRIMARY KEY (incarnation, number)
)`,
    `CREATE TABLE ~.change (
  one   bigint PRIMARY KEY CHECK (one = 1),
  count bigint NOT NULL
)`,
    `CREATE TABLE ~.process (
  key           bigint CONSTRAINT process_key PRIMARY KEY,
  pid           text COLLATE "C" NOT NULL CONSTRAINT process_pid UNIQUE,
  program       bigint NOT NULL,   -- program.id
  owner         bigint NOT NULL,   -- node.incarnation
  entry         text   NOT NULL,
  args_digest   bytea  NOT NULL,   -- SHA-256 over entry and arguments
  state         text   NOT NULL,   -- running, paused, crashed, broken, moving, exited
  problem       text   NOT NULL,   -- why it is broken; where it is moving
  started_at_ms bigint NOT NULL,
  parent        text COLLATE "C",  -- pid of who spawned it; NULL when it was started from outside
  label         text   NOT NULL,   -- what its parent calls it
  role          text   NOT NULL,   -- server, supervisor, task
  restarts      bigint NOT NULL,   -- of this child, before this process
  held          bigint NOT NULL,   -- 1: when it fails, its parent is asked before it exits
  traps_exits   bigint NOT NULL,   -- 1: exit signals are messages to it
  life          bigint NOT NULL,   -- from 1; a restore begins the next
  exited_at_ms  bigint,            -- from here on: how it ended, or while it is crashed, how it will
  exit_reason   text,
  exit_value    bytea
)`,
    `CREATE INDEX process_by_state ON ~.process (state)`,
    `CREATE INDEX process_by_parent ON ~.process (parent) WHERE parent IS NOT NULL`,
    `CREATE INDEX process_by_program ON ~.process (program)`,
    `CREATE INDEX process_by_end ON ~.process (exited_at_ms, key) WHERE state = 'exited'`,
    `CREATE TABLE ~.journal (
  process bigint NOT NULL,
  turn    bigint NOT NULL,         -- from 1, without gaps
  at_ms   bigint NOT NULL,
  crc     bigint NOT NULL,
  body    bytea  NOT NULL,
  CONSTRAINT journal_turn PRIMARY KEY (process, turn)
)`,
    `CREATE TABLE ~.operation (
  process       bigint NOT NULL,
  number        bigint NOT NULL,
  name          text   NOT NULL,
  state         text   NOT NULL,   -- pending, unavailable, quarantined
  attempt       bigint NOT NULL,
  not_before_ms double precision NOT NULL,  -- 0 = at once
  started_at_ms bigint NOT NULL,   -- when a start was put on record; 0 = none is
  deaths        bigint NOT NULL,   -- nodes that died while it ran
  created_at_ms bigint NOT NULL,
  last_error    text   NOT NULL,
  options       text   NOT NULL,
  crc           bigint NOT NULL,
  args          bytea  NOT NULL,
  PRIMARY KEY (process, number)
)`,
    `CREATE TABLE ~.timer (
  process bigint NOT NULL,
  number  bigint NOT NULL,
  clock   text   NOT NULL,         -- wall, service
  due_ms  double precision NOT NULL,  -- on that clock
  PRIMARY KEY (process, number)
)`,
    `CREATE INDEX timer_by_due ON ~.timer (clock, due_ms, process, number)`,
    `CREATE TABLE ~.inbox (
  seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  process bigint NOT NULL,
  at_ms   bigint NOT NULL,
  crc     bigint NOT NULL,
  input   bytea  NOT NULL
)`,
    `CREATE INDEX inbox_by_process ON ~.inbox (process, seq)`,
    `CREATE TABLE ~.log (
  seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  process bigint NOT NULL,
  turn    bigint NOT NULL,
  at_ms   bigint NOT NULL,
  level   text   NOT NULL,
  text    text   NOT NULL
)`,
    `CREATE INDEX log_by_process ON ~.log (process, seq)`,
    `CREATE TABLE ~.snapshot (
  process bigint NOT NULL,
  turn    bigint NOT NULL,         -- the state after this turn
  body    bytea  NOT NULL,
  PRIMARY KEY (process, turn)
)`,
    // A link has no direction: a is the lesser key.
    `CREATE TABLE ~.link (
  a bigint NOT NULL,
  b bigint NOT NULL,
  PRIMARY KEY (a, b)
)`,
    `CREATE INDEX link_by_b ON ~.link (b)`,
    `CREATE TABLE ~.monitor (
  watcher bigint NOT NULL,         -- the process that is told
  number  bigint NOT NULL,         -- the watcher's
  target  bigint NOT NULL,         -- the process it is told of
  PRIMARY KEY (watcher, number)
)`,
    `CREATE INDEX monitor_by_target ON ~.monitor (target)`,
    `CREATE TABLE ~.name (
  name    text COLLATE "C" CONSTRAINT name_name PRIMARY KEY,
  process bigint NOT NULL
)`,
    `CREATE INDEX name_by_process ON ~.name (process)`,
    `CREATE TABLE ~.member (
  name    text COLLATE "C" NOT NULL,  -- the group's
  process bigint NOT NULL,
  PRIMARY KEY (name, process)
)`,
    `CREATE INDEX member_by_process ON ~.member (process)`,
    `CREATE TABLE ~.checkpoint (
  process bigint PRIMARY KEY,
  turn    bigint NOT NULL,         -- the heap is that after this turn
  crc     bigint NOT NULL,
  body    bytea  NOT NULL          -- what was pending then
)`,
    `CREATE TABLE ~.checkpoint_tie (
  process bigint NOT NULL,         -- whose checkpoint it is
  target  bigint NOT NULL,
  PRIMARY KEY (process, target)
)`,
    `CREATE INDEX checkpoint_tie_by_target ON ~.checkpoint_tie (target)`,
    `CREATE TABLE ~.restore (
  process   bigint NOT NULL,
  turn      bigint NOT NULL,       -- the first of a new life
  from_turn bigint NOT NULL,       -- its heap is that after this turn
  crc       bigint NOT NULL,
  PRIMARY KEY (process, turn)
)`,
    `CREATE TABLE ~.dead_letter (
  seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  process bigint NOT NULL,
  at_ms   bigint NOT NULL,
  reason  text   NOT NULL,         -- this and value: the exit it led to
  value   bytea  NOT NULL,
  crc     bigint NOT NULL,
  input   bytea  NOT NULL
)`,
    `CREATE INDEX dead_letter_by_process ON ~.dead_letter (process, seq)`,
    `CREATE TABLE ~.edge (
  id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  process bigint NOT NULL,
  key     text COLLATE "C" NOT NULL,
  at_ms   bigint NOT NULL,         -- when it was asked first
  digest  bytea  NOT NULL,         -- of what is asked
  about   text   NOT NULL,         -- the same in a line, for people
  state   text   NOT NULL,         -- sent, open, answered, set-aside, forgotten
  posted  bigint,                  -- inbox.seq, if it was posted beside the owner
  crc     bigint NOT NULL,
  answer  bytea,                   -- the message that was the answer
  CONSTRAINT edge_key UNIQUE (process, key)
)`,
    `CREATE INDEX edge_by_age ON ~.edge (at_ms, id)`,
    `CREATE TABLE ~.tombstone (
  pid           text COLLATE "C" PRIMARY KEY,
  program       text   NOT NULL,   -- its hash; the program may be gone
  entry         text   NOT NULL,
  args_digest   bytea  NOT NULL,
  started_at_ms bigint NOT NULL,
  exited_at_ms  bigint NOT NULL,
  pruned_at_ms  bigint NOT NULL,
  exit_reason   text   NOT NULL,
  value_bytes   bigint NOT NULL,   -- size of the value the process ended with
  crc           bigint NOT NULL,   -- over all the others
  exit_value    bytea              -- NULL when it was too large to be kept
)`,
    `CREATE INDEX tombstone_by_end ON ~.tombstone (exited_at_ms, pid)`,
    `CREATE TABLE ~.exported (
  id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  pid     text COLLATE "C" NOT NULL UNIQUE,
  process bigint NOT NULL,         -- the key it had
  at_ms   bigint NOT NULL,
  crc     bigint NOT NULL,
  body    bytea  NOT NULL          -- JSON, see store/exports-encoding.ts
)`,
    `CREATE INDEX exported_by_process ON ~.exported (process)`,
    `CREATE TABLE ~.imported (
  file  text COLLATE "C" PRIMARY KEY,
  pid   text COLLATE "C" NOT NULL,
  at_ms bigint NOT NULL
)`,
    `CREATE INDEX imported_by_pid ON ~.imported (pid)`,
    // Pruned and exported processes whose turns, log lines and edges are still being deleted.
    `CREATE TABLE ~.remains (
  process bigint PRIMARY KEY
)`,
    `CREATE TABLE ~.program (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  hash          text COLLATE "C" NOT NULL UNIQUE,
  file          text   NOT NULL,
  created_at_ms bigint NOT NULL,
  bundle        text   NOT NULL,   -- this and the following: blob.hash
  source_map    text   NOT NULL,
  prelude       text   NOT NULL,
  engine        text   NOT NULL
)`,
    `CREATE TABLE ~.blob (
  hash  text COLLATE "C" PRIMARY KEY,
  bytes bytea NOT NULL
)`,
    `INSERT INTO ~.change (one, count) VALUES (1, 0)`,
  ],
];
