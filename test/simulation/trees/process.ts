/** A process of a tree. It checks what it is given: nothing may come twice, nor out of order, nor to the wrong one. */
import { decodeValue } from "../../../src/base/value.ts";
import type { Payload } from "../../../src/base/value.ts";
import { messageNumber } from "../../../src/journal/types.ts";
import type { Command, Input, Pid } from "../../../src/journal/types.ts";
import type { Model } from "../cores.ts";
import { outcomeValue, textOf, uncertain } from "../program.ts";
import { actSome, ask, decide, exit, goOn, setTimer } from "./acts.ts";
import type { Hand, Stamp, TreeArgs } from "./acts.ts";
import { learn, newHeap, numbersOf, seedOf, unit } from "./heap.ts";
import type { Heap } from "./heap.ts";
import type { Temper } from "./program.ts";

export class TreeProcess implements Model {
  readonly #temper: Temper;
  readonly #complain: (problem: string) => void;
  readonly heap: Heap;
  #hand: Hand;
  delivered = 0;
  /** When its turn began, it trapped exits: then the exits among its inputs are messages. */
  #trapped = false;

  constructor(pid: Pid, temper: Temper, complain: (problem: string) => void, snapshot?: Uint8Array) {
    this.#temper = temper;
    this.#complain = complain;
    this.heap = snapshot === undefined ? newHeap(pid) : (JSON.parse(new TextDecoder().decode(snapshot)) as Heap);
    this.#hand = this.#newHand(0, []);
  }

  snapshot(): Uint8Array {
    return new TextEncoder().encode(JSON.stringify(this.heap));
  }

  get exited(): boolean {
    return this.heap.exited;
  }

