/** Errors on their way between threads: structured clone would turn a PerdureError into a plain Error. */
import { errorCodes, PerdureError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";

export interface WireError {
  readonly code: string | undefined;
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
}

export function toWireError(error: unknown): WireError {
  if (!(error instanceof Error))
    return { code: undefined, name: "Error", message: String(error), stack: undefined, details: {} };
  const code = error instanceof PerdureError ? error.code : undefined;
  const details = error instanceof PerdureError ? plain(error.details) : {};
  return { code, name: error.name, message: error.message, stack: error.stack, details };
}

export function fromWireError(wire: WireError): Error {
  const error =
    wire.code !== undefined && wire.code in errorCodes
      ? new PerdureError(wire.code as ErrorCode, wire.message, { details: wire.details })
      : Object.assign(new Error(wire.message), { name: wire.name });
  if (wire.stack !== undefined) error.stack = wire.stack;
  return error;
}

/** Details are for programs: what is not plain data stays behind. */
function plain(details: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(details).filter(([, value]) => typeof value !== "function" && typeof value !== "symbol"),
  );
}
