/**
 * The codec of values at the sandbox's border: what structured clone carries, as text and bytes. It runs on both sides.
 *
 * Carried: every primitive but symbols; plain objects (own enumerable string keys), arrays with their holes and extra
 * fields, Date, RegExp (`lastIndex` starts at 0 again), Map, Set, boxed primitives, ArrayBuffer, typed arrays, DataView,
 * and errors; cycles and shared references stay what they are. As with structured clone, an object without prototype
 * becomes a plain one and an instance of a class that extends a built-in becomes the built-in. Views of one buffer share
 * one buffer afterwards, except views of a subclass (Node's Buffer): each arrives alone, with the bytes it shows.
 * Errors arrive as the native class they descend from, with name, message, stack, cause, errors and their own enumerable
 * fields; of an error, a field that cannot be cloned is left out.
 *
 * Not carried, and refused with the place where it was found: functions, symbols, instances of other classes, promises,
 * weak collections, shared memory. A Proxy of a plain object or array cannot be told from one; it is read through its traps.
 *
 * ## Format
 *
 * The first character of `text` says how the rest reads.
 *
 * - `u`: undefined. Nothing follows.
 * - `j`: JSON text. A tree of plain objects, dense arrays, strings, finite numbers other than -0, booleans and null, in
 *   which nothing is shared and nothing lies deeper than `maxTreeDepth`.
 * - `v`: a JSON list `[slot, node 1, node 2 …]`, for everything else. The slot is the value; nodes are the objects in it,
 *   numbered depth first, in the order they are met.
 *
 * A slot is a JSON string, number, boolean or null that stands for itself, or one of
 *
 *     [n]      node n                 ["n"]  NaN             ["i", hex]  a BigInt: hexadecimal digits, maybe after "-"
 *     ["u"]    undefined              ["+"]  Infinity
 *     ["z"]    -0                     ["-"]  -Infinity
 *
 * and a node is one of
 *
 *     ["o", key, slot, …]             plain object
 *     ["a", slot, …]                  array
 *     ["s", length, key, slot, …]     array with holes, or with fields beside its items; keys are strings, also indices
 *     ["m", slot, slot, …]            Map: key, value, key, value …
 *     ["t", slot, …]                  Set
 *     ["d", ms]                       Date; ms is null for an invalid one
 *     ["r", source, flags]            RegExp
 *     ["p", slot]                     boxed primitive
 *     ["b", length]                   ArrayBuffer of `length` bytes: the next of the chunks
 *     ["w", kind, n, offset, length]  view: kind is its constructor's name, n an earlier "b" node, offset in bytes, length
 *                                     in elements
 *     ["e", kind, key, slot, …]       error: kind is a native constructor's name. A string key is an enumerable field; 0 to
 *                                     4 are the fields name, message, stack, cause and errors where they are not enumerable
 *
 * Text is well-formed Unicode: JSON escapes lone surrogates.
 */
import { flatten } from "./value/flatten.ts";
import {
  getPrototypeOf,
  isArray,
  keys,
  objectPrototype,
  parse,
  setAdd,
  setHas,
  SetOf,
  slice,
  stringify,
} from "./value/intrinsics.ts";
import { corrupt, maxTextUnits, textTooLarge } from "./value/limits.ts";
import { restore } from "./value/restore.ts";
import { substitute } from "./value/substitute.ts";

export { maxChunkBytes, maxTextUnits } from "./value/limits.ts";

/**
 * An encoded value, as it crosses the sandbox's border, lies in the journal and travels between threads.
 *
 * `text` is always well-formed Unicode and its first character tells how the rest reads; `chunks` holds the bytes of
 * the value's array buffers, in the order `text` refers to them.
 */
export interface Payload {
  readonly text: string;
  readonly chunks?: readonly Uint8Array[];
}

/** Deeper trees take the general way, which needs no call stack. */
const maxTreeDepth = 200;

/**
 * Encodes a value; later changes to it do not matter. Getters may be read twice. Throws VALUE_NOT_CLONEABLE with the path
 * of what cannot cross, VALUE_TOO_LARGE beyond `maxTextUnits` of text or `maxChunkBytes` of bytes, and what getters throw.
 */
