/** The arithmetic of retries: pure, so that the whole matrix can be tested without waiting. */
import { durationMs } from "../base/duration.ts";
import type { Duration } from "../base/duration.ts";
import { PerdureError } from "../base/errors.ts";
import { describeError, isNonRetryable, retryAfterMs } from "./errors.ts";
import { checkNumber, checkOptions, invalidOption } from "./options.ts";

/** When an attempt that threw is followed by another one. The wait is durable: it survives the node. */
export interface RetryOptions {
  /** Attempts in all, the first one included; `Infinity` for no end. Attempts ended by their node's death do not count. Default 5. */
  readonly maxAttempts?: number;
  /** The wait after the first attempt. Default "250ms". */
  readonly initialDelay?: Duration;
  /** Each wait is this many times the one before. At least 1. Default 2. */
  readonly factor?: number;
  /** No wait grows beyond this (before jitter). Default "30s", or `initialDelay` if that is longer. */
  readonly maxDelay?: Duration;
  /** How far waits are spread, from 0 to 1: a wait is multiplied by something between 1 − jitter/2 and 1 + jitter/2. Default 0.5. */
  readonly jitter?: number;
  /** True for errors that another attempt would not cure. Default: none but `NonRetryableError`, which needs no entry here. */
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

export type RetryDecision =
  | { readonly kind: "retry"; readonly delayMs: number }
  /** `error` is what the process gets. `isFinal`: another attempt would fail too, as the error or the policy's `nonRetryable` says. */
  | { readonly kind: "give-up"; readonly error: unknown; readonly isFinal: boolean };

const defaultMaxDelayMs = 30_000;
const retryKeys = ["maxAttempts", "initialDelay", "factor", "maxDelay", "jitter", "nonRetryable"];

/** Fills in the defaults; `false` means one attempt only. Throws ARGUMENT_INVALID or DURATION_INVALID. */
export function retryPolicy(options: RetryOptions | false = {}): RetryPolicy {
  if (options === false) return { ...retryPolicy({}), maxAttempts: 1 };
  checkOptions("retry", options, retryKeys);
  const { maxAttempts = 5, initialDelay = 250, factor = 2, maxDelay, jitter = 0.5, nonRetryable } = options;
  const initialDelayMs = durationMs(initialDelay);
  const maxDelayMs = maxDelay === undefined ? Math.max(defaultMaxDelayMs, initialDelayMs) : durationMs(maxDelay);
  if (maxAttempts !== Infinity && !Number.isInteger(maxAttempts)) {
    throw invalidOption("retry.maxAttempts", maxAttempts, "a whole number from 1, or Infinity");
  }
  checkNumber("retry.maxAttempts", maxAttempts, 1, Infinity);
  checkNumber("retry.factor", factor, 1, Number.MAX_VALUE);
  checkNumber("retry.jitter", jitter, 0, 1);
  if (maxDelayMs < initialDelayMs) {
    throw invalidOption("retry.maxDelay", maxDelay, `at least retry.initialDelay (${initialDelayMs} ms)`);
  }
  if (nonRetryable !== undefined && typeof nonRetryable !== "function") {
    throw invalidOption("retry.nonRetryable", nonRetryable, "a function of the error that returns a boolean");
  }
  return { maxAttempts, initialDelayMs, factor, maxDelayMs, jitter, nonRetryable };
}

/** The wait after attempt number `attempt` (from 1), in whole ms. `randomUnit` is in [0, 1). */
export function backoffMs(policy: RetryPolicy, attempt: number, randomUnit: number): number {
  // factor ** n may overflow to Infinity, and 0 × Infinity is NaN.
  const grown = policy.initialDelayMs === 0 ? 0 : policy.initialDelayMs * policy.factor ** (attempt - 1);
  return Math.round(Math.min(grown, policy.maxDelayMs) * (1 + policy.jitter * (randomUnit - 0.5)));
}

/** What follows attempt number `attempt` (from 1), which threw `error`. `randomUnit` is in [0, 1). */
export function decide(policy: RetryPolicy, attempt: number, error: unknown, randomUnit: number): RetryDecision {
  if (isNonRetryable(error)) return { kind: "give-up", error, isFinal: true };
  const isLast = attempt >= policy.maxAttempts;
  try {
    if (policy.nonRetryable?.(error) === true) return { kind: "give-up", error, isFinal: true };
  } catch (thrown) {
    if (isLast) return { kind: "give-up", error, isFinal: false };
    // A broken predicate must be seen, and retrying would only hide it.
    const predicateError = describeError(thrown);
    const details = { predicateError };
    const message = `The operation failed, and its retry.nonRetryable function threw ${predicateError} when asked about the error. Mend that function.`;
    const broken = new PerdureError("OPERATION_FAILED", message, { cause: error, details });
    return { kind: "give-up", error: broken, isFinal: false };
  }
  if (isLast) return { kind: "give-up", error, isFinal: false };
  return { kind: "retry", delayMs: retryAfterMs(error) ?? backoffMs(policy, attempt, randomUnit) };
}
