/**
 * The schema of a Perdure store in PostgreSQL: the tables of SQLite's (`sqlite/schema.ts` tells what they are for and what flows
 * between them), and what several machines need besides.
 *
 * ## What is different
 *
 * - All tables lie in one schema of the database (default `perdure`), and every statement names it.
 * - `migration` has one column more: `run`, of the command that runs the migration. Who has another one is refused.
 * - `node`     one row for each claim of the store: an incarnation. It is `live` until it releases the store (`released`) or another one
 *              declares it dead (`dead`), which needs that its lease has run out: `expires_at`, by the database's clock. `session` grows
 *              with each connection its writer makes: what an older one still has to say does not count.
 * - `shard`    which node owns which processes: `process.shard`. `posted` counts what others have put into the inboxes of its processes.
 * - `standby`  nodes that stand by: nobody needs to here, but whoever wants to may.
 * - `reserved` pids that nodes keep for processes they are about to start.
 * - `handover` process files that somebody beside the nodes has handed over, in parts (`handover_part`), until one of the nodes has imported
 *              them and whoever did it has heard of it. They stay behind when the store moves.
 * - `receipt`  one row for each write of a node, in the transaction of that write: after a connection was lost they tell what was
 *              done, and what came of it (`put`, `gone`: seqs of the inbox). Also the node's signs of life. Old ones are deleted. A
 *              write from outside has one with a random negative `incarnation`, and so has a transaction of user code.
 * - `change`   one row, counted up with every change of names and groups.
 * - `inbox`    rows have more columns: see below.
 * - `journal`, `log` and the others have no places of their own (rowids): a heap appends wherever its key lies.
 *
 * ## How a commit is safe
 *
 * - It is one transaction, sent in one piece: `BEGIN`, settings, fence, guards and changes, `COMMIT`. A fence or a guard that finds
 *   something wrong casts a text to a number, which fails and takes the transaction with it; the text says what it was.
 * - The fence reads the node's row `FOR SHARE`. Whoever declares the node dead updates that row: he waits for commits in flight, and
 *   later ones fail. A shard changes hands only by its owner's own commit or after that, so the node's row is all there is to lock.
 *   That the processes written to are in shards of the node is checked besides.
 * - After a lost connection the writer counts up `session` first. That update waits for a transaction of the old connection which is
 *   still running, and fences whatever of it is still on its way. From then on the receipts tell exactly what was done.
 * - `(process, turn)`, `process.key`, `process.pid` and `name.name` are unique, whoever writes.
 *
 * ## What reaches across nodes
 *
 * - Locks are taken in one order by all: the node's row; rows of `process` in the order of their keys (`parts/locks.ts`); names; the row of
 *   `change`; rows of `shard` in their order; `receipt`s and all others are one's own. Where that leaves a gap the server finds the
 *   deadlock, and the writer does it again.
 * - Whoever puts something into another node's inbox, or ties a process to another node's, holds that process's row `FOR SHARE`. An exit
 *   updates it. So the row, or the tie, is seen by the exit, or the exit by whoever puts it: then it goes nowhere, or elsewhere
 *   (`else_…`), or tells that there is no such process.
 * - What others put for a shard's owner gets the next number of the shard (`inbox.shard`, `inbox.posted`), and so do notices of ends, also
 *   those that the owner's commits cause. `shard.posted` stays locked until the end of the transaction: the numbers become visible in
 *   their order, so that the owner reads on from the last one it has seen. What the owner puts itself has no number, and takes no lock.
 * - A notice of an end is the same for all who hear of it but for the number of the monitor. Its row holds the exit signal as the
 *   exiting node has encoded it, from whom it is (`sender`) and the number (`monitor`; NULL for a link): the input is composed when it is
 *   read. The checksum is the sum of that of the signal and of a hash of the rest (`parts/notices.ts`).
 *
 * ## Transactions of user code
 *
 * They run beside the commits, on connections of their own (`transacting/`), and take locks on these tables only at the end, together with
 * the commit: the node's row; rows of `process` in their order, `FOR SHARE`; rows of `operation`, without waiting; rows of `shard`.
 * Since they are serializable, a row that was changed since their beginning cannot be locked. So nodes and shards, which change all the time,
 * are locked `FOR KEY SHARE`: that minds changes of a unique key only, and `state` and `owner` are part of one for this reason. A shard
 * may change hands by a commit beside the transaction, so here it is locked besides the node.
 *
 * ## What is used beyond the core of SQL-92
 *
 * - types `bytea`, `text`, `double precision`, `bigint`, and arrays of them as parameters
 * - `unnest(…) WITH ORDINALITY` of several arrays, `LATERAL`, `= ANY(array)`
 * - `INSERT … ON CONFLICT`, `UPDATE … FROM`, `DELETE … USING`, `RETURNING`
 * - common table expressions, also ones that change data
 * - `FOR KEY SHARE`, `FOR SHARE`, `FOR NO KEY UPDATE`, `FOR UPDATE`, `NOWAIT`, also in a `LATERAL` query, so that rows are locked one by one in an order
 * - identity columns, `LIMIT` and `OFFSET`, comparisons of rows, partial indexes, `IS DISTINCT FROM`
 * - `sha256` and the casts that make a number of its first bytes
 * - the collation `"C"` (by code points), `string_agg`, `octet_length`, `greatest`, `clock_timestamp()`, `extract(epoch …)`,
 *   `set_config(…, true)` of timeouts, `synchronous_commit`, `enable_seqscan`, `jit` and `plan_cache_mode`
 * - `LOCK TABLE`, `TRUNCATE`, `setval`, `pg_get_serial_sequence`, `pg_sequence_last_value` and sums over windows when a store is moved
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
  downtime_ms    bigint NOT NULL,  -- total time without any node, up to the last claim
  place          text   NOT NULL   -- the database in which it was made, or accepted: see restored.ts
)`,
    `CREATE TABLE ~.migration (
  role     text   PRIMARY KEY,     -- source: the store leaves; target: it comes from elsewhere
  id       text   NOT NULL,        -- of the migration: the same in both stores
  state    text   NOT NULL,        -- under-way, complete
  place    text   NOT NULL,        -- of the other store
  store_id text   NOT NULL,        -- of the source
  at_ms    bigint NOT NULL,        -- when it began
  progress text   NOT NULL,        -- of a target: what has come so far
  run      text   NOT NULL
)`,
    `CREATE TABLE ~.node (
  incarnation   bigint PRIMARY KEY,
  token         text   NOT NULL,   -- of who claims, to know its own row after a lost connection
  state         text   NOT NULL,   -- live, released, dead
  session       bigint NOT NULL,   -- of its writer's connections, the newest
  lease_ms      bigint NOT NULL,
  expires_at    timestamptz NOT NULL,
  id            text,              -- this and name, release, host, os_pid: who it is, for people
  name          text,
  release       text,
  host          text   NOT NULL,
  os_pid        bigint NOT NULL,
  about         text   NOT NULL,   -- JSON: its labels, its program's file, the host operations that it offers
  load          bigint NOT NULL,   -- processes in its memory, as it said last
  downtime_ms   bigint NOT NULL,   -- meta.downtime_ms since its claim: its service time is wall time less this
  started_at_ms bigint NOT NULL,   -- this and what follows: by the node's clock
  alive_at_ms   bigint NOT NULL,   -- a sign of life, at the time of this receipt; later receipts may tell of later ones
  alive_number  bigint NOT NULL    -- -1 when its end has been gone into: none tells of a later one
)`,
    // With this, only changes of these two count as changes of the key: see "transactions of user code".
    `CREATE UNIQUE INDEX node_state ON ~.node (incarnation, state)`,
    `CREATE INDEX node_live ON ~.node (incarnation) WHERE state = 'live'`,
    // Changed in place, over and over.
    `CREATE TABLE ~.shard (
  shard  bigint PRIMARY KEY,       -- from 1
  owner  bigint NOT NULL,          -- node.incarnation; 0: nobody
  clean  bigint NOT NULL,          -- 1: its last owner gave it up in good order
  posted bigint NOT NULL           -- the last number given in its inboxes
) WITH (fillfactor = 10)`,
    // As for nodes.
    `CREATE UNIQUE INDEX shard_owner ON ~.shard (shard, owner)`,
    // Nodes that stand by, by what they said last.
    `CREATE TABLE ~.standby (
  id       text   PRIMARY KEY,
  name     text   NOT NULL,
  host     text   NOT NULL,
  os_pid   bigint NOT NULL,
  release  text   NOT NULL,
  about    text   NOT NULL,
  since_ms bigint NOT NULL,
  seen_ms  bigint NOT NULL
)`,
    `CREATE TABLE ~.reserved (
  pid         text COLLATE "C" PRIMARY KEY,
  incarnation bigint NOT NULL
)`,
    `CREATE INDEX reserved_by_node ON ~.reserved (incarnation)`,
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
  names bigint NOT NULL            -- changes of name and member
)`,
    `CREATE TABLE ~.process (
  key           bigint CONSTRAINT process_key PRIMARY KEY,
  pid           text COLLATE "C" NOT NULL CONSTRAINT process_pid UNIQUE,
  program       bigint NOT NULL,   -- program.id
  shard         bigint NOT NULL,   -- whose owner owns it
  entry         text   NOT NULL,
  args_digest   bytea  NOT NULL,   -- SHA-256 over entry and arguments
  state         text   NOT NULL,   -- running, paused, crashed, broken, moving, exited
  problem       text   NOT NULL,   -- why it is broken; where it is moving
  started_at_ms bigint NOT NULL,
  parent        text COLLATE "C",  -- pid of who spawned it; NULL when it was started from outside
  label         text   NOT NULL,   -- what its parent calls it
  role          text   NOT NULL,   -- server, supervisor, task
  restarts      bigint NOT NULL,   -- of this child, before this process
  needs         text   NOT NULL,   -- the label that its node must have; '' for none
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
  shard   bigint NOT NULL,         -- of the process
  clock   text   NOT NULL,         -- wall, service
  due_ms  double precision NOT NULL,  -- on that clock
  PRIMARY KEY (process, number)
)`,
    `CREATE INDEX timer_by_due ON ~.timer (shard, clock, due_ms, process, number)`,
    `CREATE TABLE ~.inbox (
  seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  process      bigint NOT NULL,
  at_ms        bigint NOT NULL,
  crc          bigint NOT NULL,
  input        bytea  NOT NULL,
  sender       text COLLATE "C",   -- input is the exit signal of the process with this pid; what the receiver hears is made of it
  tie          bigint,             -- it tells of the end of this process
  monitor      bigint,             -- by this monitor; NULL: by a link
  else_process bigint,             -- this and what follows: put instead if process ends before it takes the input
  else_crc     bigint,
  else_input   bytea,
  shard        bigint,             -- this and posted: its number among what others have put there; NULL: the owner has put it
  posted       bigint
)`,
    `CREATE INDEX inbox_by_process ON ~.inbox (process, seq)`,
    `CREATE UNIQUE INDEX inbox_by_number ON ~.inbox (shard, posted) WHERE posted IS NOT NULL`,
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
    `CREATE TABLE ~.handover (
  id      text COLLATE "C" PRIMARY KEY,
  file    text   NOT NULL,         -- the process file's id: the same one may be handed over twice
  paused  bigint NOT NULL,         -- 1: its process is to be left paused
  state   text   NOT NULL,         -- coming, complete, imported, refused
  node    bigint NOT NULL,         -- node.incarnation of who takes it; 0: nobody yet
  begins  bigint NOT NULL,         -- how often one has begun to import it
  at_ms   bigint NOT NULL,         -- of its last part, or its end
  code    text   NOT NULL,         -- this and message: why it was refused
  message text   NOT NULL
)`,
    `CREATE TABLE ~.handover_part (
  handover text COLLATE "C" NOT NULL,  -- handover.id
  number   bigint NOT NULL,        -- from 0
  bytes    bytea  NOT NULL,
  PRIMARY KEY (handover, number)
)`,
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
  engine        text   NOT NULL,
  operations    text   NOT NULL    -- JSON: names of the host operations it may ask for
)`,
    `CREATE TABLE ~.blob (
  hash  text COLLATE "C" PRIMARY KEY,
  bytes bytea NOT NULL
)`,
    `INSERT INTO ~.change (one, names) VALUES (1, 0)`,
  ],
];
