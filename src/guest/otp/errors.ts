import { PerdureError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";
import type { Pid } from "../pid.ts";
import { describeReason } from "../reason.ts";

/**
 * An answer that is a refusal, and no failure: a server's method that throws one lives on, and the caller's promise rejects
 * with it. Anything else that a method throws ends the server, as in OTP: its state may be half changed.
 *
 *     withdraw(cents: number) {
 *       if (cents > this.cents) throw new Refusal("Not enough money", { cents: this.cents });
 *
 * Subclasses arrive as a `Refusal` with their name.
 */
export class Refusal extends Error {
  /** Facts for the caller; they are copied like any answer. */
  readonly details: unknown;

  constructor(message: string, details?: unknown) {
    super(message);
    this.details = details;
  }

  override get name(): string {
    return "Refusal";
  }
}

/** A refusal as it was thrown, after it crossed a border. */
export function revivedRefusal(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const refusal = new Refusal(error.message, (error as Error & { details?: unknown }).details);
  for (const key of ["name", "stack"] as const) {
    Object.defineProperty(refusal, key, { value: error[key], writable: true, configurable: true });
  }
  return refusal;
}

export function serverGone(target: Pid, method: string, reason: unknown): PerdureError {
  const what =
    reason === "noproc" ? "There is no such process." : `It ended before it answered: ${describeReason(reason)}.`;
  return failure("SERVER_GONE", `Cannot call ${method} of ${target}. ${what}`, { pid: target, method, reason });
}

export function startFailed(entry: string, pid: Pid, reason: unknown): PerdureError {
  const message = `${entry} did not start: its process ${pid} ended with ${describeReason(reason)}.`;
  return failure("START_FAILED", message, { entry, pid, reason });
}

/** With the reason as a cause, if it is an error. */
export function failure(
  code: ErrorCode,
  message: string,
  details: { readonly reason: unknown; readonly [fact: string]: unknown },
): PerdureError {
  return new PerdureError(code, message, {
    details: { ...details },
    ...(details.reason instanceof Error ? { cause: details.reason } : {}),
  });
}

export function callRefused(target: Pid, method: unknown, why: string): PerdureError {
  const shown = typeof method === "string" ? method : typeof method;
  return new PerdureError("CALL_REFUSED", `Cannot call ${shown} of ${target}: ${why}.`, {
    details: { pid: target, method: shown },
  });
}
