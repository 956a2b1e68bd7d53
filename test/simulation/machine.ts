/** The machine of a simulated node: it takes its time, loses processes, passes limits, and checks what it is given to rebuild them from. */
import type { Turn } from "../../src/journal/types.ts";
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
import type { Cores } from "./cores.ts";
import type { Dice } from "./dice.ts";
import type { Faults } from "./faults.ts";
import type { Scope, Timeline } from "./timeline.ts";

/** What the processes of a run are, and what may be asked of them. */
export interface Heaps {
  /** What runs them on one node, and where that complains. */
  cores(complain: (problem: string) => void): Cores;
  /** Hash of their program. */
  readonly program: string;
  /** The turns after number `from` that lead to the heap which a turn needs; undefined if it cannot be asked for now. */
  journal(request: TurnRequest, from: number): readonly (Turn | undefined)[] | undefined;
}

export interface SimulatedMachinePorts {
  readonly timeline: Timeline;
  readonly scope: Scope;
  readonly dice: Dice;
  readonly faults: Faults;
  readonly heaps: Heaps;
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
  turn: number;
  timeMs: number;
  costMicros: number;
  exited: boolean;
}

interface Running {
  readonly request: TurnRequest;
  killed: boolean;
}

export class SimulatedMachine implements Machine {
  readonly #ports: SimulatedMachinePorts;
  readonly #cores: Cores;
  readonly #held = new Map<ProcessKey, Held>();
  readonly #running = new Map<ProcessKey, Running>();
  /** Those under way whose process was not dropped meanwhile. */
  readonly #queries = new Set<QueryRequest>();
  #results: TurnResult[] = [];
  #closed = false;

  constructor(ports: SimulatedMachinePorts) {
    this.#ports = ports;
    this.#cores = ports.heaps.cores(ports.complain);
  }

  get busy(): boolean {
    return this.#running.size > 0;
  }

