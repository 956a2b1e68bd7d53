/** Errors that the host raised about an operation are instances of Perdure's own classes again once they are in the sandbox. */
import { PerdureError } from "../base/errors.ts";
import { OperationAbortedError, OperationTimeoutError, UncertainOperationError } from "../base/operation-errors.ts";
import { relatedErrors } from "../base/related-errors.ts";

const classes: ReadonlyMap<unknown, { readonly prototype: object; readonly code: string | undefined }> = new Map([
  ["UncertainOperationError", { prototype: UncertainOperationError.prototype, code: "OPERATION_UNCERTAIN" }],
  ["OperationTimeoutError", { prototype: OperationTimeoutError.prototype, code: "OPERATION_TIMEOUT" }],
  ["OperationAbortedError", { prototype: OperationAbortedError.prototype, code: "OPERATION_ABORTED" }],
  ["PerdureError", { prototype: PerdureError.prototype, code: undefined }],
]);

/** What an operation was rejected with, decoded. Gives it, its causes and the errors it collects their classes back. */
export function reviveErrors(thrown: unknown): unknown {
  for (const error of relatedErrors(thrown)) revive(error);
  return thrown;
}

function revive(error: Error & { readonly code?: unknown }): void {
  const known = classes.get(error.name);
  if (known === undefined || typeof error.code !== "string") return;
  // The name alone may be anybody's.
  if (known.code === undefined || known.code === error.code) Object.setPrototypeOf(error, known.prototype);
}
