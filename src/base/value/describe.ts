/** Words for values that cannot cross the border: what they are, where they were found, what to pass instead. */
import {
  getOwnPropertyDescriptor,
  getPrototypeOf,
  hasOwn,
  matches,
  objectToString,
  slice,
  stringify,
} from "./intrinsics.ts";

/** Thrown by the encoder where it meets such a value; the place is added by who knows it. */
export class Uncloneable {
  readonly what: string;
  readonly advice: string;

  constructor(what: string, advice: string) {
    this.what = what;
    this.advice = advice;
  }
}

const advices: Readonly<Record<string, string>> = {
  __proto__: null as never,
  Promise: "Await it first and pass its result.",
  URL: "Pass its href, and make a new URL on the other side.",
  URLSearchParams: "Pass its text (toString()).",
  Headers: "Pass Object.fromEntries(headers).",
  Request: "Pass its url, method and headers.",
  Response: "Read it first (await response.json(), .text() or .bytes()) and pass what was read.",
  Blob: "Pass its bytes (await blob.bytes()).",
  File: "Pass its name and its bytes (await file.bytes()).",
  FormData: "Pass its entries as an array: [...formData].",
  ReadableStream: "Read it to its end and pass the bytes.",
  WeakMap: "Pass a Map, or leave it out.",
  WeakSet: "Pass a Set, or leave it out.",
  WeakRef: "Pass what it refers to (deref()).",
  SharedArrayBuffer: "Copy its bytes: new Uint8Array(shared).slice().",
  AbortSignal: "Leave it out: an operation has a signal of its own on the other side.",
};

/** What `value` is, for a value that is no plain data and no built-in the format carries. */
export function refuse(value: unknown): Uncloneable {
  if (typeof value === "function") {
    const name = safely(() => (value as { name?: unknown }).name);
    const named = typeof name === "string" && name !== "" ? ` (${name})` : "";
    return new Uncloneable(
      `a function${named}`,
      "Functions stay on their side: leave it out, or pass the data it needs.",
    );
  }
  if (typeof value === "symbol") return new Uncloneable("a symbol", "Pass a string instead.");
  const tag = slice(safely(() => objectToString(value)) ?? "[object Object]", 8, -1);
  const name = constructorName(value as object) ?? (tag === "Object" ? "an unnamed class" : tag);
  const what = `an instance of ${name}`;
  const advice = advices[name] ?? advices[tag];
  if (advice !== undefined) return new Uncloneable(what, advice);
  return new Uncloneable(
    what,
    "A class and its methods stay on their side: pass a plain object of its fields ({ ...value }).",
  );
}

function constructorName(value: object): string | undefined {
  const found = safely(() => {
    let object: object | null = value;
    for (let step = 0; object !== null && step < 3; step++) {
      if (hasOwn(object, "constructor")) {
        const constructor: unknown = getOwnPropertyDescriptor(object, "constructor")?.value;
        return typeof constructor === "function" ? constructor.name : undefined;
      }
      object = getPrototypeOf(object) as object | null;
    }
    return undefined;
  });
  return typeof found === "string" && found !== "" ? found : undefined;
}

function safely<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

const identifier = /^[A-Za-z_$][\w$]*$/;
const index = /^(?:0|[1-9]\d*)$/;

/** One step of a path, as one would write it in a program: `.name`, `["a b"]`, `[3]`. */
export function pathStep(key: string): string {
  if (matches(identifier, key) !== null) return `.${key}`;
  return matches(index, key) !== null ? `[${key}]` : `[${stringify(key)}]`;
}
