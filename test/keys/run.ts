/**
 * One run: hosts that ask under keys until they have heard, nodes that die whenever it hurts, and a command line that posts beside
 * them. Decided by its seed alone. Every host keeps a notebook, and asks again for what stands in it.
 */
import { edgeAddress } from "../../src/base/edge-key.ts";
import { isPerdureError } from "../../src/base/errors.ts";
import { decodeValue, encodeValue } from "../../src/base/value.ts";
import type { Input } from "../../src/journal/types.ts";
import { Kernel } from "../../src/kernel/kernel.ts";
import type { KeyedRequest } from "../../src/kernel/edges.ts";
import { MemoryDisk } from "../../src/store/memory/disk.ts";
import { MemoryStore } from "../../src/store/memory/index.ts";
import type { Fault } from "../../src/store/memory/index.ts";
import { Dice } from "../simulation/dice.ts";
import { Timeline } from "../simulation/timeline.ts";
import type { Scope } from "../simulation/timeline.ts";
import { ModelMachine, pids } from "./machine.ts";
import type { Ask } from "./machine.ts";

const chaosMs = 3_000;
const patienceMs = 60_000;
const mostDeaths = 12;

export interface KeysRun {
  readonly problem: string | undefined;
  readonly nodes: number;
  /** What the notebooks hold, by kind. */
  readonly heard: Readonly<Record<string, number>>;
}

interface Node {
  readonly kernel: Kernel;
  readonly gone: Promise<"gone">;
}

/** What a host wants. The same request may be several hosts'. */
interface Wish {
  readonly request: KeyedRequest;
  readonly isCall: boolean;
  /** What was heard, in order. */
  readonly heard: string[];
}

class Run {
  readonly #timeline = new Timeline();
  readonly #dice: Dice;
  readonly #disk = new MemoryDisk("keys");
  readonly #commandLine = new MemoryStore(this.#disk, undefined);
  readonly #wishes: Wish[] = [];
  readonly #crashRate: number;
  readonly #stallRate: number;
  readonly #longestTurnMs: number;
  #node: Node | undefined;
  #nodes = 0;
  #isCalm = false;
  #asking = 0;
  problem: string | undefined;

  constructor(seed: number) {
    this.#dice = new Dice(seed, "keys");
    this.#crashRate = this.#dice.pick([0, 0.01, 0.05, 0.2]);
    this.#stallRate = this.#dice.pick([0, 0.1, 0.5]);
    this.#longestTurnMs = this.#dice.pick([0, 5, 100]);
    const stamps = { createdAtMs: 0, bundle: "", sourceMap: "", prelude: "", engine: "", operations: [] };
    this.#disk.programs.set("program", { hash: "program", file: "program.ts", ...stamps });
  }

  async run(): Promise<KeysRun> {
    const dice = this.#dice;
    this.#open();
    const count = dice.int(3, 12);
    for (let number = 0; number < count; number++) this.#plan(this.#wish(number));
    for (let i = dice.int(0, 6); i > 0; i--)
      this.#later(() => this.#unkeyed(dice.pick(["flush", "mark", "add"] as const)));
    for (let i = dice.int(0, 3); i > 0; i--) this.#later(() => this.#conflict());
    this.#timeline.after(chaosMs, () => void (this.#isCalm = true));
    this.#flushWhenCalm();
    while (this.problem === undefined && (!this.#isCalm || this.#asking > 0)) {
      if (this.#timeline.nowMs > chaosMs + patienceMs) {
        const waiting = this.#wishes.filter(({ heard }) => heard.length === 0).map(({ request }) => request.about);
        this.#complain(`hosts still wait, of them in vain: ${waiting.join("; ")}`);
      }
      this.#timeline.step();
      await new Promise(setImmediate);
    }
    await this.#quiet();
    if (this.problem === undefined) await this.#check();
    const heard: Record<string, number> = {};
    for (const { heard: all } of this.#wishes)
      for (const one of all) heard[kindOf(one)] = (heard[kindOf(one)] ?? 0) + 1;
    return { problem: this.problem, nodes: this.#nodes, heard };
  }

  /** Time for the node to look through the inbox. */
  async #quiet(): Promise<void> {
    for (const untilMs = this.#timeline.nowMs + 1_000; this.#timeline.nowMs < untilMs;) {
      this.#timeline.step();
      await new Promise(setImmediate);
    }
  }

  #complain(problem: string): void {
    this.problem ??= problem;
  }

  #later(fn: () => unknown): void {
    this.#timeline.after(this.#dice.int(0, chaosMs), () => void fn());
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#timeline.after(ms, resolve));
  }

  // -- nodes ----------------------------------------------------------------------------------------------------

