/**
 * A simulated process: a program and where it stands in it. Its state is a pure function of its inputs, as a heap is. It
 * checks what it is given: no message, result or timer may come twice.
 */
import { decodeValue, encodeValue } from "../../src/base/value.ts";
import type { Payload } from "../../src/base/value.ts";
import type { Command, Input, TimerClock } from "../../src/journal/types.ts";
import type { Model } from "./cores.ts";
import { operationName, seen, textOf } from "./program.ts";
import type { OperationStep, Program, Seen, Step } from "./program.ts";

/** What stands in a message: the sender's name for the stream, and the message's number in it, from 1. */
export interface Message {
  readonly stream: string;
  readonly number: number;
}

/** What stands in an exit's value. */
export interface ExitValue {
  /** The step that ended it; 0 is the end of main, −1 a cancel. */
  readonly site: number;
  readonly seen: readonly Seen[];
}

export type Wait =
  | { readonly kind: "operation"; readonly number: number; readonly site: number; readonly occurrence: number }
  | { readonly kind: "timer"; readonly number: number }
  | {
      readonly kind: "race";
      readonly operation: number;
      readonly timer: number;
      readonly site: number;
      readonly abandons: boolean;
    }
  | { readonly kind: "receive"; readonly stream: string }
  | { readonly kind: "join"; left: number };

interface Frame {
  readonly block: number;
  next: number;
  /** Rounds of a loop still to come. */
  rounds: number;
}

interface Fiber {
  readonly frames: Frame[];
  wait: Wait | null;
  /** Who waits for its end; −1: nobody. */
  readonly parent: number;
  readonly seen: Seen[];
  /** Fibers of its last parallel step. */
  children: number[];
  ended: boolean;
}

interface State {
  fibers: (Fiber | null)[];
  /** Pending ones, by number, and whose they are. */
  operations: Record<number, number>;
  timers: Record<number, { fiber: number; clock: TimerClock; dueMs: number }>;
  /** Numbers taken back: what comes for them anyway is dropped. */
  readonly takenBack: { operations: number[]; timers: number[] };
  operationCount: number;
  timerCount: number;
  readonly mailbox: Message[];
  /** The last message's number by stream. */
  readonly received: Record<string, number>;
  readonly sent: Record<string, number>;
  readonly occurrences: Record<number, number>;
  started: boolean;
  /** The fiber whose end is the process's: main, or what cleans up after a cancel. */
  last: number;
  cancelled: boolean;
  exited: boolean;
}

const initial = (): State => ({
  fibers: [],
  operations: {},
  timers: {},
  takenBack: { operations: [], timers: [] },
  operationCount: 0,
  timerCount: 0,
  mailbox: [],
  received: {},
  sent: {},
  occurrences: {},
  started: false,
  last: 0,
  cancelled: false,
  exited: false,
});

export class SimulatedProcess implements Model {
  readonly program: Program;
  readonly #state: State;
  readonly #complain: (problem: string) => void;
  #commands: Command[] = [];
  #timeMs = 0;
  #delivered = 0;

  constructor(program: Program, complain: (problem: string) => void, snapshot?: Uint8Array) {
    this.program = program;
    this.#complain = complain;
    this.#state = snapshot === undefined ? initial() : (JSON.parse(new TextDecoder().decode(snapshot)) as State);
  }

