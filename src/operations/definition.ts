/** `operation(options, fn)`: how a host function states what it promises and what it needs. */
import { durationMs } from "../base/duration.ts";
import type { Duration } from "../base/duration.ts";
import type { RetryPolicy } from "../base/retry.ts";
import type { PostgresTransaction, Transaction } from "../store/transactions.ts";
import { operationCalledOutside } from "./context.ts";
import { checkOptions, invalidOption } from "./options.ts";
import { readRate } from "./rate.ts";
import type { Rate, RateOptions } from "./rate.ts";
import { retryPolicy } from "./retry.ts";
import type { RetryOptions } from "./retry.ts";

/**
 * - `"at-least-once"`: runs again, with the same idempotency key, if its node dies before the result is durable.
 * - `"at-most-once"`: its start is made durable before it runs, and it never runs again. After a crash in between the
 *   process gets an `UncertainOperationError`; a thrown error is final. With `reconcile` the outside world is asked instead, and
 *   then it may run again.
 * - `"transactional"`: what it writes to the store's own database and its result become durable in one transaction: exactly once.
 *   See `TransactionalOptions`.
 */
export type OperationMode = "at-least-once" | "at-most-once" | "transactional";

/** A transactional operation runs until it commits; what it throws is final. So it takes no `retry`. */
export interface TransactionalOptions<Args extends readonly unknown[] = any[]> extends Omit<
  OperationOptions<Args, never>,
  "mode" | "retry" | "timeout" | "reconcile"
> {
  readonly mode: "transactional";
  /**
   * How long it may hold its transaction on PostgreSQL. Then it is rolled back, and fails with an `OperationTimeoutError`, which is final like
   * everything it throws. On SQLite it means nothing: there nothing is waited for. Default: 10 seconds.
   */
  readonly timeout?: Duration;
}

/** What `reconcile` found out about an earlier start of the operation. */
export type Reconciled<Result> =
  /** It happened, and this is the result that the process gets. */
  | { readonly done: true; readonly value: Result }
  /** It certainly did not happen, and no call of it is under way: it may run again, with the same key. */
  | { readonly done: false };

/** `Args` and `Result` are those of the function. */
export interface OperationOptions<Args extends readonly unknown[] = any[], Result = any> {
  /**
   * A second name under which processes find this operation, next to `path#export`. When a file moves, give its old
   * `path#export` here, and processes started before still find it. Default: none.
   */
  readonly name?: string;
  /** Default "at-least-once"; with `reconcile`, "at-most-once". `"transactional"` goes with a function that takes a `Transaction` first. */
  readonly mode?: Exclude<OperationMode, "transactional">;
  /**
   * When an attempt that threw is followed by another; `false`: never. Default: up to 5 attempts, waits from 250 ms doubling
   * to at most 30 s, spread by a quarter either way. Not for at-most-once operations without `reconcile`.
   */
  readonly retry?: RetryOptions | false;
  /**
   * How long one attempt may take. Then its `signal()` aborts with an `OperationTimeoutError` and the attempt has failed,
   * whether the function heeds the signal or not; the retry policy decides what follows. An at-most-once operation fails with
   * `UncertainOperationError`, unless it has `reconcile`. Default: no limit.
   */
  readonly timeout?: Duration;
  /**
   * Asks the outside world what became of an earlier start: by the idempotency key, or by whatever the arguments say. With it
   * an operation happens exactly once, if calls end within `timeout` (which is mandatory then), or if the outside
   * deduplicates by the key.
   *
   * It is asked when an earlier start may have had an effect: its node died, its timeout passed, or it threw (and the retry
   * policy allows for another attempt). Before that, `timeout` passes from the start on; so no call of it is under way
   * any more. An ask, and the run that follows if it says `{ done: false }`, are one attempt, which fails when either
   * of them throws or takes longer than `timeout`. When no attempt is left, or `reconcile` throws a NonRetryableError, the process gets an
   * `UncertainOperationError` with the error as its cause. A NonRetryableError of the function itself is final and nobody is asked.
   */
  readonly reconcile?: (key: string, ...args: Args) => Promise<Reconciled<Result>>;
  /** How many attempts of this operation may run at once on this node; others wait their turn. Default: only the node's limit. */
  readonly concurrency?: number;
  /**
   * How many attempts of this operation may start in a time on this node. In any stretch of time there are at most `burst`
   * starts and `limit` more for each `per` of it, and one more if the node was restarted within. Default: no limit.
   */
  readonly rate?: RateOptions;
  /**
   * Whom a call is for: a customer, a host. Calls with one key form a row, first in, first out, and the rows take turns.
   * Called for each attempt, outside of it, with the arguments; it must give the same for the same. Default: each calling
   * process is a row, without limits.
   */
  readonly key?: (...args: Args) => string;
  /** Like `concurrency`, for each key. Default: 1 with `key`. */
  readonly concurrencyPerKey?: number;
  /** Like `rate`, for each key. Default: no limit. */
  readonly ratePerKey?: RateOptions;
}

