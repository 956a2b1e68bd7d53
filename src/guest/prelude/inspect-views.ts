/** What there is to see of each kind of object, for `inspect.ts` to show. */
import { uncurry } from "./intrinsics.ts";

/** What shows values inside the one being shown. */
export interface Shower {
  showInside(value: unknown): string;
  /** The text is long enough: what is left is to be cut short. */
  readonly spent: boolean;
}

export interface View {
  /** The class's name, for when depth allows no more. */
  readonly name: string;
  /** Text that stands for the object, before its fields if it has any. */
  readonly base: string | undefined;
  /** Otherwise: class and size, before the opening brace. */
  readonly prefix: string;
  readonly isList: boolean;
  /** Entries before those of the object's fields. */
  readonly entries: ((shower: Shower) => string[]) | undefined;
  readonly keys: readonly (string | symbol)[];
  /** Those of the keys that are shown in brackets because they are not enumerable. */
  readonly hidden: readonly (string | symbol)[];
}

const maxItems = 100;
const toIso = uncurry(Date.prototype.toISOString);
const symbolText = uncurry(Symbol.prototype.toString);
const isEnumerable = Object.prototype.propertyIsEnumerable;
const functionSource = uncurry(Function.prototype.toString);
const typedArrayTag = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype) as object,
  Symbol.toStringTag,
)!.get!;

export function viewOf(value: object, indentation: number): View {
  const name = className(value);
  const keys: (string | symbol)[] = isLongList(value) ? [] : Object.keys(value);
  for (const key of Object.getOwnPropertySymbols(value)) {
    if (isEnumerable.call(value, key)) keys.push(key);
  }
  const prefix = prefixOf(value, name);
  const plain: View = {
    name: name ?? "Object: null prototype",
    base: undefined,
    prefix,
    isList: false,
    entries: undefined,
    keys,
    hidden: [],
  };
  if (typeof value === "function") return { ...plain, base: callableText(value, name) };
  if (Array.isArray(value)) return { ...plain, ...listView(value, name, keys) };
  return { ...plain, ...(collectionView(value, name, keys) ?? atomView(value, name, indentation, keys)) };
}

/** Of longer lists, fields beside the items are not shown: to find them, every item's key would be made a string. */
const maxKeyedLength = 10_000;

function isLongList(value: object): boolean {
  const isList = Array.isArray(value) || typedArrayTag.call(value) !== undefined;
  return isList && (value as ArrayLike<unknown>).length > maxKeyedLength;
}

/** Undefined for objects without a prototype. */
function className(value: object): string | undefined {
  for (let object: object | null = value; object !== null; object = Object.getPrototypeOf(object) as object | null) {
    const maker: unknown = Object.getOwnPropertyDescriptor(object, "constructor")?.value;
    if (typeof maker === "function" && maker.name !== "" && value instanceof maker) return maker.name;
  }
  return undefined;
}

/** Nothing for plain objects; the class, and the tag if it says something else. */
function prefixOf(value: object, name: string | undefined): string {
  const tag = (value as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag];
  const isField = isEnumerable.call(value, Symbol.toStringTag);
  const shownTag = typeof tag === "string" && tag !== "" && tag !== name && !isField ? `[${tag}] ` : "";
  if (name === undefined) return `[Object: null prototype] ${shownTag}`;
  return name === "Object" && shownTag === "" ? "" : `${name} ${shownTag}`;
}

function listView(
  array: readonly unknown[],
  name: string | undefined,
  keys: readonly (string | symbol)[],
): Partial<View> {
  const prefix = name === "Array" ? "" : `${name ?? "[Array: null prototype]"}(${array.length}) `;
  const extra = keys.filter((key) => typeof key === "symbol" || !/^\d+$/.test(key));
  const base = { prefix, isList: true, keys: extra };
  return array.length === 0 ? base : { ...base, entries: (shower) => items(array, shower) };
}

function items(array: ArrayLike<unknown>, shower: Shower): string[] {
  const shown: string[] = [];
  let index = 0;
  for (; index < array.length && shown.length < maxItems && !shower.spent; index++) {
    const start = index;
    while (index < array.length && !(index in array)) index++;
    if (index > start) {
      shown.push(`<${counted(index - start, "empty item")}>`);
      index--;
    } else shown.push(shower.showInside(array[index]));
  }
  return withRest(shown, array.length - index);
}

