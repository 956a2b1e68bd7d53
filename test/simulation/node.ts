/** A simulated node: a kernel with the ports it is given, each of which may be the last thing it ever calls. */
import type { Clock } from "../../src/base/ports.ts";
import { keepForever } from "../../src/kernel/keep.ts";
import { Kernel } from "../../src/kernel/kernel.ts";
import type { KernelPorts } from "../../src/kernel/kernel.ts";
import type { KernelEvents, OperationReport, OperationRequest, OperationRunner } from "../../src/kernel/ports.ts";
import type { Machine, MachineEvents } from "../../src/machine/port.ts";
import type { OperationRow, ProcessKey } from "../../src/store/port.ts";
import { PerdureError } from "../../src/base/errors.ts";
import { MemoryStore, MemoryTransactions } from "../../src/store/memory/index.ts";
import type { Fault, StoreCall } from "../../src/store/memory/index.ts";
import type { FaultKind, Port } from "./counts.ts";
import type { Dice } from "./dice.ts";
import type { Faults } from "./faults.ts";
import { SimulatedHost } from "./host.ts";
import type { WatchedDisk } from "./watched-disk.ts";
import { SimulatedMachine } from "./machine.ts";
import type { Heaps } from "./machine.ts";
import type { Outside } from "./outside.ts";
import type { Scope, Timeline } from "./timeline.ts";

/** What a node needs of the run it is part of. */
export interface NodeWorld {
  readonly timeline: Timeline;
  readonly dice: Dice;
  readonly faults: Faults;
  readonly disk: WatchedDisk;
  readonly ledger: { operationRow(process: ProcessKey, number: number): OperationRow | undefined };
  readonly outside: Outside;
  readonly heaps: Heaps;
  /** How long processes are kept after their end. */
  readonly keepMs: number;
  readonly unloadable: ReadonlySet<string>;
  /** What the kernel tells the layer above. */
  readonly events: Pick<KernelEvents, "logs" | "exited" | "notice">;
  /** Where several nodes own the store: how often what was posted comes late, and how late, in ms. */
  readonly lateMail?: { readonly share: number; readonly longestMs: number };
  /** Where several nodes own the store: the shard of a new process. */
  readonly place?: (birth: { readonly pid: string; readonly parent: string }) => number | undefined;
  /** Where several nodes own the store: which labels they have. */
  readonly labels?: { of(node: number): readonly string[]; mayRun(node: number, pid: string): boolean };
  complain(problem: string): void;
  note(what: string, ...facts: readonly unknown[]): void;
  ran(pid: string, turn: number): void;
  saidFatal(pid: string): void;
  opened(node: SimulatedNode): void;
  /**
   * It stopped by itself, or could not be opened or closed: its callers must have heard of it soon. `isSaid`: by an event, and
   * not by the call that failed.
   */
  failed(node: SimulatedNode, isSaid: boolean): void;
  closed(node: SimulatedNode): void;
  /** It is gone, and whoever waits for it waits for ever. */
  died(node: SimulatedNode): void;
}

/** How far a machine's clock is from the right time, and how much it gains, as a share of the time that passes. */
export interface Skew {
  readonly offsetMs: number;
  readonly drift: number;
}

const rightTime: Skew = { offsetMs: 0, drift: 0 };

/** One for each: what waits for a promise is held by it. */
const never = (): Promise<never> => new Promise(() => undefined);

export type NodeState = "opening" | "open" | "draining" | "closing" | "closed" | "failed" | "dead";

export class SimulatedNode {
  readonly number: number;
  readonly scope: Scope = { ended: false };
  /** Of what was asked of its store: that goes on while the node is stopped. */
  readonly #storeScope: Scope = { ended: false };
  readonly #world: NodeWorld;
  #skew: Skew;
  readonly #bornMs: number;
  /** It cannot reach its store: calls wait for this, or are lost. */
  #cut: { readonly healed: Promise<void>; readonly heal: () => void; readonly isLossy: boolean } | undefined;
  #goesOn: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;
  readonly #store: MemoryStore;
  #kernel: Kernel | undefined;
  #machine: SimulatedMachine | undefined;
  #host!: SimulatedHost;
  state: NodeState = "opening";
  /** Processes that it gives up in this moment. */
  readonly #leaving = new Set<string>();