  #newHand(timeMs: number, commands: Command[]): Hand {
    const isFirst = !this.heap.started;
    return {
      heap: this.heap,
      temper: this.#temper,
      timeMs,
      isFirst,
      taken: 0,
      emit: (command) => void commands.push(command),
    };
  }

  turn(timeMs: number, inputs: readonly Input[], number: number): Command[] {
    const { heap } = this;
    const commands: Command[] = [];
    this.#hand = this.#newHand(timeMs, commands);
    this.delivered = 0;
    this.#trapped = heap.traps;
    const isFresh = heap.fresh;
    for (const input of inputs) {
      if (heap.exited) break;
      this.#hand.taken = input.kind === "message" ? messageNumber(number, this.delivered) : 0;
      this.delivered++;
      this.#deliver(input, isFresh && this.delivered === 1);
    }
    goOn(this.#hand);
    heap.fresh = commands.some(({ kind }) => kind === "checkpoint");
    return commands;
  }

  #deliver(input: Input, isFresh: boolean): void {
    const { heap } = this;
    if (!heap.started && input.kind !== "start") return this.#complain(`${input.kind} came before start`);
    heap.heard = (Math.imul(heap.heard, 31) + input.kind.length) | 0;
    switch (input.kind) {
      case "start":
        return this.#start(input);
      case "message":
        return this.#message(input.from, input.body);
      case "result":
        return this.#result(input.operation, input.ok, input.value);
      case "timer":
        return this.#timer(input.timer);
      case "exit":
        return this.#exit(input);
      case "down":
        return this.#down(input);
      case "cancel":
        return unit(heap) < 0.5 ? exit(this.#hand, "cancelled") : actSome(this.#hand);
      case "restore":
        if (!isFresh) return this.#complain("it was restored, and its heap is not that of its checkpoint");
        if (input.life <= heap.life) this.#complain(`life ${input.life} came after life ${heap.life}`);
        heap.life = input.life;
        heap.count = 0;
        heap.random = seedOf(input.seed);
        return actSome(this.#hand);
      case "discard":
        heap.mailbox = heap.mailbox.filter(({ number }) => number !== input.message);
        return;
      default:
        return this.#complain(`${input.kind} reached a turn`);
    }
  }

  #start({ args, seed }: Extract<Input, { kind: "start" }>): void {
    const { heap } = this;
    if (heap.started) return this.#complain("start came twice");
    const [{ parent, fuel, depth }] = decodeValue(args) as [TreeArgs];
    heap.started = true;
    heap.random = seedOf(seed);
    heap.parent = parent;
    heap.fuel = fuel;
    heap.depth = depth;
    learn(heap, parent);
    if (unit(heap) < this.#temper.traps) {
      heap.traps = true;
      this.#hand.emit({ kind: "trap-exit", on: true });
    }
    actSome(this.#hand);
    actSome(this.#hand);
  }

  #message(from: Pid, body: Payload): void {
    const { heap } = this;
    this.#ordered(from, body, false);
    const { known = from } = decodeValue(body) as Stamp;
    learn(heap, from);
    // It may be busy.
    if (unit(heap) < 0.3) return void heap.mailbox.push({ number: this.#hand.taken, known });
    learn(heap, known);
    actSome(this.#hand);
  }

  /** What it does when something other than a message has come: it may have time for one that has waited. */
  #act(): void {
    const { heap } = this;
    const message = heap.mailbox[0];
    if (message !== undefined && unit(heap) < 0.6) {
      heap.mailbox.shift();
      this.#hand.taken = message.number;
      learn(heap, message.known);
    }
    actSome(this.#hand);
  }

  /**
   * What one process sends comes in the order in which it was sent. Its end may reach one by several ties; whoever is ended by a
   * signal passes on what that said.
   */
  #ordered(from: Pid, payload: Payload, isEnd: boolean): void {
    const said = decodeValue(payload) as Partial<Stamp> | undefined;
    if (said === null || typeof said !== "object" || said.by !== from || said.number === undefined) return;
    if (isEnd !== (said.own === true)) return;
    const { last } = this.heap;
    const before = last[from] ?? 0;
    const { number } = said;
    if (number < before || (number === before && !isEnd))
      this.#complain(`number ${number} of ${from} came after number ${before}`);
    last[from] = number;
  }

  /** Whether the number is one it waits for; what an earlier life or a second thought gave up is passed over. */
  #settles(number: number, what: string, isPending: boolean): boolean {
    const { heap } = this;
    if (isPending) {
      heap.settled.push(number);
      return true;
    }
    const isForgotten = number < numbersOf(heap.life) && !heap.settled.includes(number);
    if (!isForgotten && !heap.takenBack.includes(number))
      this.#complain(`${what} ${number} came twice, or nobody asked for it`);
    return false;
  }

  #result(number: number, ok: boolean, value: Payload): void {
    const { heap } = this;
    const operation = heap.operations[number];
    if (!this.#settles(number, "the result of operation", operation !== undefined) || operation === undefined) return;
    delete heap.operations[number];
    const { name, site, pid } = operation;
    const given = decodeValue(value);
    if (site > 0) this.#checkOutcome(number, site, given);
    else if (ok) this.#answered(name, pid, given);
    this.#act();
  }

  #checkOutcome(number: number, site: number, given: unknown): void {
    const text = textOf(given);
    const isOwn = text === outcomeValue(site, number) || text === uncertain;
    // It was given up in a life that is forgotten.
    const isLost = this.heap.life > 1 && given instanceof Error;
    if (!isOwn && !isLost) this.#complain(`operation ${number} at ${site} gave ${String(given)}`);
  }

  #answered(name: string, pid: Pid, given: unknown): void {
    const { heap } = this;
    if (name === "perdure:whereis" && typeof given === "string") learn(heap, given);
    if (name === "perdure:members") for (const member of given as Pid[]) learn(heap, member);
    if (name === "perdure:start") learn(heap, pid);
    if (name === "perdure:revive" && given === false) ask(this.#hand, "perdure:release", { pid });
  }

  #timer(number: number): void {
    const { heap } = this;
    const timer = heap.timers[number];
    if (!this.#settles(number, "timer", timer !== undefined) || timer === undefined) return;
    delete heap.timers[number];
    if (this.#hand.timeMs < timer.dueMs)
      this.#complain(`timer ${number} fired ${timer.dueMs - this.#hand.timeMs} ms early by its own clock`);
    const child = heap.crashed[0];
    if (child === undefined) this.#act();
    else decide(this.#hand, child);
  }

  #exit({ from, reason, value, linked, held }: Extract<Input, { kind: "exit" }>): void {
    const { heap } = this;
    if (!this.#trapped && !heap.traps && linked && reason === "cancelled") {
      // The end of its parent, which was cancelled, asks it to wind up.
      this.#ordered(from, value, linked);
      heap.links = heap.links.filter((pid) => pid !== from);
      return unit(heap) < 0.5 ? exit(this.#hand, "cancelled") : actSome(this.#hand);
    }
    if (!this.#trapped && !heap.traps) return this.#complain(`a signal of ${from} reached it, and it traps no exits`);
    if (held !== "") {
      heap.crashed = [...heap.crashed.filter((pid) => pid !== from), from];
      // Some supervisors wait before they decide.
      if (unit(heap) < 0.3) return setTimer(this.#hand, Math.floor(6_000 * unit(heap) ** 2));
      return decide(this.#hand, from);
    }
    this.#ordered(from, value, linked);
    if (linked) heap.links = heap.links.filter((pid) => pid !== from);
    heap.crashed = heap.crashed.filter((pid) => pid !== from);
    this.#act();
  }

  #down({ monitor, from, value }: Extract<Input, { kind: "down" }>): void {
    const { heap } = this;
    if (!this.#settles(monitor, "the down of monitor", heap.monitors[monitor] !== undefined)) return;
    this.#ordered(from, value, true);
    delete heap.monitors[monitor];
    this.#act();
  }
}
