/** From what a host function did to what the kernel hears. */
import { PerdureError } from "../base/errors.ts";
import type { Random } from "../base/ports.ts";
import { decodeValue, encodeError, encodeValue } from "../base/value.ts";
import type { OperationReport, OperationRequest } from "../kernel/ports.ts";
import type { OperationSettings, Reconciled } from "./definition.ts";
import { describeError, nameByClass, UncertainOperationError } from "./errors.ts";
import { decide } from "./retry.ts";

type Called = Pick<OperationRequest, "token" | "name" | "attempt">;
type Keyed = Called & Pick<OperationRequest, "idempotencyKey" | "args">;

/** The function returned `value`. If that cannot cross, another attempt would not help: the process gets the reason. */
export function returned(request: Called, value: unknown): OperationReport {
  try {
    return { token: request.token, kind: "done", ok: true, value: encodeValue(value) };
  } catch (error) {
    return failed(request, uncrossable(request.name, error));
  }
}

/** The attempt threw: another one follows, or the process gets the error. */
export function threw(request: Called, settings: OperationSettings, error: unknown, random: Random): OperationReport {
  const decision = decide(settings.retry, request.attempt, error, randomUnit(random));
  if (decision.kind === "give-up") return failed(request, decision.error);
  return { token: request.token, kind: "retry", delayMs: decision.delayMs, error: describeError(error) };
}

/**
 * An attempt of an operation with `reconcile` failed and may have had an effect. If another one follows it has to ask, once the
 * calls of this one are over. `hasFailed`: the function itself says so, by an error that may be final.
 */
export function leftInDoubt(
  request: Keyed,
  settings: OperationSettings,
  failure: { readonly error: unknown; readonly hasFailed: boolean },
  random: Random,
): OperationReport {
  const decision = decide(settings.retry, request.attempt, failure.error, randomUnit(random));
  if (decision.kind === "give-up") {
    const isOver = failure.hasFailed && decision.isFinal;
    return isOver ? failed(request, decision.error) : uncertain(request, decision.error);
  }
  const { timeoutMs = 0 } = settings;
  const error = describeError(failure.error);
  return { token: request.token, kind: "retry", delayMs: decision.delayMs, error, doubtMs: timeoutMs };
}

/** What `reconcile` said; undefined if that says nothing. */
export function readReconciled(value: unknown): Reconciled<unknown> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { done } = value as { readonly done?: unknown };
  // Not merely truthy: an answer read from elsewhere, {done: "false"} say, must not pass for a payment.
  return done === true || done === false ? (value as Reconciled<unknown>) : undefined;
}

export function senseless(name: string, value: unknown): PerdureError {
  const shown = typeof value === "object" && value !== null ? "an object without them" : String(value);
  const message = `reconcile of operation ${JSON.stringify(name)} must return { done: true, value } or { done: false }, and returned ${shown}. Mend that function.`;
  return new PerdureError("OPERATION_FAILED", message, { details: { operation: name } });
}

/** The process gets the error. */
export function failed(request: Called, error: unknown): OperationReport {
  nameByClass(error);
  return { token: request.token, kind: "done", ok: false, value: encodeError(error) };
}

/** Nobody knows whether an operation happened that must not be repeated. Its arguments are repeated to the process if they fit. */
export function uncertain(request: Keyed, cause?: unknown): OperationReport {
  const { token, name, idempotencyKey } = request;
  nameByClass(cause);
  try {
    const error = new UncertainOperationError(name, idempotencyKey, repeatableArgs(request), cause);
    return { token, kind: "done", ok: false, value: encodeValue(error) };
  } catch {
    return failed(request, new UncertainOperationError(name, idempotencyKey, undefined, cause));
  }
}

/** One more failure must not hide the error that repeats them. */
function repeatableArgs(request: Keyed): unknown[] | undefined {
  try {
    const args = decodeValue(request.args);
    return Array.isArray(args) ? args : undefined;
  } catch {
    return undefined;
  }
}

export function unavailable(token: string, error: unknown): OperationReport {
  return { token, kind: "unavailable", error: error instanceof PerdureError ? error.message : describeError(error) };
}

/** What the process gets instead of a result that cannot cross. */
export function uncrossable(name: string, error: unknown): unknown {
  if (!(error instanceof PerdureError)) return error;
  const message = `The result of operation ${JSON.stringify(name)} cannot cross into the process: ${error.message}`;
  return new PerdureError(error.code, message, { cause: error, details: error.details });
}

function randomUnit(random: Random): number {
  const bytes = random.bytes(4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32;
}
