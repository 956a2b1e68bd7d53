import { isPlainObject } from "./plain.ts";

/** A class, abstract or not. */
export type Class<T = unknown> = abstract new (...args: any[]) => T;

/**
 * Says which messages are meant:
 * - a type guard: those it says yes to;
 * - a class: its instances; `String`, `Number`, `Boolean` and `BigInt` stand for the primitive values;
 * - a plain object: objects that have all of its fields, each matching the pattern there;
 * - a list: lists that begin with matching items;
 * - any other value: the same value.
 */
export type Matched<P> = P extends (message: any) => message is infer T
  ? T
  : P extends StringConstructor
    ? string
    : P extends NumberConstructor
      ? number
      : P extends BooleanConstructor
        ? boolean
        : P extends BigIntConstructor
          ? bigint
          : P extends Class<infer T>
            ? T
            : P extends readonly unknown[]
              ? readonly [...{ -readonly [K in keyof P]: Matched<P[K]> }, ...unknown[]]
              : P extends object
                ? { -readonly [K in keyof P]: Matched<P[K]> }
                : P;

const primitives: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [String, "string"],
  [Number, "number"],
  [Boolean, "boolean"],
  [BigInt, "bigint"],
]);

export function matches(pattern: unknown, value: unknown): boolean {
  if (typeof pattern === "function") return matchesFunction(pattern as (value: unknown) => unknown, value);
  if (Array.isArray(pattern)) {
    return Array.isArray(value) && pattern.every((item, i) => i < value.length && matches(item, value[i]));
  }
  if (!isPlainObject(pattern)) return Object.is(pattern, value);
  if (typeof value !== "object" || value === null) return false;
  return Object.keys(pattern).every(
    (key) => Object.hasOwn(value, key) && matches(pattern[key], (value as Record<string, unknown>)[key]),
  );
}

function matchesFunction(pattern: (value: unknown) => unknown, value: unknown): boolean {
  const primitive = primitives.get(pattern);
  if (primitive !== undefined) return typeof value === primitive;
  return isClass(pattern) ? value instanceof (pattern as unknown as Class) : pattern(value) === true;
}

/** A function's `prototype` can be replaced, a class's and a built-in's cannot; a method or an arrow has none. */
function isClass(value: object): boolean {
  return Object.getOwnPropertyDescriptor(value, "prototype")?.writable === false;
}
