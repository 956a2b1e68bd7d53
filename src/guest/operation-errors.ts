/** Errors that the host raised about an operation are instances of Perdure's own classes again once they are in the sandbox. */
import { PerdureError } from "../base/errors.ts";
import { OperationAbortedError, OperationTimeoutError, UncertainOperationError } from "../base/operation-errors.ts";

const classes: ReadonlyMap<unknown, { readonly prototype: object; readonly code: string | undefined }> = new Map([
  ["UncertainOperationError", { prototype: UncertainOperationError.prototype, code: "OPERATION_UNCERTAIN" }],
  ["OperationTimeoutError", { prototype: OperationTimeoutError.prototype, code: "OPERATION_TIMEOUT" }],
  ["OperationAbortedError", { prototype: OperationAbortedError.prototype, code: "OPERATION_ABORTED" }],
  ["PerdureError", { prototype: PerdureError.prototype, code: undefined }],
]);

/** A chain of causes may be as long as it likes, and a circle. */
const maxErrors = 100;

/** What an operation was rejected with, decoded. Gives it, its causes and the errors it collects their classes back. */
export function reviveErrors(thrown: unknown): unknown {
  const found = new Set<unknown>([thrown]);
  for (const error of found) {
    if (!(error instanceof Error)) continue;
    revive(error);
    const { cause, errors } = error as Error & { readonly errors?: unknown };
    found.add(cause);
    if (Array.isArray(errors)) for (const one of errors) if (found.size < maxErrors) found.add(one);
    if (found.size >= maxErrors) break;
  }
  return thrown;
}

function revive(error: Error & { readonly code?: unknown }): void {
  const known = classes.get(error.name);
  if (known === undefined || typeof error.code !== "string") return;
  // The name alone may be anybody's.
  if (known.code === undefined || known.code === error.code) Object.setPrototypeOf(error, known.prototype);
}
