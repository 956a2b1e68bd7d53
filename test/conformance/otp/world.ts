/**
 * One node after the other over one store in memory, or several of them together, on virtual time. What runs inside the sandbox is real, and time stands
 * still while it runs; it moves on to the next event when nothing runs.
 */
import { setImmediate as immediate } from "node:timers/promises";
import { encodeValue } from "../../../src/base/value.ts";
import { Kernel } from "../../../src/kernel/kernel.ts";
import type { MachineEvents } from "../../../src/machine/port.ts";
import { MemoryDisk } from "../../../src/store/memory/disk.ts";
import { isPerdureError } from "../../../src/base/errors.ts";
import { SharedOwners } from "../../../src/store/memory/sharing.ts";
import { MemoryStore } from "../../../src/store/memory/index.ts";
import type { Fault, StoreCall } from "../../../src/store/memory/index.ts";
import { Timeline } from "../../simulation/timeline.ts";
import type { Scope } from "../../simulation/timeline.ts";
import type { Crashes } from "./crashes.ts";
import type { Machines, Share } from "./machines.ts";

/** The process that does what it is told from outside. */
const driverPid = "driver";
/** Longer than the kernel holds a commit back: what has been quiet for so long stays so, until a timer fires. */
const quietMs = 5;
/** More than any case has turns and commits between two rests. */
const maxActivity = 20_000;
/** Longer than anything takes between two rests, in time and in events. */
const maxUnrestMs = 600_000;
const maxSteps = 500_000;
/** How long a node that is closed lets its turns go on. */
const graceMs = 1_000;
/** Of a store that several nodes share. */
const leaseMs = 12_000;
const shardsOf = (nodes: number): number => 3 * nodes;
const hexDigest = "0".repeat(64);

/** A node, from its opening to its end. */
interface Node {
  readonly scope: Scope;
  readonly store: MemoryStore;
  share: Share | undefined;
  /** While it is open. */
  kernel: Kernel | undefined;
}

export class World {
  readonly #machines: Machines;
  readonly #crashes: Crashes | undefined;
  readonly #timeline = new Timeline();
  readonly #disk: MemoryDisk;
  readonly #count: number;
  /** Commands for the driver that are not known to be durable. */
  readonly #commands: { readonly body: unknown; durable: boolean }[] = [];
  readonly #nodes: Set<Node> = new Set();
  #isSending = false;
  #moves = 0;
  #seeds = 0;
  #activity = 0;
  #logsRead = 0;
  /** What must not happen, the first of it. */
  #problem: Error | undefined;

  /** With several `nodes`, each process lives on any of them. */
  constructor(machines: Machines, crashes?: Crashes, nodes = 1) {
    this.#machines = machines;
    this.#crashes = crashes;
    this.#count = nodes;
    this.#disk = new MemoryDisk(
      "conformance",
      nodes === 1 ? undefined : new SharedOwners(shardsOf(nodes), leaseMs, () => this.#timeline.nowMs),
    );
    const { program } = machines;
    const row = {
      hash: program,
      file: "program.ts",
      createdAtMs: 0,
      bundle: "",
      sourceMap: "",
      prelude: "",
      engine: "",
      operations: [],
    };
    this.#disk.programs.set(program, row);
    for (let opened = 0; opened < nodes; opened++) this.#open();
  }

  /** Tells the driver something, once, whatever becomes of the nodes. */
  command(body: unknown): void {
    this.#commands.push({ body, durable: false });
    this.#sendCommands();
  }

  /** What the guest's processes printed since the last call. */
  newLines(): string[] {
    const rows = this.#disk.logs.slice(this.#logsRead);
    this.#logsRead += rows.length;
    return rows.map(({ text }) => text);
  }

  /** How much time has passed while a node ran: what supervisors go by. It falls back when a node dies, to its last commit. */
  get serviceMs(): number {
    return this.#timeline.wallMs - this.#disk.downtimeMs;
  }

  async waitUntil(serviceMs: number): Promise<void> {
    while (this.serviceMs < serviceMs) await this.#step();
  }

