/** A machine in the thread it is created in: loads processes, runs their turns one slice at a time, takes snapshots. */
import { setImmediate as immediate } from "node:timers/promises";
import { isPerdureError } from "../base/errors.ts";
import { commandDigest } from "../journal/digest.ts";
import type { Command, CommandDigest, ProcessKey, Turn } from "../journal/types.ts";
import type { EngineBinary } from "./engine-binary.ts";
import { decodeImage, encodeImage } from "./image-file.ts";
import { buildImage, defaultMachineLimits, imageKey } from "./image.ts";
import type { Image, MachineLimits } from "./image.ts";
import { diff } from "./pages.ts";
import { defaultPoolLimits, Pool } from "./pool.ts";
import type { PoolLimits, Resident } from "./pool.ts";
import type {
  Divergence,
  LoadRequest,
  Machine,
  MachineEvents,
  ProgramSources,
  SnapshotResult,
  TurnOutcome,
  TurnRequest,
  TurnResult,
} from "./port.ts";
import { Scheduler } from "./scheduler.ts";
import type { Slices } from "./scheduler.ts";
import { decodeSnapshot, encodeSnapshot } from "./snapshot.ts";
import type { Snapshot } from "./snapshot.ts";
import { runTurn } from "./turn.ts";
import type { TurnEnd, TurnTask } from "./turn.ts";

/** A sign of life, for a watchdog in another thread. */
export interface Pulse {
  /** Before each input and at each interrupt. `process` 0: no guest runs. */
  beat(process: ProcessKey, input: number): void;
}

export interface LocalMachineOptions {
  readonly engine: EngineBinary;
  readonly programs: ProgramSources;
  readonly events: MachineEvents;
  /** Interrupts (each 10,000 bytecode operations) a turn may take. Default 100,000: ten seconds or more. */
  readonly fuelInterrupts?: number;
  readonly limits?: MachineLimits;
  readonly pool?: PoolLimits;
  readonly pulse?: Pulse;
  /** Microseconds from anywhere; only differences count, and only for estimates. */
  readonly stopwatchMicros?: () => number;
}

export const defaultFuelInterrupts = 100_000;
const maxImages = 16;
/** Turns between two looks at the event loop. */
const turnsPerBreath = 32;
const noPulse: Pulse = { beat: () => undefined };

export function createLocalMachine(options: LocalMachineOptions): Machine {
  return new LocalMachine(options);
}

class LocalMachine implements Machine {
  readonly #options: LocalMachineOptions;
  readonly #limits: MachineLimits;
  readonly #pool: Pool;
  readonly #scheduler: Scheduler;
  readonly #images = new Map<string, Promise<Image>>();
  /** Processes whose turn is to end at its next interrupt. */
  readonly #kills = new Set<ProcessKey>();
  readonly #pulse: Pulse;
  readonly #stopwatch: () => number;
  #results: TurnResult[] = [];
  #current: ProcessKey = 0;
  #input = 0;
  #pumping = false;
  #closed = false;

