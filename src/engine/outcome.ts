/** A process's end, as a caller of `result()` gets it. */
import { PerdureError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { decodeValue } from "../base/value.ts";
import type { ExitReason, Pid } from "../journal/types.ts";
import type { ProcessExit } from "../store/port.ts";
import { inspectSafely, wordsOf } from "./inspection.ts";

const maxValues = 20_000;

const codes: Readonly<Record<Exclude<ExitReason, "normal">, ErrorCode>> = {
  shutdown: "PROCESS_SHUTDOWN",
  error: "PROCESS_FAILED",
  exit: "PROCESS_FAILED",
  noproc: "PROCESS_FAILED",
  noconnection: "PROCESS_FAILED",
  cancelled: "PROCESS_CANCELLED",
  killed: "PROCESS_KILLED",
  out_of_fuel: "PROCESS_FAILED",
  out_of_memory: "PROCESS_FAILED",
  stack_overflow: "PROCESS_FAILED",
  trap: "PROCESS_FAILED",
};

/**
 * The entry's result. Throws PROCESS_FAILED, PROCESS_SHUTDOWN, PROCESS_CANCELLED or PROCESS_KILLED; `cause` is the error the process ended with,
 * `details.reason` its exit reason. `mapError` puts the cause's stack in terms of the user's files.
 */
export function outcomeOf(pid: Pid, exit: ProcessExit, mapError: (error: unknown) => void): unknown {
  const value = decodeValue(exit.value);
  if (exit.reason === "normal") return value;
  mapError(value);
  throw new PerdureError(
    codes[exit.reason],
    `The process ${JSON.stringify(pid)} ended with ${exit.reason}${why(value)}`,
    {
      cause: value,
      details: { pid, reason: exit.reason },
    },
  );
}

function why(value: unknown): string {
  if (value === undefined) return "";
  if (value instanceof Error) return `: ${wordsOf(value.name)}: ${wordsOf(value.message)}`;
  if (typeof value === "string") return `: ${value}`;
  // A reason can be whatever crosses the border, large and tangled.
  return `: ${inspectSafely(value, maxValues, { depth: 2, maxArrayLength: 20, maxStringLength: 1000, breakLength: Infinity })}`;
}
