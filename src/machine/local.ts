/** A machine in the thread it is created in: loads processes, runs their turns one slice at a time, takes snapshots. */
import { setImmediate as immediate } from "node:timers/promises";
import { isPerdureError } from "../base/errors.ts";
import { commandDigest } from "../journal/digest.ts";
import type { Command, CommandDigest, ProcessKey, Turn } from "../journal/types.ts";
import type { EngineBinary } from "./engine-binary.ts";
import { decodeImage, encodeImage } from "./image-file.ts";
import { buildImage, defaultMachineLimits, imageKey, maxMemoryBytes } from "./image.ts";
import type { Image, MachineLimits, ProgramSource } from "./image.ts";
import { diff } from "./pages.ts";
import { defaultPoolLimits, Pool } from "./pool.ts";
import type { PoolLimits, Resident } from "./pool.ts";
import type {
  Divergence,
  LoadRequest,
  Machine,
  MachineEvents,
  ProgramSources,
  QueryOutcome,
  QueryRequest,
  SnapshotResult,
  TurnOutcome,
  TurnRequest,
  TurnResult,
} from "./port.ts";
import { queried, replayed } from "./pulse.ts";
import type { Pulse } from "./pulse.ts";
import { runQuery } from "./query.ts";
import { Scheduler } from "./scheduler.ts";
import type { Slices, Stop } from "./scheduler.ts";
import { decodeSnapshot, encodeSnapshot } from "./snapshot.ts";
import type { Snapshot } from "./snapshot.ts";
import { runTurn } from "./turn.ts";
import type { TurnEnd, TurnTask } from "./turn.ts";

export interface LocalMachineOptions {
  readonly engine: EngineBinary;
  readonly programs: ProgramSources;
  readonly events: MachineEvents;
  /** Interrupts (each 10,000 bytecode operations or 128 microtasks) a turn may take. Default 100,000: ten seconds or more. */
  readonly fuelInterrupts?: number;
  /** Also bounds what the commands of one turn may come to: as many bytes as the guest may allocate. */
  readonly limits?: MachineLimits;
  readonly pool?: PoolLimits;
  readonly pulse?: Pulse;
  /** Microseconds from anywhere; only differences count, and only for estimates. */
  readonly stopwatchMicros?: () => number;
}

export const defaultFuelInterrupts = 100_000;
const maxImages = 16;
/** Turns between two looks at the event loop. */
const turnsPerBreath = 12;
const noPulse: Pulse = { beat: () => undefined };

/** A machine that its thread has to look after. */
export interface LoneMachine extends Machine {
  /** Nothing is running or waiting to run. */
  readonly idle: boolean;
  /** Does ahead what the next new process will need. To be called when it is idle. */
  prepare(): void;
  /** Gives memory back that was needed for a while. To be called every few seconds. */
  trim(): void;
}

export function createLocalMachine(options: LocalMachineOptions): LoneMachine {
  return new LocalMachine(options);
}

/** A turn on its way, from its request to its result. */
interface Run {
  readonly request: TurnRequest;
  /** It is to end at its next interrupt. */
  killed: boolean;
  answered: boolean;
}

const killedOutcome = { kind: "fatal", input: 0, reason: "killed", detail: "Killed." } as const satisfies TurnOutcome;

class LocalMachine implements LoneMachine {
  readonly #options: LocalMachineOptions;
  readonly #limits: MachineLimits;
  readonly #maxSizeBytes: number;
  readonly #pool: Pool;
  readonly #scheduler: Scheduler;
  /** By program, in order of last use. */
  readonly #images = new Map<string, Promise<Image>>();
  readonly #runs = new Map<ProcessKey, Run>();
  readonly #queries = new Set<Run>();
  readonly #pulse: Pulse;
  readonly #stopwatch: () => number;
  #results: TurnResult[] = [];
  #pumping = false;
  #closed = false;

  constructor(options: LocalMachineOptions) {
    this.#options = options;
    this.#limits = options.limits ?? defaultMachineLimits;
    this.#maxSizeBytes = maxMemoryBytes(this.#limits);
    this.#pulse = options.pulse ?? noPulse;
    this.#stopwatch = options.stopwatchMicros ?? (() => performance.now() * 1000);
    this.#pool = new Pool(options.engine, options.pool ?? defaultPoolLimits);
    this.#scheduler = new Scheduler({ fuelInterrupts: options.fuelInterrupts ?? defaultFuelInterrupts });
  }

