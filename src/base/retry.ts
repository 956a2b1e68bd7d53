/** When something that failed is tried again: how that is written down, and how long each wait is. */
import { durationMs } from "./duration.ts";
import type { Duration } from "./duration.ts";

/** What each option means, and its default, is said where people meet it. */
export interface RetryGiven {
  readonly maxAttempts?: number;
  readonly initialDelay?: Duration;
  readonly factor?: number;
  readonly maxDelay?: Duration;
  readonly jitter?: number;
  readonly nonRetryable?: (error: unknown) => boolean;
}

export interface RetryPolicy {
  readonly maxAttempts: number;
  readonly initialDelayMs: number;
  readonly factor: number;
  readonly maxDelayMs: number;
  readonly jitter: number;
  readonly nonRetryable: ((error: unknown) => boolean) | undefined;
}

/** Where one kind of retry differs from another. */
export interface RetryTerms {
  readonly maxAttempts: number;
  readonly initialDelayMs: number;
  readonly maxDelayMs: number;
  /** The ARGUMENT_INVALID for an option. `expected` completes "it must be". */
  invalid(option: string, value: unknown, expected: string): Error;
}

/** Fills in the defaults; `false` means one attempt only. Throws what `terms.invalid` makes, or DURATION_INVALID. */
export function readRetry(options: RetryGiven | false, terms: RetryTerms): RetryPolicy {
  if (options === false) return readRetry({ maxAttempts: 1 }, terms);
  const { maxAttempts = terms.maxAttempts, initialDelay = terms.initialDelayMs, factor = 2, jitter = 0.5 } = options;
  const initialDelayMs = durationMs(initialDelay);
  const { maxDelay = Math.max(terms.maxDelayMs, initialDelayMs), nonRetryable } = options;
  const maxDelayMs = durationMs(maxDelay);
  if (maxAttempts !== Infinity && !(Number.isInteger(maxAttempts) && maxAttempts >= 1))
    throw terms.invalid("maxAttempts", maxAttempts, "a whole number from 1, or Infinity");
  if (!(Number.isFinite(factor) && factor >= 1)) throw terms.invalid("factor", factor, "a number from 1");
  if (!(Number.isFinite(jitter) && jitter >= 0 && jitter <= 1))
    throw terms.invalid("jitter", jitter, "a number from 0 to 1");
  if (maxDelayMs < initialDelayMs)
    throw terms.invalid("maxDelay", maxDelay, `at least initialDelay (${initialDelayMs} ms)`);
  if (nonRetryable !== undefined && typeof nonRetryable !== "function")
    throw terms.invalid("nonRetryable", nonRetryable, "a function of the error that returns a boolean");
  return { maxAttempts, initialDelayMs, factor, maxDelayMs, jitter, nonRetryable };
}

/** The wait after attempt number `attempt` (from 1), in whole ms. `randomUnit` is in [0, 1). */
export function backoffMs(policy: RetryPolicy, attempt: number, randomUnit: number): number {
  // factor ** n may overflow to Infinity, and 0 × Infinity is NaN.
  const grown = policy.initialDelayMs === 0 ? 0 : policy.initialDelayMs * policy.factor ** (attempt - 1);
  return Math.round(Math.min(grown, policy.maxDelayMs) * (1 + policy.jitter * (randomUnit - 0.5)));
}
