/**
 * The errors between host code and the engine: those a host function throws to steer its retries, and those the engine
 * raises about an attempt.
 *
 * A project may hold several copies of this package (a global command line, a local library), so the steering errors are
 * known by a registered symbol, not by `instanceof`.
 */
import { durationMs } from "../base/duration.ts";
import type { Duration } from "../base/duration.ts";
import { relatedErrors } from "../base/related-errors.ts";
export { OperationAbortedError, OperationTimeoutError, UncertainOperationError } from "../base/operation-errors.ts";

const nonRetryableBrand = Symbol.for("perdure.non-retryable");
const retryAfterBrand = Symbol.for("perdure.retry-after");

/**
 * Thrown by a host function that knows another attempt would fail too: the operation fails at once, whatever its retry
 * policy, and the process gets this error. May be subclassed.
 */
export class NonRetryableError extends Error {
  static {
    // A writable property of the prototype, not a getter: subclasses commonly assign `this.name`.
    this.prototype.name = "NonRetryableError";
    Object.defineProperty(this.prototype, nonRetryableBrand, { value: true });
  }
}

/**
 * Thrown by a host function that knows when the next attempt makes sense (an HTTP 429 with `Retry-After`, say). The delay
 * takes the place of the policy's backoff, without jitter or cap; it gives no attempts beyond the policy's `maxAttempts`.
 * When no attempt is left, the process gets this error, `cause` included.
 */
export class RetryAfterError extends Error {
  static {
    this.prototype.name = "RetryAfterError";
    Object.defineProperty(this.prototype, retryAfterBrand, { value: true });
  }

  readonly delayMs: number;

  /** Throws DURATION_INVALID if `delay` cannot be read. */
  constructor(delay: Duration, cause?: unknown) {
    const delayMs = durationMs(delay);
    super(cause instanceof Error ? cause.message : `Another attempt makes sense after ${delayMs} ms.`, { cause });
    this.delayMs = delayMs;
  }
}

/** `throw retryAfter("10s", error)`: see `RetryAfterError`. Throws DURATION_INVALID if `delay` cannot be read. */
export function retryAfter(delay: Duration, cause?: unknown): RetryAfterError {
  return new RetryAfterError(delay, cause);
}

export function isNonRetryable(error: unknown): boolean {
  return hasBrand(error, nonRetryableBrand);
}

/** The delay a RetryAfterError asks for, in ms; undefined for any other error. */
export function retryAfterMs(error: unknown): number | undefined {
  return hasBrand(error, retryAfterBrand) ? (error as RetryAfterError).delayMs : undefined;
}

/** Host code may throw anything, a proxy that throws when it is looked at included. */
function hasBrand(error: unknown, brand: symbol): boolean {
  try {
    return typeof error === "object" && error !== null && Reflect.get(error, brand) === true;
  } catch {
    return false;
  }
}

/** An error on one line for people: name, message and the chain of causes, at most 2,000 characters. */
export function describeError(error: unknown): string {
  const parts = [describeOne(error)];
  for (let cause = causeOf(error); cause !== undefined && parts.length < 5; cause = causeOf(cause))
    parts.push(describeOne(cause));
  const text = parts.join(" — caused by ");
  return text.length <= 2000 ? text : `${text.slice(0, 1999)}…`;
}

function causeOf(error: unknown): unknown {
  try {
    return error instanceof Error ? error.cause : undefined;
  } catch {
    return undefined;
  }
}

function describeOne(error: unknown): string {
  try {
    if (!(error instanceof Error))
      return `thrown: ${typeof error === "string" ? JSON.stringify(error) : String(error)}`;
    const name = classNameOf(error) ?? error.name;
    return error.message === "" ? name : `${name}: ${error.message}`;
  } catch {
    return "an error that cannot be described";
  }
}

/**
 * Gives an error whose class never set a name the name of its class; likewise its causes, and the errors it collects. In Node
 * `instanceof` tells such classes apart; in the process, where the class does not exist, only the name can.
 */
export function nameByClass(error: unknown): void {
  for (const each of relatedErrors(error)) {
    try {
      const name = classNameOf(each);
      if (name !== undefined) Object.defineProperty(each, "name", { value: name, configurable: true, writable: true });
    } catch {
      // A frozen error keeps the name it has, and one that does not want to be looked at is not.
    }
  }
}

/** The class's name, if the error's own is still the one its class inherited from a native class. */
function classNameOf(error: Error): string | undefined {
  const { name, constructor } = error;
  if (Object.hasOwn(error, "name") || typeof constructor !== "function" || constructor.name === "") return undefined;
  const native: unknown = (globalThis as Record<string, unknown>)[name];
  if (typeof native !== "function" || constructor === native || !(error instanceof native)) return undefined;
  return constructor.name;
}
