/** One run from a seed, whatever it simulates: it takes steps until it is over or something is wrong, and says what happened. */
import type { Pid } from "../../src/journal/types.ts";
import type { Counts } from "./counts.ts";
import type { Dice } from "./dice.ts";
import type { MemoryDisk } from "../../src/store/memory/disk.ts";
import { faultsIn } from "./inspect.ts";
import type { StoreKind } from "./inspect.ts";
import { Standstill } from "./standstill.ts";
import { Timeline } from "./timeline.ts";
import { Trace } from "./trace.ts";

export interface RunResult {
  readonly seed: number;
  /** What went wrong; undefined if nothing did. */
  readonly problem: string | undefined;
  readonly steps: number;
  readonly turns: number;
  readonly nodes: number;
  readonly counts: Counts;
  /** Two runs of one seed have the same. */
  readonly fingerprint: string;
}

/** What a run has to show for itself in the end. */
export interface Tally {
  readonly turns: number;
  readonly commits: number;
  readonly nodes: number;
  readonly logs: number;
  readonly dice: Dice;
  readonly counts: Counts;
}

/** How often those who wait look whether it is their time. */
export const pollMs = 100;
/** Calm for so long, a run must have come to its end. */
export const patienceMs = 300_000;
/** More than any run takes whose clock moves on. */
const maxSteps = 200_000;

export abstract class SimulatedRun {
  protected readonly timeline: Timeline = new Timeline();
  readonly #seed: number;
  protected readonly standstill: Standstill = new Standstill();
  readonly #trace: Trace;
  #problem: string | undefined;
  #over = false;

  constructor(seed: number, traceLength: number) {
    this.#seed = seed;
    this.#trace = new Trace(traceLength);
  }

  /** Lets one thing happen. False when the run is over. */
  step(): boolean {
    if (this.standstill.isOn) return true;
    if (this.#over || this.#problem !== undefined) return false;
    if (this.timeline.steps >= maxSteps) this.complain("so much has happened, and the run has not come to its end");
    try {
      if (!this.standstill.settle() && !this.timeline.step())
        this.complain("nothing is left to happen, and the run has not come to its end");
    } catch (error) {
      this.complain(`something was thrown: ${error instanceof Error ? error.stack : String(error)}`);
    }
    return true;
  }

  complain(problem: string): void {
    this.#problem ??= `after ${this.timeline.nowMs} ms, at step ${this.timeline.steps}: ${problem}`;
  }

  get result(): RunResult {
    const { steps, wallMs } = this.timeline;
    const { turns, commits, nodes, logs, dice, counts } = this.tally();
    counts.runs = 1;
    counts.turns = turns;
    counts.commits = commits;
    const fingerprint = [steps, wallMs, turns, commits, nodes, logs, dice.next()].join(" ");
    return { seed: this.#seed, problem: this.#problem, steps, turns, nodes, counts, fingerprint };
  }

  /** The last events, in words. */
  get trace(): readonly string[] {
    return this.#trace.lines;
  }

  /** Those that are started from outside. */
  abstract get programs(): readonly Pid[];

  /** The run is over: what it holds is let go. */
  abstract leave(): void;

  protected abstract tally(): Tally;

  protected note(what: string, ...facts: readonly unknown[]): void {
    this.#trace.add(this.timeline.nowMs, this.timeline.steps, what, facts);
  }

  /** The run is over when its store is found to be as it should be. */
  protected end(disk: MemoryDisk, store: StoreKind): void {
    this.inspect(disk, store, () => (this.#over = true));
  }

  /** Holds the store as it is now against its own rules, while time stands still. */
  protected inspect(disk: MemoryDisk, store: StoreKind, then: () => void = () => undefined): void {
    const take = this.standstill.await((problem: string | undefined) => {
      if (problem !== undefined) this.complain(problem);
      then();
    });
    const faults = faultsIn(disk, store).catch((error: unknown) => `its store cannot be read: ${String(error)}`);
    void faults.then(take);
  }
}