  run(requests: readonly TurnRequest[]): void {
    for (const request of requests) {
      const run: Run = { request, killed: false, answered: false };
      this.#runs.set(request.process, run);
      this.#image(request).then(
        (image) => this.#schedule((slices) => this.#turn(run, image, slices)),
        (error: unknown) => this.#answer(run, this.#problem(error)),
      );
    }
  }

  async query(request: QueryRequest): Promise<QueryOutcome> {
    const run: Run = { request: { ...request, number: request.turn + 1, inputs: [] }, killed: false, answered: false };
    this.#queries.add(run);
    try {
      const image = await this.#image(run.request);
      return await new Promise((resolve) => {
        this.#schedule(async (slices) => resolve(await this.#query(request, run, image, slices)));
      });
    } catch (error) {
      return this.#problem(error);
    } finally {
      this.#queries.delete(run);
    }
  }

  snapshot(process: ProcessKey): void {
    const resident = this.#pool.peek(process);
    if (resident === undefined || resident.busy) return;
    const { image, turn, vm } = resident;
    const started = this.#stopwatch();
    const body = encodeSnapshot({ turn, delta: diff(vm.bytes, image.memory) }, image);
    resident.costMicros = 0;
    const micros = this.#stopwatch() - started;
    this.#options.events.snapshots([{ process, turn, body, micros } satisfies SnapshotResult]);
  }

  kill(process: ProcessKey): void {
    const run = this.#runs.get(process);
    if (run !== undefined) run.killed = true;
  }

  drop(process: ProcessKey): void {
    const run = this.#runs.get(process);
    if (run !== undefined) {
      run.killed = true;
      // Now, so that the next turn of the process can be told from this one, whose guest may take until its next interrupt.
      this.#answer(run, killedOutcome);
    }
    for (const query of this.#queries) if (query.request.process === process) query.killed = true;
    this.#pool.drop(process);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  get idle(): boolean {
    return !this.#pumping && this.#runs.size === 0;
  }

  prepare(): void {
    try {
      this.#pool.prepare();
    } catch {
      // The host has no memory for it. Whoever needs it in earnest will say so.
    }
  }

  trim(): void {
    this.#pool.trim();
  }

  // -- images ---------------------------------------------------------------------------------------------------

  #image(request: TurnRequest): Promise<Image> {
    const { program } = request;
    const known = this.#images.get(program);
    if (known !== undefined) {
      this.#images.delete(program);
      this.#images.set(program, known);
      return known;
    }
    const image = this.#loadImage(request);
    this.#images.set(program, image);
    // A failure is not remembered: the next request tries again.
    image.catch(() => this.#images.delete(program));
    for (const oldest of this.#images.keys()) if (this.#images.size > maxImages) this.#images.delete(oldest);
    return image;
  }

  async #loadImage({ program, process }: TurnRequest): Promise<Image> {
    const { engine, programs } = this.#options;
    const source = await programs.source(program);
    const key = imageKey(engine.hash, source, this.#limits);
    const cached = await programs.loadImage(key).catch(() => undefined);
    const decoded = cached === undefined ? undefined : decodeImage(cached, key, source.bundle, this.#maxSizeBytes);
    if (decoded !== undefined) return decoded;
    const image = await this.#buildImage(process, source);
    programs.saveImage(key, encodeImage(image));
    return image;
  }

  /** The program's modules take turns with the processes. If they hang, it is at the cost of the process that asked. */
  #buildImage(process: ProcessKey, source: ProgramSource): Promise<Image> {
    return new Promise((resolve, reject) => {
      this.#schedule(async (slices) => {
        const beat = (): void => this.#pulse.beat(process, 0);
        const interrupt = (): number | Promise<number> => {
          beat();
          return whenResumed(slices.interrupt(), beat);
        };
        beat();
        await buildImage(this.#options.engine, source, this.#limits, interrupt).then(resolve, reject);
      });
    });
  }

  // -- the loop -------------------------------------------------------------------------------------------------

  #schedule(turn: (slices: Slices) => Promise<void>): void {
    this.#scheduler.add(turn);
    if (this.#pumping) return;
    this.#pumping = true;
    this.#pump().catch((error: unknown) => this.#options.events.failed(asError(error)));
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

  #answer(run: Run, outcome: TurnOutcome): void {
    if (run.answered) return;
    run.answered = true;
    const { process, number } = run.request;
    if (this.#runs.get(process) === run) this.#runs.delete(process);
    this.#results.push({ process, number, outcome });
    if (!this.#pumping) this.#flush();
  }

  /** A process that cannot be loaded is one thing; if the host has no memory for it, that is the node's trouble. */
  #problem(error: unknown): Extract<TurnOutcome, { kind: "broken" }> {
    if (isPerdureError(error, "ENGINE_FAILED")) this.#options.events.failed(error);
    return { kind: "broken", detail: asError(error).message };
  }

  // -- one turn -------------------------------------------------------------------------------------------------

  async #turn(run: Run, image: Image, slices: Slices): Promise<void> {
    if (run.killed) return this.#answer(run, killedOutcome);
    const { process, number } = run.request;
    try {
      const found = this.#pool.find(process, number - 1) ?? (await this.#load(run, image, slices));
      this.#answer(run, found instanceof Failure ? found.outcome : await this.#run(found, run, slices));
    } catch (error) {
      if (!run.answered) this.#pool.drop(process);
      this.#answer(run, this.#problem(error));
    }
  }

  async #run(resident: Resident, run: Run, slices: Slices): Promise<TurnOutcome> {
    const { request } = run;
    const started = this.#stopwatch();
    const task = { ...request, maxCommandBytes: this.#limits.memoryBytes };
    const end = await this.#guarded(resident, run, task, slices, true);
    if (end.kind === "fatal") return end;
    resident.turn = request.number;
    resident.costMicros += this.#stopwatch() - started;
    const digests = end.commands.map(commandDigest);
    return {
      kind: "done",
      commands: end.commands,
      digests,
      delivered: end.delivered,
      replayMicros: resident.costMicros,
    };
  }

  /** Runs a turn in the resident's machine. Without `metered` it is a replay, which enforces no limit. */
  async #guarded(resident: Resident, run: Run, task: TurnTask, slices: Slices, metered: boolean): Promise<TurnEnd> {
    if (run.killed) return killedOutcome;
    let input = 0;
    const beat = (): void => this.#pulse.beat(resident.process, metered ? input : replayed);
    const own = watched(run, slices, beat, metered);
    resident.busy = true;
    let end = await runTurn(resident.vm, resident.image, task, own, (number) => {
      input = number;
      beat();
    });
    this.#pulse.beat(0, 0);
    if (end.kind === "done" && metered && resident.vm.sizeBytes > this.#maxSizeBytes) {
      const detail = `The process's memory grew to ${resident.vm.sizeBytes} bytes.`;
      end = { kind: "fatal", input, reason: "out_of_memory", detail };
    }
    // After a fatal end the guest is suspended in the instance for ever: nobody may use it again.
    if (end.kind === "fatal") this.#pool.ruin(resident);
    else this.#pool.rest(resident);
    return end;
  }

  // -- queries --------------------------------------------------------------------------------------------------

  async #query(request: QueryRequest, run: Run, image: Image, slices: Slices): Promise<QueryOutcome> {
    const { process, turn } = request;
    const present = this.#pool.peek(process);
    // What is on its way in that memory must not be lost to a query.
    if (run.killed || (present !== undefined && (present.busy || present.turn !== turn))) return { kind: "absent" };
    try {
      const found = this.#pool.find(process, turn) ?? (await this.#load(run, image, slices));
      if (!(found instanceof Failure)) return await this.#answerQuery(found, request, run, slices);
      return found.outcome.kind === "fatal" || found.outcome.kind === "done" ? { kind: "absent" } : found.outcome;
    } catch (error) {
      return this.#problem(error);
    }
  }

  async #answerQuery(resident: Resident, request: QueryRequest, run: Run, slices: Slices): Promise<QueryOutcome> {
    const copy = this.#pool.copy(resident);
    const beat = (): void => this.#pulse.beat(request.process, queried(request.id));
    beat();
    const own = watched(run, slices, beat, true);
    const end = await runQuery(copy.vm, request, this.#limits.memoryBytes, own);
    this.#pulse.beat(0, 0);
    this.#pool.putBack(copy, end.kind === "fatal");
    return run.killed ? { kind: "absent" } : end;
  }

  // -- loading --------------------------------------------------------------------------------------------------

  async #load(run: Run, image: Image, slices: Slices): Promise<Resident | Failure> {
    const { process, number, load } = run.request;
    if (number === 1) return this.#pool.create(process, image, 0);
    if (load === undefined) return new Failure({ kind: "absent" });
    const decoded = load.snapshot === undefined ? undefined : tryDecode(load.snapshot, image, this.#maxSizeBytes);
    if (decoded instanceof Failure) return decoded;
    const from = decoded?.turn ?? 0;
    const detail = brokenTail(load.tail, from + 1, run.request);
    if (detail !== undefined) return new Failure({ kind: "broken", detail });
    const resident = this.#pool.create(process, image, from, decoded?.delta);
    for (const turn of load.tail) {
      const failure = await this.#replay(resident, run, turn, slices);
      if (failure === undefined) continue;
      this.#pool.ruin(resident);
      return new Failure(failure);
    }
    return resident;
  }

  /** Replay is running with the commands suppressed: they only have to be the ones the journal knows. */
  async #replay(resident: Resident, run: Run, turn: Turn, slices: Slices): Promise<TurnOutcome | undefined> {
    const started = this.#stopwatch();
    const { pid, script } = run.request;
    // Replay enforces no fuel: what ran out of it is in the journal as an input.
    const task = { pid, script, number: turn.number, timeMs: turn.timeMs, inputs: turn.inputs };
    const end = await this.#guarded(resident, run, task, slices, false);
    if (end.kind === "fatal" && end.reason === "killed") return killedOutcome;
    if (end.kind === "fatal") return { kind: "broken", detail: `Replaying turn ${turn.number} failed: ${end.detail}` };
    const divergence = compare(turn, end.commands);
    resident.turn = turn.number;
    resident.costMicros += this.#stopwatch() - started;
    return divergence === undefined ? undefined : { kind: "diverged", divergence };
  }
}

