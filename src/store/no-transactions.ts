/** For stores on which user code cannot take part in a transaction. */
import { PerdureError } from "../base/errors.ts";
import type { Transactions } from "./transactions.ts";

/** As `NonRetryableError` has it (`operations/errors.ts`): another attempt would end the same way. */
const nonRetryable = Symbol.for("perdure.non-retryable");

/** Every job fails with TRANSACTION_UNSUPPORTED, for good. */
export const noTransactions: Transactions = {
  run: async ({ jobs }) => jobs.map(({ name }) => ({ kind: "threw", error: unsupported(name) })),
  close: async () => undefined,
};

function unsupported(operation: string): PerdureError {
  const error = new PerdureError(
    "TRANSACTION_UNSUPPORTED",
    `The operation ${JSON.stringify(operation)} is transactional, and a store on PostgreSQL cannot run it. Make it an ordinary operation that opens a connection of its own, and pass the idempotency key to what it writes.`,
    { details: { operation } },
  );
  return Object.defineProperty(error, nonRetryable, { value: true });
}
