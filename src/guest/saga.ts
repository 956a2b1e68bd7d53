/**
 * A saga: steps that each say how they are undone. Plain `try`, `catch` and `finally` already are one, for a `catch` that is
 * reached is run whatever happens to the machine. What this adds is patience: a compensation that fails is tried again.
 */
import type { Duration } from "../base/duration.ts";
import { PerdureError } from "../base/errors.ts";
import { backoffMs, readRetry } from "../base/retry.ts";
import type { RetryPolicy, RetryTerms } from "../base/retry.ts";
import { now } from "./prelude/intrinsics.ts";
import { random } from "./prelude/random.ts";
import { self } from "./process.ts";
import { describeReason, ExitRequest } from "./reason.ts";
import { log, startTimer } from "./runtime.ts";
import { shieldFromCancel } from "./wait.ts";

/** When a compensation that failed is tried again. The waits are durable, and no cancel cuts them short. */
export interface SagaRetry {
  /** Attempts in all for each compensation, the first included. Default `Infinity`: what was done must be undone. */
  readonly maxAttempts?: number;
  /** The wait after the first attempt. Default "1s". */
  readonly initialDelay?: Duration;
  /** Each wait is this many times the one before. At least 1. Default 2. */
  readonly factor?: number;
  /** No wait grows beyond this (before jitter). Default "1 minute", or `initialDelay` if that is longer. */
  readonly maxDelay?: Duration;
  /** How far waits are spread, from 0 to 1: a wait is multiplied by something between 1 − jitter/2 and 1 + jitter/2. Default 0.5. */
  readonly jitter?: number;
  /**
   * True for errors that another attempt would not cure; if it throws, the error counts as one. Whatever it says, a `NonRetryableError`, an operation whose outcome is
   * unknown and a value that cannot cross the border are final.
   */
  readonly nonRetryable?: (error: unknown) => boolean;
}

export interface SagaOptions {
  /** `false`: one attempt for each compensation. */
  readonly retry?: SagaRetry | false;
}

export interface StepOptions {
  /** What warnings call the step. Default: the compensation function's name. */
  readonly name?: string;
  /**
   * Undoes the step if nobody knows whether it happened. It gets the error: an `UncertainOperationError` with the
   * `idempotencyKey`, an operation's timeout, the CALL_TIMEOUT or SERVER_GONE of a call, the TASK_FAILED of a task, the SagaError of
   * a saga within, what an AbortSignal ended `fetch` with, or the `CancelledError` of a cancel that came while the step ran. It has to
   * ask, or to undo by something that was known before. Without it such a step is not undone, and a warning says so.
   */
  readonly uncertain?: (error: Error) => unknown;
}

interface Compensation {
  readonly name: string;
  run(): unknown;
}

/** Behind these errors what was asked for may have happened all the same, in full or in part. */
const uncertainCodes: ReadonlySet<unknown> = new Set([
  "OPERATION_UNCERTAIN",
  "OPERATION_TIMEOUT",
  "OPERATION_ABORTED",
  "CALL_TIMEOUT",
  "SERVER_GONE",
  "TASK_FAILED",
  "SAGA_INCOMPLETE",
]);
/** `AbortError` and `TimeoutError`: a signal cut the wait short, such as one that was handed to `fetch`. */
const uncertainNames: ReadonlySet<string> = new Set(["CancelledError", "AbortError", "TimeoutError"]);
const finalCodes: ReadonlySet<unknown> = new Set(["OPERATION_UNCERTAIN", "VALUE_NOT_CLONEABLE", "VALUE_TOO_LARGE"]);

/** Compensations of a saga were given up: something that was done could not be undone. A person has to look. */
export class SagaError extends PerdureError {
  /** The last error of each compensation that was given up, in the order they were tried. */
  readonly errors: readonly unknown[];

  /** `cause`: why the saga was undone. */
  constructor(names: readonly string[], errors: readonly unknown[], cause: unknown) {
    const one = names.length === 1;
    super(
      "SAGA_INCOMPLETE",
      `${names.length} ${one ? "compensation" : "compensations"} of a saga could not be carried out (${names.join("; ")}). ` +
        `What ${one ? "it was" : "they were"} to undo stands.`,
      { cause, details: { compensations: names } },
    );
    this.errors = errors;
  }

  override get name(): string {
    return "SagaError";
  }
}

/**
 * Steps that are undone in reverse order when what they are part of comes to nothing:
 *
 *     await Saga.run(async (saga) => {
 *       const flight = await saga.step(() => bookFlight(id), (flight) => cancelFlight(flight));
 *       await saga.step(() => charge(id, flight.price), (receipt) => refund(receipt), { uncertain: () => refundIfCharged(id) });
 *     });
 *
 * Compensations run one at a time. One that fails is tried again after durable waits, for as long as `retry` says; then it is given
 * up, and the others still run. Each attempt is a new call with a new idempotency key: hand compensations what they are to
 * undo (a booking's number), so that undoing it twice is undoing it once. While a saga compensates, a cancel of the process
 * waits until that is done; `kill` does not wait.
 */
export class Saga {
  readonly #retry: RetryPolicy;
  readonly #compensations: Compensation[] = [];
  /** Steps that run, and may yet have something to undo. Their promises do not reject. */
  readonly #running = new Set<Promise<unknown>>();
  #over: "" | "has ended" | "is being undone" = "";
  #undone: Promise<void> | undefined;

  /** Throws ARGUMENT_INVALID or DURATION_INVALID. */
  constructor(options: SagaOptions = {}) {
    this.#retry = readRetry(options.retry ?? {}, terms);
  }

