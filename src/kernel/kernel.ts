/**
 * The kernel: processes, turns and commits of one node. It owns no I/O and no clock of its own; given the same ports it
 * does the same things in the same order, which is what the simulator lives on.
 *
 * The life of an input: it arrives (from a caller, a timer, an operation's end, the inbox), waits in its process's queue, goes
 * into a turn, and is durable with that turn's commit. One that has to wait longer than `spillAfterMs` gets a row of its own in the inbox.
 *
 * When a commit fails the kernel is finished: it discards everything uncommitted and says so. Whoever opens the store
 * next goes on from the last commit. There is no other recovery path.
 */
import { PerdureError } from "../base/errors.ts";
import type { Clock, Random } from "../base/ports.ts";
import type { Payload } from "../base/value.ts";
import type { Input, Pid } from "../journal/types.ts";
import type { Machine, MachineEvents } from "../machine/port.ts";
import type { Lease, ProcessExit, ProcessKey, ProcessRow, Store } from "../store/port.ts";
import { Attempts } from "./attempts.ts";
import { Committer } from "./batch.ts";
import { turnEffects } from "./effects.ts";
import type { FinishedTurn, TurnEffects } from "./effects.ts";
import { newLive, queueInput } from "./live.ts";
import type { Live, PendingOperation, QueuedInput } from "./live.ts";
import type { KernelEvents, OperationReport, OperationRunner } from "./ports.ts";
import { gone, Registry } from "./registry.ts";
import { Runs } from "./runs.ts";
import type { DoneOutcome } from "./runs.ts";
import { stageMessage, stageSpill, stageTurn } from "./staging.ts";
import type { StagedOperations } from "./staging.ts";
import { Timers } from "./timers.ts";

export interface KernelPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  /** Runs `fn` after the events that are already waiting. */
  readonly defer: (fn: () => void) => void;
  readonly machine: (events: MachineEvents) => Machine;
  readonly runner: (report: (reports: readonly OperationReport[]) => void) => OperationRunner;
  readonly events: KernelEvents;
}

export interface StartRequest {
  readonly pid: Pid;
  readonly program: string;
  readonly entry: string;
  readonly args: Payload;
  /** SHA-256 of entry and arguments, hex. */
  readonly argsDigest: string;
  readonly env: Readonly<Record<string, string>>;
}

const tickMs = 20;
/** An input from outside that could not be committed with a turn for so long gets a row of its own. */
const spillAfterMs = 20;
const pollOthersMs = 100;
const renewMs = 5_000;

export class Kernel {
  readonly #ports: KernelPorts;
  readonly #store: Store;
  readonly #lease: Lease;
  readonly #committer: Committer;
  readonly #attempts: Attempts;
  readonly #timers: Timers;
  readonly #registry: Registry;
  readonly #machine: Machine;
  readonly #runs: Runs;
  /** Inputs from outside and results whose durability is pending. */
  readonly #awaited = new Set<{ live: Live; queued: QueuedInput }>();
  #inboxSeen = 0;
  #stopTimer: () => void = () => undefined;
  #stopTick: () => void = () => undefined;
  #alarmMs = Infinity;
  #nextKey: ProcessKey;
  #lastRenewMs: number;
  #lastPollMs = 0;
  #state: "open" | "closing" | "closed" | "failed" = "open";

  /** Becomes the store's owner and takes up what the last one left. */
  static async open(ports: KernelPorts): Promise<Kernel> {
    const lease = await ports.store.claim(ports.clock.nowMs());
    const kernel = new Kernel(ports, lease);
    await kernel.#recover();
    return kernel;
  }

