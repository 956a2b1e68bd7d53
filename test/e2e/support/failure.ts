import assert from "node:assert/strict";
import { isPerdureError } from "perdure/engine";
import type { PerdureError } from "perdure/engine";

/** The error that a promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<PerdureError> {
  const error: unknown = await promise.then(
    (value) => assert.fail(`it gave ${JSON.stringify(value)}`),
    (thrown: unknown) => thrown,
  );
  assert.ok(isPerdureError(error), String(error));
  return error;
}
