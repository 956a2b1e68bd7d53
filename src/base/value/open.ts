/** What kind of object a value is, asked of the object's internal brand, and how its node begins. */
import { refuse } from "./describe.ts";
import {
  bigIntToString,
  bigIntValue,
  booleanValue,
  bufferLength,
  dateTime,
  dataViewBuffer,
  errorConstructors,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  hasOwn,
  isError,
  keys,
  mapForEach,
  mapSize,
  numberValue,
  objectPrototype,
  objectToString,
  regExpFlags,
  regExpSource,
  setForEach,
  setSize,
  stringValue,
  stringify,
  typedArrayKind,
} from "./intrinsics.ts";

/** Errors' own fields that are not enumerable; the format writes their index here. */
export const errorFields = ["name", "message", "stack", "cause", "errors"] as const;

export interface Opened {
  readonly shape: "root" | "array" | "object" | "map" | "set";
  /** The node up to its members. */
  readonly head: string;
  /** Undefined where members have no keys. Numbers are indices of `errorFields`. */
  readonly keys: readonly (string | number)[] | undefined;
  /** Members in order; or, with `keys`, the object to read them from. */
  readonly members: readonly unknown[] | object;
  readonly count: number;
  /** Whether a member that cannot be cloned is left out instead of refused. */
  readonly drops: boolean;
}

/** The slot of a primitive; undefined for everything else. */
export function primitiveSlot(value: unknown): string | undefined {
  switch (typeof value) {
    case "string":
    case "boolean":
      return stringify(value);
    case "number":
      if (value - value === 0) return value === 0 && 1 / value < 0 ? '["z"]' : `${value}`;
      return value > 0 ? '["+"]' : value < 0 ? '["-"]' : '["n"]';
    case "undefined":
      return '["u"]';
    case "bigint":
      // Hexadecimal, because reading long decimal digits takes quadratic time.
      return `["i","${bigIntToString(value, 16)}"]`;
    default:
      return value === null ? "null" : undefined;
  }
}

export type Brand =
  "date" | "regexp" | "map" | "set" | "number" | "string" | "boolean" | "bigint" | "buffer" | "view" | "error";

const probes: Readonly<Record<Exclude<Brand, "error" | "view">, (value: unknown) => unknown>> = {
  date: dateTime,
  regexp: (value) => {
    // The accessor also answers on RegExp.prototype itself, with a source that no other object gives.
    if (regExpSource(value) === "(?:)" && hasOwn(value as object, "exec")) throw new TypeError("the prototype");
  },
  map: mapSize,
  set: setSize,
  buffer: bufferLength,
  number: numberValue,
  string: stringValue,
  boolean: booleanValue,
  bigint: bigIntValue,
};

const probeOrder = keys(probes) as (keyof typeof probes)[];

const brandsByTag: Readonly<Record<string, keyof typeof probes>> = {
  "[object Date]": "date",
  "[object RegExp]": "regexp",
  "[object Map]": "map",
  "[object Set]": "set",
  "[object ArrayBuffer]": "buffer",
};

/** Which built-in this is, whatever realm it comes from and whatever class extends it. */
export function brandOf(object: object): Brand | undefined {
  if (typedArrayKind(object) !== undefined || passes(dataViewBuffer, object)) return "view";
  if (isError(object)) return "error";
  // A tag can be forged and is only a hint which probe to try first: each that fails costs an exception.
  const hint = brandsByTag[objectToString(object)];
  if (hint !== undefined && passes(probes[hint], object)) return hint;
  for (let i = 0; i < probeOrder.length; i++) {
    const brand = probeOrder[i] as keyof typeof probes;
    if (passes(probes[brand], object)) return brand;
  }
  return undefined;
}

function passes(probe: (value: unknown) => unknown, object: object): boolean {
  try {
    probe(object);
    return true;
  } catch {
    return false;
  }
}

