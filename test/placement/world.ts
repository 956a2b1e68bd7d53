/**
 * Nodes with labels and host operations over one store in memory, on virtual time. Processes do what their messages say, so that nothing but
 * inputs and nodes matters.
 */
import { decodeValue, encodeValue } from "../../src/base/value.ts";
import { commandDigest } from "../../src/journal/digest.ts";
import type { Command, Input } from "../../src/journal/types.ts";
import { Kernel } from "../../src/kernel/kernel.ts";
import type { OperationReport, OperationRequest } from "../../src/kernel/ports.ts";
import type { Machine, MachineEvents, TurnRequest } from "../../src/machine/port.ts";
import { MemoryDisk } from "../../src/store/memory/disk.ts";
import { MemoryStore } from "../../src/store/memory/index.ts";
import { SharedOwners } from "../../src/store/memory/sharing.ts";
import { Timeline } from "../simulation/timeline.ts";
import type { Scope } from "../simulation/timeline.ts";

/** What a process is told to do. */
export type Deed =
  | { readonly do: "spawn"; readonly pid: string; readonly needs?: string }
  | { readonly do: "ask"; readonly number: number; readonly name: string }
  | { readonly do: "note"; readonly what: unknown }
  | { readonly do: "end" };

export interface NodeOptions {
  readonly labels?: readonly string[];
  readonly file?: string;
  readonly operations?: readonly string[];
  /** Which operations it finds when it is asked, beside those it names. */
  readonly finds?: readonly string[];
}

export interface Node {
  readonly name: string;
  readonly kernel: Kernel;
  readonly scope: Scope;
  readonly store: MemoryStore;
}

const leaseMs = 5_000;
export const shards = 8;

export class World {
  readonly timeline = new Timeline();
  readonly #disk: MemoryDisk;
  readonly reader: MemoryStore;
  /** Which node has run a turn of which process, in order. */
  readonly ran: { readonly node: string; readonly pid: string; readonly turn: number }[] = [];
  /** Attempts of operations that have begun, and where. They end as soon as they are told to. */
  readonly asked: { readonly node: string; readonly request: OperationRequest; end(): void }[] = [];
  readonly notices: string[] = [];
  readonly failures: Error[] = [];
  #drawn = 0;
  #nodes = 0;

