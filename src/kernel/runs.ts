/**
 * Turns on their way through the machine: which processes are ready, what goes into their next turn, and what to do when
 * a turn did not happen.
 */
import { isPerdureError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import { encodeValue } from "../base/value.ts";
import type { Payload } from "../base/value.ts";
import { commandDigest, describeCommand } from "../journal/digest.ts";
import type { Command, Input, Turn } from "../journal/types.ts";
import type {
  Divergence,
  LoadRequest,
  Machine,
  SnapshotResult,
  TurnOutcome,
  TurnRequest,
  TurnResult,
} from "../machine/port.ts";
import type { ProcessKey, Store } from "../store/port.ts";
import type { Committer } from "./batch.ts";
import { processGone } from "./errors.ts";
import type { Live, QueuedInput } from "./live.ts";
import type { KernelEvents } from "./ports.ts";
import { gone, isRelease } from "./registry.ts";
import { stageBroken } from "./staging.ts";

export type DoneOutcome = Extract<TurnOutcome, { kind: "done" }>;

export interface RunsPorts {
  readonly store: Pick<Store, "load" | "turns">;
  readonly clock: Clock;
  readonly machine: Pick<Machine, "run" | "snapshot" | "drop">;
  /** The process, if it is held in memory. */
  held(process: ProcessKey): Live | undefined;
  readonly committer: Committer;
  readonly events: KernelEvents;
  /** Stages the turn. A promise delays the process's next turn; if it answers `undone`, the turn did not happen. */
  done(
    live: Live,
    turn: { number: number; timeMs: number; inputs: readonly QueuedInput[]; outcome: DoneOutcome },
  ): Promise<"undone" | undefined> | undefined;
  broke(live: Live): void;
  /** An input that waits for the process is nothing to it. */
  dropped(live: Live, queued: QueuedInput): void;
  /** Somebody looks at its heap, or is the next to: until then no turn begins, but for a kill. */
  looked(live: Live): boolean;
  /** It is pinned to what this release does not run. */
  refused(live: Live): boolean;
  failed(error: Error): void;
}

/** Turns handed to the machine at a time. More would only wait there. */
const maxUnderway = 256;
/**
 * Processes whose heap has to be fetched or made begin only while few others are in motion: running, or waiting for an
 * operation that began a moment ago. So those in motion stay few enough for the machine to hold, and finish first.
 */
const maxInMotion = 32;
/** However many are in motion, after so many turns of theirs in a row one process begins that is not: none waits for ever. */
const hotTurnsPerNewcomer = 16;
/** An operation that takes longer than this is no moment. */
const momentMs = 50;
/** Inputs a turn takes at most, so that a flood of messages becomes many commits and not one huge turn. */
const maxInputs = 64;
/** So much together, so that a turn fits into a row whatever arrives at once. */
const maxInputBytes = 64 * 1024 * 1024;
/**
 * Replaying more than this (µs) after a crash is too slow: take a snapshot. But a process with much in its heap shall not
 * spend more on snapshots than a part of what it spends on its turns.
 */
const replayBudgetMicros = 20_000;
const leastTurnsToSnapshots = 20;
const tailPageTurns = 1_000;

interface Run {
  readonly live: Live;
  readonly request: Omit<TurnRequest, "load">;
}

export class Runs {
  readonly #ports: RunsPorts;
  readonly #hot: Live[] = [];
  readonly #cold: Live[] = [];
  readonly #underway = new Map<ProcessKey, Run>();
  /** Processes at rest that wait for operations, by when they came to rest, oldest first. */
  readonly #soonBack = new Map<Live, number>();
  #hotInARow = 0;
  #waitsForMoment = false;
  #pumpQueued = false;
  #stopped = false;
  #onIdle: (() => void)[] = [];

  constructor(ports: RunsPorts) {
    this.#ports = ports;
  }

  /** Gives the process a turn if it has inputs and none is running. */
  ready(live: Live): void {
    if (this.#mustWait(live)) return;
    if (live.queued || live.running !== undefined || live.inputs.length === 0 || live.exiting || this.#stopped) return;
    live.queued = true;
    (live.resident || live.interrupted ? this.#hot : this.#cold).push(live);
    this.#schedule();
  }

  /** The same, for whoever has waited meanwhile: it may have been forgotten, and have come back. */
  readyAgain(process: ProcessKey): void {
    const live = this.#ports.held(process);
    if (live !== undefined) this.ready(live);
  }

  /** Somebody looks at it, it is paused, crashed or broken, or another release's: only a kill gets through, also when it has been queued already. */
  #mustWait(live: Live): boolean {
    if (live.leaving) return true;
    const { looked, refused } = this.#ports;
    return (live.row.state !== "running" || looked(live) || refused(live)) && nextKill(live) === undefined;
  }

  /** A commit with turns of the process is through. */
  committed(live: Live): void {
    live.lastActiveMs = this.#ports.clock.nowMs();
    this.ready(live);
  }

  /** No turn begins any more. */
  stop(): void {
    this.#stopped = true;
  }

  /** Turns are running that will soon have something to commit. */
  get busy(): boolean {
    return this.#underway.size > 0;
  }

  /** Resolves when no turn is running. */
  async idle(): Promise<void> {
    if (this.#underway.size > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  #schedule(): void {
    if (this.#pumpQueued) return;
    this.#pumpQueued = true;
    queueMicrotask(() => {
      this.#pumpQueued = false;
      this.#pump();
    });
  }

  #pump(): void {
    const requests: TurnRequest[] = [];
    while (!this.#stopped && this.#underway.size < maxUnderway) {
      const live = this.#next();
      if (live === undefined) break;
      live.queued = false;
      const request = this.#begin(live);
      if (request !== undefined) requests.push(request);
    }
    if (requests.length > 0) this.#ports.machine.run(requests);
  }

  #next(): Live | undefined {
    const newcomersTurn = this.#hotInARow >= hotTurnsPerNewcomer && this.#cold.length > 0;
    const hot = newcomersTurn ? undefined : this.#hot.shift();
    this.#hotInARow = hot === undefined ? 0 : this.#hotInARow + 1;
    return hot ?? (newcomersTurn ? this.#cold.shift() : this.#nextCold());
  }

  #nextCold(): Live | undefined {
    if (this.#cold.length === 0) return undefined;
    const nowMs = this.#ports.clock.nowMs();
    for (const [live, sinceMs] of this.#soonBack) {
      if (Math.abs(nowMs - sinceMs) < momentMs) break;
      this.#soonBack.delete(live);
    }
    if (this.#underway.size + this.#soonBack.size < maxInMotion) return this.#cold.shift();
    // Whatever is in motion wakes the pump when it comes back; if it takes its time, the clock does.
    if (this.#underway.size === 0 && !this.#waitsForMoment) {
      this.#waitsForMoment = true;
      this.#ports.clock.after(momentMs, () => {
        this.#waitsForMoment = false;
        this.#schedule();
      });
    }
    return undefined;
  }

  /** Takes the inputs of the next turn. Answers the request if it can go to the machine at once. */
  #begin(live: Live): TurnRequest | undefined {
    if (live.inputs.length === 0 || live.exiting || this.#mustWait(live)) return undefined;
    const mustLoad = !live.resident && live.lastTurn > 0;
    // What is not in the store yet cannot be loaded from it; `committed` brings the process back here.
    if (mustLoad && live.uncommitted > 0) return undefined;
    const inputs = takeInputs(live, (dropped) => this.#ports.dropped(live, dropped));
    // Nothing but signals that it takes no notice of.
    if (inputs.length === 0) return undefined;
    live.running = inputs;
    this.#soonBack.delete(live);
    const timeMs = Math.max(live.lastTimeMs, Math.trunc(this.#ports.clock.nowMs()), ...inputs.map(firedMs));
    const { key, pid, program, entry } = live.row;
    const request = {
      process: key,
      pid,
      program,
      number: live.lastTurn + 1,
      timeMs,
      inputs: inputs.map(({ input }) => input),
      script: entry === "",
    };
    this.#underway.set(key, { live, request });
    const first = inputs[0]?.input;
    if (first !== undefined && ends(live, first)) {
      this.#endProcess(live, first);
      return undefined;
    }
    if (!mustLoad) return request;
    this.load(live).then(
      (load) => (this.#stopped ? this.#again(live, inputs) : this.#ports.machine.run([{ ...request, load }])),
      (error: unknown) => this.#loadFailed(live, error),
    );
    return undefined;
  }

  /** An input that ends the process runs nothing: the exit is all there is to it. */
  #endProcess(live: Live, ending: Ending): void {
    const exit: Command = { kind: "exit", ...endOf(ending) };
    this.#ports.machine.drop(live.row.key);
    const digests = [commandDigest(exit)];
    const outcome: DoneOutcome = { kind: "done", commands: [exit], digests, delivered: 1, replayMicros: 0 };
    queueMicrotask(() => this.finished([{ process: live.row.key, number: live.lastTurn + 1, outcome }]));
  }

  // -- loading --------------------------------------------------------------------------------------------------

  /** What rebuilds the process as after its last turn. */
  async load(live: Live): Promise<LoadRequest> {
    const { key } = live.row;
    const { snapshots } = await this.#ports.store.load(key);
    const stretches = stretchesOf(live);
    const usable = snapshots.filter(({ turn }) => stretches.some(({ from, to }) => from <= turn && turn <= to));
    const snapshot = usable.find(({ turn }) => !live.damagedSnapshots.has(turn));
    const tail: Turn[] = [];
    for (const { from, to } of stretches) {
      for (let next = Math.max(from, (snapshot?.turn ?? 0) + 1); next <= to;) {
        const page = await this.#ports.store.turns(key, next, Math.min(tailPageTurns, to - next + 1));
        tail.push(...page);
        const last = page.at(-1);
        if (last === undefined) break;
        next = last.number + 1;
      }
    }
    return snapshot === undefined ? { tail } : { snapshot, tail };
  }

  #loadFailed(live: Live, error: unknown): void {
    if (isPerdureError(error, "JOURNAL_CORRUPT")) return this.#broken(live, `its journal is damaged: ${error.message}`);
    // Another node may have gone on with it, and pruned it.
    if (isPerdureError(error, "PROCESS_NOT_FOUND")) return this.#ports.failed(processGone(live.row.pid));
    this.#ports.failed(error instanceof Error ? error : new Error(String(error)));
  }

  // -- results --------------------------------------------------------------------------------------------------

  finished(results: readonly TurnResult[]): void {
    for (const result of results) {
      const run = this.#underway.get(result.process);
      if (run === undefined || run.request.number !== result.number) continue;
      this.#finish(run, result);
    }
    if (this.#underway.size === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
    this.#schedule();
  }

  #finish({ live, request }: Run, { outcome }: TurnResult): void {
    const inputs = live.running ?? [];
    switch (outcome.kind) {
      case "done":
        return this.#done(live, request, inputs, outcome);
      case "fatal":
        return this.#fatal(live, inputs, outcome);
      case "absent":
        return this.#again(live, inputs);
      case "damaged-snapshot":
        passOver(live, outcome, this.#ports.events);
        return this.#again(live, inputs);
      case "diverged":
        return this.#broken(live, describeDivergence(outcome.divergence));
      case "broken":
        return this.#broken(live, outcome.detail);
    }
  }

  #done(live: Live, request: Run["request"], inputs: readonly QueuedInput[], outcome: DoneOutcome): void {
    const { number, timeMs } = request;
    const staged = this.#ports.done(live, { number, timeMs, inputs, outcome });
    if (staged === undefined) return this.#staged(live, request, outcome);
    staged.then((undone) => {
      if (undone === undefined) return this.#staged(live, request, outcome);
      live.resident = false;
      this.#ports.machine.drop(live.row.key);
      this.#free(live);
    }, this.#ports.failed);
  }

  #staged(live: Live, { number, timeMs }: Run["request"], { replayMicros }: DoneOutcome): void {
    live.lastTurn = number;
    live.lastTimeMs = timeMs;
    live.resident = true;
    live.interrupted = false;
    live.replayMicros = replayMicros;
    if (live.operations.size > 0 && !live.exiting) this.#soonBack.set(live, this.#ports.clock.nowMs());
    this.#rest(live);
  }

  /** A turn is staged. A snapshot is asked for only now, so that it cannot be committed before the turn it shows. */
  #rest(live: Live): void {
    const budgetMicros = Math.max(replayBudgetMicros, leastTurnsToSnapshots * live.snapshotMicros);
    if (live.replayMicros > budgetMicros && !live.exiting) {
      live.replayMicros = 0;
      this.#ports.machine.snapshot(live.row.key);
    }
    this.#free(live);
  }

  #free(live: Live): void {
    this.#underway.delete(live.row.key);
    live.running = undefined;
    this.ready(live);
    if (this.#underway.size === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** The turn was rolled back: the inputs before the culprit run again as a turn of their own, then the process ends. */
  #fatal(live: Live, inputs: readonly QueuedInput[], outcome: Extract<TurnOutcome, { kind: "fatal" }>): void {
    live.resident = false;
    const culprit = inputs[outcome.input];
    // It had used up what the turn may use together with others: alone, it may be innocent.
    const isAlone = outcome.input === 0 || outcome.reason === "killed";
    if (!isAlone) live.oneByOne = outcome.input + 1;
    // A kill has its own input in the queue already. Whoever waits for another culprit waits for the end it leads to.
    if (culprit !== undefined && isAlone && outcome.reason !== "killed") {
      culprit.culprit ??= culprit.input;
      culprit.input = { kind: "fatal", reason: outcome.reason, detail: outcome.detail };
    }
    live.inputs = [...inputs, ...live.inputs];
    this.#free(live);
  }

  #again(live: Live, inputs: readonly QueuedInput[]): void {
    live.resident = false;
    live.interrupted = true;
    live.inputs = [...inputs, ...live.inputs];
    this.#free(live);
  }

  #broken(live: Live, problem: string): void {
    const inputs = live.running ?? [];
    live.resident = false;
    live.inputs = [...inputs, ...live.inputs];
    this.breaks(live, problem);
    this.#free(live);
  }

  /** The process cannot go on. It stays for a person to look at; only a kill still reaches it. */
  breaks(live: Live, problem: string): void {
    stageBroken(this.#ports.committer.stage, live, problem, () => {
      // It may have been killed meanwhile.
      if (gone(live)) return;
      this.#ports.events.notice({ kind: "broken", pid: live.row.pid, message: problem });
      this.#ports.broke(live);
      // A kill that came meanwhile has waited for this commit.
      this.ready(live);
    });
  }

  snapshots(results: readonly SnapshotResult[]): void {
    for (const { process, turn, body, micros } of results) {
      const live = this.#ports.held(process);
      if (live !== undefined) live.snapshotMicros = micros;
      // An exit takes its process's snapshots with it.
      if (live !== undefined && !gone(live)) this.#ports.committer.stage.snapshots.push({ process, turn, body });
    }
  }
}

/** When a timer fired: its turn is not before that, even if the clock was set back meanwhile. 0 for other inputs. */
function firedMs({ input, arrivedMs }: QueuedInput): number {
  return input.kind === "timer" ? Math.trunc(arrivedMs) : 0;
}

function nextKill(live: Live): QueuedInput | undefined {
  return live.inputs.find(({ input }) => input.kind === "fatal" && input.reason === "killed");
}

type Ending = Extract<Input, { kind: "fatal" | "exit" }>;

/** Whether an input is the process's end, as things stand: an exit signal is a message to those who trap exits. */
function ends(live: Live, input: Input): input is Ending {
  if (input.kind !== "exit") return input.kind === "fatal";
  // Of a process it was to decide about, only those who trap exits can hear.
  return isRelease(live, input) || (!live.row.trapsExits && input.held === "" && !isRequest(live, input));
}

/** The end of a parent that was cancelled asks its children to wind up as well: their cleanup runs. */
function isRequest({ row }: Live, { from, linked, reason }: Extract<Input, { kind: "exit" }>): boolean {
  return linked && reason === "cancelled" && from === row.parent;
}

function endOf(input: Ending): Pick<Extract<Command, { kind: "exit" }>, "reason" | "value"> {
  const { reason } = input;
  return input.kind === "exit" ? { reason, value: input.value } : { reason, value: encodeValue(input.detail) };
}

/** An exit signal that does nothing to a process that does not trap exits: OTP's `normal`, but for one's own. */
function isIdle(live: Live, input: Input): boolean {
  if (input.kind !== "exit" || live.row.trapsExits || isRelease(live, input)) return false;
  return input.held !== "" || (input.reason === "normal" && input.from !== live.row.pid);
}

/** A kill waits for nothing. An input that ends the process has a turn to itself, and so have the inputs before it. */
function takeInputs(live: Live, dropped: (queued: QueuedInput) => void): QueuedInput[] {
  const kill = nextKill(live);
  if (kill !== undefined) {
    live.inputs = live.inputs.filter((queued) => queued !== kill);
    return [kill];
  }
  for (const queued of live.inputs) if (isIdle(live, queued.input)) dropped(queued);
  live.inputs = live.inputs.filter(({ consumed }) => !consumed);
  const last = live.inputs.findIndex(({ input }) => ends(live, input));
  const most = live.oneByOne > 0 || live.inputs[0]?.input.kind === "restore" ? 1 : maxInputs;
  if (live.oneByOne > 0) live.oneByOne--;
  const count = last > 0 ? Math.min(last, most) : last === 0 ? 1 : most;
  return live.inputs.splice(0, fitting(live.inputs, count));
}

/** At least one, and no more than a row of the store holds. */
function fitting(inputs: readonly QueuedInput[], most: number): number {
  let sizeBytes = 0;
  for (let count = 0; count < most; count++) {
    const input = inputs[count]?.input;
    if (input === undefined) return count;
    const payload = input.kind === "message" ? input.body : input.kind === "result" ? input.value : undefined;
    sizeBytes += payload === undefined ? 0 : sizeOf(payload);
    if (count > 0 && sizeBytes > maxInputBytes) return count;
  }
  return most;
}

function sizeOf({ text, chunks = [] }: Payload): number {
  return chunks.reduce((sum, { length }) => sum + length, text.length);
}

/** The turns that lead to a process's heap: all, but for those that were forgotten when it was restored. */
function stretchesOf({ lastTurn, restores }: Live): { readonly from: number; readonly to: number }[] {
  const stretches: { from: number; to: number }[] = [];
  const pending = restores.at(-1);
  let to = pending !== undefined && pending.turn > lastTurn ? pending.from : lastTurn;
  for (;;) {
    const begun = restores.findLast(({ turn }) => turn <= to);
    stretches.unshift({ from: begun?.turn ?? 1, to });
    if (begun === undefined) return stretches;
    to = begun.from;
  }
}

/** Another snapshot, or all of the journal, will do. */
export function passOver(live: Live, { turn, detail }: Damage, events: Pick<KernelEvents, "notice">): void {
  live.damagedSnapshots.add(turn);
  const message = `The snapshot of turn ${turn} is passed over: ${detail}`;
  events.notice({ kind: "snapshot-damaged", pid: live.row.pid, message });
}

type Damage = Extract<TurnOutcome, { kind: "damaged-snapshot" }>;

export function describeDivergence({ turn, index, expected, actual }: Divergence): string {
  return `diverged: replaying turn ${turn} gave, as command ${index + 1}, ${describeCommand(actual)} where the journal has ${describeCommand(expected)}.`;
}