/** The whole node of a built-in without members. */
export function leafNode(object: object, brand: Brand): string | undefined {
  switch (brand) {
    case "date": {
      const timeMs = dateTime(object);
      return timeMs === timeMs ? `["d",${timeMs}]` : '["d",null]';
    }
    case "regexp":
      return `["r",${stringify(regExpSource(object))},${stringify(regExpFlags(object))}]`;
    case "number":
      return `["p",${primitiveSlot(numberValue(object))}]`;
    case "string":
      return `["p",${primitiveSlot(stringValue(object))}]`;
    case "boolean":
      return `["p",${primitiveSlot(booleanValue(object))}]`;
    case "bigint":
      return `["p",${primitiveSlot(bigIntValue(object))}]`;
    default:
      return undefined;
  }
}

/** Plain by prototype: Object.prototype of this or another realm, or none. */
export function isPlain(object: object): boolean {
  const prototype = getPrototypeOf(object) as object | null;
  if (prototype === null || prototype === objectPrototype) return true;
  return getPrototypeOf(prototype) === null && hasOwn(prototype, "isPrototypeOf") && hasOwn(prototype, "valueOf");
}

export function openArray(array: readonly unknown[]): Opened {
  const names = keys(array);
  const { length } = array;
  // Index keys come first and ascend, so these two numbers tell that there are no holes and nothing else.
  if (names.length === length && (length === 0 || names[length - 1] === `${length - 1}`)) {
    return { shape: "array", head: '["a"', keys: undefined, members: array, count: length, drops: false };
  }
  return { shape: "array", head: `["s",${length}`, keys: names, members: array, count: names.length, drops: false };
}

export function openObject(object: object): Opened {
  const names = keys(object);
  return { shape: "object", head: '["o"', keys: names, members: object, count: names.length, drops: false };
}

/** Maps, sets and errors. */
export function openBuiltIn(object: object, brand: Brand): Opened {
  if (brand === "error") return openError(object);
  const members: unknown[] = [];
  let count = 0;
  if (brand === "map") {
    mapForEach(object as Map<unknown, unknown>, (value, key) => {
      members[count++] = key;
      members[count++] = value;
    });
    return { shape: "map", head: '["m"', keys: undefined, members, count, drops: false };
  }
  if (brand !== "set") throw refuse(object);
  setForEach(object as Set<unknown>, (item) => {
    members[count++] = item;
  });
  return { shape: "set", head: '["t"', keys: undefined, members, count, drops: false };
}

function openError(error: object): Opened {
  const kind = errorKind(error);
  const names: (string | number)[] = [];
  const own = keys(error);
  let count = 0;
  for (let field = 0; field < errorFields.length; field++) {
    const name = errorFields[field] as string;
    if (carries(error, name, own, kind)) names[count++] = field;
  }
  for (let i = 0; i < own.length; i++) names[count++] = own[i] as string;
  // DOMExceptions and their like have their code on the prototype.
  if (!hasOwn(error, "code") && isCode(read(error, "code"))) names[count++] = "code";
  return { shape: "object", head: `["e","${kind}"`, keys: names, members: error, count, drops: true };
}

function carries(error: object, name: string, own: readonly string[], kind: string): boolean {
  for (let i = 0; i < own.length; i++) if (own[i] === name) return false;
  if (name === "cause" || name === "errors") return hasOwn(error, name);
  const value = read(error, name);
  return typeof value === "string" && value !== (name === "name" ? kind : "");
}

function isCode(value: unknown): boolean {
  return typeof value === "number" || typeof value === "string";
}

/** A property, or undefined if its getter throws. */
export function read(object: object, name: string): unknown {
  try {
    return (object as Record<string, unknown>)[name];
  } catch {
    return undefined;
  }
}

/** The native class an error descends from, so that `instanceof` says the same on the other side. */
function errorKind(error: object): string {
  let prototype = getPrototypeOf(error) as object | null;
  // The bound is for proxies, whose chains need not end.
  for (let step = 0; prototype !== null && step < 100; step++) {
    // By name, not identity: it may be another realm's.
    const name: unknown = getOwnPropertyDescriptor(prototype, "name")?.value;
    if (typeof name === "string" && name !== "Error" && (name in errorConstructors || name === "AggregateError"))
      return name;
    prototype = getPrototypeOf(prototype) as object | null;
  }
  return "Error";
}