  constructor(isShared = true) {
    const owners = isShared ? new SharedOwners(shards, leaseMs, () => this.timeline.nowMs) : undefined;
    this.#disk = new MemoryDisk("placement", owners);
    this.reader = new MemoryStore(this.#disk, undefined);
    this.deploy("program", "app.ts", []);
  }

  deploy(hash: string, file: string, operations: readonly string[]): void {
    const stamps = { createdAtMs: 0, bundle: "", sourceMap: "", prelude: "", engine: "" };
    this.#disk.programs.set(hash, { hash, file, operations, ...stamps });
  }

  async open(
    name: string,
    { labels = [], file = "app.ts", operations = [], finds = [] }: NodeOptions = {},
  ): Promise<Node> {
    const scope: Scope = { ended: false };
    const store = new MemoryStore(this.#disk, undefined);
    const after = (delayMs: number, fn: () => void): (() => void) => this.timeline.after(delayMs, fn, scope);
    const info = { id: `${name}-${++this.#nodes}`, name, host: "box", pid: 1, release: "0", labels, file, operations };
    const open = async (): Promise<Kernel> =>
      await Kernel.open({
        store,
        lease: await store.claim(this.timeline.wallMs, info),
        traits: info,
        offers: (program) =>
          Promise.resolve(program.operations.every((each) => [...operations, ...finds].includes(each))),
        clock: { nowMs: () => this.timeline.wallMs, after },
        random: { bytes: (length) => new Uint8Array(length).fill(++this.#drawn) },
        defer: (fn) => void after(0, fn),
        env: () => ({}),
        newest: (program) => program,
        machine: (events) => new ToldMachine(events, (request) => this.#run(name, request), after),
        runner: (report) => ({
          start: (requests) => this.#ask(name, requests, report),
          proceed: () => undefined,
          abort: () => undefined,
          transact: () => undefined,
        }),
        events: {
          logs: () => undefined,
          answered: () => undefined,
          departed: () => undefined,
          exited: () => undefined,
          notice: ({ kind, pid, message }) => void this.notices.push(`${name}: ${kind}: ${pid}: ${message}`),
          failed: (error) => {
            if (!scope.ended) this.failures.push(error);
          },
        },
      });
    return { name, kernel: await this.until(open()), scope, store };
  }

  #run(node: string, { pid, number }: TurnRequest): void {
    this.ran.push({ node, pid, turn: number });
  }

  #ask(
    node: string,
    requests: readonly OperationRequest[],
    report: (reports: readonly OperationReport[]) => void,
  ): void {
    for (const request of requests) {
      const end = (): void => report([{ token: request.token, kind: "done", ok: true, value: encodeValue(node) }]);
      this.asked.push({ node, request, end });
    }
  }

  /** Without a word, and its lease runs out in time. */
  die({ scope, store }: Node): void {
    scope.ended = true;
    store.crash();
  }

  async start(node: Node, pid: string, { needs = "", program = "program" } = {}): Promise<void> {
    const request = { pid, program, entry: "x", args: encodeValue([]), argsDigest: "00", env: {}, needs };
    await this.until(node.kernel.outside.start(request));
  }

  /** Written beside the nodes, as the command line does it. */
  async tell(pid: string, ...deeds: readonly Deed[]): Promise<void> {
    await this.reader.post(pid, { kind: "message", from: "", body: encodeValue(deeds) }, this.timeline.wallMs);
  }

  /** What the process has noted, in order. */
  async notes(pid: string): Promise<unknown[]> {
    const row = await this.reader.findProcess(pid);
    const turns = row === undefined ? [] : await this.reader.turns(row.key, 1, 10_000);
    return turns
      .flatMap(({ inputs }) => inputs.flatMap(deedsOf))
      .flatMap((deed) => (deed.do === "note" ? [deed.what] : []));
  }

  /** The nodes that have run turns of it, each once for each time it came there. */
  wayOf(pid: string): string[] {
    const nodes = this.ran.filter((each) => each.pid === pid).map(({ node }) => node);
    return nodes.filter((node, index) => node !== nodes[index - 1]);
  }

  async pass(ms: number): Promise<void> {
    let isOver = false;
    this.timeline.after(ms, () => void (isOver = true));
    while (!isOver) {
      this.timeline.step();
      await new Promise(setImmediate);
      if (this.failures[0] !== undefined) throw this.failures[0];
    }
  }

  async until<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const settle = (): void => void (isSettled = true);
    promise.then(settle, settle);
    for (let waitedMs = 0; !isSettled && waitedMs < 60_000; waitedMs += 5) await this.pass(5);
    if (!isSettled) throw new Error("it takes too long");
    return await promise;
  }
}

function deedsOf(input: Input): readonly Deed[] {
  return input.kind === "message" ? (decodeValue(input.body) as readonly Deed[]) : [];
}

function commandsOf(deed: Deed): Command[] {
  const args = encodeValue([]);
  switch (deed.do) {
    case "spawn": {
      const options = deed.needs === undefined ? "" : JSON.stringify({ needs: deed.needs });
      return [{ kind: "spawn", pid: deed.pid, entry: "x", args, link: false, monitor: 0, options }];
    }
    case "ask":
      return [{ kind: "operation", number: deed.number, name: deed.name, args, options: "" }];
    case "note":
      return [];
    case "end":
      return [{ kind: "exit", reason: "normal", value: encodeValue(undefined) }];
  }
}

/** Nothing of a process is in its heap. */
class ToldMachine implements Machine {
  readonly #events: MachineEvents;
  readonly #ran: (request: TurnRequest) => void;
  readonly #after: (delayMs: number, fn: () => void) => void;

  constructor(
    events: MachineEvents,
    ran: (request: TurnRequest) => void,
    after: (delayMs: number, fn: () => void) => void,
  ) {
    this.#events = events;
    this.#ran = ran;
    this.#after = after;
  }

  run(requests: readonly TurnRequest[]): void {
    for (const request of requests) this.#after(1, () => this.#turn(request));
  }

  #turn(request: TurnRequest): void {
    const { process, number, inputs } = request;
    this.#ran(request);
    const commands = inputs.flatMap(deedsOf).flatMap(commandsOf);
    const digests = commands.map((command) => commandDigest(command));
    const outcome = { kind: "done", commands, digests, delivered: inputs.length, replayMicros: 0 } as const;
    this.#events.turns([{ process, number, outcome }]);
  }

  query(): Promise<never> {
    throw new Error("Nothing is read-only here.");
  }

  snapshot(): void {}

  kill(): void {}

  drop(): void {}

  close(): Promise<void> {
    return Promise.resolve();
  }
}