  /**
   * Runs `body` with a saga of its own. When it throws (also by a cancel, or by `exit`), what its steps have done is undone, and
   * then the same error is thrown on. Rejects with a `SagaError` whose `cause` is that error if compensations were given up.
   */
  static async run<T>(body: (saga: Saga) => T | PromiseLike<T>, options: SagaOptions = {}): Promise<T> {
    const saga = new Saga(options);
    try {
      const result = await body(saga);
      saga.#over ||= "has ended";
      return result;
    } catch (error) {
      await saga.compensate(error);
      throw error;
    }
  }

  /**
   * Does something that `compensate` undoes, which is called with the result. A step that fails has nothing to undo, unless
   * `uncertain` is given and nobody knows whether it happened. Rejects with what `action` throws, and with SAGA_CLOSED, without
   * calling it, once the saga has ended or is being undone.
   */
  async step<T>(
    action: () => T | PromiseLike<T>,
    compensate: (value: T) => unknown,
    options: StepOptions = {},
  ): Promise<T> {
    this.#requireOpen();
    const name = options.name ?? compensate.name;
    const step = this.#perform(action, compensate, name, options.uncertain);
    const ended: Promise<unknown> = step.then(
      () => this.#running.delete(ended),
      () => this.#running.delete(ended),
    );
    this.#running.add(ended);
    return await step;
  }

  /** Registers a compensation without a step: for what is done already, or is to be undone whether it happens or not. */
  add(compensate: () => unknown, options: Pick<StepOptions, "name"> = {}): void {
    this.#requireOpen();
    this.#compensations.push({ name: options.name ?? compensate.name, run: compensate });
  }

  /**
   * Undoes all steps, the last first, once those that still run have ended. Rejects with a `SagaError` if compensations were given
   * up; `cause` becomes its cause. Called again, it answers the same.
   */
  compensate(cause?: unknown): Promise<void> {
    this.#undone ??= this.#undo(cause);
    return this.#undone;
  }

  #requireOpen(): void {
    if (this.#over === "") return;
    throw new PerdureError(
      "SAGA_CLOSED",
      `This saga ${this.#over}: it takes no more steps. Begin another one, or wait for all steps before the body returns.`,
    );
  }

  async #perform<T>(
    action: () => T | PromiseLike<T>,
    compensate: (value: T) => unknown,
    name: string,
    uncertain: StepOptions["uncertain"],
  ): Promise<T> {
    try {
      const value = await action();
      this.#compensations.push({ name, run: () => compensate(value) });
      return value;
    } catch (error) {
      if (isUncertain(error)) {
        if (uncertain !== undefined) this.#compensations.push({ name, run: () => uncertain(error) });
        else
          warn(
            `cannot undo the step${nameOf(name)}, of which nobody knows whether it happened: ${describeReason(error)}`,
          );
      }
      throw error;
    }
  }

  async #undo(cause: unknown): Promise<void> {
    this.#over = "is being undone";
    // These are not shielded: a cancel may end what would keep a saga waiting.
    while (this.#running.size > 0) await Promise.all(this.#running);
    const unshield = shieldFromCancel();
    try {
      const names: string[] = [];
      const errors: unknown[] = [];
      for (let index = this.#compensations.length; index > 0; index--) {
        const { name, run } = this.#compensations[index - 1]!;
        const title = `compensation ${index} of ${this.#compensations.length}${nameOf(name)}`;
        const given = await persist(run, title, this.#retry);
        if (given === undefined) continue;
        names.push(title);
        errors.push(given.error);
      }
      if (errors.length > 0) throw new SagaError(names, errors, cause);
    } finally {
      this.#over = "has ended";
      unshield();
    }
  }
}

const terms: RetryTerms = {
  maxAttempts: Infinity,
  initialDelayMs: 1000,
  maxDelayMs: 60_000,
  invalid: (option, value, expected) =>
    new PerdureError(
      "ARGUMENT_INVALID",
      `A saga's retry.${option} is ${describeReason(value)}. It must be ${expected}.`,
    ),
};

/** Undefined once it has worked, or the last error. */
async function persist(run: () => unknown, title: string, retry: RetryPolicy): Promise<{ error: unknown } | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      await run();
      return undefined;
    } catch (error) {
      const failure = `${title} failed at attempt ${attempt}`;
      if (attempt >= retry.maxAttempts || isFinal(error, retry)) {
        warn(`gives up: ${failure}: ${describeReason(error)}`);
        return { error };
      }
      const delayMs = backoffMs(retry, attempt, random());
      warn(`tries again in ${delayMs} ms: ${failure}: ${describeReason(error)}`);
      // Not a wait that a cancel could cut short.
      await new Promise<void>((resolve) => startTimer("wall", now() + delayMs, resolve));
    }
  }
}

/** Errors of operations are known by their codes and names: their classes are the host's. */
function isUncertain(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const { code, details } = error as { code?: unknown; details?: { readonly reason?: unknown } };
  // Where no server was there is none that could have done it.
  if (code === "SERVER_GONE" && details?.reason === "noproc") return false;
  return uncertainNames.has(error.name) || uncertainCodes.has(code);
}

function isFinal(error: unknown, { nonRetryable }: RetryPolicy): boolean {
  if (error instanceof ExitRequest) return true;
  try {
    if (nonRetryable?.(error) === true) return true;
  } catch (thrown) {
    warn(`cannot tell whether an error is final: its retry.nonRetryable threw ${describeReason(thrown)}`);
    return true;
  }
  if (!(error instanceof Error)) return false;
  return error.name === "NonRetryableError" || finalCodes.has((error as { code?: unknown }).code);
}

function nameOf(name: string): string {
  return name === "" ? "" : ` (${name})`;
}

function warn(what: string): void {
  log("warn", `A saga of ${self()} ${what}`);
}
