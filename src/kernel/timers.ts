/**
 * Which timers are due next. Timers beyond a horizon stay in the store alone, so that a million sleepers cost memory only
 * when their hour comes near; the horizon moves ahead in steps, each read in pages.
 */
import { Heap } from "../base/heap.ts";
import type { TimerClock } from "../journal/types.ts";
import type { ProcessKey, Store, TimerRow } from "../store/port.ts";

/** How far ahead timers are held in memory. */
const horizonMs = 5 * 60_000;
const pageRows = 5_000;

interface Entry {
  readonly dueMs: number;
  readonly process: ProcessKey;
  readonly number: number;
}

/** The timers of one clock. */
class ClockTimers {
  readonly #clock: TimerClock;
  readonly #store: Pick<Store, "dueTimers">;
  /** Timers that were cleared are found out when they come up. */
  readonly #heap = new Heap<Entry>((one, other) => one.dueMs < other.dueMs);
  /** Every stored timer due up to here is in the heap. */
  #knownUntilMs = -Infinity;
  /** Up to where a read under way will reach: a timer committed meanwhile may have come too late for it. */
  #readingUntilMs = -Infinity;
  #reading: Promise<void> | undefined;
  /** All is to be read again, also what was just being read. */
  #isForgotten = false;

  constructor(clock: TimerClock, store: Pick<Store, "dueTimers">) {
    this.#clock = clock;
    this.#store = store;
  }

  add(row: TimerRow): void {
    if (row.dueMs <= Math.max(this.#knownUntilMs, this.#readingUntilMs)) this.#heap.push(row);
  }

  /** Reads ahead when half of the horizon is used up. A timer found twice fires once. */
  async lookAhead(nowMs: number): Promise<void> {
    // If this did not read at the very moment that `refreshMs` names, the alarm would ring again and again until the clock moves on.
    if (this.#knownUntilMs > nowMs + horizonMs / 2) return;
    this.#reading ??= this.#read(nowMs + horizonMs).finally(() => (this.#reading = undefined));
    await this.#reading;
  }

  async #read(untilMs: number): Promise<void> {
    this.#readingUntilMs = untilMs;
    for (;;) {
      const after = this.#isForgotten ? -Infinity : this.#knownUntilMs;
      this.#isForgotten = false;
      const rows = await this.#store.dueTimers(this.#clock, after, untilMs, pageRows);
      for (const row of rows) this.#heap.push(row);
      if (this.#isForgotten) continue;
      const last = rows.at(-1);
      if (last === undefined || rows.length < pageRows) {
        this.#knownUntilMs = untilMs;
        return;
      }
      this.#knownUntilMs = last.dueMs;
    }
  }

  get nextMs(): number | undefined {
    return this.#heap.peek()?.dueMs;
  }

  /** Takes the earliest if it is due at `nowMs`. */
  take(nowMs: number): Entry | undefined {
    const { nextMs } = this;
    return nextMs === undefined || nextMs > nowMs ? undefined : this.#heap.pop();
  }

  /** There are timers that were nobody's of this node's before: all are read again. */
  forget(): void {
    this.#knownUntilMs = -Infinity;
    this.#isForgotten = this.#reading !== undefined;
  }

  /** When `lookAhead` should be called again. */
  get refreshMs(): number {
    return this.#knownUntilMs - horizonMs / 2;
  }
}

export class Timers {
  readonly #clocks: Readonly<Record<TimerClock, ClockTimers>>;
  /** Service time = wall time − this. */
  readonly #downtimeMs: number;

  constructor(store: Pick<Store, "dueTimers">, downtimeMs: number) {
    this.#clocks = { wall: new ClockTimers("wall", store), service: new ClockTimers("service", store) };
    this.#downtimeMs = downtimeMs;
  }

  forget(): void {
    this.#clocks.wall.forget();
    this.#clocks.service.forget();
  }

  /** To be called with every timer that was committed. */
  add(row: TimerRow): void {
    this.#clocks[row.clock].add(row);
  }

  async lookAhead(nowMs: number): Promise<void> {
    await this.#clocks.wall.lookAhead(nowMs);
    await this.#clocks.service.lookAhead(nowMs - this.#downtimeMs);
  }

  /** Takes all timers due now. */
  due(nowMs: number): { process: ProcessKey; number: number }[] {
    const found: { process: ProcessKey; number: number }[] = [];
    for (const [clock, time] of [
      ["wall", nowMs],
      ["service", nowMs - this.#downtimeMs],
    ] as const) {
      const timers = this.#clocks[clock];
      for (let entry = timers.take(time); entry !== undefined; entry = timers.take(time)) found.push(entry);
    }
    return found;
  }

  /** The wall time at which something is due or has to be read. */
  get nextMs(): number {
    const { wall, service } = this.#clocks;
    return Math.min(
      wall.nextMs ?? Infinity,
      wall.refreshMs,
      (service.nextMs ?? Infinity) + this.#downtimeMs,
      service.refreshMs + this.#downtimeMs,
    );
  }
}
