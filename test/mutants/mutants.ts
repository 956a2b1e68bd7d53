/** The bugs. Each was chosen because somebody might make it, and because it would cost a user of Perdure money. */
import { steps, tests, trees } from "./mutant.ts";
import type { Mutant } from "./mutant.ts";

const sqlite = tests("src/store/sqlite.test.ts");
const reconcile = tests("src/operations/reconcile.test.ts", "test/e2e/reconcile.test.ts");
const keys = tests("test/keys/keys.test.ts");
const conformance = tests("test/conformance/conformance.test.ts");

const commits: readonly Mutant[] = [
  {
    bug: "a commit is reported before the disk has it (no fsync)",
    file: "src/store/sqlite/open.ts",
    find: "    PRAGMA synchronous = FULL;\n    -- On",
    replace: "    PRAGMA synchronous = OFF;\n    -- On",
    checks: [tests("src/store/sqlite/open.test.ts")],
  },
  {
    bug: "what a commit brings about is seen before the commit (no output commit rule)",
    file: "src/kernel/batch.ts",
    find: "    const { batch, inboxInputs } = stage.toBatch(this.#ports.nowMs());",
    replace:
      "    for (const effect of stage.effects.splice(0)) effect();\n    const { batch, inboxInputs } = stage.toBatch(this.#ports.nowMs());",
    checks: [steps],
  },
  {
    bug: "operations begin when their turn is staged, not when it is committed",
    file: "src/kernel/turns.ts",
    find: "    const operations = stageTurn(stage, live, effects, inputs);\n",
    replace:
      "    const operations = stageTurn(stage, live, effects, inputs);\n    for (const operation of operations.begun) this.#ports.attempts.begin(live, operation);\n",
    checks: [steps],
  },
  {
    bug: "console output is printed before its turn is durable",
    file: "src/kernel/turns.ts",
    find: "if (effects.logs.length > 0) stage.effects.push(() => this.#print(live, effects));",
    replace: "if (effects.logs.length > 0) this.#print(live, effects);",
    checks: [steps],
  },
  {
    bug: "a failed commit is taken for a good one",
    file: "src/kernel/batch.ts",
    find: "    this.kill();\n    this.#ports.failed(",
    replace: "    void (",
    checks: [steps],
  },
  {
    bug: "an owner whose lease is void may commit",
    file: "src/store/sqlite/lease.ts",
    find: "  if (changes === 0) throw fenced(connection, lease);\n}\n\nexport function renew",
    replace: "  if (changes < 0) throw fenced(connection, lease);\n}\n\nexport function renew",
    checks: [sqlite],
  },
  {
    bug: "a transaction that failed half way is committed",
    file: "src/store/sqlite/connection.ts",
    find: "if (db.isTransaction) sql.rollback.run();",
    replace: "if (db.isTransaction) sql.commit.run();",
    checks: [sqlite],
  },
];

const inputs: readonly Mutant[] = [
  {
    bug: "a row of the inbox is delivered twice",
    file: "src/kernel/others.ts",
    find: "        if (this.#known.has(row.seq)) continue;\n",
    replace: "",
    checks: [steps],
  },
  {
    bug: "an input that was consumed stays in the inbox",
    file: "src/kernel/batch.ts",
    find: "this.consumed.flatMap(({ seq }) => (seq === undefined ? [] : [seq]))",
    replace: "this.consumed.flatMap(({ seq }) => (seq === undefined || seq % 7 === 0 ? [] : [seq]))",
    checks: [steps],
  },
  {
    bug: "an input that waits long gets no row",
    file: "src/kernel/awaited.ts",
    find: "      else if (entry.isOld) stageSpill(this.#committer.stage, live, queued);",
    replace: "      else if (entry.isOld) queued.spilled = true;",
    checks: [steps, trees],
  },
  {
    bug: "two inputs of one process change places when a turn runs again",
    file: "src/kernel/runs.ts",
    find: "    live.interrupted = true;\n    live.inputs = [...inputs, ...live.inputs];",
    replace: "    live.interrupted = true;\n    live.inputs = [...live.inputs, ...inputs];",
    checks: [steps],
  },
  {
    bug: "a start by an id that was used before begins a second process's work with other arguments",
    file: "src/kernel/outside.ts",
    find: '(row.argsDigest === request.argsDigest || row.argsDigest === "")',
    replace: '(row.argsDigest === request.argsDigest || row.pid !== "")',
    checks: [steps, tests("test/e2e/engine.test.ts")],
  },
];