  constructor(number: number, world: NodeWorld, skew: Skew = rightTime) {
    this.number = number;
    this.#world = world;
    this.#skew = skew;
    this.#bornMs = world.timeline.nowMs;
    this.#store = new MemoryStore(world.disk, {
      decide: (call) => this.#atStore(call),
      landed: (waiting) => world.faults.landed(waiting),
      ...(world.disk.owners === undefined ? {} : { answered: () => this.#goesOn?.promise }),
      crashed: () => this.die("at its store"),
    });
  }

  /** While it is open, and can be reached. */
  get kernel(): Kernel | undefined {
    return this.state === "open" && this.#goesOn === undefined ? this.#kernel : undefined;
  }

  /** What the store knows it by. */
  get handle(): object {
    return this.#store;
  }

  /** What its machine's clock shows. */
  get wallMs(): number {
    const { timeline } = this.#world;
    const { offsetMs, drift } = this.#skew;
    return timeline.wallMs + offsetMs + Math.floor((timeline.nowMs - this.#bornMs) * drift);
  }

  setClock(skew: Skew = rightTime): void {
    this.#skew = skew;
  }

  get isStopped(): boolean {
    return this.#goesOn !== undefined;
  }

  /** It does nothing any more, and hears nothing, until it goes on with all that it had planned. */
  stop(): void {
    if (this.scope.ended || this.isStopped) return;
    this.#world.note("stopped", this.number);
    this.#goesOn = Promise.withResolvers<void>();
    this.#world.timeline.stop(this.scope);
  }

  goOn(): void {
    if (this.scope.ended || this.#goesOn === undefined) return;
    this.#world.note("goes on", this.number);
    const { resolve } = this.#goesOn;
    this.#goesOn = undefined;
    this.#world.timeline.goOn(this.scope);
    resolve();
  }

  get isCut(): boolean {
    return this.#cut !== undefined;
  }

  /** Its store is out of reach: what it asks of it waits, or fails and may have taken effect. */
  cut(isLossy: boolean): void {
    if (this.scope.ended || this.#cut !== undefined) return;
    this.#world.note("cut off", this.number, isLossy ? "lossy" : "");
    const { promise: healed, resolve: heal } = Promise.withResolvers<void>();
    this.#cut = { healed, heal, isLossy };
  }

  heal(): void {
    if (this.#cut === undefined) return;
    this.#world.note("healed", this.number);
    const { heal } = this.#cut;
    this.#cut = undefined;
    heal();
  }

  get host(): SimulatedHost {
    return this.#host;
  }

  get machine(): SimulatedMachine {
    if (this.#machine === undefined) throw new Error("a node that has not opened has no machine");
    return this.#machine;
  }

  open(): void {
    const { events, note, heaps, keepMs } = this.#world;
    note("open", this.number);
    const ports: KernelPorts = {
      store: this.#store,
      clock: this.#clock(),
      random: { bytes: (length) => this.#bytes(length) },
      defer: (fn) => void this.#after(0, fn),
      env: () => ({}),
      newest: (program) => program,
      keep: { ...keepForever, ageMs: keepMs, failuresMs: keepMs },
      deployed: () => [heaps.program],
      ...(this.#world.place === undefined ? {} : { place: this.#world.place }),
      machine: (machineEvents) => this.#newMachine(machineEvents),
      runner: (report) => this.#newHost(report),
      events: {
        logs: (logs) => this.#port("events.logs", () => events.logs(logs)),
        exited: (exits) => this.#port("events.exited", () => events.exited(exits)),
        answered: () => undefined,
        departed: () => undefined,
        left: (pid) => this.#left(pid),
        notice: (notice) => this.#port("events.notice", () => events.notice(notice)),
        failed: (error) => this.#failed(error, true),
      },
    };
    this.#opening(ports).then(
      (kernel) => {
        if (this.scope.ended || this.state !== "opening") return;
        this.#kernel = kernel;
        this.state = "open";
        this.#world.opened(this);
      },
      (error: Error) => this.#failed(error),
    );
  }

  async #opening(ports: KernelPorts): Promise<Kernel> {
    const { labels } = this.#world;
    if (labels === undefined) return Kernel.open(ports);
    const traits = { labels: labels.of(this.number), file: "", operations: [] };
    const name = `node ${this.number}`;
    const info = { id: name, name, host: "simulated", pid: this.number, release: "0", ...traits };
    const lease = await this.#store.claim(ports.clock.nowMs(), info);
    return this.scope.ended ? never() : Kernel.open({ ...ports, lease, traits });
  }

  /** What needs a label that this node does not have is nothing for it. */
  #checkMayRun(pid: string, what: string): void {
    const { labels, complain } = this.#world;
    if (labels?.mayRun(this.number, pid) === false)
      complain(`${what} of ${pid} runs on node ${this.number}, which lacks its label`);
  }

  close(graceMs: number): void {
    const { note, complain, timeline, dice } = this.#world;
    const kernel = this.kernel;
    if (kernel === undefined) return;
    note("close", this.number, graceMs);
    this.state = "draining";
    timeline.after(
      2 * graceMs + 60_000,
      () => (this.state === "draining" || this.state === "closing") && complain("the kernel does not close"),
      this.scope,
    );
    // As an engine does; but a kernel has to bear it without.
    const isDrained = dice.chance(0.7);
    if (isDrained) kernel.drain();
    const drained = isDrained ? this.#host.drain(graceMs) : Promise.resolve();
    drained.then(
      () => this.#close(kernel, graceMs),
      (error: unknown) => complain(String(error)),
    );
  }

  #close(kernel: Kernel, graceMs: number): void {
    if (this.scope.ended || this.state !== "draining") return;
    this.state = "closing";
    kernel.close(graceMs).then(
      () => {
        if (this.scope.ended || this.state !== "closing") return;
        this.state = "closed";
        this.#world.closed(this);
      },
      (error: Error) => this.#failed(error),
    );
  }

  /** The operating system takes it away, between two instructions. */
  die(where: string, kind?: FaultKind): void {
    if (this.scope.ended) return;
    const { note, faults, died } = this.#world;
    note("crash", where);
    if (kind !== undefined) faults.count(kind);
    if (this.state === "opening") faults.count("death of a node that was opening");
    this.state = "dead";
    this.leave();
    died(this);
  }

  /** What is left of a node that closed or failed goes. */
  leave(): void {
    this.scope.ended = true;
    this.#storeScope.ended = true;
    this.#store.crash();
    this.#machine?.end();
  }

  usurp(): void {
    this.#world.faults.count("lease taken by another");
    this.#store.usurp();
  }

  #failed(error: Error, isSaid = false): void {
    if (this.scope.ended || this.state === "failed" || this.state === "closed") return;
    this.#world.note("failed", error.message);
    this.state = "failed";
    this.#world.failed(this, isSaid);
  }

  // -- ports ----------------------------------------------------------------------------------------------------

  #clock(): Clock {
    const { timeline } = this.#world;
    return {
      nowMs: () => this.#port("clock.nowMs", () => this.wallMs) ?? timeline.wallMs,
      after: (delayMs, fn) => this.#port("clock.after", () => this.#after(delayMs, fn)) ?? (() => undefined),
    };
  }

  #bytes(length: number): Uint8Array {
    const { dice } = this.#world;
    return this.#port("random.bytes", () => dice.bytes(length)) ?? new Uint8Array(length);
  }

  #after(delayMs: number, fn: () => void): () => void {
    return this.#world.timeline.after(delayMs, fn, this.scope);
  }

