/** Runs a process's turns again, from its beginning, and holds what it commands and what its heap becomes against the store. */
import { commandDigest, describeCommand } from "../../journal/digest.ts";
import type { Input, Turn } from "../../journal/types.ts";
import type { EngineBinary } from "../../machine/engine-binary.ts";
import type { MachineLimits } from "../../machine/image.ts";
import { createLocalMachine } from "../../machine/local.ts";
import type { LoadRequest, Machine, ProgramSources, TurnOutcome, TurnRequest } from "../../machine/port.ts";
import type { ProcessKey, ProcessLoad } from "../../store/port.ts";
import type { VerifiedStore } from "./process.ts";
import type { Report } from "./rules.ts";

const pageTurns = 200;

export interface ReplayPorts {
  readonly store: VerifiedStore;
  readonly engine: EngineBinary;
  readonly programs: ProgramSources;
  readonly limits: MachineLimits | undefined;
  /** So many more turns were replayed. */
  step(turns: number): void;
}

export class Replay {
  readonly #ports: ReplayPorts;
  readonly #machine: Machine;
  readonly #turns = new Map<ProcessKey, (outcome: TurnOutcome) => void>();
  readonly #snapshots = new Map<ProcessKey, (body: Uint8Array) => void>();
  /** The machine gave up on itself: what waits for it must not wait for ever. */
  #failed: (error: Error) => void = () => undefined;

  constructor(ports: ReplayPorts) {
    this.#ports = ports;
    this.#machine = createLocalMachine({
      engine: ports.engine,
      programs: ports.programs,
      // What ran out of fuel is in the journal as an input.
      fuelInterrupts: Infinity,
      ...(ports.limits === undefined ? {} : { limits: ports.limits }),
      events: {
        turns: (results) => {
          for (const { process, outcome } of results) this.#turns.get(process)?.(outcome);
        },
        snapshots: (results) => {
          for (const { process, body } of results) this.#snapshots.get(process)?.(body);
        },
        failed: (error) => this.#failed(error),
      },
    });
  }

  /** Answers how many turns were replayed. */
  async process(load: ProcessLoad, report: Report): Promise<number> {
    const { key } = load.process;
    try {
      return await this.#process(load, report);
    } finally {
      this.#machine.drop(key);
      this.#machine.drop(shadowOf(key));
    }
  }

  async close(): Promise<void> {
    await this.#machine.close();
  }

  async #process(load: ProcessLoad, report: Report): Promise<number> {
    const { process, restores, snapshots, lastTurn } = load;
    const stored = new Map(snapshots.map(({ turn, body }) => [turn, body]));
    /** Heaps that the process went on from later, by turn. */
    const kept = new Map<number, Uint8Array>();
    const origins = new Map(restores.map(({ turn, from }) => [turn, from]));
    const needed = new Set(origins.values());
    for (let next = 1; next <= lastTurn;) {
      const turns = await this.#ports.store.turns(process.key, next, Math.min(pageTurns, lastTurn - next + 1));
      for (const turn of turns) {
        const from = origins.get(turn.number);
        const heap = from === undefined ? undefined : kept.get(from);
        const request = requestOf(
          load,
          turn,
          process.key,
          from === undefined || heap === undefined ? undefined : { turn: from, body: heap },
        );
        if (from !== undefined) this.#machine.drop(process.key);
        if (!(await this.#turn(request, turn, report))) return next - 1;
        next = turn.number + 1;
        if (!needed.has(turn.number) && !stored.has(turn.number)) continue;
        const body = await this.#snapshot(process.key);
        if (body === undefined) continue;
        if (needed.has(turn.number)) kept.set(turn.number, body);
        const other = stored.get(turn.number);
        if (other !== undefined) await this.#compare(load, turn.number, body, other, report);
      }
      this.#ports.step(turns.length);
      if (turns.length === 0) break;
    }
    return lastTurn;
  }

  /** Whether it went as the journal says. */
  async #turn(request: TurnRequest, turn: Turn, report: Report): Promise<boolean> {
    if (endsUnheard(turn)) return true;
    const outcome = await this.#run(request);
    const problem = problemOf(outcome, turn);
    if (problem !== undefined) report("replay", problem);
    return problem === undefined;
  }

  #run(request: TurnRequest): Promise<TurnOutcome> {
    return new Promise((resolve, reject) => {
      this.#turns.set(request.process, resolve);
      this.#failed = reject;
      this.#machine.run([request]);
    });
  }

  /** Undefined if the machine does not hold it: it has ended without running. */
  async #snapshot(process: ProcessKey): Promise<Uint8Array | undefined> {
    let found: Uint8Array | undefined;
    this.#snapshots.set(process, (body) => (found = body));
    this.#machine.snapshot(process);
    return found;
  }

  /**
   * The same bytes are the same heap. Others may be: another release packs them otherwise. Then both are unpacked, given one input that
   * changes next to nothing, and packed again.
   */
  async #compare(
    load: ProcessLoad,
    turn: number,
    replayed: Uint8Array,
    stored: Uint8Array,
    report: Report,
  ): Promise<void> {
    if (Buffer.compare(replayed, stored) === 0) return;
    const { key } = load.process;
    const timeMs = load.lastTimeMs;
    const probe: Turn = { number: turn + 1, timeMs, inputs: [{ kind: "pause" }], commands: [] };
    const bodies: (Uint8Array | undefined)[] = [];
    for (const body of [replayed, stored]) {
      this.#machine.drop(shadowOf(key));
      const outcome = await this.#run(requestOf(load, probe, shadowOf(key), { turn, body }));
      if (outcome.kind === "damaged-snapshot")
        return report("snapshot", `the snapshot of turn ${turn}: ${outcome.detail}`);
      bodies.push(await this.#snapshot(shadowOf(key)));
    }
    const [one, other] = bodies;
    if (one === undefined || other === undefined || Buffer.compare(one, other) !== 0)
      report("snapshot", `the snapshot of turn ${turn} is another heap than the one that replay comes to`);
  }
}

