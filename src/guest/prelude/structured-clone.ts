/**
 * `structuredClone` (HTML Standard): a direct copy, so it has no limit of size, unlike values that cross the border, and
 * takes class instances, whose own fields become a plain object.
 */
import { Blob, blobBytes, blobOver, File } from "./blob.ts";
import { DOMException } from "./dom-exception.ts";
import { defineProperty, mapGet, mapSet, setForEach, uncurry } from "./intrinsics.ts";

type ErrorName = "Error" | "EvalError" | "RangeError" | "ReferenceError" | "SyntaxError" | "TypeError" | "URIError";
const errorClasses: Readonly<Record<ErrorName, ErrorConstructor>> = {
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

type ViewConstructor = new (buffer: ArrayBuffer, byteOffset: number, length: number) => ArrayBufferView;
const typedArray = Object.getPrototypeOf(Uint8Array) as { prototype: object };
const typedArrayTag = uncurry(Object.getOwnPropertyDescriptor(typedArray.prototype, Symbol.toStringTag)!.get!);
const viewClasses = new Map<unknown, ViewConstructor>();
for (const name of ["Int8", "Uint8", "Uint8Clamped", "Int16", "Uint16", "Int32", "Uint32"])
  addViewClass(`${name}Array`);
for (const name of ["Float16", "Float32", "Float64", "BigInt64", "BigUint64"]) addViewClass(`${name}Array`);

function addViewClass(name: string): void {
  viewClasses.set(name, (globalThis as unknown as Record<string, ViewConstructor>)[name]!);
}

const hasOwn = Object.hasOwn;
const isPrototypeOf: (self: object, value: object) => boolean = uncurry(Object.prototype.isPrototypeOf);
const getPrototype = Object.getPrototypeOf as (value: object) => object | null;
const isArray = Array.isArray;
const isView = ArrayBuffer.isView;
const sliceBuffer = uncurry(ArrayBuffer.prototype.slice);
const transferBuffer = uncurry(ArrayBuffer.prototype.transfer);
const mapForEach = uncurry(Map.prototype.forEach) as (
  self: Map<unknown, unknown>,
  visit: (value: unknown, key: unknown) => void,
) => void;
const boxes = [Boolean, Number, String, BigInt, Date].map((type) => ({
  type,
  valueOf: uncurry(type.prototype.valueOf as () => unknown),
}));

type Constructor = abstract new (...args: never[]) => object;

const generator = (Object.getPrototypeOf(function* () {}) as { prototype: object }).prototype;
const uncloneable: Constructor[] = [WeakMap, WeakSet, WeakRef, FinalizationRegistry, Promise];

/** Adds the web's own classes that have no meaning as data, such as Response. */
export function refuseToClone(classes: readonly Constructor[]): void {
  uncloneable.push(...classes);
}

export interface StructuredCloneOptions {
  /** ArrayBuffers the original loses. */
  readonly transfer?: Iterable<unknown>;
}

/** Throws a DOMException named DataCloneError at what cannot be cloned: functions, symbols, promises, Responses… */
export function structuredClone<T>(value: T, options: StructuredCloneOptions = {}): T {
  if (arguments.length === 0) throw new TypeError("structuredClone needs a value.");
  const transferred = options?.transfer === undefined ? [] : transferList(options.transfer);
  const copy = new Cloner().copy(value) as T;
  // Last, because a value that cannot be cloned must leave the original whole.
  for (let index = 0; index < transferred.length; index++) transferBuffer(transferred[index]!);
  return copy;
}

function transferList(transfer: Iterable<unknown>): ArrayBuffer[] {
  const list = [...transfer];
  for (const [index, item] of list.entries()) {
    if (!(item instanceof ArrayBuffer) || item.detached || list.indexOf(item) !== index) {
      throw dataCloneError("The transfer list holds something else than ArrayBuffers in use, or one of them twice.");
    }
  }
  return list as ArrayBuffer[];
}

class Cloner {
  /** Copies by original, so that cycles and shared references stay what they are. */
  readonly #copies = new Map<object, object>();

  copy(value: unknown): unknown {
    if (typeof value === "function" || typeof value === "symbol") throw uncloneableError(value);
    if (typeof value !== "object" || value === null) return value;
    return mapGet(this.#copies, value) ?? this.#copyObject(value);
  }

  #copyObject(value: object): object {
    const prototype = getPrototype(value);
    if (isArray(value)) return this.#copyFields(value, this.#keep(value, new Array(value.length) as object));
    if (prototype === null || prototype === Object.prototype) return this.#copyFields(value, this.#keep(value, {}));
    return this.#copyBuiltIn(value) ?? this.#copyFields(value, this.#keep(value, {}));
  }

  #copyBuiltIn(value: object): object | undefined {
    if (value instanceof Map) return this.#copyMap(value);
    if (value instanceof Set) return this.#copySet(value);
    if (value instanceof ArrayBuffer) return this.#keep(value, sliceBuffer(value, 0, value.byteLength));
    if (isView(value)) return this.#copyView(value);
    if (value instanceof RegExp) return this.#keep(value, new RegExp(value.source, value.flags));
    if (value instanceof DOMException) return this.#keep(value, new DOMException(value.message, value.name));
    if (value instanceof Error) return this.#copyError(value);
    if (value instanceof Blob) return this.#keep(value, copyBlob(value));
    const boxed = this.#copyBoxed(value);
    if (boxed !== undefined) return boxed;
    if (isPrototypeOf(generator, value)) throw uncloneableError(value);
    for (let index = 0; index < uncloneable.length; index++) {
      if (value instanceof uncloneable[index]!) throw uncloneableError(value);
    }
    return undefined;
  }

  /** Dates, and primitives in objects. */
  #copyBoxed(value: object): object | undefined {
    for (let index = 0; index < boxes.length; index++) {
      const { type, valueOf } = boxes[index]!;
      if (!(value instanceof type)) continue;
      const primitive = valueOf(value);
      return this.#keep(value, value instanceof Date ? new Date(primitive as number) : (Object(primitive) as object));
    }
    return undefined;
  }

  #copyMap(value: Map<unknown, unknown>): object {
    const copy = this.#keep(value, new Map<unknown, unknown>());
    const entries: [unknown, unknown][] = [];
    // All of them first: a getter run by the copying may change the map.
    mapForEach(value, (item, key) => (entries[entries.length] = [key, item]));
    for (let index = 0; index < entries.length; index++) {
      mapSet(copy, this.copy(entries[index]![0]), this.copy(entries[index]![1]));
    }
    return copy;
  }

  #copySet(value: Set<unknown>): object {
    const copy = this.#keep(value, new Set<unknown>());
    const items: unknown[] = [];
    setForEach(value, (item) => (items[items.length] = item));
    for (let index = 0; index < items.length; index++) copy.add(this.copy(items[index]));
    return copy;
  }

  /** Views of one buffer share its copy. */
  #copyView(value: ArrayBufferView): object {
    const buffer = this.copy(value.buffer) as ArrayBuffer;
    const type = mapGet(viewClasses, typedArrayTag(value));
    const copy =
      type === undefined
        ? new DataView(buffer, value.byteOffset, value.byteLength)
        : new type(buffer, value.byteOffset, (value as Uint8Array).length);
    return this.#keep(value, copy);
  }

  #copyError(value: Error): object {
    const name = String(value.name);
    const type = hasOwn(errorClasses, name) ? errorClasses[name as ErrorName] : Error;
    const message = hasOwn(value, "message") ? [String(value.message)] : [];
    const copy = this.#keep(value, new type(...message));
    const { stack } = value;
    defineProperty(copy, "stack", { value: stack, writable: true, configurable: true });
    if (hasOwn(value, "cause")) {
      defineProperty(copy, "cause", { value: this.copy(value.cause), writable: true, configurable: true });
    }
    return copy;
  }

  #copyFields(from: object, to: object): object {
    const source = from as Record<string, unknown>;
    const target = to as Record<string, unknown>;
    // for-in, because it makes no list of an array's indices.
    for (const key in source) {
      if (!hasOwn(source, key)) continue;
      const value = this.copy(source[key]);
      if (key !== "__proto__") target[key] = value;
      else defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
    }
    return to;
  }

  #keep<T extends object>(original: object, copy: T): T {
    mapSet(this.#copies, original, copy);
    return copy;
  }
}

function copyBlob(blob: Blob): Blob {
  if (!(blob instanceof File)) return blobOver(blobBytes(blob), blob.type);
  return new File([blob], blob.name, { type: blob.type, lastModified: blob.lastModified });
}

function uncloneableError(value: object | symbol): DOMException {
  return dataCloneError(`${typeof value === "symbol" ? String(value) : describe(value)} could not be cloned.`);
}

function describe(value: object): string {
  if (typeof value !== "function") return `#<${value.constructor?.name || "Object"}>`;
  const source = String(value);
  return source.length > 80 ? `${source.slice(0, 80)}…` : source;
}

function dataCloneError(message: string): DOMException {
  return new DOMException(message, "DataCloneError");
}
