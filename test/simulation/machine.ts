/** The machine of a simulated node: it holds simulated processes, loses some, and checks what it is given to rebuild them from. */
import { commandDigest } from "../../src/journal/digest.ts";
import type { Command, CommandDigest, Input, Turn } from "../../src/journal/types.ts";
import type {
  LoadRequest,
  Machine,
  MachineEvents,
  QueryOutcome,
  QueryRequest,
  TurnOutcome,
  TurnRequest,
  TurnResult,
} from "../../src/machine/port.ts";
import type { ProcessKey } from "../../src/store/port.ts";
import type { Dice } from "./dice.ts";
import type { Faults } from "./faults.ts";
import type { Scope, Timeline } from "./timeline.ts";

/** A simulated process: a pure function of its inputs, as a heap is. */
export interface Model {
  readonly exited: boolean;
  /** How many inputs of the last turn were delivered: all, or those up to the one that made it exit. */
  readonly delivered: number;
  turn(timeMs: number, inputs: readonly Input[], number: number): Command[];
  snapshot(): Uint8Array;
}

/** Where simulated processes come from. */
export interface Models {
  /** A process before its first turn, or as a snapshot has it. Undefined if there is no such program. */
  create(pid: string, snapshot: Uint8Array | undefined): Model | undefined;
  /** The turns after number `from` that lead to the heap which a turn needs; undefined if it cannot be asked for now. */
  heap(request: TurnRequest, from: number): readonly (Turn | undefined)[] | undefined;
}

export interface SimulatedMachinePorts {
  readonly timeline: Timeline;
  readonly scope: Scope;
  readonly dice: Dice;
  readonly faults: Faults;
  readonly models: Models;
  readonly events: MachineEvents;
  /** Processes that no machine can load. */
  readonly unloadable: ReadonlySet<string>;
  complain(problem: string): void;
  note(what: string, ...facts: readonly unknown[]): void;
  /** A turn has run: when, by the time that passes. */
  ran(pid: string, turn: number): void;
  /** It has told the kernel that a turn passed a limit. */
  saidFatal(pid: string): void;
}

interface Held {
  readonly process: Model;
  turn: number;
  timeMs: number;
  costMicros: number;
}

interface Running {
  readonly request: TurnRequest;
  killed: boolean;
}

export class SimulatedMachine implements Machine {
  readonly #ports: SimulatedMachinePorts;
  readonly #held = new Map<ProcessKey, Held>();
  readonly #running = new Map<ProcessKey, Running>();
  /** Those under way whose process was not dropped meanwhile. */
  readonly #queries = new Set<QueryRequest>();
  #results: TurnResult[] = [];
  #closed = false;

  constructor(ports: SimulatedMachinePorts) {
    this.#ports = ports;
  }

  get busy(): boolean {
    return this.#running.size > 0;
  }

