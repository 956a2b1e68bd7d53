/** The end of a process, printed the same way by every command that has one to print. */
import { isPerdureError } from "../base/errors.ts";
import type { ExitReason, Pid } from "../journal/types.ts";
import type { Context } from "./context.ts";
import { exitCodes, failureOf, printFailure } from "./failure.ts";
import { inspectSafely } from "../engine/inspection.ts";
import { errorToJson, toJson } from "./json-value.ts";
import type { Json } from "./json-value.ts";
import { errorsWithin } from "../engine/within.ts";

/** How a process ended: with a value, or with the PerdureError that says why not. */
export type Outcome =
  | { readonly pid: Pid; readonly reason: "normal"; readonly value: unknown }
  | { readonly pid: Pid; readonly reason: Exclude<ExitReason, "normal">; readonly error: Error };

/** Waits for a result. Throws what is no end of the process: it is broken, or the engine is closed. */
export async function outcomeFrom(pid: Pid, result: Promise<unknown>): Promise<Outcome> {
  try {
    return { pid, reason: "normal", value: await result };
  } catch (error) {
    if (!isPerdureError(error)) throw error;
    const reason = error.details["reason"];
    if (typeof reason !== "string") throw error;
    return { pid, reason: reason as Exclude<ExitReason, "normal">, error };
  }
}

export function outcomeDocument(outcome: Outcome): { readonly [key: string]: Json } {
  const { pid, reason } = outcome;
  if ("error" in outcome) {
    const { cause } = outcome.error;
    return cause === undefined ? { pid, reason } : { pid, reason, error: errorToJson(cause) };
  }
  return outcome.value === undefined ? { pid, reason } : { pid, reason, value: toJson(outcome.value) };
}

/** Prints the result on standard output, or the failure on standard error. Returns the exit code. */
export function printOutcome({ json, terminal }: Context, outcome: Outcome): number {
  if ("error" in outcome) printFailure(failureOf(outcome.error), terminal);
  if (json) terminal.print(JSON.stringify(outcomeDocument(outcome)));
  else if (!("error" in outcome) && outcome.value !== undefined) {
    terminal.print(formatValue(outcome.value, { colors: terminal.out.isColorSupported, width: terminal.width }));
  }
  return "error" in outcome ? exitCodes.failed : exitCodes.ok;
}

/** Values that are shown whole, or on one line: beyond it, only their upper levels. */
const maxShown = 600_000;
const maxShownBriefly = 20_000;

/** As console.log would print it, but whole: a text as it is, everything else as Node shows it, to any depth. */
export function formatValue(
  value: unknown,
  options: { readonly colors: boolean; readonly width?: number | undefined },
): string {
  if (typeof value === "string") return value;
  return inspectSafely(value, maxShown, {
    colors: options.colors,
    depth: Infinity,
    maxArrayLength: Infinity,
    maxStringLength: Infinity,
    breakLength: options.width ?? 80,
  });
}

/** On one line, for lists; errors without their stacks. */
export function formatBriefly(value: unknown): string {
  for (const error of errorsWithin(value)) error.stack = "";
  const one = { breakLength: Infinity, compact: 100, depth: 6, maxArrayLength: 100, maxStringLength: 1000 };
  return inspectSafely(value, maxShownBriefly, one);
}