  /** The node dies, perhaps: for the crashes to say. */
  betweenActions(): void {
    const end = this.#crashes?.betweenActions();
    if (this.#count > 1) this.#moveSome();
    if (end === "close") this.#close(this.#first);
    else if (end === "die") this.#die(this.#first);
  }

  /** Where several nodes own the store, processes go from one to another while whatever was begun goes on. */
  #moveSome(): void {
    for (const { row } of this.#disk.processes.values()) {
      const choice = (++this.#moves % (2 * shardsOf(this.#count))) + 1;
      if (row.state === "exited" || choice > shardsOf(this.#count)) continue;
      for (const { kernel } of this.#nodes) {
        const ignored = ["PROCESS_ELSEWHERE", "PROCESS_EXITED", "ENGINE_CLOSED"] as const;
        kernel?.outside.move(row.pid, choice).catch((error: unknown) => {
          if (!ignored.some((code) => isPerdureError(error, code))) this.#fail(error);
        });
      }
    }
  }

  /**
   * Until nothing moves any more. A supervisor's timers are no motion by themselves, it has one for every restart that it
   * remembers; but they may be what is waited for until all is `answered`. Throws if it takes too long, or if something happened
   * that never should.
   */
  async rest(answered: () => boolean = () => true): Promise<void> {
    const [beganMs, before] = [this.serviceMs, this.#activity];
    let seen = -1;
    let quietSinceMs = beganMs;
    for (let steps = 0; steps < maxSteps; steps++) {
      if (this.#activity !== seen) {
        seen = this.#activity;
        quietSinceMs = this.serviceMs;
        // Time stops here and does not go on to whatever is next: rests take next to no time.
        this.#timeline.after(quietMs, () => undefined);
      } else if (this.serviceMs - quietSinceMs >= quietMs && this.#unrest(false) === "") {
        if (answered() || this.#unrest(true) === "") return;
      }
      if (this.#activity - before > maxActivity) throw new Error("it does not come to rest: turn follows upon turn");
      if (this.serviceMs - beganMs > maxUnrestMs) throw new Error(`it does not come to rest: ${this.#unrest(true)}`);
      await this.#step();
    }
    throw new Error("it does not come to rest: time stands still");
  }

  /** The case is over. */
  end(): void {
    for (const node of this.#nodes) this.#leave(node);
  }

  /** The one that has been there longest. */
  get #first(): Node | undefined {
    const [first] = this.#nodes;
    return first;
  }

  async #step(): Promise<void> {
    // The machine and all microtasks go first: they take no time.
    do await immediate();
    while ([...this.#nodes].some(({ share }) => share?.busy === true));
    if (this.#problem !== undefined) throw this.#problem;
    this.#timeline.step();
  }

  /** What is still to come; "" if nothing is. */
  #unrest(withSupervisors: boolean): string {
    if ([...this.#nodes].filter(({ kernel }) => kernel !== undefined).length < this.#count) return "no node is open";
    if (this.#commands.some(({ durable }) => !durable)) return "the driver has not been told everything";
    const { inbox, processes } = this.#disk;
    if (inbox.size > 0) return `${inbox.size} inputs wait`;
    for (const { row, timers, operations } of processes.values()) {
      const counts = withSupervisors || row.role !== "supervisor";
      if (timers.size > 0 && counts) return `${timers.size} timers of ${row.pid} (${row.entry}) are set`;
      if (operations.size > 0) return `${operations.size} operations of ${row.pid} (${row.entry}) are pending`;
    }
    return "";
  }

  // -- nodes ----------------------------------------------------------------------------------------------------

  #open(): void {
    this.#activity++;
    const scope: Scope = { ended: false };
    const store = new MemoryStore(this.#disk, {
      decide: (call) => this.#atStore(node, call),
      crashed: () => this.#die(node),
    });
    const node: Node = { scope, store, share: undefined, kernel: undefined };
    this.#nodes.add(node);
    const after = (delayMs: number, fn: () => void): (() => void) => this.#timeline.after(delayMs, fn, scope);
    const opening = Kernel.open({
      store,
      clock: { nowMs: () => this.#timeline.wallMs, after },
      random: { bytes: (length) => this.#bytes(length) },
      defer: (fn) => void after(0, fn),
      env: () => ({}),
      newest: (program) => program,
      place: ({ pid }) => 1 + ((Number.parseInt(pid.slice(-4), 36) || pid.length) % shardsOf(this.#count)),
      machine: (events) => (node.share = this.#share(scope, events)),
      runner: () => ({
        start: ([request]) => this.#fail(new Error(`${request?.pid} asks the host for ${request?.name}`)),
        proceed: () => undefined,
        transact: () => undefined,
        abort: () => undefined,
      }),
      events: {
        logs: () => undefined,
        exited: () => undefined,
        answered: () => undefined,
        departed: () => undefined,
        notice: ({ pid, message }) => this.#fail(new Error(`${pid}: ${message}`)),
        failed: (error) => this.#fail(error),
      },
    });
    opening.then(
      (kernel) => {
        if (scope.ended) return;
        node.kernel = kernel;
        this.#started(node, kernel);
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #started(node: Node, kernel: Kernel): void {
    this.#activity++;
    const { program } = this.#machines;
    const start = { pid: driverPid, program, entry: "default", args: encodeValue([]), argsDigest: hexDigest, env: {} };
    kernel.outside.start(start).then(
      () => this.#sendCommands(),
      (error: unknown) => this.#refused(node, error),
    );
  }

  /** What a node refuses or takes with it, the next one is told. */
  #sendCommands(): void {
    for (const node of this.#nodes) {
      if (node.kernel === undefined) continue;
      for (const command of this.#commands.filter(({ durable }) => !durable)) {
        node.kernel.outside.send(driverPid, encodeValue(command.body)).then(
          () => (command.durable = true),
          (error: unknown) => this.#refused(node, error),
        );
      }
    }
  }

  #sendSoon(): void {
    if (this.#isSending) return;
    this.#isSending = true;
    this.#timeline.after(10, () => {
      this.#isSending = false;
      this.#sendCommands();
    });
  }

  #refused(node: Node, error: unknown): void {
    // Another node has the driver, or will have it soon.
    if (isPerdureError(error, "PROCESS_ELSEWHERE")) return this.#sendSoon();
    if (node.kernel !== undefined) this.#fail(error);
  }

  #bytes(length: number): Uint8Array {
    const seed = ++this.#seeds;
    return Uint8Array.from({ length }, (_, index) => (seed * 31 + index * 7) & 0xff);
  }

  /** With crashes, a turn takes its time, so that what goes on in parallel does so in many orders. */
  #share(scope: Scope, events: MachineEvents): Share {
    return this.#machines.share({
      ...events,
      turns: (results) => {
        this.#activity++;
        const delayMs = this.#crashes?.turnMs() ?? 0;
        if (delayMs === 0) events.turns(results);
        else this.#timeline.after(delayMs, () => events.turns(results), scope);
      },
    });
  }

  #atStore(node: Node, call: StoreCall): Fault | undefined {
    if (call !== "commit") return undefined;
    this.#activity++;
    if (this.#crashes?.closes() === true) {
      this.#timeline.after(this.#crashes.turnMs(), () => this.#close(node), node.scope);
    }
    return this.#crashes?.atCommit();
  }

  /** It stops in good order, in the middle of whatever goes on. */
  #close(node: Node | undefined): void {
    const kernel = node?.kernel;
    if (node === undefined || kernel === undefined) return;
    node.kernel = undefined;
    kernel.close(graceMs).then(
      () => this.#die(node),
      (error: unknown) => this.#fail(error),
    );
  }

  /** The node is gone, between two instructions; later there is another one. */
  #die(node: Node | undefined): void {
    if (node === undefined || !this.#nodes.has(node)) return;
    this.#leave(node);
    const downtimeMs = this.#crashes?.downtimeMs() ?? 0;
    // The others live on, and time goes on for them: nobody shall be late because of this.
    this.#disk.shared?.lapse(node.store);
    this.#timeline.after(this.#count === 1 ? downtimeMs : Math.min(downtimeMs, 100), () => this.#open());
  }

  #leave(node: Node): void {
    this.#nodes.delete(node);
    this.#activity++;
    node.scope.ended = true;
    node.store.crash();
    node.share?.end();
  }

  #fail(error: unknown): void {
    this.#problem ??= error instanceof Error ? error : new Error(String(error));
  }
}