/** The options with every default filled in. */
export interface OperationSettings {
  readonly name: string | undefined;
  readonly mode: OperationMode;
  readonly retry: RetryPolicy;
  readonly timeoutMs: number | undefined;
  /** Then the mode is "at-most-once", and there is a timeout. */
  readonly reconcile: HostFunction | undefined;
  readonly concurrency: number;
  readonly rate: Rate | undefined;
  readonly key: HostFunction | undefined;
  readonly concurrencyPerKey: number;
  readonly ratePerKey: Rate | undefined;
}

/** A function the runner calls: an export of a host module, or a built-in one. */
export type HostFunction = (...args: unknown[]) => unknown;

// Registered, so that a second copy of this package in the same process finds the settings too.
const settingsKey = Symbol.for("perdure.operation-settings");
const bodyKey = Symbol.for("perdure.transaction-body");

type AnyOptions = Omit<OperationOptions, "mode"> & { readonly mode?: OperationMode };

const modes: readonly OperationMode[] = ["at-least-once", "at-most-once", "transactional"];
const senseless = ["retry", "reconcile"];
const optionKeys = [
  "name",
  "mode",
  "retry",
  "timeout",
  "reconcile",
  "concurrency",
  "rate",
  "key",
  "concurrencyPerKey",
  "ratePerKey",
];

/**
 * Makes `fn` an operation with these options. The result has `fn`'s type; called directly in Node, in a unit test say, it
 * just calls `fn`. Throws ARGUMENT_INVALID or DURATION_INVALID for options that make no sense.
 *
 * ```ts
 * export const ship = operation({ mode: "at-most-once", timeout: "30s" }, async (id: string) => { … });
 * ```
 */
export function operation<F extends (...args: never[]) => Promise<unknown>>(
  options: OperationOptions<Parameters<F>, Awaited<ReturnType<F>>>,
  fn: F,
): F;
/**
 * Makes `fn` a transactional operation: it is given a transaction of the store's own database, and what it writes there commits
 * together with its result, exactly once, or not at all. The program calls it without the transaction.
 *
 * `fn` may be asynchronous but must await nothing other than `tx`; what it throws rolls everything back and is the error the
 * program gets. It may run again before it commits, so it should change nothing else. Called directly it fails with
 * OPERATION_OUTSIDE. Throws ARGUMENT_INVALID for options that make no sense.
 *
 * Where the store is on PostgreSQL, the first parameter is a `PostgresTransaction`: say so.
 *
 * ```ts
 * export const deposit = operation({ mode: "transactional" }, (tx, account: string, cents: number) => {
 *   tx.run("UPDATE account SET cents = cents + ? WHERE id = ?", cents, account);
 * });
 * ```
 */
export function operation<A extends unknown[], R>(
  options: TransactionalOptions<NoInfer<A>>,
  fn: (tx: Transaction, ...args: A) => R | Promise<R>,
): (...args: A) => Promise<R>;
/**
 * The same on PostgreSQL: what `tx` gives are promises.
 *
 * ```ts
 * export const deposit = operation({ mode: "transactional" }, async (tx: PostgresTransaction, account: string, cents: number) => {
 *   await tx.run("UPDATE account SET cents = cents + $1 WHERE id = $2", cents, account);
 * });
 * ```
 */
export function operation<A extends unknown[], R>(
  options: TransactionalOptions<NoInfer<A>>,
  fn: (tx: PostgresTransaction, ...args: A) => Promise<R>,
): (...args: A) => Promise<R>;
export function operation(
  options: OperationOptions | TransactionalOptions,
  fn: (...args: never[]) => unknown,
): (...args: never[]) => unknown {
  if (typeof fn !== "function")
    throw invalidOption("The second argument of operation()", fn, "the function that does the work");
  const settings = operationSettings(options);
  const isTransactional = settings.mode === "transactional";
  const call = function (this: unknown, ...args: never[]): unknown {
    return isTransactional ? Promise.reject(operationCalledOutside(fn.name)) : Reflect.apply(fn, this, args);
  };
  Object.defineProperty(call, settingsKey, { value: settings });
  if (isTransactional) Object.defineProperty(call, bodyKey, { value: fn });
  Object.defineProperty(call, "name", { value: fn.name, configurable: true });
  Object.defineProperty(call, "length", { value: isTransactional ? fn.length - 1 : fn.length, configurable: true });
  return call;
}

