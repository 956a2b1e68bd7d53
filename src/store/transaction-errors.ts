/** What goes wrong with the SQL of transactional operations, whatever the database. */
import { PerdureError } from "../base/errors.ts";

export function forbidden(what: string, cause?: unknown): PerdureError {
  const message = `SQL of a transactional operation must not touch ${what}. Keep to tables of your own.`;
  return new PerdureError("TRANSACTION_FORBIDDEN", message, { cause, details: { touched: what } });
}

/** The begin and the end of the transaction are no business of user SQL. */
export const endsIt = "the transaction's begin and end, which are the engine's: throw to undo what the operation did";

/** `advice` is a sentence. */
export function ended(operation: string, why: string, advice: string): PerdureError {
  return new PerdureError(
    "TRANSACTION_ENDED",
    `The transaction of operation ${JSON.stringify(operation)} cannot be used any more: ${why}. ${advice}`,
    { details: { operation } },
  );
}

export function notOneStatement(rest: string): PerdureError {
  return new PerdureError(
    "ARGUMENT_INVALID",
    `Only the first of several statements would run; what follows it is ${JSON.stringify(rest.trim().slice(0, 60))}. Use exec() to run several.`,
  );
}