export function encodeValue(value: unknown): Payload {
  if (value === undefined) return { text: "u" };
  if (isTree(value)) {
    const text = `j${stringify(value)}`;
    if (text.length > maxTextUnits) throw textTooLarge();
    return { text };
  }
  const { text, chunks } = flatten(value);
  if (text.length > maxTextUnits) throw textTooLarge();
  return chunks.length === 0 ? { text } : { text, chunks };
}

/** The value a payload stands for; new objects at every call. Throws VALUE_CORRUPT for what `encodeValue` never wrote. */
export function decodeValue(payload: Payload): unknown {
  const { text, chunks } = payload;
  switch (text[0]) {
    case "v":
      return restore(slice(text, 1), chunks ?? []);
    case "u":
      if (text.length > 1 || hasChunks(chunks)) break;
      return undefined;
    case "j":
      if (hasChunks(chunks)) break;
      try {
        return parse(slice(text, 1));
      } catch {
        throw corrupt("its text is not JSON");
      }
  }
  throw corrupt(hasChunks(chunks) ? "it has chunks that nothing refers to" : "its text begins with no known mark");
}

/**
 * Encodes whatever was thrown, and never throws itself: what cannot cross is replaced by an error that describes it, and
 * an error that is too large is cut down to its name, message, stack and short plain fields such as `code`.
 */
export function encodeError(error: unknown): Payload {
  try {
    return encodeValue(error);
  } catch {
    // Fall through to what can always be said of it.
  }
  try {
    return encodeValue(substitute(error));
  } catch {
    return { text: `v[[1],["e","Error",1,"Something was thrown that cannot be described."]]` };
  }
}

function hasChunks(chunks: readonly Uint8Array[] | undefined): boolean {
  return chunks !== undefined && chunks.length > 0;
}

/** Whether JSON says all of a value. This is the hot path, written for an interpreter without a compiler behind it. */
function isTree(value: unknown): boolean {
  if (typeof value === "string" || typeof value === "boolean" || value === null) return true;
  if (typeof value === "number") return value - value === 0 && (value !== 0 || 1 / value > 0);
  return typeof value === "object" && isBranch(value, 0, { few: [], count: 0, many: undefined });
}

/** The containers met so far. While they are few, looking through a list costs less than a Set does. */
interface Seen {
  readonly few: object[];
  count: number;
  many: Set<object> | undefined;
}

const fewObjects = 8;

function isBranch(object: object, depth: number, seen: Seen): boolean {
  // JSON.stringify would call a toJSON, wherever it comes from.
  if (depth === maxTreeDepth || (object as { toJSON?: unknown }).toJSON !== undefined || isRepeated(object, seen))
    return false;
  const isList = isArray(object);
  if (!isList) {
    // Before its keys are listed: a typed array has one for every element.
    const prototype: unknown = getPrototypeOf(object);
    if (prototype !== objectPrototype && prototype !== null) return false;
  }
  const names = keys(object);
  if (isList) {
    // Fewer names are holes, more are fields beside the items; as many of both at once end as undefined items below.
    if (names.length !== object.length) return false;
    for (let i = 0; i < names.length; i++) {
      const item: unknown = object[i];
      if (typeof item === "string") continue;
      if (typeof item === "number" && item - item === 0 && (item !== 0 || 1 / item > 0)) continue;
      if (typeof item === "boolean" || item === null) continue;
      if (typeof item !== "object" || !isBranch(item, depth + 1, seen)) return false;
    }
    return true;
  }
  for (let i = 0; i < names.length; i++) {
    const member = (object as Record<string, unknown>)[names[i] as string];
    if (typeof member === "string") continue;
    if (typeof member === "number" && member - member === 0 && (member !== 0 || 1 / member > 0)) continue;
    if (typeof member === "boolean" || member === null) continue;
    if (typeof member !== "object" || !isBranch(member, depth + 1, seen)) return false;
  }
  return true;
}

function isRepeated(object: object, seen: Seen): boolean {
  const { few, count, many } = seen;
  if (many !== undefined) {
    if (setHas(many, object)) return true;
    setAdd(many, object);
    return false;
  }
  for (let i = 0; i < count; i++) if (few[i] === object) return true;
  few[count] = object;
  seen.count = count + 1;
  if (seen.count === fewObjects) {
    const set = new SetOf<object>();
    for (let i = 0; i < fewObjects; i++) setAdd(set, few[i] as object);
    seen.many = set;
  }
  return false;
}
