/** A process's end, as a caller of `result()` gets it. */
import { PerdureError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { decodeValue } from "../base/value.ts";
import type { ExitReason, Pid } from "../journal/types.ts";
import type { ProcessExit } from "../store/port.ts";

const codes: Readonly<Record<Exclude<ExitReason, "normal">, ErrorCode>> = {
  error: "PROCESS_FAILED",
  cancelled: "PROCESS_CANCELLED",
  killed: "PROCESS_KILLED",
  out_of_fuel: "PROCESS_FAILED",
  out_of_memory: "PROCESS_FAILED",
  stack_overflow: "PROCESS_FAILED",
  trap: "PROCESS_FAILED",
};

/**
 * The entry's result. Throws PROCESS_FAILED, PROCESS_CANCELLED or PROCESS_KILLED; `cause` is the error the process ended with,
 * `details.reason` its exit reason. `mapError` puts the cause's stack in terms of the user's files.
 */
export function outcomeOf(pid: Pid, exit: ProcessExit, mapError: (error: unknown) => void): unknown {
  const value = decodeValue(exit.value);
  if (exit.reason === "normal") return value;
  mapError(value);
  const why = value instanceof Error ? `${value.name}: ${value.message}` : String(value);
  throw new PerdureError(codes[exit.reason], `The process ${JSON.stringify(pid)} ended with ${exit.reason}: ${why}`, {
    cause: value,
    details: { pid, reason: exit.reason },
  });
}