  snapshot(): Uint8Array {
    return new TextEncoder().encode(JSON.stringify(this.#state));
  }

  get exited(): boolean {
    return this.#state.exited;
  }

  /** What comes after its exit is passed over. */
  get delivered(): number {
    return this.#delivered;
  }

  get started(): boolean {
    return this.#state.started;
  }

  /** Numbers of the operations it waits for. */
  get operations(): readonly number[] {
    return Object.keys(this.#state.operations).map(Number);
  }

  timer(number: number): { readonly clock: TimerClock; readonly dueMs: number } | undefined {
    return this.#state.timers[number];
  }

  get timers(): readonly number[] {
    return Object.keys(this.#state.timers).map(Number);
  }

  get waits(): readonly Wait[] {
    return this.#state.fibers.flatMap((fiber) => fiber?.wait ?? []);
  }

  /** One turn: all commands of all inputs. */
  turn(timeMs: number, inputs: readonly Input[]): Command[] {
    const commands: Command[] = [];
    this.#commands = commands;
    this.#timeMs = timeMs;
    this.#delivered = 0;
    for (const input of inputs) {
      if (this.#state.exited) break;
      this.#delivered++;
      this.#deliver(input);
    }
    return commands;
  }

  #deliver(input: Input): void {
    const state = this.#state;
    if (!state.started && input.kind !== "start" && input.kind !== "fatal") {
      return this.#complain(`${input.kind} came before start`);
    }
    switch (input.kind) {
      case "start":
        if (state.started) return this.#complain("start came twice");
        state.started = true;
        return this.#run(this.#spawn(this.program.main, -1));
      case "message":
        return this.#receive(input.from, decodeValue(input.body) as Message);
      case "result":
        return this.#settle(input.operation, input.ok, input.value);
      case "timer":
        return this.#fire(input.timer);
      case "cancel":
        return this.#cancel();
      case "fatal":
        return this.#exit(input.reason, encodeValue(input.detail));
    }
  }

  // -- what comes in --------------------------------------------------------------------------------------------

  #receive(from: string, message: Message): void {
    const { stream, number } = message;
    const { received, mailbox, fibers } = this.#state;
    if (from !== "" && !from.startsWith("@") && stream !== `from ${from}`)
      this.#complain(`a message of ${stream} came from ${from}`);
    const last = received[stream] ?? 0;
    if (number <= last) this.#complain(`message ${number} of "${stream}" came after message ${last}`);
    received[stream] = number;
    const fiber = fibers.findIndex((fiber) => fiber?.wait?.kind === "receive" && fiber.wait.stream === stream);
    if (fiber === -1) mailbox.push(message);
    else this.#wake(fiber, seen.message(stream));
  }

  #settle(number: number, ok: boolean, value: Payload): void {
    const { operations, takenBack } = this.#state;
    const index = operations[number];
    if (index === undefined) {
      if (takenBack.operations.includes(number)) return;
      return this.#complain(`the result of operation ${number} came twice, or nobody asked for it`);
    }
    delete operations[number];
    const fiber = this.#state.fibers[index];
    const wait = fiber?.wait;
    if (wait?.kind === "race" && wait.operation === number) {
      this.#stopTimer(wait.timer);
      this.#wake(index, seen.race(wait.site));
    } else if (wait?.kind === "operation" && wait.number === number) {
      const text = textOf(decodeValue(value));
      this.#wake(index, seen.operation(wait.site, wait.occurrence, ok, text));
    }
  }

  #fire(number: number): void {
    const { timers, takenBack } = this.#state;
    const timer = timers[number];
    if (timer === undefined) {
      if (takenBack.timers.includes(number)) return;
      return this.#complain(`timer ${number} fired twice, or was never set`);
    }
    delete timers[number];
    if (this.#timeMs < timer.dueMs)
      this.#complain(`timer ${number} fired ${timer.dueMs - this.#timeMs} ms early by the process's own clock`);
    const wait = this.#state.fibers[timer.fiber]?.wait;
    if (wait?.kind === "race") {
      if (!wait.abandons) this.#abort(wait.operation);
      this.#wake(timer.fiber, seen.race(wait.site));
    } else {
      this.#wake(timer.fiber, seen.sleep);
    }
  }

  /** All waits are given up. Then cleanup runs; a second cancel ends that too. */
  #cancel(): void {
    const state = this.#state;
    for (const number of this.timers) this.#stopTimer(number);
    for (const number of this.operations) this.#abort(number);
    state.fibers = state.fibers.map(() => null);
    if (state.cancelled) return this.#end(-1, "cancelled", []);
    state.cancelled = true;
    state.last = state.fibers.length;
    this.#run(this.#spawn(this.program.cleanup, -1));
  }

  // -- what it does ---------------------------------------------------------------------------------------------

  #spawn(block: number, parent: number): number {
    const { fibers } = this.#state;
    return (
      fibers.push({
        frames: [{ block, next: 0, rounds: 0 }],
        wait: null,
        parent,
        seen: [],
        children: [],
        ended: false,
      }) - 1
    );
  }

