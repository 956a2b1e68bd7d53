/** What a running host function can ask about its attempt, wherever it is in its asynchronous calls. */
import { AsyncLocalStorage } from "node:async_hooks";
import { PerdureError } from "../base/errors.ts";

export interface OperationContext {
  /** The calling process. */
  readonly pid: string;
  /** Hash of the calling process's program: tells old callers from new ones. */
  readonly program: string;
  /** Counts the calling process's operations from 1. */
  readonly number: number;
  /** The name the process called: `path#export`, or an explicit one. */
  readonly name: string;
  /** From 1. Attempts that ended with their node do not count. */
  readonly attempt: number;
}

/** One attempt, as the code that runs inside it sees it. Holds no arguments, so that code which never ends holds none either. */
export class AttemptScope {
  readonly context: OperationContext;
  readonly idempotencyKey: string;
  // An AbortController costs more than a trivial operation, and most never ask for it.
  #controller: AbortController | undefined;
  #aborted: { readonly reason: unknown } | undefined;

  constructor(context: OperationContext, idempotencyKey: string) {
    this.context = context;
    this.idempotencyKey = idempotencyKey;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted.reason);
    }
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#aborted ??= { reason };
    // Inside the scope, so that abort listeners too can ask which operation they belong to.
    if (this.#controller !== undefined) storage.run(this, (controller) => controller.abort(reason), this.#controller);
  }
}

// One storage for all copies of this package in the process: the runner's need not be the one a host module imports.
const storageKey = Symbol.for("perdure.operation-scope");
const shared = globalThis as { [storageKey]?: AsyncLocalStorage<AttemptScope> };
const storage: AsyncLocalStorage<AttemptScope> = (shared[storageKey] ??= new AsyncLocalStorage<AttemptScope>());

/** Calls `fn` with `args` inside `scope`. */
export function runInScope<R>(scope: AttemptScope, fn: (...args: unknown[]) => R, args: readonly unknown[]): R {
  return storage.run(scope, fn, ...args);
}

function current(asked: string): AttemptScope {
  const scope = storage.getStore();
  if (scope !== undefined) return scope;
  throw new PerdureError(
    "OPERATION_OUTSIDE",
    `${asked}() was called outside a running operation. Call it in a host function that a Perdure process has called, or in what that function awaits.`,
  );
}

/** A transactional operation has nothing to write to when nobody gives it a transaction. */
export function operationCalledOutside(name: string): PerdureError {
  return new PerdureError(
    "OPERATION_OUTSIDE",
    `The transactional operation ${name === "" ? "" : `${JSON.stringify(name)} `}was called directly, so it has no transaction. Call it from a program. To call its code in a test or in another transaction, give the inner function a name of its own and pass it a transaction.`,
  );
}

/**
 * A key that is the same on every attempt of this operation and differs from every other operation's: derived from pid,
 * operation number, name and arguments. Hand it to outside services that deduplicate. Throws OPERATION_OUTSIDE.
 */
export function idempotencyKey(): string {
  return current("idempotencyKey").idempotencyKey;
}

/** Which attempt runs, from 1. Attempts that ended with their node do not count. Throws OPERATION_OUTSIDE. */
export function attempt(): number {
  return current("attempt").context.attempt;
}

/**
 * Aborts when nobody waits for this attempt any more (reason: `OperationAbortedError`) or its timeout has passed
 * (`OperationTimeoutError`). Pass it to what the function awaits. Throws OPERATION_OUTSIDE.
 */
export function signal(): AbortSignal {
  return current("signal").signal;
}

/** Who called, and what. Throws OPERATION_OUTSIDE. */
export function operationContext(): OperationContext {
  return current("operationContext").context;
}
