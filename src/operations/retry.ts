/** What follows an attempt that threw: pure, so that the whole matrix can be tested without waiting. */
import type { Duration } from "../base/duration.ts";
import { PerdureError } from "../base/errors.ts";
import { backoffMs, readRetry } from "../base/retry.ts";
import type { RetryPolicy, RetryTerms } from "../base/retry.ts";
import { describeError, isNonRetryable, retryAfterMs } from "./errors.ts";
import { checkOptions, invalidOption } from "./options.ts";

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

export type RetryDecision =
  | { readonly kind: "retry"; readonly delayMs: number }
  /** `error` is what the process gets. `isFinal`: another attempt would fail too, as the error or the policy's `nonRetryable` says. */
  | { readonly kind: "give-up"; readonly error: unknown; readonly isFinal: boolean };

const retryKeys = ["maxAttempts", "initialDelay", "factor", "maxDelay", "jitter", "nonRetryable"];

const terms: RetryTerms = {
  maxAttempts: 5,
  initialDelayMs: 250,
  maxDelayMs: 30_000,
  invalid: (option, value, expected) => invalidOption(`retry.${option}`, value, expected),
};

/** Fills in the defaults; `false` means one attempt only. Throws ARGUMENT_INVALID or DURATION_INVALID. */
export function retryPolicy(options: RetryOptions | false = {}): RetryPolicy {
  if (options !== false) checkOptions("retry", options, retryKeys);
  return readRetry(options, terms);
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
