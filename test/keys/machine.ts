/**
 * A machine whose processes are three: a parent that lets its child go on when it failed, the child, which answers calls in every
 * way a server can, and an echo that the child asks. Each is a pure function of its inputs.
 */
import { decodeValue, encodeValue } from "../../src/base/value.ts";
import { commandDigest } from "../../src/journal/digest.ts";
import { messageNumber } from "../../src/journal/types.ts";
import type { Command, Input, Pid } from "../../src/journal/types.ts";
import type { Machine, MachineEvents, TurnOutcome, TurnRequest } from "../../src/machine/port.ts";
import type { ProcessKey } from "../../src/store/port.ts";

/** What is sent to the child. `to`: where the answer goes, if one is wanted. */
export interface Ask {
  /**
   * `add` is answered at once, `later` with the next `flush`, `relay` when the echo has answered; `fail` makes the child fail, and
   * `end` is the end of it, after an answer. `mark` is a checkpoint.
   */
  readonly op: "add" | "later" | "relay" | "fail" | "end" | "flush" | "mark";
  readonly id: string;
  readonly to?: string;
}

interface Heap {
  total: number;
  later: Ask[];
  issued: number;
  failures: number;
  /** Of the parent: what it asked the kernel, and for whom. */
  asked: { readonly number: number; readonly pid: Pid; readonly from: string }[];
}

export const pids = { parent: "parent", child: "child", echo: "echo" } as const;

const numbersPerLife = 1e9;

function newHeap(): Heap {
  return { total: 0, later: [], issued: 0, failures: 0, asked: [] };
}

function send(to: string, value: unknown): Command {
  return { kind: "send", to, body: encodeValue(value) };
}

function operation(number: number, name: string, options: object): Command {
  return { kind: "operation", number, name, args: encodeValue([]), options: JSON.stringify(options) };
}

function turn(
  pid: Pid,
  heap: Heap,
  inputs: readonly Input[],
  number: number,
): { commands: Command[]; delivered: number } {
  const commands: Command[] = [];
  for (const [index, input] of inputs.entries()) {
    if (input.kind === "restore") heap.issued = input.life * numbersPerLife;
    const own = pid === pids.parent ? parent(heap, input) : pid === pids.echo ? echo(input) : child(heap, input);
    for (const command of own) {
      commands.push(command.kind === "exit" ? { ...command, taken: messageNumber(number, index) } : command);
      if (command.kind === "exit") return { commands, delivered: index + 1 };
    }
  }
  return { commands, delivered: inputs.length };
}

function echo(input: Input): Command[] {
  if (input.kind !== "message") return [];
  return [send(input.from, { echoed: decodeValue(input.body) })];
}

function answer(heap: Heap, { to, id }: Ask): Command[] {
  return to === undefined ? [] : [send(to, { id, total: ++heap.total })];
}

function child(heap: Heap, input: Input): Command[] {
  if (input.kind !== "message") return [];
  const given = decodeValue(input.body) as Ask | { readonly echoed: Ask };
  if ("echoed" in given) return answer(heap, given.echoed);
  switch (given.op) {
    case "add":
      return answer(heap, given);
    case "later":
      heap.later.push(given);
      return [];
    case "flush":
      return heap.later.splice(0).flatMap((ask) => answer(heap, ask));
    case "relay":
      return [send(pids.echo, given)];
    case "mark":
      return [{ kind: "checkpoint" }];
    case "fail":
      // What the turn did before is undone with it.
      return [...answer(heap, given), { kind: "exit", reason: "error", value: encodeValue(new Error(given.id)) }];
    case "end":
      return [...answer(heap, given), { kind: "exit", reason: "normal", value: encodeValue(given.id) }];
  }
}

/** Of the child's failures some are undone to the turn before, some to the checkpoint. */
function parent(heap: Heap, input: Input): Command[] {
  const ask = (name: string, pid: Pid, from: string): Command => {
    heap.asked.push({ number: ++heap.issued, pid, from });
    return operation(heap.issued, name, from === "" ? { pid } : { pid, from });
  };
  if (input.kind === "start") {
    const born = (pid: Pid, held: boolean): Command => {
      const options = JSON.stringify({ held });
      return { kind: "spawn", pid, entry: pid, args: encodeValue([]), link: held, monitor: 0, options };
    };
    return [{ kind: "trap-exit", on: true }, born(pids.echo, false), born(pids.child, true)];
  }
  if (input.kind === "exit" && input.held !== "") {
    return [ask("perdure:revive", input.from, ++heap.failures % 2 === 0 ? "previous" : "checkpoint")];
  }
  if (input.kind !== "result") return [];
  const asked = heap.asked.find(({ number }) => number === input.operation);
  heap.asked = heap.asked.filter((each) => each !== asked);
  if (asked === undefined || decodeValue(input.value) !== false) return [];
  return asked.from === "checkpoint" ? [ask("perdure:revive", asked.pid, "previous")] : [];
}

export interface ModelMachinePorts {
  readonly events: MachineEvents;
  turnMs(): number;
  after(delayMs: number, fn: () => void): void;
}

export class ModelMachine implements Machine {
  readonly #ports: ModelMachinePorts;
  readonly #heaps = new Map<ProcessKey, { readonly heap: Heap; turn: number }>();
  readonly #killed = new Set<ProcessKey>();

  constructor(ports: ModelMachinePorts) {
    this.#ports = ports;
  }

  run(requests: readonly TurnRequest[]): void {
    for (const request of requests) {
      this.#ports.after(this.#ports.turnMs(), () => {
        const { process, number } = request;
        this.#ports.events.turns([{ process, number, outcome: this.#run(request) }]);
      });
    }
  }

  #run(request: TurnRequest): TurnOutcome {
    const { process, pid, number, inputs, load } = request;
    if (this.#killed.delete(process)) return { kind: "fatal", input: 0, reason: "killed", detail: "Killed." };
    let held = this.#heaps.get(process);
    if (held?.turn !== number - 1) held = undefined;
    if (held === undefined) {
      if (load === undefined && number > 1) return { kind: "absent" };
      held = { heap: newHeap(), turn: number - 1 };
      for (const past of load?.tail ?? []) turn(pid, held.heap, past.inputs, past.number);
      this.#heaps.set(process, held);
    }
    const { commands, delivered } = turn(pid, held.heap, inputs, number);
    held.turn = number;
    const digests = commands.map((command) => commandDigest(command));
    return { kind: "done", commands, digests, delivered, replayMicros: 0 };
  }

  query(): Promise<never> {
    throw new Error("Nothing is read-only here.");
  }

  snapshot(): void {}

  kill(process: ProcessKey): void {
    this.#killed.add(process);
  }

  drop(process: ProcessKey): void {
    this.#heaps.delete(process);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
