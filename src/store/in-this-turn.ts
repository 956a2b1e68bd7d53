/** User code inside a transaction keeps the whole store waiting, so it may wait for nothing but the transaction. */
import { PerdureError } from "../base/errors.ts";

/**
 * Fails with TRANSACTION_AWAITED what has not settled when all microtasks are done: whatever settles it then is not the transaction.
 * Ticks asked for by a microtask come after all of them, and before timers and I/O.
 */
export function inThisTurn<T>(result: Promise<T>, operation: string): Promise<T> {
  return new Promise((resolve, reject) => {
    result.then(resolve, reject);
    queueMicrotask(() => process.nextTick(() => reject(awaited(operation))));
  });
}

function awaited(operation: string): PerdureError {
  return new PerdureError(
    "TRANSACTION_AWAITED",
    `The transactional operation ${JSON.stringify(operation)} awaited something other than its transaction, so it was rolled back. Do that in an operation of its own, before this one, and pass the result.`,
    { details: { operation } },
  );
}
