/**
 * `perdure/host`: for modules that begin with `"use host"`. They run in Node with every npm package; processes call their
 * exports as operations.
 */
export { attempt, idempotencyKey, operationContext, signal } from "./context.ts";
export type { OperationContext } from "./context.ts";
export { operation } from "./definition.ts";
export type { OperationMode, OperationOptions, Reconciled, TransactionalOptions } from "./definition.ts";
export {
  NonRetryableError,
  OperationAbortedError,
  OperationTimeoutError,
  RetryAfterError,
  retryAfter,
  UncertainOperationError,
} from "./errors.ts";
export type { RateOptions } from "./rate.ts";
export type {
  PostgresChanges,
  PostgresError,
  PostgresParam,
  PostgresRow,
  PostgresTransaction,
  PostgresValue,
  SqlChanges,
  SqlParams,
  SqlRow,
  SqlValue,
  Transaction,
} from "../store/transactions.ts";
export type { RetryOptions } from "./retry.ts";
export type { Duration } from "../base/duration.ts";
export { PerdureError } from "../base/errors.ts";
