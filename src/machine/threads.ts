/**
 * Guest threads as one machine. They are disposable: a thread that computes for a second without a sign of life is stuck in a
 * native loop that preemption cannot reach; it is terminated, the process that was running in it ends `out_of_fuel`, and
 * the others are rebuilt from their last commit in a new thread.
 */
import { Worker } from "node:worker_threads";
import { PerdureError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import type { ProcessKey } from "../journal/types.ts";
import type {
  Machine,
  MachineEvents,
  ProgramSources,
  QueryOutcome,
  QueryRequest,
  TurnOutcome,
  TurnRequest,
  TurnResult,
} from "./port.ts";
import { requestsAsText } from "./thread-text.ts";
import { pulseSizeBytes, pulseSlot, queried, replayed } from "./pulse.ts";
import type { FromThread, GuestThreadData, GuestThreadOptions, ToThread } from "./thread-messages.ts";

export interface GuestThreadsOptions extends GuestThreadOptions {
  readonly engine: Uint8Array;
  readonly programs: ProgramSources;
  readonly events: MachineEvents;
  readonly clock: Clock;
  /** Default 1. */
  readonly threads?: number;
}

/** So many looks in a row without a sign of life, at this distance, make a thread a suspect. */
const looks = 9;
const lookEveryMs = 100;
/**
 * A suspect that has computed for so much of that time hangs. On a busy host a thread can be silent because it gets no
 * processor, which is nobody's fault.
 */
const hungShare = 0.7;
/** Whatever it computed: by then something is wrong with the thread itself. */
const looksAtMost = 120 * looks;
/** What took less than a second the first time may take longer on a busy host. */
const looksInReplay = 30 * looks;
/** How long a thread may take to end itself. One that hangs never does. */
const leaveMs = 500;
/** A thread that dies by itself so often within a minute is beyond help. */
const deathsAMinute = 5;

export function createGuestThreads(options: GuestThreadsOptions): Machine {
  const threads = Array.from({ length: options.threads ?? 1 }, () => new GuestThread(options));
  const of = (process: ProcessKey): GuestThread => threads[process % threads.length] as GuestThread;
  return {
    run(requests) {
      if (threads.length === 1) return threads[0]?.run(requests);
      for (const [thread, part] of Map.groupBy(requests, (request) => of(request.process))) thread.run(part);
    },
    query: (request) => of(request.process).query(request),
    snapshot: (process) => of(process).send({ kind: "snapshot", process }),
    kill: (process) => of(process).send({ kind: "kill", process }),
    drop: (process) => of(process).send({ kind: "drop", process }),
    close: async () => void (await Promise.all(threads.map((thread) => thread.close()))),
  };
}

/** A query that was handed over and not answered. */
interface Query {
  readonly request: QueryRequest;
  resolve(outcome: QueryOutcome): void;
}

class GuestThread {
  readonly #options: GuestThreadsOptions;
  /** Turns that were handed over and not answered. */
  readonly #underway = new Map<ProcessKey, TurnRequest>();
  readonly #queries = new Map<number, Query>();
  #pulse = new Int32Array(new SharedArrayBuffer(pulseSizeBytes));
  #worker: Worker;
  #deaths: number[] = [];
  #closed = false;
  #watching = false;
  #stopWatching: () => void = () => undefined;
  /** What the thread had computed when it fell silent, in µs. */
  #computedBefore: Promise<number | undefined> = Promise.resolve(undefined);

  constructor(options: GuestThreadsOptions) {
    this.#options = options;
    this.#worker = this.#spawn();
  }

  run(requests: readonly TurnRequest[]): void {
    for (const request of requests) this.#underway.set(request.process, request);
    const text = requestsAsText(requests);
    this.send(text === undefined ? { kind: "run", requests } : { kind: "run-text", text });
    this.#wakeWatchdog();
  }

  query(request: QueryRequest): Promise<QueryOutcome> {
    return new Promise((resolve) => {
      this.#queries.set(request.id, { request, resolve });
      this.send({ kind: "query", request });
      this.#wakeWatchdog();
    });
  }

  send(message: ToThread): void {
    this.#worker.postMessage(message);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWatching();
    await this.#leave(this.#worker);
    await this.#worker.terminate();
  }

  /**
   * The thread is asked to end itself, and given a moment for it. Terminated in the midst of making a compressor, it would take
   * the whole of Node along ("close before init").
   */
  async #leave(worker: Worker): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    worker.once("exit", () => resolve());
    worker.postMessage({ kind: "close" } satisfies ToThread);
    const cancel = this.#options.clock.after(leaveMs, resolve);
    await promise;
    cancel();
  }

  #spawn(): Worker {
    const { engine, fuelInterrupts, limits, pool } = this.#options;
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    this.#pulse = new Int32Array(new SharedArrayBuffer(pulseSizeBytes));
    const data: GuestThreadData = {
      engine,
      pulse: this.#pulse.buffer,
      options: {
        ...(fuelInterrupts === undefined ? {} : { fuelInterrupts }),
        ...(limits === undefined ? {} : { limits }),
        ...(pool === undefined ? {} : { pool }),
      },
    };
    const worker = new Worker(new URL(`./thread.${extension}`, import.meta.url), {
      workerData: data,
      name: "perdure guests",
    });
    worker.on("message", (message: FromThread) => this.#heard(worker, message));
    worker.on("error", (error) => this.#died(worker, error));
    worker.on("exit", (code) => this.#died(worker, new Error(`exit code ${code}`)));
    return worker;
  }

  #heard(worker: Worker, message: FromThread): void {
    if (worker !== this.#worker || this.#closed) return;
    switch (message.kind) {
      case "turns":
        return this.#finished(message.results);
      case "turns-text":
        return this.#finished(JSON.parse(message.text) as TurnResult[]);
      case "query": {
        const query = this.#queries.get(message.id);
        this.#queries.delete(message.id);
        return query?.resolve(message.outcome);
      }
      case "snapshots":
        return this.#options.events.snapshots(message.results);
      case "save-image":
        return this.#options.programs.saveImage(message.key, message.encoded);
      case "need-source":
        return this.#answer(message.subject, this.#options.programs.source(message.subject));
      case "need-image": {
        // A cache: what cannot be read is built again.
        const image = this.#options.programs.loadImage(message.subject).catch(() => undefined);
        return this.#answer(message.subject, image);
      }
    }
  }

  #finished(results: readonly TurnResult[]): void {
    for (const { process } of results) this.#underway.delete(process);
    this.#options.events.turns(results);
  }

  #answer(subject: string, value: Promise<unknown>): void {
    value.then(
      (found) => this.send({ kind: "answer", subject, value: found }),
      (error: unknown) => {
        const failure = error instanceof Error ? error : new Error(String(error));
        // A store that does not work is the node's trouble; a program that is not there is its processes'.
        if (failure instanceof PerdureError && failure.code.startsWith("STORE_")) this.#options.events.failed(failure);
        else this.send({ kind: "refusal", subject, message: failure.message });
      },
    );
  }

  // -- the watchdog ---------------------------------------------------------------------------------------------

  #wakeWatchdog(): void {
    if (!this.#watching) this.#watch(Atomics.load(this.#pulse, pulseSlot.beats), 0);
  }

  #watch(beats: number, silentLooks: number): void {
    this.#watching = true;
    this.#stopWatching = this.#options.clock.after(lookEveryMs, () => {
      this.#watching = false;
      if (this.#closed || this.#underway.size + this.#queries.size === 0) return;
      const now = Atomics.load(this.#pulse, pulseSlot.beats);
      const runs = Atomics.load(this.#pulse, pulseSlot.process) !== 0;
      const silent = runs && now === beats ? silentLooks + 1 : 0;
      const inReplay = Atomics.load(this.#pulse, pulseSlot.input) === replayed;
      const enough = inReplay ? looksInReplay : looks;
      if (silent === 1) this.#computedBefore = computedMicros(this.#worker);
      if (silent < enough) this.#watch(now, silent);
      else void this.#examine(now, silent, enough);
    });
  }

  /** It has been silent for long enough. Was it at work all the while? */
  async #examine(beats: number, silent: number, enough: number): Promise<void> {
    this.#watching = true;
    const worker = this.#worker;
    const [before, after] = await Promise.all([this.#computedBefore, computedMicros(worker)]);
    if (this.#closed || worker !== this.#worker) return;
    this.#watching = false;
    const neededMicros = enough * lookEveryMs * 1000 * hungShare;
    const hangs = before === undefined || after === undefined || after - before >= neededMicros;
    const culprit = Atomics.load(this.#pulse, pulseSlot.process);
    const input = Atomics.load(this.#pulse, pulseSlot.input);
    // Last, so that it also says that no other process has begun meanwhile.
    const isSilent = Atomics.load(this.#pulse, pulseSlot.beats) === beats;
    if (isSilent && (hangs || silent >= looksAtMost)) this.#replaceHung(culprit, input);
    else this.#watch(beats, silent);
  }

  #replaceHung(culprit: ProcessKey, input: number): void {
    const hung = this.#worker;
    this.#worker = this.#spawn();
    void hung.terminate();
    // A turn of the process waits behind a query, and has done nothing.
    const isTurn = input >= replayed;
    this.#abandon(
      (request) => (isTurn && request.process === culprit ? hungOutcome(input) : { kind: "absent" }),
      ({ id, process }) => (process === culprit ? hungQuery(id, input) : { kind: "absent" }),
    );
  }

  #died(worker: Worker, error: unknown): void {
    if (worker !== this.#worker || this.#closed) return;
    const now = this.#options.clock.nowMs();
    this.#deaths = [...this.#deaths.filter((at) => now - at < 60_000), now];
    if (this.#deaths.length >= deathsAMinute) {
      this.#closed = true;
      const detail = error instanceof Error ? error.message : String(error);
      const message = `A guest thread died ${deathsAMinute} times within a minute, the last time with: ${detail}. Nothing committed is lost; start the node again, with more memory if it ran out of it.`;
      return this.#options.events.failed(new PerdureError("GUEST_THREAD_FAILED", message, { cause: error }));
    }
    this.#worker = this.#spawn();
    const absent = { kind: "absent" } as const;
    this.#abandon(
      () => absent,
      () => absent,
    );
  }

  /** Answers every turn and query that was under way in a thread that is no more. */
  #abandon(outcome: (request: TurnRequest) => TurnOutcome, answer: (request: QueryRequest) => QueryOutcome): void {
    this.#stopWatching();
    this.#watching = false;
    const queries = [...this.#queries.values()];
    this.#queries.clear();
    const requests = [...this.#underway.values()];
    this.#underway.clear();
    this.#options.events.turns(
      requests.map((request) => ({ process: request.process, number: request.number, outcome: outcome(request) })),
    );
    for (const { request, resolve } of queries) resolve(answer(request));
  }
}

/** Processor time of a thread; it answers for one that hangs, too. Undefined where the platform cannot tell. */
async function computedMicros(worker: Worker): Promise<number | undefined> {
  const usage = await worker.cpuUsage().catch(() => undefined);
  return usage === undefined ? undefined : usage.user + usage.system;
}

const where = "in native calls, such as JSON.parse of large texts, without a point where it could be interrupted";
const hungReplay = { kind: "broken", detail: `Replaying it hung: more than 30 seconds ${where}.` } as const;

function hungQuery(id: number, input: number): QueryOutcome {
  if (input === replayed) return hungReplay;
  if (input !== queried(id)) return { kind: "absent" };
  return { kind: "fatal", reason: "out_of_fuel", detail: `It spent more than a second ${where}.` };
}

function hungOutcome(input: number): TurnOutcome {
  if (input === replayed) return hungReplay;
  const advice = "Do such work in a host function, or in pieces with `await sleep(0)` between them.";
  const detail = `The turn spent more than a second ${where}. ${advice}`;
  return { kind: "fatal", input, reason: "out_of_fuel", detail };
}