  run(requests: readonly TurnRequest[]): void {
    const { complain, faults, timeline, scope, note } = this.#ports;
    for (const request of requests) {
      const { process, pid, number, inputs } = request;
      note("run", pid, number, inputs, request.load);
      if (this.#closed) return;
      if (this.#running.has(process)) complain(`two turns of ${pid} were asked for at once`);
      if (inputs.length === 0) complain(`turn ${number} of ${pid} was asked for without inputs`);
      if (request.script || request.program !== "program") complain(`${pid} was to run as another program`);
      this.#running.set(process, { request, killed: false });
      timeline.after(faults.turnMs(), () => this.#finish(process), scope);
    }
  }

  /** The answer says which turn's heap it was. */
  query(request: QueryRequest): Promise<QueryOutcome> {
    const { complain, faults, timeline, scope, note } = this.#ports;
    const { process, pid, turn } = request;
    note("query", pid, turn, request.load);
    if (this.#running.has(process)) complain(`${pid} was queried in the middle of a turn`);
    this.#queries.add(request);
    return new Promise((resolve) => {
      timeline.after(
        faults.turnMs(),
        () => {
          const isWanted = this.#queries.delete(request);
          if (!this.#closed) resolve(isWanted ? this.#query(request) : { kind: "absent" });
        },
        scope,
      );
    });
  }

  #query(request: QueryRequest): QueryOutcome {
    const { process, pid, turn, load } = request;
    if (this.#ports.unloadable.has(pid)) return { kind: "broken", detail: "its program cannot be loaded" };
    const held = this.#held.get(process);
    if (held === undefined) {
      if (load === undefined) return { kind: "absent" };
      const fresh = this.#load({ ...request, number: turn + 1, inputs: [] }, load);
      if ("kind" in fresh) return fresh.kind === "damaged-snapshot" ? fresh : { kind: "broken", detail: "not loaded" };
      this.#held.set(process, fresh);
    } else if (held.turn !== turn) return { kind: "absent" };
    return { kind: "answered", body: { text: `${turn}` } };
  }

  snapshot(process: ProcessKey): void {
    const { timeline, scope, dice, events, note } = this.#ports;
    const held = this.#held.get(process);
    if (held === undefined || this.#running.has(process)) return;
    const { turn } = held;
    const body = held.process.snapshot();
    held.costMicros = 0;
    note("snapshot", process, turn);
    if (dice.chance(0.3)) return events.snapshots([{ process, turn, body, micros: dice.int(0, 5_000) }]);
    timeline.after(
      dice.delay(0, 100),
      () => events.snapshots([{ process, turn, body, micros: dice.int(0, 5_000) }]),
      scope,
    );
  }

  kill(process: ProcessKey): void {
    const running = this.#running.get(process);
    if (running !== undefined) running.killed = true;
  }

  drop(process: ProcessKey): void {
    this.kill(process);
    this.#held.delete(process);
    for (const query of this.#queries) if (query.process === process) this.#queries.delete(query);
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #finish(process: ProcessKey): void {
    const running = this.#running.get(process);
    if (running === undefined || this.#closed) return;
    const { timeline, scope, dice, events, faults } = this.#ports;
    if (faults.machineFails()) return events.failed(new Error("The machine failed, as it was told to."));
    const { request, killed } = running;
    const outcome = this.#outcome(request, killed);
    this.#running.delete(process);
    this.#ports.note("ran", request.pid, request.number, outcome);
    this.#results.push({ process, number: request.number, outcome });
    if (this.#results.length > 1) return;
    timeline.after(
      dice.chance(0.7) ? 0 : 1,
      () => {
        const results = this.#results;
        this.#results = [];
        if (!this.#closed) events.turns(results);
      },
      scope,
    );
  }

  #outcome(request: TurnRequest, killed: boolean): TurnOutcome {
    const { process, pid, number, inputs, timeMs } = request;
    const { faults, dice, complain } = this.#ports;
    if (this.#ports.unloadable.has(pid)) return { kind: "broken", detail: "its program cannot be loaded" };
    const held = this.#find(request);
    if ("kind" in held) return held;
    if (killed && dice.chance(0.7)) {
      this.#held.delete(process);
      return { kind: "fatal", input: dice.int(0, inputs.length - 1), reason: "killed", detail: "Killed in mid-turn." };
    }
    if (faults.fatal()) {
      this.#held.delete(process);
      this.#ports.saidFatal(pid);
      const reason = dice.pick(["out_of_fuel", "out_of_memory", "trap"] as const);
      return { kind: "fatal", input: dice.int(0, inputs.length - 1), reason, detail: "A limit was passed." };
    }
    if (held.process.exited) complain(`turn ${number} of ${pid} was asked for after its exit`);
    if (timeMs < held.timeMs) complain(`turn ${number} of ${pid} goes back in time`);
    const commands = held.process.turn(timeMs, inputs, number);
    held.turn = number;
    held.timeMs = timeMs;
    held.costMicros += faults.turnMicros();
    this.#ports.ran(pid, number);
    const digests = commands.map((command: Command): CommandDigest => commandDigest(command));
    if (killed || faults.evicts()) this.#held.delete(process);
    return { kind: "done", commands, digests, delivered: held.process.delivered, replayMicros: held.costMicros };
  }

  #find(request: TurnRequest): Held | TurnOutcome {
    const { process, pid, number, load } = request;
    const present = this.#held.get(process);
    if (present !== undefined && present.turn === number - 1) return present;
    if (present !== undefined)
      this.#ports.complain(`turn ${number} of ${pid} was asked for, and the last one was ${present.turn}`);
    if (number > 1 && load === undefined) return { kind: "absent" };
    const fresh = this.#load(request, number === 1 ? { tail: [] } : (load as LoadRequest));
    if (!("kind" in fresh)) this.#held.set(process, fresh);
    return fresh;
  }

  /** The heap of a process as the machine has it, between turns. */
  heapOf(process: ProcessKey): Uint8Array | undefined {
    return this.#held.get(process)?.process.snapshot();
  }

  #load(request: TurnRequest, { snapshot, tail }: LoadRequest): Held | TurnOutcome {
    const { models, faults, complain } = this.#ports;
    const { pid, number } = request;
    if (snapshot !== undefined && faults.damaged(snapshot.body))
      return { kind: "damaged-snapshot", turn: snapshot.turn, detail: "damaged, as it was told to be" };
    const from = snapshot?.turn ?? 0;
    const expected = models.heap(request, from);
    const isWhole =
      expected !== undefined &&
      tail.length === expected.length &&
      tail.every((turn, i) => expected[i] === undefined || turn === expected[i]);
    if (!isWhole) {
      complain(
        `${pid} is to be rebuilt for turn ${number} from turns ${tail.map((turn) => turn.number).join()} after ${from}, and the journal has ${expected?.map((turn) => turn?.number).join() ?? "other ones"}`,
      );
      return { kind: "broken", detail: "its journal has a gap" };
    }
    const process = models.create(pid, snapshot?.body);
    if (process === undefined) return { kind: "broken", detail: "no such program" };
    const held: Held = { process, turn: number - 1, timeMs: tail.at(-1)?.timeMs ?? 0, costMicros: 0 };
    for (const turn of tail) {
      const outcome = replay(process, turn);
      if (outcome !== undefined) {
        complain(`${pid} diverged in turn ${turn.number}`);
        return outcome;
      }
      held.costMicros += faults.turnMicros();
    }
    return held;
  }
}

function replay(process: Model, turn: Turn): TurnOutcome | undefined {
  const commands = process.turn(turn.timeMs, turn.inputs, turn.number);
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