const time: readonly Mutant[] = [
  {
    bug: "timers that are set are forgotten until the node starts again",
    file: "src/kernel/turns.ts",
    find: "if (effects.timers.length > 0) this.#ports.timersSet(effects.timers);",
    replace: "",
    checks: [steps],
  },
  {
    bug: "a timer fires twice",
    file: "src/kernel/kernel.ts",
    find: "timer === undefined || timer.fired) return;\n    timer.fired = true;",
    replace: "timer === undefined) return;",
    checks: [steps, trees],
  },
  {
    bug: "service time runs on while nobody owns the process",
    file: "src/kernel/effects.ts",
    find: 'clock === "service" ? dueMs - downtimeMs : dueMs',
    replace: 'clock === "service" ? dueMs - 0 * downtimeMs : dueMs',
    checks: [steps],
  },
  {
    bug: "a process's time goes back when the clock is set back",
    file: "src/kernel/runs.ts",
    find: "Math.max(live.lastTimeMs, Math.trunc(this.#ports.clock.nowMs()), ...inputs.map(firedMs))",
    replace: "Math.max(Math.trunc(this.#ports.clock.nowMs()), ...inputs.map(firedMs))",
    checks: [steps],
  },
];

const recovery: readonly Mutant[] = [
  {
    bug: "a snapshot is said to be of the turn after",
    file: "src/machine/local.ts",
    find: "this.#options.events.snapshots([{ process, turn, body, micros }",
    replace: "this.#options.events.snapshots([{ process, turn: turn + 1, body, micros }",
    checks: [tests("src/machine/loading.test.ts"), tests("test/e2e/kill.test.ts")],
  },
  {
    bug: "the first turn after a snapshot is not replayed",
    file: "src/kernel/runs.ts",
    find: "Math.max(from, (snapshot?.turn ?? 0) + 1)",
    replace: "Math.max(from, (snapshot?.turn ?? -1) + 2)",
    checks: [steps],
  },
  {
    bug: "a damaged turn is handed out as if it were whole",
    file: "src/store/sqlite/checksum.ts",
    find: "if (crc !== checksum(body, process, index, beside)) {",
    replace: "if (crc === undefined) {",
    checks: [sqlite, tests("src/store/sqlite/damage.test.ts")],
  },
  {
    bug: "a snapshot keeps its place when its process has been restored to before it",
    file: "src/kernel/runs.ts",
    find: "snapshots.filter(({ turn }) => stretches.some(({ from, to }) => from <= turn && turn <= to))",
    replace: "snapshots.filter(({ turn }) => stretches.length > 0 && turn > 0)",
    checks: [trees, conformance],
  },
  {
    bug: "operations that were under way when the node died are not taken up again",
    file: "src/kernel/recovery.ts",
    find: "operation === undefined || operation.settled || live",
    replace: "operation === undefined || operation.row.attempt > 0 || live",
    checks: [steps],
  },
];

const operations: readonly Mutant[] = [
  {
    bug: "the start on record is ignored: an at-most-once operation runs a second time",
    file: "src/operations/runner.ts",
    find: 'if (request.doubt !== "none" && mode === "at-most-once") {',
    replace: 'if (request.doubt !== "none" && mode === "at-least-once") {',
    checks: [tests("src/operations/runner.test.ts", "src/operations/runner-endings.test.ts")],
  },
  {
    bug: "an at-most-once operation begins before its start is on record",
    file: "src/operations/runner.ts",
    find: "if (isOnce || job.request?.watched === true) this.#begin(job);",
    replace: "if (!isOnce && job.request?.watched === true) this.#begin(job);",
    checks: [tests("src/operations/runner.test.ts", "src/operations/runner-endings.test.ts")],
  },
  {
    bug: "the outside is asked for an earlier start's effect while its calls may still be under way",
    file: "src/kernel/attempts.ts",
    find: "notBeforeMs: Math.max(nowMs + delayMs, startedAtMs + doubtMs), startedAtMs };",
    replace: "notBeforeMs: nowMs + delayMs + 0 * doubtMs, startedAtMs };",
    checks: [reconcile],
  },
  {
    bug: "what reconcile says of an earlier start is not heeded: it runs again",
    file: "src/operations/runner.ts",
    find: "    if (answer.done) return this.#finish(job, returned(request, answer.value));\n",
    replace: "",
    checks: [reconcile],
  },
  {
    bug: "the idempotency key changes with the attempt",
    file: "src/kernel/attempts.ts",
    find: "  return `${live.row.pid}/${row.number}/${digest}`;",
    replace: "  return `${live.row.pid}/${row.number}/${row.attempt}/${digest}`;",
    checks: [steps],
  },
  {
    bug: "an attempt that nobody waits for any more is not told so",
    file: "src/kernel/attempts.ts",
    find: "if (unsent === -1) this.#ports.runner.abort(token);",
    replace: "if (unsent === -1) this.#paused = this.#stopped;",
    checks: [steps, tests("test/e2e/operations.test.ts")],
  },
  {
    bug: "an operation that kills its node is never quarantined",
    file: "src/kernel/attempts.ts",
    find: "if (deaths >= quarantineDeaths)",
    replace: "if (deaths > 1_000 * quarantineDeaths)",
    checks: [steps],
  },
  {
    bug: "a wait between two attempts is not durable",
    file: "src/kernel/attempts.ts",
    find: "return { notBeforeMs: nowMs + delayMs, startedAtMs: 0 };",
    replace: "return { notBeforeMs: 0 * delayMs, startedAtMs: 0 };",
    checks: [steps, tests("src/operations/runner.property.test.ts"), tests("test/e2e/operations.test.ts")],
  },
];

