/**
 * How many starts a time allows: a bucket of tokens, kept as one number (the generic cell rate algorithm). A bucket holds up to
 * `burst` tokens and gets one every `intervalMs`; each start takes one. So in any stretch of time there are at most `burst` starts,
 * and one more for each `intervalMs` of it.
 */
import { durationMs } from "../base/duration.ts";
import type { Duration } from "../base/duration.ts";
import { checkNumber, checkOptions, invalidOption } from "./options.ts";

/** So many starts in so much time. */
export interface RateOptions {
  /** How many starts `per` allows. Need not be a whole number. */
  readonly limit: number;
  /** The time in which `limit` starts are allowed. */
  readonly per: Duration;
  /**
   * How many starts may come at once after a quiet time, on top of which come `limit` more for each `per`. Default: as many as fall into 10 ms, and
   * at least 1, which spreads starts evenly.
   */
  readonly burst?: number;
}

export interface Rate {
  /** From one token to the next. */
  readonly intervalMs: number;
  readonly burst: number;
}

/** Timers tick in milliseconds: what is allowed more often than that has to come in small heaps. */
const defaultBurstMs = 10;

/** Validates and fills in the default. `name` is the option's. Throws ARGUMENT_INVALID or DURATION_INVALID. */
export function readRate(name: string, options: RateOptions): Rate {
  checkOptions(name, options, ["limit", "per", "burst"]);
  const { limit, per, burst } = options;
  checkNumber(`${name}.limit`, limit, Number.MIN_VALUE, Number.MAX_VALUE);
  if (per === undefined) throw invalidOption(`${name}.per`, per, `a duration such as "1 minute"`);
  const perMs = durationMs(per);
  if (perMs === 0) throw invalidOption(`${name}.per`, per, "longer than zero");
  if (burst !== undefined && !(Number.isInteger(burst) && burst >= 1)) {
    throw invalidOption(`${name}.burst`, burst, "a whole number from 1");
  }
  const intervalMs = perMs / limit;
  return { intervalMs, burst: burst ?? Math.max(1, Math.ceil(defaultBurstMs / intervalMs)) };
}

/** Times here never go back, and are 0 when the bucket's node begins. */
export class Bucket {
  readonly #rate: Rate;
  /** When the bucket will be full. At the beginning it has one token, whenever it is made: a restart gives no second burst. */
  #fullAtMs: number;

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#fullAtMs = (rate.burst - 1) * rate.intervalMs;
  }

  /** Whether it holds all it can: then it is as good as a new one. */
  isFull(nowMs: number): boolean {
    return this.#fullAtMs <= nowMs;
  }

  /** When there is a token. */
  readyAtMs(): number {
    return this.#fullAtMs - (this.#rate.burst - 1) * this.#rate.intervalMs;
  }

  /** To be called when there is one. */
  take(nowMs: number): void {
    this.#fullAtMs = Math.max(this.#fullAtMs, nowMs) + this.#rate.intervalMs;
  }

  /** No bucket of this rate that lies idle takes longer to be full. */
  static refillMs({ burst, intervalMs }: Rate): number {
    return burst * intervalMs;
  }
}