  private constructor(ports: KernelPorts, lease: Lease) {
    this.#ports = ports;
    this.#store = ports.store;
    this.#lease = lease;
    this.#nextKey = lease.nextProcessKey;
    this.#lastRenewMs = ports.clock.nowMs();
    const { clock, store, defer, events } = ports;
    const failed = (error: Error): void => this.#fail(error);
    this.#committer = new Committer({
      store,
      defer,
      failed,
      nowMs: () => clock.nowMs(),
      after: (delayMs, fn) => clock.after(delayMs, fn),
      busy: () => this.#runs.busy,
    });
    this.#timers = new Timers(store, lease.downtimeMs);
    this.#machine = ports.machine({
      turns: (results) => this.#guard(() => this.#runs.finished(results)),
      snapshots: (results) => this.#guard(() => this.#runs.snapshots(results)),
      failed,
    });
    this.#registry = new Registry({
      store,
      clock,
      drop: (key) => this.#machine.drop(key),
      loaded: (live) => this.#runs.ready(live),
    });
    this.#runs = new Runs({
      store,
      clock,
      failed,
      machine: this.#machine,
      committer: this.#committer,
      events,
      done: (live, turn) => this.#turnDone(live, turn),
      broke: (live) => this.#registry.broke(live),
    });
    this.#attempts = new Attempts({
      runner: ports.runner((reports) => this.#guard(() => this.#attempts.report(reports))),
      clock,
      committer: this.#committer,
      events,
      incarnation: lease.incarnation,
      settled: (live, operation, ok, value) => this.#operationSettled(live, operation, ok, value),
    });
    this.#tick();
  }

  get incarnation(): number {
    return this.#lease.incarnation;
  }

  // -- what callers ask for -------------------------------------------------------------------------------------

  /**
   * Starts a process, or finds the one that was started by this id before. Resolves when it is durable. Throws
   * PROCESS_ID_CONFLICT if that one has another entry or other arguments.
   */
  async start(request: StartRequest): Promise<{ readonly pid: Pid; readonly created: boolean }> {
    this.#checkOpen();
    const known = await this.#registry.find(request.pid);
    this.#checkOpen();
    if (known !== undefined) return { pid: await this.#startedBefore(known, request), created: false };
    const { pid, program, entry, args, argsDigest, env } = request;
    const startedAtMs = this.#ports.clock.nowMs();
    const row: ProcessRow = {
      key: this.#nextKey++,
      pid,
      program,
      entry,
      argsDigest,
      state: "running",
      problem: "",
      startedAtMs,
    };
    const live = newLive(row, true);
    this.#registry.add(live);
    await this.#submit(live, { kind: "start", entry, args, seed: this.#ports.random.bytes(32), env });
    return { pid, created: true };
  }

  async #startedBefore(found: Live | ProcessRow, request: StartRequest): Promise<Pid> {
    const row = "row" in found ? found.row : found;
    if (row.entry !== request.entry || row.argsDigest !== request.argsDigest) {
      const message = `A process with the id ${JSON.stringify(request.pid)} was started before, as ${JSON.stringify(row.entry || "default")}, with ${row.entry === request.entry ? "other arguments" : "another entry"}. Use another id for another piece of work.`;
      throw new PerdureError("PROCESS_ID_CONFLICT", message, { details: { pid: request.pid } });
    }
    // Its first start may still be on its way to the store; then this caller waits for the same commit.
    if ("row" in found && found.isNew)
      await new Promise<void>((resolve) => this.#committer.stage.effects.push(resolve));
    return row.pid;
  }

  /** Delivers a message from outside. Resolves when it is durable. Throws PROCESS_NOT_FOUND, PROCESS_EXITED. */
  async send(pid: Pid, body: Payload): Promise<void> {
    await this.#submit(await this.#alive(pid), { kind: "message", from: "", body });
  }

  async cancel(pid: Pid, reason: string): Promise<void> {
    await this.#submit(await this.#alive(pid), { kind: "cancel", reason });
  }

  /** Ends a process at once, in mid-turn if it must be. Resolves when that is durable. */
  async kill(pid: Pid): Promise<void> {
    await this.#submit(await this.#alive(pid), { kind: "fatal", reason: "killed", detail: "Killed." });
  }

  /** Lets a quarantined operation go on. */
  async retry(pid: Pid, number: number): Promise<boolean> {
    const live = await this.#alive(pid);
    const operation = live.operations.get(number);
    if (operation?.row.state !== "quarantined") return false;
    this.#attempts.release(live, operation);
    return true;
  }

  /** The exit, as soon as it is durable. Throws PROCESS_NOT_FOUND; PROCESS_DIVERGED or PROCESS_BROKEN if it cannot go on. */
  async exit(pid: Pid): Promise<ProcessExit> {
    this.#checkOpen();
    return await this.#registry.exit(pid);
  }

  /** The first half of closing: no attempt begins any more, while those under way may still report. */
  drain(): void {
    this.#attempts.pause();
  }

  /**
   * Finishes the turns that are running (for at most `graceMs`; what takes longer runs again later), commits, and gives
   * the lease back. Operations that are still running will be run again by the store's next owner.
   */
  async close(graceMs: number): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#stopTimer();
    this.#stopTick();
    this.#attempts.stop();
    this.#runs.stop();
    await Promise.race([this.#runs.idle(), new Promise<void>((resolve) => this.#ports.clock.after(graceMs, resolve))]);
    // What callers were promised, and results that have no turn yet, stay in the inbox.
    for (const { live, queued } of this.#awaited)
      if (!queued.consumed && !queued.spilled && !gone(live)) stageSpill(this.#committer.stage, live, queued);
    await this.#committer.settled();
    this.#end(
      "closed",
      new PerdureError("ENGINE_CLOSED", "The engine was closed. The process goes on when the store is opened again."),
    );
    await this.#machine.close();
    await this.#store.release(this.#ports.clock.nowMs());
  }

  // -- inputs ---------------------------------------------------------------------------------------------------

  #submit(live: Live, input: Input): Promise<void> {
    return new Promise((resolve, reject) => {
      const queued = queueInput(input, this.#ports.clock.nowMs(), settle(resolve, reject));
      this.#awaited.add({ live, queued });
      this.#enqueue(live, queued);
    });
  }

  #enqueue(live: Live, queued: QueuedInput): void {
    live.inputs.push(queued);
    // A kill does not wait for the turn that is running.
    if (queued.input.kind === "fatal" && live.running !== undefined) this.#machine.kill(live.row.key);
    this.#runs.ready(live);
  }

  #operationSettled(live: Live, operation: PendingOperation, ok: boolean, value: Payload): void {
    const queued = queueInput(
      { kind: "result", operation: operation.row.number, ok, value },
      this.#ports.clock.nowMs(),
    );
    this.#awaited.add({ live, queued });
    this.#enqueue(live, queued);
  }

  async #alive(pid: Pid): Promise<Live> {
    this.#checkOpen();
    const live = await this.#registry.activate(pid);
    this.#checkOpen();
    if (gone(live)) throw exited(pid);
    return live;
  }

  // -- turns ----------------------------------------------------------------------------------------------------

  /** A turn ran: stage all it did, and let what may be seen be seen after the commit. */
  #turnDone(
    live: Live,
    turn: Omit<FinishedTurn, "commands" | "digests"> & { outcome: DoneOutcome },
  ): Promise<void> | undefined {
    const effects = turnEffects(live, { ...turn, ...turn.outcome }, this.#lease.downtimeMs);
    if (effects.sends.length === 0) {
      this.#stage(live, effects, turn.inputs);
      return undefined;
    }
    // Receivers are looked up first, so that the messages are part of the sender's commit.
    return Promise.all(effects.sends.map(({ to }) => this.#registry.activateIfAlive(to))).then((receivers) => {
      this.#stage(live, effects, turn.inputs);
      for (const [index, receiver] of receivers.entries()) {
        const body = effects.sends[index]?.body;
        if (receiver === undefined || body === undefined) continue;
        const queued = queueInput({ kind: "message", from: live.row.pid, body }, this.#ports.clock.nowMs());
        stageMessage(this.#committer.stage, receiver, queued, () => {
          if (!gone(receiver)) this.#enqueue(receiver, queued);
        });
      }
    });
  }

  #stage(live: Live, effects: TurnEffects, inputs: readonly QueuedInput[]): void {
    const { stage } = this.#committer;
    const operations = stageTurn(stage, live, effects, inputs);
    stage.effects.push(() => this.#committed(live, effects, inputs, operations));
  }

  #committed(
    live: Live,
    effects: TurnEffects,
    inputs: readonly QueuedInput[],
    { begun, aborted }: StagedOperations,
  ): void {
    live.uncommitted--;
    live.isNew = false;
    for (const queued of inputs) queued.onDurable?.();
    for (const row of effects.timers) this.#timers.add(row);
    if (effects.timers.length > 0) this.#setAlarm();
    if (effects.logs.length > 0) {
      const { pid, program } = live.row;
      this.#ports.events.logs(effects.logs.map(({ level, text, atMs }) => ({ pid, program, level, text, atMs })));
    }
    for (const operation of aborted) this.#attempts.abort(operation);
    if (effects.exit !== undefined) return this.#exited(live, effects.exit);
    for (const operation of begun) this.#attempts.begin(live, operation);
    this.#runs.committed(live);
  }

  #exited(live: Live, exit: ProcessExit): void {
    for (const operation of live.operations.values()) this.#attempts.abort(operation);
    live.row = { ...live.row, state: "exited", exit };
    for (const queued of live.inputs) queued.onDurable?.(exited(live.row.pid));
    this.#registry.exited(live, exit);
    this.#ports.events.exited([{ pid: live.row.pid, exit }]);
  }

  // -- time -----------------------------------------------------------------------------------------------------

  #setAlarm(): void {
    const nextMs = this.#timers.nextMs;
    if (nextMs >= this.#alarmMs || this.#state !== "open") return;
    this.#stopTimer();
    this.#alarmMs = nextMs;
    this.#stopTimer = this.#ports.clock.after(Math.max(0, nextMs - this.#ports.clock.nowMs()), () => {
      this.#alarmMs = Infinity;
      this.#run(this.#ring());
    });
  }

  async #ring(): Promise<void> {
    const nowMs = this.#ports.clock.nowMs();
    await this.#timers.lookAhead(nowMs);
    for (const { process, number } of this.#timers.due(nowMs)) {
      const live = await this.#registry.activateKey(process);
      const timer = live?.timers.get(number);
      if (live === undefined || timer === undefined || timer.fired) continue;
      timer.fired = true;
      this.#enqueue(live, queueInput({ kind: "timer", timer: number }, nowMs));
    }
    this.#setAlarm();
  }

  /** Small regular duties: spilling, the lease, other writers, forgetting processes at rest. */
  #tick(): void {
    this.#stopTick = this.#ports.clock.after(tickMs, () => {
      if (this.#state !== "open") return;
      const nowMs = this.#ports.clock.nowMs();
      this.#spill(nowMs);
      // The alarm counts elapsed time; a wall clock that was set forward is noticed here.
      if (this.#timers.nextMs < nowMs - tickMs) this.#run(this.#ring());
      this.#registry.forget(nowMs);
      this.#run(this.#duties(nowMs));
      this.#tick();
    });
  }

  async #duties(nowMs: number): Promise<void> {
    if (Math.abs(nowMs - this.#lastRenewMs) >= renewMs) {
      this.#lastRenewMs = nowMs;
      await this.#store.renew(nowMs);
    }
    if (Math.abs(nowMs - this.#lastPollMs) < pollOthersMs) return;
    this.#lastPollMs = nowMs;
    if (await this.#store.changedByOthers()) await this.#readInbox();
  }

  #spill(nowMs: number): void {
    for (const entry of this.#awaited) {
      const { live, queued } = entry;
      if (queued.consumed || queued.spilled || gone(live)) this.#awaited.delete(entry);
      else if (Math.abs(nowMs - queued.arrivedMs) >= spillAfterMs) stageSpill(this.#committer.stage, live, queued);
    }
  }

  // -- recovery -------------------------------------------------------------------------------------------------

  async #recover(): Promise<void> {
    const { operations, withInbox } = await this.#store.recover();
    const keys = new Set([...withInbox, ...operations.map(({ process }) => process)]);
    for (const key of keys) {
      const live = await this.#registry.activateKey(key);
      if (live === undefined) continue;
      for (const operation of live.operations.values()) {
        if (!operation.settled) this.#attempts.recover(live, operation, !this.#lease.cleanShutdown);
      }
    }
    await this.#ring();
  }

  /** What others have posted since. */
  async #readInbox(): Promise<void> {
    for (;;) {
      const rows = await this.#store.inboxAfter(this.#inboxSeen, 500);
      for (const row of rows) {
        this.#inboxSeen = Math.max(this.#inboxSeen, row.seq);
        const live = await this.#registry.activateKey(row.process);
        if (
          live === undefined ||
          live.inputs.some(({ seq }) => seq === row.seq) ||
          live.running?.some(({ seq }) => seq === row.seq)
        )
          continue;
        this.#enqueue(live, queueInput(row.input, row.atMs, undefined, row.seq));
      }
      if (rows.length < 500) return;
    }
  }

  // -- the end --------------------------------------------------------------------------------------------------

  #checkOpen(): void {
    if (this.#state === "open") return;
    if (this.#state === "failed")
      throw new PerdureError("ENGINE_FAILED", "The engine has stopped because of a failure; open it again to go on.");
    throw new PerdureError("ENGINE_CLOSED", "The engine is closed.");
  }

  #guard(fn: () => void): void {
    if (this.#state === "open" || this.#state === "closing") fn();
  }

  #run(work: Promise<void>): void {
    work.catch((error: unknown) => this.#fail(error instanceof Error ? error : new Error(String(error))));
  }

  #fail(error: Error): void {
    if (this.#state === "failed" || this.#state === "closed") return;
    this.#stopTimer();
    this.#stopTick();
    this.#committer.kill();
    this.#attempts.stop();
    this.#runs.stop();
    this.#end("failed", error);
    void this.#machine.close();
    this.#ports.events.failed(error);
  }

  #end(state: "closed" | "failed", error: Error): void {
    this.#state = state;
    for (const { queued } of this.#awaited) if (!queued.consumed && !queued.spilled) queued.onDurable?.(error);
    this.#registry.rejectWaiters(error);
  }
}

function settle(resolve: () => void, reject: (error: Error) => void): (error?: Error) => void {
  return (error) => (error === undefined ? resolve() : reject(error));
}

function exited(pid: Pid): PerdureError {
  return new PerdureError("PROCESS_EXITED", `The process ${JSON.stringify(pid)} has already exited.`, {
    details: { pid },
  });
}