  constructor(options: LocalMachineOptions) {
    this.#options = options;
    this.#limits = options.limits ?? defaultMachineLimits;
    this.#pulse = options.pulse ?? noPulse;
    this.#stopwatch = options.stopwatchMicros ?? (() => performance.now() * 1000);
    this.#pool = new Pool(options.engine, options.pool ?? defaultPoolLimits);
    this.#scheduler = new Scheduler({
      fuelInterrupts: options.fuelInterrupts ?? defaultFuelInterrupts,
      onInterrupt: () => this.#pulse.beat(this.#current, this.#input),
    });
  }

  run(requests: readonly TurnRequest[]): void {
    for (const request of requests) {
      this.#image(request.program).then(
        (image) => {
          this.#scheduler.add((slices) => this.#turn(request, image, slices));
          this.#wake();
        },
        (error: unknown) => this.#answer(request, { kind: "broken", detail: messageOf(error) }),
      );
    }
  }

  snapshot(process: ProcessKey): void {
    const resident = this.#pool.peek(process);
    if (resident === undefined || resident.busy) return;
    const { image, turn, vm } = resident;
    const body = encodeSnapshot({ turn, delta: diff(vm.bytes, image.memory) }, image);
    resident.costMicros = 0;
    this.#options.events.snapshots([{ process, turn, body } satisfies SnapshotResult]);
  }

  kill(process: ProcessKey): void {
    if (this.#pool.peek(process)?.busy === true) this.#kills.add(process);
  }

  drop(process: ProcessKey): void {
    this.kill(process);
    this.#pool.drop(process);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  // -- images ---------------------------------------------------------------------------------------------------

  #image(program: string): Promise<Image> {
    const known = this.#images.get(program);
    if (known !== undefined) return known;
    const image = this.#loadImage(program);
    this.#images.set(program, image);
    // A failure is not remembered: the next request tries again.
    image.catch(() => this.#images.delete(program));
    for (const oldest of this.#images.keys()) if (this.#images.size > maxImages) this.#images.delete(oldest);
    return image;
  }

  async #loadImage(program: string): Promise<Image> {
    const { engine, programs } = this.#options;
    const source = await programs.source(program);
    const key = imageKey(engine.hash, source, this.#limits);
    const cached = await programs.loadImage(key);
    const decoded = cached === undefined ? undefined : decodeImage(cached, key, source.bundle);
    if (decoded !== undefined) return decoded;
    const image = await buildImage(engine, source, this.#limits);
    programs.saveImage(key, encodeImage(image));
    return image;
  }

  // -- the loop -------------------------------------------------------------------------------------------------

  #wake(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    this.#pump().catch((error: unknown) =>
      this.#options.events.failed(error instanceof Error ? error : new Error(String(error))),
    );
  }

  async #pump(): Promise<void> {
    let turns = 0;
    while (!this.#scheduler.idle && !this.#closed) {
      const suspended = await this.#scheduler.step();
      this.#pulse.beat(0, 0);
      if (suspended || ++turns % turnsPerBreath === 0) {
        this.#flush();
        await immediate();
      }
    }
    this.#pumping = false;
    this.#flush();
  }

  #flush(): void {
    if (this.#results.length === 0) return;
    const results = this.#results;
    this.#results = [];
    this.#options.events.turns(results);
  }

  #answer({ process, number }: TurnRequest, outcome: TurnOutcome): void {
    this.#results.push({ process, number, outcome });
    if (!this.#pumping) this.#flush();
  }

  // -- one turn -------------------------------------------------------------------------------------------------

  async #turn(request: TurnRequest, image: Image, slices: Slices): Promise<void> {
    try {
      const found = this.#pool.find(request.process, request.number - 1) ?? (await this.#load(request, image, slices));
      this.#answer(request, found instanceof Failure ? found.outcome : await this.#run(found, request, slices));
    } catch (error) {
      this.#pool.drop(request.process);
      this.#answer(request, { kind: "broken", detail: messageOf(error) });
    }
  }

  async #run(resident: Resident, request: TurnRequest, slices: Slices): Promise<TurnOutcome> {
    const started = this.#stopwatch();
    const end = await this.#guarded(resident, request, slices, true);
    if (end.kind === "fatal") return end;
    resident.turn = request.number;
    resident.costMicros += this.#stopwatch() - started;
    return {
      kind: "done",
      commands: end.commands,
      digests: end.commands.map(commandDigest),
      replayMicros: resident.costMicros,
    };
  }

  async #guarded(resident: Resident, task: TurnTask, slices: Slices, metered: boolean): Promise<TurnEnd> {
    const { process } = resident;
    const own: Slices = {
      interrupt: (stop) => {
        this.#current = process;
        if (!this.#kills.delete(process)) return slices.interrupt(metered ? stop : undefined);
        stop?.("killed", "Killed in the middle of a turn.");
        return new Promise<number>(() => undefined);
      },
    };
    resident.busy = true;
    const end = await runTurn(resident.vm, resident.image, task, own, (input) => {
      this.#current = process;
      this.#input = input;
      this.#pulse.beat(process, input);
    });
    // After a fatal end the guest is suspended in the instance for ever: `busy` stays, so that nobody uses it again.
    if (end.kind === "fatal") this.#pool.drop(process);
    else resident.busy = false;
    return end;
  }

  // -- loading --------------------------------------------------------------------------------------------------

  async #load(request: TurnRequest, image: Image, slices: Slices): Promise<Resident | Failure> {
    if (request.number === 1) return this.#pool.create(request.process, image, 0);
    if (request.load === undefined) return new Failure({ kind: "absent" });
    const { snapshot, tail } = request.load;
    const decoded = snapshot === undefined ? undefined : tryDecode(snapshot, image);
    if (decoded instanceof Failure) return decoded;
    const from = decoded?.turn ?? 0;
    if ((tail[0]?.number ?? request.number) !== from + 1) {
      return new Failure({
        kind: "broken",
        detail: `Its journal has no turn ${from + 1}, and no snapshot can stand in for it.`,
      });
    }
    const resident = this.#pool.create(request.process, image, from, decoded?.delta);
    for (const turn of tail) {
      const failure = await this.#replay(resident, request, turn, slices);
      if (failure === undefined) continue;
      this.#pool.drop(request.process);
      return new Failure(failure);
    }
    return resident;
  }

  /** Replay is running with the commands suppressed: they only have to be the ones the journal knows. */
  async #replay(
    resident: Resident,
    request: TurnRequest,
    turn: Turn,
    slices: Slices,
  ): Promise<TurnOutcome | undefined> {
    const started = this.#stopwatch();
    // Replay enforces no fuel: what ran out of it is in the journal as an input.
    const end = await this.#guarded(resident, { ...request, timeMs: turn.timeMs, inputs: turn.inputs }, slices, false);
    if (end.kind === "fatal" && end.reason === "killed") return end;
    if (end.kind === "fatal") return { kind: "broken", detail: `Replaying turn ${turn.number} failed: ${end.detail}` };
    const divergence = compare(turn, end.commands);
    resident.turn = turn.number;
    resident.costMicros += this.#stopwatch() - started;
    return divergence === undefined ? undefined : { kind: "diverged", divergence };
  }
}

class Failure {
  readonly outcome: TurnOutcome;
  constructor(outcome: TurnOutcome) {
    this.outcome = outcome;
  }
}

function tryDecode({ turn, body }: NonNullable<LoadRequest["snapshot"]>, image: Image): Snapshot | Failure {
  try {
    return decodeSnapshot(body, image, turn);
  } catch (error) {
    if (!isPerdureError(error, "SNAPSHOT_CORRUPT")) throw error;
    return new Failure({ kind: "damaged-snapshot", turn, detail: error.message });
  }
}

function compare(turn: Turn, commands: readonly Command[]): Divergence | undefined {
  const length = Math.max(turn.commands.length, commands.length);
  for (let index = 0; index < length; index++) {
    const expected = turn.commands[index];
    const command = commands[index];
    const actual: CommandDigest | undefined = command === undefined ? undefined : commandDigest(command);
    if (expected?.kind !== actual?.kind || expected?.digest !== actual?.digest)
      return { turn: turn.number, index, expected, actual };
  }
  return undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