const processes: readonly Mutant[] = [
  {
    bug: "a link is forgotten when one end leaves memory",
    file: "src/kernel/live.ts",
    find: "  for (const key of links) relations.links.add(key);\n",
    replace: "",
    checks: [trees],
  },
  {
    bug: "a monitor fires twice",
    file: "src/kernel/ties.ts",
    find: "    watcher.relations.monitors.delete(number);\n    this.#pin(watcher);\n",
    replace: "    this.#pin(watcher);\n    this.#down(watcher, number, live.row.pid, ending);\n",
    checks: [trees],
  },
  {
    bug: "a normal exit ends those who are linked",
    file: "src/kernel/runs.ts",
    find: 'return input.held !== "" || (input.reason === "normal" && input.from !== live.row.pid);',
    replace: 'return input.held !== "";',
    checks: [trees, conformance],
  },
  {
    bug: "what a failed child did in its last turn stays done when the turn is undone",
    file: "src/kernel/turns.ts",
    find: 'if (await this.#crashes.hold(live, turn, effects)) return "undone";',
    replace: "await this.#crashes.hold(live, turn, effects);",
    checks: [{ simulate: "trees", seeds: 2_000 }],
  },
  {
    bug: "an exit that came through a link arrives after the process has unlinked",
    file: "src/kernel/ties.ts",
    find: 'input.kind === "exit" && input.linked && input.from === to;',
    replace: 'input.kind === "exit" && input.linked && input.from === to && input.held !== "";',
    checks: [trees],
  },
  {
    bug: "a supervisor gives up one restart too early",
    file: "src/guest/otp/supervisor/intensity.ts",
    find: "return this.#recent <= this.intensity;",
    replace: "return this.#recent < this.intensity;",
    checks: [conformance],
  },
  {
    bug: "a name is kept by a process that has ended",
    file: "src/kernel/turns.ts",
    find: "    this.#ports.names.forget(live.row.key);\n",
    replace: "",
    checks: [trees],
  },
];

const edges: readonly Mutant[] = [
  {
    bug: "what was asked for under a key is done each time it is asked for",
    file: "src/kernel/edges.ts",
    find: "if ((await this.#find(live, edge)) !== undefined) return;",
    replace: "await this.#find(live, edge);",
    checks: [keys],
  },
  {
    bug: "the answer to a call with a key is stored after its turn, not with it",
    file: "src/kernel/edges.ts",
    find: 'stage.edgeEnds.push({ process, ...address, state: "answered", answer });',
    replace:
      'stage.effects.push(() => void this.#ports.committer.stage.edgeEnds.push({ process, ...address, state: "answered", answer }));',
    checks: [keys],
  },
  {
    bug: "a cancel does not reach the children",
    file: "src/kernel/ties.ts",
    find: "for (const child of this.#linkedChildren(live)) {",
    replace: "for (const child of [] as Live[]) {",
    checks: [tests("test/e2e/cancel.test.ts")],
  },
  {
    bug: "the journal does not say what became of operations that nobody waits for",
    file: "src/kernel/dropped.ts",
    find: "return [...left.map(([, operation]) => operation), ...begun].map(droppedOperation);",
    replace: "return [...left.map(([, operation]) => operation), ...begun].slice(0, 0).map(droppedOperation);",
    checks: [tests("test/e2e/cancel.test.ts")],
  },
];

