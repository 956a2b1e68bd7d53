/**
 * What the engine itself raises about an operation. Host code meets these errors as the reasons of its AbortSignals, a program
 * as rejections; so the classes exist on both sides of the sandbox's border.
 */
import { PerdureError } from "./errors.ts";

/**
 * What a process gets when an operation that must not be repeated had begun, and nobody can tell whether it happened. `cause`
 * says why, if that is not its node's death: an OperationTimeoutError, or what an operation with `reconcile` failed with at last.
 * Ask the outside world by `idempotencyKey`, or a person.
 */
export class UncertainOperationError extends PerdureError {
  readonly operation: string;
  readonly idempotencyKey: string;
  /** The arguments of the call; undefined if they were too large to be repeated here. */
  readonly args: readonly unknown[] | undefined;

  constructor(operation: string, idempotencyKey: string, args: readonly unknown[] | undefined, cause?: unknown) {
    super(
      "OPERATION_UNCERTAIN",
      `Whether the operation ${JSON.stringify(operation)} happened is unknown: ${reasonOf(cause)}. ` +
        `Find out what became of idempotency key ${idempotencyKey}.`,
      { cause, details: { operation, idempotencyKey } },
    );
    this.operation = operation;
    this.idempotencyKey = idempotencyKey;
    this.args = args;
  }

  override get name(): string {
    return "UncertainOperationError";
  }
}

function reasonOf(cause: unknown): string {
  if (cause === undefined) return "its node stopped while it ran";
  if (cause instanceof OperationTimeoutError) return "it did not answer within its timeout";
  // In full it is the cause.
  return cause instanceof Error ? `it ended with ${cause.name}: ${cause.message.slice(0, 200)}` : "it failed";
}

/** An attempt took longer than its operation's `timeout`: the reason of its AbortSignal, and the error of the attempt. */
export class OperationTimeoutError extends PerdureError {
  readonly operation: string;
  readonly timeoutMs: number;

  constructor(operation: string, timeoutMs: number) {
    super(
      "OPERATION_TIMEOUT",
      `Operation ${JSON.stringify(operation)} took longer than its timeout of ${timeoutMs} ms. Raise the timeout, or end earlier.`,
      { details: { operation, timeoutMs } },
    );
    this.operation = operation;
    this.timeoutMs = timeoutMs;
  }

  override get name(): string {
    return "OperationTimeoutError";
  }
}

/** Nobody waits for the attempt any more: the reason of its AbortSignal. */
export class OperationAbortedError extends PerdureError {
  readonly operation: string;

  constructor(operation: string, why: string) {
    super("OPERATION_ABORTED", `Operation ${JSON.stringify(operation)} was aborted: ${why}.`, {
      details: { operation },
    });
    this.operation = operation;
  }

  override get name(): string {
    return "OperationAbortedError";
  }
}
