/**
 * The kernel: processes, turns and commits of one node. It owns no I/O and no clock of its own; given the same ports it
 * does the same things in the same order, which is what the simulator lives on.
 *
 * The life of an input: it arrives (from a caller, a timer, an operation's end, the inbox), waits in its process's queue, goes
 * into a turn, and is durable with that turn's commit. One that has to wait longer than a tick gets a row of its own in the inbox.
 *
 * When a commit fails the kernel is finished: it discards everything uncommitted and says so. Whoever opens the store
 * next goes on from the last commit. There is no other recovery path.
 */
import type { Payload } from "../base/value.ts";
import type { Machine } from "../machine/port.ts";
import type { Lease, ProcessKey, Store, TimerRow } from "../store/port.ts";
import { Alarm } from "./alarm.ts";
import { Attempts } from "./attempts.ts";
import { Awaited } from "./awaited.ts";
import { Committer } from "./batch.ts";
import { Births } from "./births.ts";
import { Duties } from "./duties.ts";
import { Edges } from "./edges.ts";
import { closed, notOpen, toError } from "./errors.ts";
import { grace } from "./grace.ts";
import { Heeds } from "./heeds.ts";
import { newMail } from "./incoming.ts";
import { queueInput } from "./live.ts";
import type { Live, PendingOperation, QueuedInput } from "./live.ts";
import { keepForever } from "./keep.ts";
import { Names } from "./names.ts";
import type { Mail } from "./others.ts";
import { Outside } from "./outside.ts";
import { Moves } from "./moves.ts";
import type { KernelPorts } from "./kernel-ports.ts";
import { Placement } from "./placement.ts";
import { posting } from "./posted.ts";
import { Queries } from "./queries.ts";
import { Recovery } from "./recovery.ts";
import { Registry } from "./registry.ts";
import { Retention } from "./retention.ts";
import { Runs } from "./runs.ts";
import { Shards } from "./shards.ts";
import { Timers } from "./timers.ts";
import { Turns } from "./turns.ts";

export type { KernelPorts } from "./kernel-ports.ts";

export class Kernel {
  readonly #ports: KernelPorts;
  readonly #store: Store;
  readonly #lease: Lease;
  readonly #committer: Committer;
  readonly #attempts: Attempts;
  readonly #alarm: Alarm;
  readonly #registry: Registry;
  readonly #machine: Machine;
  readonly #runs: Runs;
  readonly #queries: Queries;
  readonly #edges: Edges;
  readonly #awaited: Awaited;
  readonly #others: Mail;
  readonly #names: Names;
  readonly #turns: Turns;
  readonly #retention: Retention;
  readonly #shards: Shards;
  readonly #births: Births;
  readonly #placement: Placement;
  readonly #heeds: Heeds;
  readonly #duties: Duties;
  readonly #recovery: Recovery;
  /** What callers may ask for. */
  readonly outside: Outside;
  readonly moves: Moves;
  #nextKey: ProcessKey;
  #state: "opening" | "open" | "closing" | "closed" | "failed" = "opening";
  #failure: Error | undefined;