const limits: readonly Mutant[] = [
  {
    bug: "two operations of one customer run at once where one is allowed",
    file: "src/operations/queue.ts",
    find: "this.rowLimits = limits.perRow ?? unlimited;",
    replace: "this.rowLimits = limits.perRow === undefined ? unlimited : { ...limits.perRow, concurrency: 2 };",
    checks: [tests("src/operations/queue.test.ts", "src/operations/runner-flow.test.ts")],
  },
  {
    bug: "a restart gives a rate a second burst",
    file: "src/operations/rate.ts",
    find: "this.#fullAtMs = (rate.burst - 1) * rate.intervalMs;",
    replace: "this.#fullAtMs = 0 * rate.intervalMs;",
    checks: [tests("src/operations/rate.test.ts", "src/operations/queue.test.ts")],
  },
];

const transactions: readonly Mutant[] = [
  {
    bug: "the result of a transactional operation is not in the transaction of what it wrote",
    file: "src/store/sqlite/transactions.ts",
    find: "const seq = this.#ledger?.keep(job, value, atMs);",
    replace: "const seq = atMs < 0 ? this.#ledger?.keep(job, value, atMs) : undefined;",
    checks: [tests("src/store/sqlite.test.ts"), tests("test/e2e/transactions.test.ts")],
  },
  {
    bug: "a transactional operation that nobody waits for any more is carried out",
    file: "src/store/sqlite/transactions.ts",
    find: "if (this.#ledger?.take(job) === false) {",
    replace: "if (this.#ledger?.take(job) === undefined) {",
    checks: [tests("src/store/sqlite.test.ts")],
  },
  {
    bug: "a node that lost its lease commits transactions",
    file: "src/store/sqlite/transactions.ts",
    find: "if (Number(this.#alive.run(atMs, incarnation).changes) === 1) return;",
    replace: "if (Number(this.#alive.run(atMs, incarnation).changes) >= 0) return;",
    checks: [tests("src/store/sqlite.test.ts")],
  },
  {
    bug: "a user's SQL may change the engine's tables",
    file: "src/store/sqlite/authorizer.ts",
    find: "      return constants.SQLITE_DENY;",
    replace: "      return constants.SQLITE_OK;",
    checks: [tests("src/store/sqlite/transactions.test.ts")],
  },
  {
    bug: "an error that a transactional function throws leaves half of its work",
    file: "src/store/sqlite/transactions.ts",
    find: 'this.#db.exec("ROLLBACK TO perdure_job; RELEASE perdure_job");',
    replace: 'this.#db.exec("RELEASE perdure_job");',
    checks: [tests("src/store/sqlite/transactions.test.ts", "src/store/sqlite.test.ts")],
  },
  {
    bug: "on PostgreSQL a transaction commits although its node has given the shard up",
    file: "src/store/postgres/transacting/ledger.ts",
    find: "    step(lockShards, incarnation, processes),\n",
    replace: "",
    checks: [tests("src/store/postgres.test.ts")],
  },
  {
    bug: "on PostgreSQL a commit whose connection was lost is taken for undone",
    file: "src/store/postgres/transacting/lane.ts",
    find: "if (!isKnown) seqs = await this.#resolve(id, atMs);",
    replace: "if (!isKnown && atMs < 0) seqs = await this.#resolve(id, atMs);",
    checks: [tests("src/store/postgres/transactions.test.ts")],
  },
  {
    bug: "the kernel does not know that the store is lent to a transaction",
    file: "src/kernel/batch.ts",
    find: '    this.#lent = "now";',
    replace: "    this.#lent = undefined;",
    checks: [tests("src/kernel/loans.test.ts")],
  },
];

const retention: readonly Mutant[] = [
  {
    bug: "a start by the id of a process that was pruned begins its work a second time",
    file: "src/kernel/registry.ts",
    find: "(await this.#ports.store.tombstone(pid)) ?? (await",
    replace: "undefined ?? (await",
    checks: [tests("src/kernel/retention.test.ts"), tests("test/e2e/retention.test.ts")],
  },
  {
    bug: "a process that is alive is pruned",
    file: "src/store/sqlite/statements.ts",
    find: "prunable: `${selectProcess} WHERE key = ?1 AND state = 'exited'",
    replace: "prunable: `${selectProcess} WHERE key = ?1 AND state <> ''",
    checks: [tests("src/store/sqlite.test.ts")],
  },
];

export const mutants: readonly Mutant[] = [
  ...commits,
  ...inputs,
  ...time,
  ...recovery,
  ...operations,
  ...processes,
  ...edges,
  ...transactions,
  ...retention,
  ...limits,
];