  #atStore(call: StoreCall | "transaction"): Fault | undefined {
    const { faults, complain, note } = this.#world;
    if (call === "commit" && (this.state === "failed" || this.state === "closed"))
      complain(`a kernel that is ${this.state} commits`);
    const cut = this.#cut;
    if (cut !== undefined && call !== "close") {
      if (cut.isLossy) return this.#world.dice.chance(0.5) ? "reject-before" : "reject-after";
      return cut.healed;
    }
    const { timeline, lateMail, dice } = this.#world;
    const wait = (ms: number): Promise<void> =>
      new Promise((resolve) => void timeline.after(ms, resolve, this.#storeScope));
    const isLate = call === "posted" && lateMail !== undefined && !faults.over && dice.chance(lateMail.share);
    const late = isLate ? { late: wait(dice.int(1, lateMail.longestMs)) } : undefined;
    const fault = faults.atStore(call, wait) ?? late;
    if (fault !== undefined)
      note("store fault", call, typeof fault === "string" ? fault : "late" in fault ? "late" : "stall");
    return fault;
  }

  /** One call of a port: the node may die just before or just after it. What a dead one is given does not matter. */
  #port<T>(name: Port, call: () => T): T | undefined {
    if (this.scope.ended) return undefined;
    const crash = this.#world.faults.atPort(name);
    if (crash === "before") {
      this.die(`before ${name}`);
      return undefined;
    }
    const result = call();
    if (crash === "after") this.die(`after ${name}`);
    return result;
  }