  #open(): void {
    const scope: Scope = { ended: false };
    const { promise: gone, resolve } = Promise.withResolvers<"gone">();
    this.#nodes++;
    const die = (): void => {
      if (scope.ended) return;
      scope.ended = true;
      this.#node = undefined;
      store.crash();
      resolve("gone");
      this.#timeline.after(this.#dice.int(0, 200), () => this.#open());
    };
    const after = (delayMs: number, fn: () => void): (() => void) => this.#timeline.after(delayMs, fn, scope);
    const store = new MemoryStore(this.#disk, { decide: (call) => this.#fault(call, after), crashed: die });
    const opening = Kernel.open({
      store,
      clock: { nowMs: () => this.#timeline.wallMs, after },
      random: { bytes: (length) => this.#dice.bytes(length) },
      defer: (fn) => void after(0, fn),
      env: () => ({}),
      newest: (program) => program,
      machine: (events) => {
        const turnMs = (): number => this.#dice.int(0, this.#longestTurnMs);
        return new ModelMachine({ events, after, turnMs });
      },
      runner: () => ({
        start: () => undefined,
        proceed: () => undefined,
        transact: () => undefined,
        abort: () => undefined,
      }),
      events: {
        logs: () => undefined,
        answered: () => undefined,
        departed: () => undefined,
        exited: () => undefined,
        notice: ({ kind, message }) => this.#complain(`${kind}: ${message}`),
        failed: die,
      },
    });
    if (!this.#isCalm && this.#dice.chance(0.5)) after(this.#dice.int(0, chaosMs), die);
    opening.then((kernel) => {
      if (scope.ended) return;
      this.#node = { kernel, gone };
      this.#call((node) => node.outside.start(parentStart)).catch(() => undefined);
    }, die);
  }

  #fault(call: string, after: (delayMs: number, fn: () => void) => void): Fault | undefined {
    const dice = this.#dice;
    if (this.#isCalm || this.#nodes > mostDeaths || call === "close") return undefined;
    if (call === "commit" && dice.chance(this.#crashRate)) {
      return dice.pick(["crash-before", "crash-after", "reject-before", "reject-after"] as const);
    }
    if (!dice.chance(this.#stallRate)) return undefined;
    // Longer than the node takes to look through the inbox again.
    const isLate = call === "edge" && dice.chance(0.5);
    const over = new Promise<void>((resolve) => after(dice.int(0, isLate ? 200 : 30), () => resolve()));
    return isLate ? { late: over } : over;
  }

  /** "gone" if the node dies before it has answered. */
  async #call<T>(ask: (kernel: Kernel) => Promise<T>): Promise<T | "gone"> {
    const node = this.#node;
    if (node === undefined) return "gone";
    return await Promise.race([ask(node.kernel), node.gone]);
  }

  // -- what is asked --------------------------------------------------------------------------------------------

  #wish(number: number): Wish {
    const dice = this.#dice;
    const op = dice.pick([
      "add",
      "add",
      "later",
      "relay",
      "fail",
      ...(dice.chance(0.1) ? (["end"] as const) : []),
    ] as const);
    const isCall = op !== "add" || dice.chance(0.6);
    const key = `key ${number}`;
    const digest = number.toString(16).padStart(32, "0");
    const address = edgeAddress({ key, digest });
    const ask: Ask = { op, id: key, ...(isCall ? { to: address } : {}) };
    const state = isCall ? "open" : "sent";
    const wish: Wish = {
      request: { key, digest, about: `${op} ${number}`, state, body: encodeValue(ask) },
      isCall,
      heard: [],
    };
    this.#wishes.push(wish);
    return wish;
  }

  #plan(wish: Wish): void {
    const hosts = this.#dice.int(1, 3);
    for (let i = 0; i < hosts; i++) this.#later(() => this.#host(wish));
    if (!wish.isCall && this.#dice.chance(0.5)) this.#later(() => this.#post(wish));
  }

  /** Asks until it hears, and then again: now and then, and once at the end. */
  async #host(wish: Wish): Promise<void> {
    this.#asking++;
    for (let heard = 0; heard < 2 || !this.#isCalm;) {
      const outcome = await this.#ask(wish);
      if (outcome !== undefined) {
        heard++;
        this.#note(wish, outcome);
      }
      await this.#sleep(this.#dice.int(1, outcome === undefined ? 50 : 800));
    }
    this.#asking--;
  }

  async #ask(wish: Wish): Promise<string | undefined> {
    const { request, isCall } = wish;
    const timeoutMs = this.#dice.pick([undefined, 1, 50, 1_000]);
    try {
      if (!isCall) {
        const { body, ...asked } = request;
        // Somebody does the same by hand, in this very moment.
        if (this.#dice.chance(0.3)) this.#timeline.after(this.#dice.int(0, 40), () => void this.#post(wish));
        return (await this.#call((kernel) => kernel.outside.send(pids.child, body, asked).then(() => "sent"))) ===
          "sent"
          ? "sent"
          : undefined;
      }
      const answer = await this.#call((kernel) => kernel.outside.call(pids.child, request, timeoutMs));
      if (answer === "gone" || answer.kind === "timeout") return undefined;
      if (answer.kind === "answered") return `answered ${JSON.stringify(decodeValue(answer.body))}`;
      if (answer.kind === "broken") this.#complain(answer.problem);
      return answer.kind === "exited" ? "exited" : "forgotten";
    } catch (error) {
      if (isPerdureError(error, "PROCESS_EXITED")) return "refused";
      const isPassing = ["PROCESS_NOT_FOUND", "ENGINE_FAILED", "STORE_FAILED", "STORE_FENCED"] as const;
      if (isPassing.some((code) => isPerdureError(error, code))) return undefined;
      throw error;
    }
  }

  /** Once answered, always so; one that was forgotten may yet be answered. */
  #note({ heard, request }: Wish, outcome: string): void {
    const last = heard.at(-1);
    heard.push(outcome);
    const isSame = last === undefined || last === outcome;
    const isLater = last === "forgotten" && outcome.startsWith("answered");
    if (!isSame && !isLater) this.#complain(`${request.about} heard ${last}, and then ${outcome}`);
  }

  async #post({ request, heard }: Wish): Promise<void> {
    const { body, ...asked } = request;
    const input: Input = { kind: "message", from: edgeAddress(asked), body };
    try {
      await this.#commandLine.post(pids.child, input, Math.trunc(this.#timeline.wallMs), asked);
      heard.push("sent");
    } catch (error) {
      const isOver = isPerdureError(error, "PROCESS_EXITED") || isPerdureError(error, "PROCESS_NOT_FOUND");
      if (!isOver) throw error;
    }
  }

  /** Something else under a key of which somebody has heard. */
  async #conflict(): Promise<void> {
    const known = this.#wishes.filter(({ heard }) => heard.length > 0 && heard[0] !== "refused");
    if (known.length === 0) return;
    const { request } = this.#dice.pick(known);
    const other = { ...request, digest: "f".repeat(32), about: "something else" };
    try {
      const outcome = await this.#call((kernel) => kernel.outside.call(pids.child, other, 10));
      if (outcome !== "gone") this.#complain(`something else than ${request.about} came to ${outcome.kind}`);
    } catch (error) {
      const isFailing = ["ENGINE_FAILED", "STORE_FAILED", "STORE_FENCED"] as const;
      if (!isPerdureError(error, "KEY_CONFLICT") && !isFailing.some((code) => isPerdureError(error, code))) throw error;
    }
  }

  async #unkeyed(op: Ask["op"]): Promise<void> {
    const body = encodeValue({ op, id: "" } satisfies Ask);
    await this.#call((kernel) => kernel.outside.send(pids.child, body)).catch(() => undefined);
  }