function withRest(shown: string[], hiddenCount: number): string[] {
  if (hiddenCount > 0) shown.push(`... ${counted(hiddenCount, "more item")}`);
  return shown;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function collectionView(
  value: object,
  name: string | undefined,
  allKeys: readonly (string | symbol)[],
): Partial<View> | undefined {
  if (value instanceof Map) {
    const entries = (shower: Shower): string[] => {
      const pairs = [...(value as Map<unknown, unknown>)];
      const shown = pairs
        .slice(0, maxItems)
        .map(([key, item]) => `${shower.showInside(key)} => ${shower.showInside(item)}`);
      return withRest(shown, pairs.length - shown.length);
    };
    return { prefix: `${name}(${value.size}) `, entries: value.size === 0 ? undefined : entries };
  }
  if (value instanceof Set) {
    const entries = (shower: Shower): string[] => {
      const all = [...(value as Set<unknown>)];
      const shown = all.slice(0, maxItems).map((item) => shower.showInside(item));
      return withRest(shown, all.length - shown.length);
    };
    return { prefix: `${name}(${value.size}) `, entries: value.size === 0 ? undefined : entries };
  }
  if (typedArrayTag.call(value) !== undefined) {
    const array = value as Uint8Array;
    const entries = array.length === 0 ? undefined : (shower: Shower): string[] => items(array, shower);
    const keys = allKeys.slice(array.length);
    return { prefix: `${name}(${array.length}) `, isList: true, keys, entries };
  }
  if (value instanceof ArrayBuffer) return { entries: (shower) => bufferEntries(value, shower) };
  if (value instanceof WeakMap || value instanceof WeakSet) return { entries: () => ["<items unknown>"] };
  return undefined;
}

function bufferEntries(buffer: ArrayBuffer, shower: Shower): string[] {
  const bytes = new Uint8Array(buffer, 0, Math.min(50, buffer.byteLength));
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"));
  const rest = buffer.byteLength - bytes.length;
  if (rest > 0) hex.push(`... ${counted(rest, "more byte")}`);
  return [`[Uint8Contents]: <${hex.join(" ")}>`, `[byteLength]: ${shower.showInside(buffer.byteLength)}`];
}

/** Objects that are one value: dates, errors, primitives in objects. */
function atomView(
  value: object,
  name: string | undefined,
  indentation: number,
  keys: readonly (string | symbol)[],
): Partial<View> {
  if (value instanceof Error) return errorView(value, name, indentation, keys);
  if (value instanceof Date) return { base: Number.isNaN(value.getTime()) ? "Invalid Date" : toIso(value) };
  if (value instanceof RegExp) return { base: String(value) };
  for (const type of [String, Number, Boolean, BigInt, Symbol]) {
    if (!(value instanceof type)) continue;
    const own = type === String ? keys.filter((key) => typeof key === "symbol" || !/^\d+$/.test(key)) : keys;
    const plain = type === Symbol ? symbolText(value) : String(value);
    const text = type === String ? `'${plain}'` : type === BigInt ? `${plain}n` : plain;
    return { base: `[${type.name}: ${text}]`, keys: own };
  }
  return {};
}

function errorView(
  error: Error,
  name: string | undefined,
  indentation: number,
  keys: readonly (string | symbol)[],
): Partial<View> {
  const text = errorText(error, name);
  const shown = keys.filter(
    (key) => key !== "stack" && !((key === "message" || key === "name") && text.includes(String(error[key]))),
  );
  const hidden = ["cause", "errors"].filter((key) => Object.hasOwn(error, key) && !keys.includes(key));
  const base = text.includes("\n    at ") ? text : `[${text}]`;
  return { base: base.replaceAll("\n", `\n${" ".repeat(indentation)}`), keys: [...shown, ...hidden], hidden };
}

/** The stack with a heading: the engine's own has none, one that came from the host has. */
export function errorText(error: Error, className?: string): string {
  const stack = typeof error.stack === "string" ? error.stack.trimEnd() : "";
  const given = String(error.name);
  const name = given === "Error" && className !== undefined ? className : given;
  const message = String(error.message);
  const heading = message === "" ? name : `${name}: ${message}`;
  if (stack === "") return heading;
  return /^\s+at /.test(stack) ? `${heading}\n${stack}` : stack;
}

/** `[Function: name]`, `[class A extends B]`. */
function callableText(callable: Function, className: string | undefined): string {
  const source = functionSource(callable);
  const name = typeof callable.name === "string" ? callable.name : "";
  if (/^class\b/.test(source)) {
    const parent = (Object.getPrototypeOf(callable) as { name?: string } | null)?.name;
    return `[class ${name === "" ? "(anonymous)" : name}${parent ? ` extends ${parent}` : ""}]`;
  }
  return `[${className ?? "Function"}${name === "" ? " (anonymous)" : `: ${name}`}]`;
}
