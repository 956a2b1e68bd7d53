/** What holds the heaps of a simulated node and runs turns in them: model processes here, QuickJS in quickjs.ts. */
import { commandDigest } from "../../src/journal/digest.ts";
import type { Command, Input, Turn } from "../../src/journal/types.ts";
import type { LoadRequest, QueryOutcome, QueryRequest, TurnOutcome, TurnRequest } from "../../src/machine/port.ts";
import type { ProcessKey } from "../../src/store/port.ts";

/** A simulated process: a pure function of its inputs, as a heap is. */
export interface Model {
  /** How many inputs of the last turn were delivered: all, or those up to the one that made it exit. */
  readonly delivered: number;
  turn(timeMs: number, inputs: readonly Input[], number: number): Command[];
  snapshot(): Uint8Array;
}

/** They fail only where they are told to: all that goes wrong by chance is decided by the machine above them. */
export interface Cores {
  /**
   * Runs a turn, after rebuilding the process if there is a `load`. The answer may take a while, in which time stands still;
   * `replayMicros` in it means nothing.
   */
  run(request: TurnRequest, answer: (outcome: TurnOutcome) => void): void;
  query(request: QueryRequest, answer: (outcome: QueryOutcome) => void): void;
  /** The heap between turns, in its own encoding. */
  snapshot(process: ProcessKey): Uint8Array;
  /** A snapshot that cannot be used any more, of one that can. */
  spoil(snapshot: Uint8Array): Uint8Array;
  drop(process: ProcessKey): void;
  /** The node is gone. */
  end(): void;
}

export class ModelCores implements Cores {
  readonly #create: (pid: string, snapshot: Uint8Array | undefined) => Model | undefined;
  readonly #heaps = new Map<ProcessKey, Model>();
  readonly #spoilt = new WeakSet<Uint8Array>();

  /** `create` gives a process before its first turn, or as a snapshot has it. Undefined if there is no such program. */
  constructor(create: (pid: string, snapshot: Uint8Array | undefined) => Model | undefined) {
    this.#create = create;
  }

  run(request: TurnRequest, answer: (outcome: TurnOutcome) => void): void {
    const { process, pid, number, load } = request;
    const failure = load === undefined && number > 1 ? undefined : this.#load(process, pid, load ?? { tail: [] });
    if (failure !== undefined) return answer(failure);
    const heap = this.#heaps.get(process);
    if (heap === undefined) return answer({ kind: "absent" });
    const commands = heap.turn(request.timeMs, request.inputs, number);
    const digests = commands.map((command) => commandDigest(command));
    answer({ kind: "done", commands, digests, delivered: heap.delivered, replayMicros: 0 });
  }

  /** The answer says which turn's heap it was. */
  query({ process, pid, turn, load }: QueryRequest, answer: (outcome: QueryOutcome) => void): void {
    const failure = load === undefined ? undefined : this.#load(process, pid, load);
    if (failure?.kind === "diverged" || failure?.kind === "broken" || failure?.kind === "damaged-snapshot")
      return answer(failure);
    answer(this.#heaps.has(process) ? { kind: "answered", body: { text: `${turn}` } } : { kind: "absent" });
  }

  snapshot(process: ProcessKey): Uint8Array {
    return this.#heaps.get(process)?.snapshot() ?? new Uint8Array();
  }

  spoil(snapshot: Uint8Array): Uint8Array {
    const spoilt = snapshot.slice();
    this.#spoilt.add(spoilt);
    return spoilt;
  }

  drop(process: ProcessKey): void {
    this.#heaps.delete(process);
  }

  end(): void {
    this.#heaps.clear();
  }

  /** The heap of a process between turns. */
  heapOf(process: ProcessKey): Uint8Array | undefined {
    return this.#heaps.get(process)?.snapshot();
  }

  #load(process: ProcessKey, pid: string, { snapshot, tail }: LoadRequest): TurnOutcome | undefined {
    if (snapshot !== undefined && this.#spoilt.has(snapshot.body))
      return { kind: "damaged-snapshot", turn: snapshot.turn, detail: "damaged, as it was told to be" };
    const heap = this.#create(pid, snapshot?.body);
    if (heap === undefined) return { kind: "broken", detail: "no such program" };
    for (const turn of tail) {
      const outcome = replay(heap, turn);
      if (outcome !== undefined) return outcome;
    }
    this.#heaps.set(process, heap);
    return undefined;
  }
}

function replay(heap: Model, turn: Turn): TurnOutcome | undefined {
  const commands = heap.turn(turn.timeMs, turn.inputs, turn.number);
  const length = Math.max(commands.length, turn.commands.length);
  for (let index = 0; index < length; index++) {
    const command = commands[index];
    const actual = command === undefined ? undefined : commandDigest(command);
    const expected = turn.commands[index];
    if (actual?.kind !== expected?.kind || actual?.digest !== expected?.digest) {
      return { kind: "diverged", divergence: { turn: turn.number, index, expected, actual } };
    }
  }
  return undefined;
}
