/**
 * A program's values as JSON. What JSON has stays what it is; the rest is an object with one key that begins with "$":
 *
 *     undefined in a list, Map or Set   {"$undefined": true}            a property that is undefined is left out
 *     NaN, Infinity, -Infinity, -0      {"$number": "NaN"}
 *     BigInt                            {"$bigint": "123"}
 *     Date                              {"$date": "2026-03-01T12:00:00.000Z"}, null for an invalid one
 *     RegExp                            {"$regexp": ["source", "flags"]}
 *     Map                               {"$map": [[key, value], …]}
 *     Set                               {"$set": [value, …]}
 *     ArrayBuffer and its views         {"$bytes": "base64", "type": "Uint8Array"}
 *     error                             {"$error": {"name", "message", "stack", "cause", …}}
 *     boxed primitive                   {"$boxed": value}
 *     a hole in an array                {"$hole": true}
 *     a value within itself             {"$circular": true}
 *     an array with many holes          {"$sparse": [length, [[index, value], …]]}
 *     deeper than 500 levels            {"$deep": true}
 *     after 600,000 values              {"$cut": true}: what is shared is written out each time it is met
 *     plain object with such a key      {"$object": {…}}
 */
import { types } from "node:util";
import { fullStack } from "./guest-error.ts";
import { wordsOf } from "../engine/inspection.ts";

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

const maxDepth = 500;
/** More than the text of a value that crosses the border can name, if it is a tree. */
const maxValues = 600_000;
/** More holes than this are counted, not written out: a list may be four billion items long and hold none. */
const maxHoles = 1_000;

interface Place {
  readonly above: readonly object[];
  /** Of the whole document. */
  readonly budget: { left: number };
}

/** Undefined is `{"$undefined": true}` at the top too; callers that have a field for the value leave it out instead. */
export function toJson(value: unknown): Json {
  return convert(value, { above: [], budget: { left: maxValues } });
}

/** An error's fields without the wrapping, for the places where there can only be an error. */
export function errorToJson(error: unknown): Json {
  return error instanceof Error
    ? errorFields(error, { above: [error], budget: { left: maxValues } })
    : { name: "", message: typeof error === "string" ? error : "", thrown: toJson(error) };
}

function convert(value: unknown, place: Place): Json {
  if (place.budget.left-- <= 0) return { $cut: true };
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { $number: Object.is(value, -0) ? "-0" : String(value) };
    case "bigint":
      return { $bigint: String(value) };
    case "object":
      return value === null ? null : object(value, place);
    default:
      // Functions and symbols never cross the sandbox's border.
      return { $undefined: true };
  }
}

function object(value: object, { above, budget }: Place): Json {
  if (above.includes(value)) return { $circular: true };
  if (above.length >= maxDepth) return { $deep: true };
  const path = { above: [...above, value], budget };
  const inner = (each: unknown): Json => convert(each, path);
  if (Array.isArray(value)) return list(value, inner);
  if (value instanceof Date) return { $date: Number.isNaN(value.getTime()) ? null : value.toISOString() };
  if (value instanceof RegExp) return { $regexp: [value.source, value.flags] };
  if (value instanceof Map) return { $map: [...value].map(([key, item]) => [inner(key), inner(item)]) };
  if (value instanceof Set) return { $set: [...value].map(inner) };
  if (value instanceof Error) return { $error: errorFields(value, path) };
  if (ArrayBuffer.isView(value))
    return bytes(Buffer.from(value.buffer, value.byteOffset, value.byteLength), value.constructor.name);
  if (types.isAnyArrayBuffer(value)) return bytes(Buffer.from(value), "ArrayBuffer");
  if (types.isBoxedPrimitive(value)) return { $boxed: inner(value.valueOf()) };
  const fields = properties(value, path);
  return Object.keys(fields).some((key) => key.startsWith("$")) ? { $object: fields } : fields;
}

function list(value: readonly unknown[], inner: (item: unknown) => Json): Json {
  const indices = Object.keys(value).filter((key) => isIndex(key));
  if (value.length - indices.length > maxHoles)
    return { $sparse: [value.length, indices.map((key) => [Number(key), inner(value[Number(key)])])] };
  return Array.from(value, (item: unknown, index) => (index in value ? inner(item) : { $hole: true }));
}

function isIndex(key: string): boolean {
  const index = Number(key);
  return index < 2 ** 32 - 1 && String(index >>> 0) === key;
}

function bytes(buffer: Buffer, type: string): Json {
  return { $bytes: buffer.toString("base64"), type };
}

function properties(value: object, path: Place): Record<string, Json> {
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  // Defined one by one: "__proto__" is a key like any other.
  return Object.fromEntries(entries.map(([key, each]) => [key, convert(each, path)]));
}

function errorFields(error: Error, path: Place): Json {
  const { name, message, cause } = error;
  const errors: unknown = error instanceof AggregateError ? error.errors : undefined;
  return {
    name: wordsOf(name),
    message: wordsOf(message),
    stack: fullStack(error),
    ...(cause === undefined ? {} : { cause: convert(cause, path) }),
    ...(errors === undefined ? {} : { errors: convert(errors, path) }),
    ...properties(error, path),
  };
}
