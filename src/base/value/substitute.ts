/** What crosses in the place of a thrown value that cannot. */
import { refuse } from "./describe.ts";
import { define, errorConstructors, hasOwn, keys, slice } from "./intrinsics.ts";
import { brandOf, read } from "./open.ts";

/** More than this of a text says nothing new to who reads an error. */
const maxTextUnits = 16 * 1024;
const maxFieldUnits = 1024;
const maxFields = 32;

/** An error that describes `thrown`, or repeats what matters of it if it is one that is too large. */
export function substitute(thrown: unknown): Error {
  const isObject = typeof thrown === "object" && thrown !== null;
  if (isObject && brandOf(thrown) === "error") return cutDown(thrown);
  const isNamed = isObject || typeof thrown === "function" || typeof thrown === "symbol";
  const what = isNamed ? refuse(thrown).what : `a ${typeof thrown} that is too large`;
  return newError(`Something was thrown that cannot cross the sandbox's border: ${what}.`);
}

function cutDown(error: object): Error {
  const result = newError(cut(read(error, "message")));
  define(result, "name", cut(read(error, "name")), false);
  define(result, "stack", cut(read(error, "stack")), false);
  const fields = keys(error);
  for (let i = 0; i < fields.length && i < maxFields; i++) {
    const field = fields[i] as string;
    const value = read(error, field);
    const isShort = typeof value === "string" ? value.length <= maxFieldUnits : typeof value !== "object";
    if (isShort && !hasOwn(result, field)) define(result, field, value, true);
  }
  return result;
}

function newError(message: string): Error {
  const constructor = errorConstructors["Error"] as new (message: string) => Error;
  return new constructor(message);
}

function cut(text: unknown): string {
  return typeof text === "string" ? slice(text, 0, maxTextUnits) : "";
}