  /** One that a kernel has no business with after its end. */
  #livePort(name: Port, call: () => void): void {
    if (!this.scope.ended && (this.state === "failed" || this.state === "closed"))
      this.#world.complain(`a kernel that is ${this.state} calls ${name}`);
    this.#port(name, call);
  }

  #newMachine(events: MachineEvents): Machine {
    const world = this.#world;
    const { timeline, dice, faults, heaps, unloadable, complain, note, ran, saidFatal } = world;
    const { scope } = this;
    const machine = new SimulatedMachine({
      timeline,
      scope,
      dice,
      faults,
      heaps,
      events,
      unloadable,
      complain,
      note,
      ran: (pid, turn) => {
        this.#checkMayRun(pid, `turn ${turn}`);
        ran(pid, turn);
      },
      saidFatal,
    });
    this.#machine = machine;
    return {
      run: (requests) => this.#livePort("machine.run", () => machine.run(requests)),
      query: (request) => this.#port("machine.query", () => machine.query(request)) ?? never(),
      snapshot: (process) => this.#port("machine.snapshot", () => machine.snapshot(process)),
      kill: (process) => this.#port("machine.kill", () => machine.kill(process)),
      drop: (process) => this.#port("machine.drop", () => machine.drop(process)),
      close: () => machine.close(),
    };
  }

  /** A transaction of user code goes wrong as a commit does. */
  async #atomically<T>(effect: () => T): Promise<T> {
    const { faults, note } = this.#world;
    const fault = this.#atStore("transaction");
    if (fault instanceof Promise) await fault;
    if (fault === "crash-before") this.die("before a transaction");
    if (this.scope.ended) return never();
    if (fault === "full") throw new PerdureError("STORE_FULL", "The disk is full, as it was told to be.");
    // Whoever says that it failed has rolled it back.
    if (fault === "reject-before" || fault === "reject-after")
      throw new PerdureError("STORE_FAILED", "It was not kept.");
    const result = effect();
    note("transaction");
    faults.count("transaction of user code");
    if (fault === "crash-after") this.die("after a transaction");
    if (this.scope.ended) return never();
    return result;
  }

  /** Another node goes on with it, as soon as that is durable. */
  #left(pid: string): void {
    this.#leaving.add(pid);
    this.#after(0, () => this.#leaving.delete(pid));
  }

  /** Only a durable turn takes an operation back; but a kernel that comes to its end, or gives the process up, drops its attempts. */
  #checkAborted({ pid, process, number }: OperationRequest): void {
    const { ledger, complain } = this.#world;
    if (this.state !== "open" || !this.#owns(process) || ledger.operationRow(process, number) === undefined) return;
    this.#after(0, () => {
      if (this.state === "open" && this.#owns(process) && !this.#leaving.has(pid))
        complain(`operation ${number} of ${pid} was aborted before that was durable`);
    });
  }

  #owns(process: ProcessKey): boolean {
    const { disk } = this.#world;
    const { owners } = disk;
    return owners === undefined || owners.owns(owners.incarnationOf(this.#store), disk.processes.get(process)?.row);
  }

  #newHost(report: (reports: readonly OperationReport[]) => void): OperationRunner {
    const { timeline, dice, faults, outside, complain, note, ledger } = this.#world;
    const host = new SimulatedHost({
      timeline,
      scope: this.scope,
      dice,
      faults,
      outside,
      complain,
      note,
      node: this.number,
      concurrency: faults.profile.concurrency,
      wallMs: () => this.wallMs,
      transactions: new MemoryTransactions(this.#world.disk, (effect) => this.#atomically(effect)),
      report: (reports) => {
        if (this.scope.ended) return false;
        const taken = this.state === "open" || this.state === "opening" || this.state === "draining";
        report(reports);
        return taken;
      },
      startedOnRecord: ({ process, number }) =>
        !this.#owns(process) || (ledger.operationRow(process, number)?.startedAtMs ?? 0) > 0,
      aborted: (request) => this.#checkAborted(request),
      kill: () => this.die("by an operation that kills it", "death by an operation"),
    });
    this.#host = host;
    return {
      start: (requests) => {
        for (const { pid, number } of requests) this.#checkMayRun(pid, `operation ${number}`);
        this.#livePort("runner.start", () => host.start(requests));
      },
      transact: (loan) => this.#livePort("runner.transact", () => host.transact(loan)),
      proceed: (token) => this.#livePort("runner.proceed", () => host.proceed(token)),
      abort: (token) => this.#port("runner.abort", () => host.abort(token)),
    };
  }
}