  /** Becomes the store's owner and takes up what the last one left. */
  static async open(ports: KernelPorts): Promise<Kernel> {
    const lease = ports.lease ?? (await ports.store.claim(ports.clock.nowMs()));
    const kernel = new Kernel(ports, lease);
    await kernel.#recover().catch((error: unknown) => kernel.#fail(toError(error)));
    if (kernel.#failure !== undefined) throw kernel.#failure;
    kernel.#state = "open";
    return kernel;
  }

  private constructor(ports: KernelPorts, lease: Lease) {
    this.#ports = ports;
    this.#store = ports.store;
    this.#lease = lease;
    this.#nextKey = lease.nextProcessKey;
    const { clock, store, defer, events } = ports;
    const failed = (error: Error): void => this.#fail(error);
    this.#committer = new Committer({
      store,
      defer,
      failed,
      nowMs: () => clock.nowMs(),
      after: (delayMs, fn) => clock.after(delayMs, fn),
      busy: () => this.#runs.busy,
      stored: (seq) => this.#others.know(seq),
    });
    this.#awaited = new Awaited(this.#committer);
    this.#shards = this.#newShards();
    this.#others = newMail({
      store,
      committer: this.#committer,
      shards: this.#shards,
      registry: () => this.#registry,
      edges: () => this.#edges,
      turns: () => this.#turns,
      enqueue: (live, queued) => this.#enqueue(live, queued),
    });
    this.#alarm = new Alarm({
      clock,
      timers: new Timers(store, lease.downtimeMs),
      fire: (process, number, nowMs) => this.#fire(process, number, nowMs),
      failed: (error) => failed(toError(error)),
    });
    this.#machine = ports.machine({
      turns: (results) => this.#guard(() => this.#runs.finished(results)),
      snapshots: (results) => this.#guard(() => this.#runs.snapshots(results)),
      failed,
    });
    this.#registry = this.#newRegistry();
    this.#placement = this.#newPlacement();
    this.#births = this.#newBirths();
    this.#runs = this.#newRuns();
    this.#queries = new Queries({ machine: this.#machine, runs: this.#runs, events, failed });
    this.#edges = this.#newEdges();
    this.#attempts = this.#newAttempts();
    this.#recovery = new Recovery({ ...this.#common(), alarm: this.#alarm });
    this.#names = new Names({ store, committer: this.#committer });
    this.#turns = this.#newTurns();
    this.moves = this.#newMoves();
    this.#heeds = new Heeds({
      clock,
      posted: { moves: this.moves, committer: this.#committer, clock, defer, failed, ...posting(store, clock) },
      committer: this.#committer,
      shards: this.#shards,
      turns: this.#turns,
      events,
      run: (work) => this.#run(work),
    });
    this.#retention = this.#newRetention();
    this.#duties = this.#newDuties();
    this.outside = this.#newOutside();
    if (ports.still === true) {
      this.#runs.stop();
      this.#attempts.pause();
    }
    store.sharing?.listen(() => this.#duties.hinted());
    this.#duties.begin();
  }

  #newPlacement(): Placement {
    const { traits, refusal = () => undefined, offers = () => Promise.resolve(false) } = this.#ports;
    return new Placement({
      ...this.#common(),
      incarnation: this.#lease.incarnation,
      traits,
      refusal,
      offers,
      wake: (live) => {
        this.#attempts.resume(live);
        this.#runs.ready(live);
      },
    });
  }

  #newBirths(): Births {
    return new Births({
      ...this.#common(),
      sharing: this.#store.sharing,
      placement: this.#placement,
      place: this.#ports.place,
      isOver: () => this.#state === "closed" || this.#state === "failed",
      failed: (error) => this.#fail(error),
    });
  }

  #newRuns(): Runs {
    const { store, clock, events } = this.#ports;
    return new Runs({
      store,
      clock,
      failed: (error) => this.#fail(error),
      machine: this.#machine,
      held: (key) => this.#registry.get(key),
      committer: this.#committer,
      events,
      done: (live, turn) => this.#turns.done(live, turn),
      dropped: (live, queued) => this.#turns.ties.refuse(live, queued),
      broke: (live) => this.#broke(live),
      looked: (live) => this.#queries.holds(live) || this.#shards.newcomer(live.row) !== undefined,
      refused: (live) => this.#placement.refuses(live),
    });
  }

  #newAttempts(): Attempts {
    const { clock, events } = this.#ports;
    return new Attempts({
      runner: this.#ports.runner((reports) => this.#guard(() => this.#attempts.report(reports))),
      clock,
      committer: this.#committer,
      events,
      lease: this.#lease,
      mayRun: (live) => this.#placement.mayRun(live),
      settled: (live, operation, ok, value, seq) => this.#operationSettled(live, operation, ok, value, seq),
      unwanted: (seq) => this.#forgetRow(seq),
      failed: (error) => this.#fail(error),
    });
  }

  #newDuties(): Duties {
    return new Duties({
      ...this.#common(),
      state: () => (this.#state === "opening" || this.#state === "open" ? this.#state : "over"),
      alarm: this.#alarm,
      placement: this.#placement,
      mail: this.#others,
      retention: this.#retention,
      lease: this.#lease,
    });
  }

  #newRegistry(): Registry {
    return new Registry({
      store: this.#store,
      clock: this.#ports.clock,
      isMine: this.#shards.isMine,
      era: () => this.#shards.era,
      checkOpen: () => this.#checkOpen(),
      drop: (live) => {
        this.#machine.drop(live.row.key);
        this.#queries.dropped(live);
      },
      loaded: (live) => this.#loaded(live),
      damaged: (live, problem) => this.#runs.breaks(live, problem),
    });
  }

  #newShards(): Shards {
    const { store, clock } = this.#ports;
    return new Shards({
      sharing: store.sharing,
      incarnation: this.#lease.incarnation,
      clock,
      committer: this.#committer,
      lives: () => this.#registry.lives(),
      adopt: (shards) => this.#recovery.adopt(shards),
      committed: () => this.#awaited.commit(),
      caughtUp: () => this.#others.caughtUp(),
      ready: (process) => this.#runs.readyAgain(process),
      spill: (lives) => this.#awaited.spillAll((live) => lives.includes(live)),
      leaving: (live) => this.#queries.leaving(live),
      left: (lives) => {
        for (const live of lives) this.#left(live);
        this.#registry.rejectElsewhere();
      },
    });
  }

  #left(live: Live): void {
    for (const operation of live.operations.values()) this.#attempts.abort(operation);
    this.#registry.leave(live);
    this.#ports.events.left?.(live.row.pid);
    this.#edges.stopped(live.row.key);
  }

  #newEdges(): Edges {
    return new Edges({
      store: this.#store,
      clock: this.#ports.clock,
      committer: this.#committer,
      shared: this.#shards.isShared,
      activate: (to) => this.outside.find(to),
      submit: (live, queued) => this.outside.submit(live, queued),
    });
  }

  /** What several parts need, as far as it is there. */
  #common() {
    return {
      store: this.#store,
      clock: this.#ports.clock,
      events: this.#ports.events,
      committer: this.#committer,
      registry: this.#registry,
      names: this.#names,
      attempts: this.#attempts,
      awaited: this.#awaited,
      edges: this.#edges,
      births: this.#births,
      shards: this.#shards,
      isMine: this.#shards.isMine,
      downtimeMs: this.#lease.downtimeMs,
      checkOpen: () => this.#checkOpen(),
      run: (work: Promise<unknown>) => this.#run(work),
      newKey: () => this.#nextKey++,
      enqueue: (live: Live, queued: QueuedInput) => this.#enqueue(live, queued),
      timersSet: (rows: readonly TimerRow[]) => this.#alarm.add(rows),
    };
  }

  #newTurns(): Turns {
    const { random, env, newest } = this.#ports;
    return new Turns({
      ...this.#common(),
      random,
      env,
      newest,
      shared: this.#shards.isShared,
      cut: (process, tie) => this.#others.cut(process, tie, this.#awaited.commit()),
      committed: (live) => this.#runs.committed(live),
      ready: (live) => this.#runs.ready(live),
    });
  }

  #newOutside(): Outside {
    const { random } = this.#ports;
    return new Outside({ ...this.#common(), random, turns: this.#turns, queries: this.#queries });
  }

  #newMoves(): Moves {
    return new Moves({
      ...this.#common(),
      ties: this.#turns.ties,
      find: (pid) => this.outside.find(pid),
      control: (live, kind) => this.#turns.control(live, kind),
      ...posting(this.#store, this.#ports.clock),
    });
  }

  #newRetention(): Retention {
    const { store, events, keep = keepForever, deployed = () => [], archive } = this.#ports;
    return new Retention({
      store,
      archive,
      deployed,
      policy: keep,
      busy: () => !this.#committer.idle || this.#runs.busy,
      writable: () => this.#committer.back(),
      kept: (pid, why) =>
        events.notice({ kind: "not-pruned", pid, message: `${pid === "" ? "Something" : "It"} is not pruned: ${why}` }),
    });
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Service time: stands still while nobody owns the store. */
  get serviceMs(): number {
    return this.#ports.clock.nowMs() - this.#lease.downtimeMs;
  }

  get incarnation(): number {
    return this.#lease.incarnation;
  }

  /** Resolves when all is heard that others had written for this node's processes before now. */
  caughtUp(): Promise<void> {
    return this.#others.caughtUp();
  }

  /** Resolves at a moment at which the store is not lent: what is written beside the kernel shall not wait for user code. */
  back(): Promise<void> {
    return this.#committer.back();
  }

  /** The first half of closing: no attempt begins any more, while those under way may still report. */
  drain(): void {
    this.#attempts.pause();
  }

  /**
   * Finishes the turns that are running (for at most `graceMs`; what takes longer runs again later), commits, and gives
   * the lease back. Operations that are still running will be run again by the store's next owner. If the kernel fails on
   * the way, the lease is not given back: `events.failed` says why.
   */
  async close(graceMs: number): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#duties.stop();
    await this.#transacted(graceMs);
    this.#attempts.stop();
    this.#runs.stop();
    await grace(this.#ports.clock, graceMs, this.#runs.idle());
    // What callers were promised, and results that have no turn yet, stay in the inbox.
    this.#awaited.spillAll();
    await this.#committer.settled();
    if (this.#failure !== undefined) return;
    this.#end("closed", closed());
    await this.#machine.close();
    if (this.#shards.hasTakenUp) await this.#store.release(this.#ports.clock.nowMs());
  }

  /** What a transaction has committed is heard of before reports are closed out. One that takes too long is not waited for. */
  async #transacted(graceMs: number): Promise<void> {
    this.#attempts.pause();
    const { transacted = Promise.resolve() } = this.#attempts;
    await grace(this.#ports.clock, graceMs, transacted);
  }

  // -- inputs ---------------------------------------------------------------------------------------------------

  #loaded(live: Live): void {
    this.#placement.loaded(live);
    for (const { seq } of live.inputs) if (seq !== undefined) this.#others.know(seq);
    if (this.#shards.isShared) this.#turns.loaded(live);
    const heeded = new Set([...live.inputs].filter((queued) => this.#heeds.heed(live, queued)));
    live.inputs = live.inputs.filter((queued) => !queued.consumed && !heeded.has(queued));
    this.#runs.ready(live);
  }

  #enqueue(live: Live, queued: QueuedInput): void {
    if (this.#heeds.heed(live, queued)) return;
    live.inputs.push(queued);
    // A kill does not wait for the turn that is running.
    if (queued.input.kind === "fatal" && live.running !== undefined) this.#machine.kill(live.row.key);
    this.#runs.ready(live);
  }

  #broke(live: Live): void {
    this.#registry.broke(live);
    this.#edges.stopped(live.row.key);
  }

  /** `seq`: a transaction has made it durable already. */
  #operationSettled(live: Live, operation: PendingOperation, ok: boolean, value: Payload, seq?: number): void {
    const input = { kind: "result", operation: operation.row.number, ok, value } as const;
    const queued = queueInput(input, this.#ports.clock.nowMs(), undefined, seq);
    if (seq === undefined) this.#awaited.add(live, queued);
    else this.#others.know(seq);
    this.#enqueue(live, queued);
  }

  #forgetRow(seq: number): void {
    this.#others.know(seq);
    this.#committer.stage.inboxGone.push(seq);
  }

  // -- time -----------------------------------------------------------------------------------------------------

  async #fire(process: ProcessKey, number: number, nowMs: number): Promise<void> {
    const live = await this.#registry.activateKey(process);
    const timer = live?.timers.get(number);
    if (live === undefined || timer === undefined || timer.fired) return;
    timer.fired = true;
    this.#enqueue(live, queueInput({ kind: "timer", timer: number }, nowMs));
  }

  // -- recovery -------------------------------------------------------------------------------------------------

  async #recover(): Promise<void> {
    await this.#names.load();
    await this.#placement.look();
    const { sharing } = this.#store;
    if (sharing === undefined) await this.#recovery.takeUp(this.#lease.cleanShutdown);
    else await this.#shards.balance(sharing, this.#ports.clock.nowMs());
    await this.#alarm.ring();
  }

  // -- the end --------------------------------------------------------------------------------------------------

  #checkOpen(): void {
    if (this.#state !== "open") throw notOpen(this.#state === "failed");
  }

  #guard(fn: () => void): void {
    if (this.#state !== "failed" && this.#state !== "closed") fn();
  }

  #run(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#fail(toError(error)));
  }

  #fail(error: Error): void {
    if (this.#state === "failed" || this.#state === "closed") return;
    const isOpening = this.#state === "opening";
    this.#failure = error;
    this.#duties.stop();
    this.#attempts.stop();
    this.#runs.stop();
    this.#end("failed", error);
    void this.#machine.close();
    // Whoever opens it is told by the failing call.
    if (!isOpening) this.#ports.events.failed(error);
  }

  #end(state: "closed" | "failed", error: Error): void {
    this.#state = state;
    this.#committer.kill();
    this.#awaited.reject(error);
    this.#registry.rejectWaiters(error);
    this.#queries.reject(error);
    this.#edges.reject(error);
  }
}