  run(requests: readonly TurnRequest[]): void {
    const { complain, faults, timeline, scope, note, heaps } = this.#ports;
    for (const request of requests) {
      const { process, pid, number, inputs } = request;
      note("run", pid, number, inputs, request.load);
      if (this.#closed) return;
      if (this.#running.has(process)) complain(`two turns of ${pid} were asked for at once`);
      if (inputs.length === 0) complain(`turn ${number} of ${pid} was asked for without inputs`);
      if (request.script || request.program !== heaps.program) complain(`${pid} was to run as another program`);
      this.#running.set(process, { request, killed: false });
      timeline.after(faults.turnMs(), () => this.#finish(process), scope);
    }
  }

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
          if (this.#closed) return;
          if (isWanted) this.#query(request, resolve);
          else resolve({ kind: "absent" });
        },
        scope,
      );
    });
  }

  #query(request: QueryRequest, answer: (outcome: QueryOutcome) => void): void {
    const { process, pid, turn, timeMs, load } = request;
    const { unloadable } = this.#ports;
    if (unloadable.has(pid)) return answer({ kind: "broken", detail: "its program cannot be loaded" });
    const held = this.#held.get(process);
    if (held !== undefined) {
      if (held.turn !== turn) return answer({ kind: "absent" });
      const { load: _, ...rest } = request;
      return this.#cores.query(rest, answer);
    }
    if (load === undefined) return answer({ kind: "absent" });
    const prepared = this.#prepare({ ...request, number: turn + 1, inputs: [] }, load);
    if ("kind" in prepared) return answer(prepared);
    this.#cores.query({ ...request, load: prepared }, (outcome) => {
      if (outcome.kind === "damaged-snapshot" || outcome.kind === "broken" || outcome.kind === "diverged")
        this.#cores.drop(process);
      else this.#held.set(process, { turn, timeMs, costMicros: this.#costMicros(prepared), exited: false });
      answer(outcome);
    });
  }

  snapshot(process: ProcessKey): void {
    const { timeline, scope, dice, events, note } = this.#ports;
    const held = this.#held.get(process);
    if (held === undefined || this.#running.has(process)) return;
    const { turn } = held;
    const body = this.#cores.snapshot(process);
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
    this.#forget(process);
    for (const query of this.#queries) if (query.process === process) this.#queries.delete(query);
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  /** The node is gone. */
  end(): void {
    this.#closed = true;
    this.#cores.end();
  }

  /** The heap of a process as the machine has it, between turns. */
  heapOf(process: ProcessKey): Uint8Array | undefined {
    return this.#held.has(process) ? this.#cores.snapshot(process) : undefined;
  }

  #forget(process: ProcessKey): void {
    this.#held.delete(process);
    this.#cores.drop(process);
  }

  // -- turns ----------------------------------------------------------------------------------------------------

  #finish(process: ProcessKey): void {
    const running = this.#running.get(process);
    if (running === undefined || this.#closed) return;
    const { events, faults } = this.#ports;
    if (faults.machineFails()) return events.failed(new Error("The machine failed, as it was told to."));
    this.#turn(running, (outcome) => this.#answer(running.request, outcome));
  }

  #answer({ process, pid, number }: TurnRequest, outcome: TurnOutcome): void {
    const { timeline, scope, dice, events } = this.#ports;
    this.#running.delete(process);
    this.#ports.note("ran", pid, number, outcome);
    this.#results.push({ process, number, outcome });
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

  #turn(running: Running, answer: (outcome: TurnOutcome) => void): void {
    const { process, pid, number, inputs, timeMs } = running.request;
    const { faults, dice, complain, unloadable } = this.#ports;
    if (unloadable.has(pid)) {
      faults.count("program that cannot be loaded");
      return answer({ kind: "broken", detail: "its program cannot be loaded" });
    }
    const prepared = this.#find(running.request);
    if ("kind" in prepared) return answer(prepared);
    const { load, held } = prepared;
    if (running.killed && dice.chance(0.7)) {
      this.#forget(process);
      const input = dice.int(0, inputs.length - 1);
      return answer({ kind: "fatal", input, reason: "killed", detail: "Killed in mid-turn." });
    }
    if (faults.fatal()) {
      this.#forget(process);
      this.#ports.saidFatal(pid);
      const reason = dice.pick(["out_of_fuel", "out_of_memory", "trap"] as const);
      const input = dice.int(0, inputs.length - 1);
      return answer({ kind: "fatal", input, reason, detail: "A limit was passed." });
    }
    if (held.exited) complain(`turn ${number} of ${pid} was asked for after its exit`);
    if (timeMs < held.timeMs) complain(`turn ${number} of ${pid} goes back in time`);
    const { load: _, ...rest } = running.request;
    const request = load === undefined ? rest : { ...rest, load };
    this.#cores.run(request, (outcome) => answer(this.#ran(running, held, outcome)));
  }

  #ran({ request, killed }: Running, held: Held, outcome: TurnOutcome): TurnOutcome {
    const { process, pid, number, timeMs } = request;
    const { faults, complain } = this.#ports;
    if (outcome.kind !== "done") {
      this.#forget(process);
      if (outcome.kind !== "damaged-snapshot") complain(`turn ${number} of ${pid}: ${JSON.stringify(outcome)}`);
      return outcome;
    }
    held.turn = number;
    held.timeMs = timeMs;
    held.exited = outcome.commands.at(-1)?.kind === "exit";
    held.costMicros += faults.turnMicros();
    this.#held.set(process, held);
    this.#ports.ran(pid, number);
    if (killed || faults.evicts()) this.#forget(process);
    return { ...outcome, replayMicros: held.costMicros };
  }

  /** What the cores need for the turn, or why there is none. */
  #find(request: TurnRequest): { readonly held: Held; readonly load: LoadRequest | undefined } | TurnOutcome {
    const { process, pid, number, load } = request;
    const present = this.#held.get(process);
    if (present !== undefined && present.turn === number - 1) return { held: present, load: undefined };
    if (present !== undefined)
      this.#ports.complain(`turn ${number} of ${pid} was asked for, and the last one was ${present.turn}`);
    if (number > 1 && load === undefined) return { kind: "absent" };
    const prepared = this.#prepare(request, number === 1 ? { tail: [] } : (load as LoadRequest));
    if ("kind" in prepared) return prepared;
    const timeMs = prepared.tail.at(-1)?.timeMs ?? 0;
    const held = { turn: number - 1, timeMs, costMicros: this.#costMicros(prepared), exited: false };
    return { held, load: prepared };
  }

  #costMicros({ tail }: LoadRequest): number {
    return tail.reduce((sum) => sum + this.#ports.faults.turnMicros(), 0);
  }

  /** A process is to be rebuilt: it has to be from its whole journal. */
  #prepare(
    request: TurnRequest,
    { snapshot, tail }: LoadRequest,
  ): LoadRequest | { readonly kind: "broken"; readonly detail: string } {
    const { heaps, faults, complain } = this.#ports;
    const { pid, number } = request;
    if (snapshot !== undefined && faults.damaged(snapshot.body))
      return { snapshot: { turn: snapshot.turn, body: this.#cores.spoil(snapshot.body) }, tail };
    const from = snapshot?.turn ?? 0;
    const expected = heaps.journal(request, from);
    const isWhole =
      expected !== undefined &&
      tail.length === expected.length &&
      tail.every((turn, i) => expected[i] === undefined || turn === expected[i]);
    if (isWhole) return snapshot === undefined ? { tail } : { snapshot, tail };
    complain(
      `${pid} is to be rebuilt for turn ${number} from turns ${tail.map((turn) => turn.number).join()} after ${from}, and the journal has ${expected?.map((turn) => turn?.number).join() ?? "other ones"}`,
    );
    return { kind: "broken", detail: "its journal has a gap" };
  }
}