/** Slices that give signs of life, and end what was killed. */
function watched(run: Run, slices: Slices, beat: () => void, metered: boolean): Slices {
  return {
    interrupt: (stop) => {
      beat();
      const pause = slices.interrupt(metered ? stop : undefined);
      if (typeof pause === "number") return run.killed ? endOf(stop) : pause;
      return pause.then((value) => {
        beat();
        return run.killed ? endOf(stop) : value;
      });
    },
  };
}

/** Ends the turn, and never lets its guest go on. */
function endOf(stop: Stop | undefined): Promise<number> {
  stop?.("killed", killedOutcome.detail);
  return new Promise(() => undefined);
}

function whenResumed(pause: number | Promise<number>, beat: () => void): number | Promise<number> {
  if (typeof pause === "number") return pause;
  return pause.then((value) => {
    beat();
    return value;
  });
}

/**
 * What is wrong with turns that should lead from number `from` to the one before the request's. A turn that begins with
 * `restore` follows on an earlier one than its number says: its process had been put back.
 */
function brokenTail(tail: readonly Turn[], from: number, { number, inputs }: TurnRequest): string | undefined {
  if (from > number) return `Its snapshot is of turn ${from - 1}, but its journal ends with turn ${number - 1}.`;
  let next = from;
  for (const turn of tail) {
    if (turn.number > next && turn.inputs[0]?.kind === "restore") next = turn.number;
    if (turn.number >= number) return `Its journal has a turn ${turn.number} after its last, ${number - 1}.`;
    if (turn.number !== next) return missingTurn(next);
    next++;
  }
  return next === number || inputs[0]?.kind === "restore" ? undefined : missingTurn(next);
}

function missingTurn(number: number): string {
  return `Its journal has no turn ${number}, and no snapshot can stand in for it.`;
}

class Failure {
  readonly outcome: TurnOutcome;
  constructor(outcome: TurnOutcome) {
    this.outcome = outcome;
  }
}

function tryDecode(
  { turn, body }: NonNullable<LoadRequest["snapshot"]>,
  image: Image,
  maxSizeBytes: number,
): Snapshot | Failure {
  try {
    return decodeSnapshot(body, image, turn, maxSizeBytes);
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

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
