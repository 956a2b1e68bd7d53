/**
 * Preemption: many turns on one thread, of which one runs at a time. A turn that used up its slice is suspended in
 * mid-turn and waits behind the others; turns that have not used up a slice yet go first, so that a spinning process
 * delays nobody. Slices and fuel are counted in interrupts (each 10,000 bytecode operations), never in milliseconds.
 */
import type { FatalReason } from "../journal/types.ts";

/** Ends a turn in the middle. */
export type Stop = (reason: FatalReason, detail: string) => void;

/** One turn's view of the scheduler. */
export interface Slices {
  /** To be called at each interrupt. Out of fuel: calls `stop` and never lets the guest go on. Without `stop` fuel is not counted. */
  interrupt(stop?: Stop): number | Promise<number>;
}

export interface SchedulerOptions {
  /** Interrupts a turn may run before others get their chance. Default 10: about 2 ms. */
  readonly sliceInterrupts?: number;
  /** Interrupts a turn may run in all. */
  readonly fuelInterrupts: number;
}

/** After so many turns in a row of the first queue, one slice goes to those that are spinning. */
const turnsPerSpinnerSlice = 16;

interface Task extends Slices {
  /** Starts or resumes the turn; resolves when it has ended or used up its slice. */
  step(): Promise<"ended" | "suspended">;
}

export class Scheduler {
  readonly #options: Required<SchedulerOptions>;
  readonly #fresh: Task[] = [];
  readonly #spinning: Task[] = [];
  #turnsSinceSpinner = 0;

  constructor(options: SchedulerOptions) {
    this.#options = { sliceInterrupts: 10, ...options };
  }

  get idle(): boolean {
    return this.#fresh.length === 0 && this.#spinning.length === 0;
  }

  /** Queues `turn`, which begins when the scheduler comes to it and settles when it has ended. It must not reject. */
  add(turn: (slices: Slices) => Promise<void>): void {
    this.#fresh.push(createTask(turn, this.#options));
  }

  /** Runs one slice of one turn. Answers whether it was suspended, so that something else should get the thread. */
  async step(): Promise<boolean> {
    const spinnersTurn = this.#fresh.length === 0 || this.#turnsSinceSpinner >= turnsPerSpinnerSlice;
    const spinner = spinnersTurn ? this.#spinning.shift() : undefined;
    const task = spinner ?? this.#fresh.shift();
    this.#turnsSinceSpinner = spinner === undefined ? this.#turnsSinceSpinner + 1 : 0;
    if (task === undefined || (await task.step()) === "ended") return false;
    this.#spinning.push(task);
    return true;
  }
}

function createTask(turn: (slices: Slices) => Promise<void>, options: Required<SchedulerOptions>): Task {
  let used = 0;
  let left = options.sliceInterrupts;
  let state: "new" | "begun" | "ended" = "new";
  let resume: (() => void) | undefined;
  let onStop: (what: "ended" | "suspended") => void = () => undefined;
  const task: Task = {
    interrupt(stop) {
      if (stop !== undefined && ++used > options.fuelInterrupts) {
        stop(
          "out_of_fuel",
          `The turn ran for more than ${options.fuelInterrupts} interrupts of 10,000 bytecode operations.`,
        );
        return new Promise<number>(() => undefined);
      }
      if (--left > 0) return 0;
      return new Promise<number>((resolve) => {
        resume = () => resolve(0);
        onStop("suspended");
      });
    },
    step() {
      // A turn that could not be suspended, because the host was on its stack, goes on and ends while it waits here.
      if (state === "ended") return Promise.resolve(state);
      left = options.sliceInterrupts;
      return new Promise((resolve) => {
        onStop = resolve;
        if (state === "begun") return resume?.();
        state = "begun";
        void turn(task).then(() => {
          state = "ended";
          onStop(state);
        });
      });
    },
  };
  return task;
}