/** What a transactional operation runs: the function that takes the transaction first. */
export function transactionBody(fn: HostFunction): HostFunction {
  return (fn as { [bodyKey]?: HostFunction })[bodyKey] ?? fn;
}

/** Validates and fills in the defaults. */
export function operationSettings(options: OperationOptions | TransactionalOptions): OperationSettings {
  checkOptions("The first argument of operation()", options, optionKeys);
  checkTransactional(options);
  const given: AnyOptions = options;
  const { name, retry, timeout } = given;
  const reconcile = given.reconcile as HostFunction | undefined;
  const mode = given.mode ?? (reconcile === undefined ? "at-least-once" : "at-most-once");
  if (name !== undefined) checkName(name);
  if (!modes.includes(mode)) throw invalidOption("mode", mode, modes.map((one) => JSON.stringify(one)).join(" or "));
  if (reconcile !== undefined) checkReconcile(given, mode);
  const runsOnce = mode === "at-most-once" && reconcile === undefined;
  if (runsOnce && retry !== undefined && retry !== false) {
    const expected = `false or left out when mode is "at-most-once", which never runs twice unless it has \`reconcile\``;
    throw invalidOption("retry", retry, expected);
  }
  const timeoutMs = timeout === undefined ? undefined : durationMs(timeout);
  if (timeoutMs === 0) throw invalidOption("timeout", timeout, "longer than zero, or left out for no limit");
  const policy = retryPolicy(runsOnce || mode === "transactional" ? false : retry);
  return { name, mode, retry: policy, timeoutMs, reconcile, ...readLimits(given) };
}

type LimitSettings = Pick<OperationSettings, "concurrency" | "rate" | "key" | "concurrencyPerKey" | "ratePerKey">;

function readLimits(options: AnyOptions): LimitSettings {
  const { concurrency = Infinity, rate, ratePerKey } = options;
  const key = options.key as HostFunction | undefined;
  const concurrencyPerKey = options.concurrencyPerKey ?? (key === undefined ? Infinity : 1);
  checkConcurrency("concurrency", concurrency);
  checkConcurrency("concurrencyPerKey", concurrencyPerKey);
  if (key !== undefined && typeof key !== "function") {
    throw invalidOption("key", key, "a function of the arguments that returns a string");
  }
  for (const name of ["concurrencyPerKey", "ratePerKey"] as const) {
    if (key === undefined && options[name] !== undefined) {
      throw invalidOption(name, options[name], "left out without `key`, which says whom a call is for");
    }
  }
  return {
    concurrency,
    rate: rate === undefined ? undefined : readRate("rate", rate),
    key,
    concurrencyPerKey,
    ratePerKey: ratePerKey === undefined ? undefined : readRate("ratePerKey", ratePerKey),
  };
}

function checkConcurrency(name: string, value: number): void {
  if (value === Infinity || (Number.isInteger(value) && value >= 1)) return;
  throw invalidOption(name, value, "a whole number from 1, or Infinity");
}

function checkReconcile({ reconcile, timeout }: AnyOptions, mode: OperationMode): void {
  if (typeof reconcile !== "function") {
    throw invalidOption("reconcile", reconcile, "a function of the idempotency key and the arguments");
  }
  if (mode !== "at-most-once") throw invalidOption("mode", mode, `"at-most-once" or left out with \`reconcile\``);
  if (timeout === undefined) {
    throw invalidOption(
      "timeout",
      timeout,
      "given with `reconcile`: an earlier call must be over before the outside world is asked about it",
    );
  }
}

/** What it throws is final, and there is never a doubt about what became of it. */
function checkTransactional(options: OperationOptions | TransactionalOptions): void {
  if (options.mode !== "transactional") return;
  for (const [key, value] of Object.entries(options)) {
    if (senseless.includes(key) && value !== undefined)
      throw invalidOption(key, value, `left out when mode is "transactional"`);
  }
}

function checkName(name: unknown): void {
  if (typeof name !== "string" || name === "" || /[\r\n]/.test(name) || name.startsWith("perdure:")) {
    throw invalidOption("name", name, `one line of text that does not begin with "perdure:"`);
  }
}

const defaults = operationSettings({});

/** The settings of a host function: its `operation(…)` options, or the defaults for a bare function. */
export function settingsOf(fn: HostFunction): OperationSettings {
  return (fn as { [settingsKey]?: OperationSettings })[settingsKey] ?? defaults;
}