  /** What is to be answered later is answered in the end. */
  #flushWhenCalm(): void {
    this.#timeline.after(500, () => {
      if (this.#isCalm) void this.#unkeyed("flush");
      this.#flushWhenCalm();
    });
  }

  // -- the end --------------------------------------------------------------------------------------------------

  async #check(): Promise<void> {
    const row = await this.#commandLine.findProcess(pids.child);
    if (row === undefined) return this.#complain("the child was never started");
    const turns = await this.#commandLine.turns(row.key, 1, 100_000);
    const letters = await this.#commandLine.deadLetters(row.key, 0, 1_000);
    const waiting = await this.#commandLine.inbox(row.key);
    const inputs = [...turns.flatMap((turn) => turn.inputs), ...waiting.map(({ input }) => input)];
    // One that was taken in an earlier turn than the one it made fail is in the journal, too.
    const seen = new Set(inputs);
    const all = [...inputs, ...letters.map(({ input }) => input).filter((input) => !seen.has(input))];
    for (const { request, heard, isCall } of this.#wishes) {
      const address = edgeAddress(request);
      const times = all.filter((input) => input.kind === "message" && input.from === address).length;
      const edge = await this.#commandLine.edge(row.key, request.key);
      const isAsked = heard.some((one) => one !== "refused");
      const isLeft = waiting.some(({ input }) => input.kind === "message" && input.from === address);
      if (isLeft && row.state === "running")
        this.#complain(`${request.about} lies in the inbox, and nobody delivers it`);
      if (times > 1) this.#complain(`${request.about} was delivered ${times} times`);
      if (isAsked && edge === undefined) this.#complain(`${request.about} was heard of, and has no row`);
      if (isAsked && times === 0 && row.state !== "exited") this.#complain(`${request.about} is lost`);
      if (!isAsked && edge !== undefined && isCall) this.#complain(`${request.about} was refused, and has a row`);
    }
  }
}

const parentStart = {
  pid: pids.parent,
  program: "program",
  entry: "parent",
  args: encodeValue([]),
  argsDigest: "00",
  env: {},
};

function kindOf(heard: string): string {
  return heard.split(" ")[0] as string;
}

export function runKeys(seed: number): Promise<KeysRun> {
  return new Run(seed).run();
}
