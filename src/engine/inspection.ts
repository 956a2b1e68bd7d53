/** Node's way of showing values, for values that a program made: large, tangled, and errors that are hardly any. */
import { inspect } from "node:util";
import type { InspectOptions } from "node:util";
import { errorsWithin, unfoldsBeyond } from "./within.ts";

const shallow: InspectOptions = { depth: 2, maxArrayLength: 20, maxStringLength: 1000 };

/** As `inspect` shows it; of a value that unfolds to more than `most` values only the upper levels. */
export function inspectSafely(value: unknown, most: number, options: InspectOptions): string {
  for (const error of errorsWithin(value)) tame(error);
  return inspect(value, unfoldsBeyond(value, most) ? { ...options, ...shallow } : options);
}

/** Name, message and stack of an error are texts, unless the program made them something else. */
export function wordsOf(value: unknown): string {
  if (typeof value === "string") return value;
  return typeof value === "object" && value !== null ? "[object]" : String(value);
}

/** Node reads these as texts, and fails at anything else. */
function tame(error: Error): void {
  for (const name of ["name", "message", "stack"] as const) {
    const value: unknown = error[name];
    if (typeof value !== "string" && value !== undefined)
      Object.defineProperty(error, name, { value: wordsOf(value), enumerable: false });
  }
}