/** No process has it. */
function shadowOf(process: ProcessKey): ProcessKey {
  return -process;
}

function requestOf(
  { process }: ProcessLoad,
  { number, timeMs, inputs }: Turn,
  as: ProcessKey,
  snapshot: LoadRequest["snapshot"] | undefined,
): TurnRequest {
  const { pid, program, entry } = process;
  const base = { process: as, pid, program, number, timeMs, inputs, script: entry === "" };
  return snapshot === undefined ? base : { ...base, load: { snapshot, tail: [] } };
}

/** An exit signal that ends its process runs nothing: the exit is all there is to the turn. */
function endsUnheard({ inputs, commands }: Turn): boolean {
  const [input, ...others] = inputs as readonly [Input | undefined, ...Input[]];
  if (input?.kind !== "exit" || others.length > 0 || commands.length !== 1) return false;
  const { reason, value } = input;
  return commands[0]?.digest === commandDigest({ kind: "exit", reason, value }).digest;
}

function problemOf(outcome: TurnOutcome, { number, commands }: Turn): string | undefined {
  switch (outcome.kind) {
    case "done": {
      const length = Math.max(commands.length, outcome.digests.length);
      for (let index = 0; index < length; index++) {
        const [expected, actual] = [commands[index], outcome.digests[index]];
        if (expected?.kind !== actual?.kind || expected?.digest !== actual?.digest)
          return `turn ${number} gives, as command ${index + 1}, ${describeCommand(actual)} where the journal has ${describeCommand(expected)}`;
      }
      return undefined;
    }
    case "fatal":
      return `turn ${number} ends with ${outcome.reason} (${outcome.detail}), and did not in its time`;
    case "diverged":
    case "absent":
      return `turn ${number} cannot be replayed`;
    case "damaged-snapshot":
    case "broken":
      return `turn ${number} cannot be replayed: ${outcome.detail}`;
  }
}