  #wake(index: number, what: Seen): void {
    const fiber = this.#state.fibers[index];
    if (fiber === undefined || fiber === null) return;
    fiber.seen.push(what);
    fiber.wait = null;
    this.#run(index);
  }

  #run(index: number): void {
    const { fibers } = this.#state;
    for (;;) {
      const fiber = fibers[index];
      if (fiber === undefined || fiber === null || fiber.ended || fiber.wait !== null || this.#state.exited) return;
      const frame = fiber.frames.at(-1);
      if (frame === undefined) return this.#ended(index, fiber);
      const step = this.program.blocks[frame.block]?.[frame.next];
      if (step === undefined) {
        if (frame.rounds-- > 0) frame.next = 0;
        else fiber.frames.pop();
        continue;
      }
      frame.next++;
      this.#step(index, fiber, step);
    }
  }

  #step(index: number, fiber: Fiber, step: Step): void {
    switch (step.kind) {
      case "log":
        this.#commands.push({ kind: "log", level: "info", text: step.text });
        return;
      case "operation": {
        const { number, occurrence } = this.#call(index, step);
        fiber.wait = { kind: "operation", number, site: step.site, occurrence };
        return;
      }
      case "sleep":
        fiber.wait = { kind: "timer", number: this.#startTimer(index, step.clock, step.delayMs) };
        return;
      case "race": {
        const { number } = this.#call(index, step.operation);
        fiber.wait = {
          kind: "race",
          operation: number,
          timer: this.#startTimer(index, step.clock, step.delayMs),
          site: step.operation.site,
          abandons: step.abandons,
        };
        return;
      }
      case "send":
        return this.#send(step.to);
      case "receive":
        return this.#take(fiber, step.stream);
      case "loop":
        fiber.frames.push({ block: step.block, next: 0, rounds: step.times - 1 });
        return;
      case "parallel": {
        fiber.wait = { kind: "join", left: step.blocks.length };
        fiber.children = step.blocks.map((block) => this.#spawn(block, index));
        for (const child of fiber.children) this.#run(child);
        return;
      }
      case "detach":
        return this.#run(this.#spawn(step.block, -1));
      case "exit":
        return this.#end(step.site, step.reason, []);
    }
  }

  #call(fiber: number, step: OperationStep): { number: number; occurrence: number } {
    const state = this.#state;
    const number = ++state.operationCount;
    const occurrence = (state.occurrences[step.site] ?? 0) + 1;
    state.occurrences[step.site] = occurrence;
    state.operations[number] = fiber;
    this.#commands.push({
      kind: "operation",
      number,
      name: operationName(step),
      args: encodeValue([step.site, occurrence]),
      options: "",
    });
    return { number, occurrence };
  }

  #abort(number: number): void {
    const { operations, takenBack } = this.#state;
    delete operations[number];
    takenBack.operations.push(number);
    this.#commands.push({ kind: "abort", operation: number });
  }

  #startTimer(fiber: number, clock: TimerClock, delayMs: number): number {
    const number = ++this.#state.timerCount;
    const dueMs = this.#timeMs + delayMs;
    this.#state.timers[number] = { fiber, clock, dueMs };
    this.#commands.push({ kind: "timer", number, clock, dueMs });
    return number;
  }

  #stopTimer(number: number): void {
    const { timers, takenBack } = this.#state;
    delete timers[number];
    takenBack.timers.push(number);
    this.#commands.push({ kind: "clear-timer", timer: number });
  }

  #send(to: string): void {
    const { sent } = this.#state;
    const number = (sent[to] ?? 0) + 1;
    sent[to] = number;
    this.#commands.push({
      kind: "send",
      to,
      body: encodeValue({ stream: `from ${this.program.pid}`, number } satisfies Message),
    });
  }

  #take(fiber: Fiber, stream: string): void {
    const { mailbox } = this.#state;
    const found = mailbox.findIndex((message) => message.stream === stream);
    if (found === -1) {
      fiber.wait = { kind: "receive", stream };
      return;
    }
    mailbox.splice(found, 1);
    fiber.seen.push(seen.message(stream));
  }

  // -- the end --------------------------------------------------------------------------------------------------

  #ended(index: number, fiber: Fiber): void {
    const { fibers, last, cancelled } = this.#state;
    fiber.ended = true;
    if (index === last) return cancelled ? this.#end(-1, "cancelled", []) : this.#end(0, "normal", fiber.seen);
    const parent = fibers[fiber.parent];
    if (parent === undefined || parent === null || parent.wait?.kind !== "join") {
      fibers[index] = null;
      return;
    }
    // What it has seen is asked for when the last of its siblings ends.
    if (--parent.wait.left > 0) return;
    for (const child of parent.children) {
      parent.seen.push(...(fibers[child]?.seen ?? []));
      fibers[child] = null;
    }
    parent.wait = null;
    this.#run(fiber.parent);
  }

  #end(site: number, reason: "normal" | "error" | "cancelled", what: readonly Seen[]): void {
    this.#exit(reason, encodeValue({ site, seen: what } satisfies ExitValue));
  }

  #exit(reason: Extract<Command, { kind: "exit" }>["reason"], value: Payload): void {
    this.#state.exited = true;
    this.#commands.push({ kind: "exit", reason, value });
  }
}
