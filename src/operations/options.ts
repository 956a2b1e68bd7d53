/** Checks shared by everything here that takes options. */
import { PerdureError } from "../base/errors.ts";

export function invalidOption(name: string, value: unknown, expected: string): PerdureError {
  return new PerdureError("ARGUMENT_INVALID", `${name} is ${show(value)}; it must be ${expected}.`);
}

/** Refuses what is no plain options object, and keys nobody reads: a misspelt option would silently do nothing. */
export function checkOptions(name: string, options: unknown, keys: readonly string[]): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw invalidOption(name, options, `an object with some of ${keys.join(", ")}`);
  }
  for (const key of Object.keys(options)) {
    if (!keys.includes(key)) {
      throw new PerdureError(
        "ARGUMENT_INVALID",
        `${name} has no option ${JSON.stringify(key)}. Options are ${keys.join(", ")}.`,
      );
    }
  }
}

export function checkNumber(name: string, value: unknown, min: number, max: number): void {
  if (typeof value === "number" && value >= min && value <= max) return;
  const range = max >= Number.MAX_VALUE ? `a number from ${min}` : `a number from ${min} to ${max}`;
  throw invalidOption(name, value, range);
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
