/**
 * The runner's manners on Node's main thread, which belongs to the user's code too: reports leave soon but in batches, and
 * a long row of trivial operations lets the event loop breathe.
 */
import type { OperationReport } from "../kernel/ports.ts";

/** Attempts started in one turn of the event loop. Trivial ones take some 5 µs each, so this is a few milliseconds. */
const startsPerTurn = 512;

export class LoopTurns {
  readonly #report: (reports: OperationReport[]) => void;
  readonly #onTurn: () => void;
  #reports: OperationReport[] = [];
  #starts = 0;
  #flushed = false;
  #flushScheduled = false;
  #turnScheduled = false;

  /** `onTurn` is called when a new turn begins after one that used up its starts. */
  constructor(report: (reports: OperationReport[]) => void, onTurn: () => void) {
    this.#report = report;
    this.#onTurn = onTurn;
  }

  /** Whether another attempt may start now. If not, `onTurn` will be called. */
  mayStart(): boolean {
    this.#awaitTurn();
    if (this.#starts >= startsPerTurn) return false;
    this.#starts++;
    return true;
  }

  /**
   * The first batch of a turn leaves when the microtasks at hand are done, so that a lone result waits for nothing. What
   * comes after it leaves with the next turn: were it sent the same way, answers and results could chase one another
   * without the event loop ever turning.
   */
  add(report: OperationReport): void {
    this.#reports.push(report);
    this.#awaitTurn();
    if (this.#flushed || this.#flushScheduled) return;
    this.#flushScheduled = true;
    // Ticks run after all microtasks when they were asked for by one.
    queueMicrotask(() => process.nextTick(() => this.#firstFlush()));
  }

  flush(): void {
    if (this.#reports.length === 0) return;
    const reports = this.#reports;
    this.#reports = [];
    this.#report(reports);
  }

  #firstFlush(): void {
    this.#flushScheduled = false;
    this.#flushed = true;
    this.#awaitTurn();
    this.flush();
  }

  #awaitTurn(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    setImmediate(() => {
      this.#turnScheduled = false;
      this.#flushed = false;
      const starved = this.#starts >= startsPerTurn;
      this.#starts = 0;
      this.flush();
      if (starved) this.#onTurn();
    });
  }
}
