/**
 * The built-ins the value codec stands on, captured before user code runs: a program may patch prototypes and globals
 * as it likes, and its values still cross unchanged.
 */
type Loose = Record<PropertyKey, unknown>;

const globals = globalThis as unknown as Loose;

export const keys: typeof Object.keys = Object.keys;
export const hasOwn: typeof Object.hasOwn = Object.hasOwn;
export const getPrototypeOf: typeof Object.getPrototypeOf = Object.getPrototypeOf;
export const getOwnPropertyDescriptor: typeof Object.getOwnPropertyDescriptor = Object.getOwnPropertyDescriptor;
const defineProperty: typeof Object.defineProperty = Object.defineProperty;
export const deleteProperty: typeof Reflect.deleteProperty = Reflect.deleteProperty;
export const isArray: typeof Array.isArray = Array.isArray;
export const abs: typeof Math.abs = Math.abs;
export const isInteger: typeof Number.isInteger = Number.isInteger;
export const isSafeInteger: typeof Number.isSafeInteger = Number.isSafeInteger;
export const parse: typeof JSON.parse = JSON.parse;
export const stringify: typeof JSON.stringify = JSON.stringify;
export const MapOf: MapConstructor = Map;
export const SetOf: SetConstructor = Set;
export const DateOf: DateConstructor = Date;
export const RegExpOf: RegExpConstructor = RegExp;
export const BigIntOf: BigIntConstructor = BigInt;
export const ObjectOf: ObjectConstructor = Object;
export const Uint8ArrayOf: Uint8ArrayConstructor = Uint8Array;

export const objectPrototype: object = Object.prototype;
export const errorPrototype: object = Error.prototype;

const { call } = Function.prototype;

/** A method as a function of its receiver, immune to later patches of the method and of `Function.prototype.call`. */
export function uncurry<This, Args extends unknown[], Result>(
  method: (this: This, ...args: Args) => Result,
): (self: This, ...args: Args) => Result {
  return call.bind(method) as never;
}

/**
 * An accessor as a function of its receiver. Those of built-ins throw for receivers of another kind: a brand check. The
 * caller names the type.
 */
export function getter(prototype: object, key: PropertyKey): (self: unknown) => never {
  const get = getOwnPropertyDescriptor(prototype, key)?.get;
  if (get === undefined) throw new TypeError(`This JavaScript engine lacks the accessor ${String(key)}.`);
  return uncurry(get as (this: unknown) => never);
}

export const setAdd: <T>(set: Set<T>, item: T) => Set<T> = uncurry(Set.prototype.add) as never;
export const setHas: <T>(set: Set<T>, item: T) => boolean = uncurry(Set.prototype.has) as never;
export const setForEach: (set: Set<unknown>, visit: (item: unknown) => void) => void = uncurry(
  Set.prototype.forEach,
) as never;
export const mapGet: <K, V>(map: Map<K, V>, key: K) => V | undefined = uncurry(Map.prototype.get) as never;
export const mapSet: <K, V>(map: Map<K, V>, key: K, value: V) => Map<K, V> = uncurry(Map.prototype.set) as never;
export const mapDelete: <K>(map: Map<K, unknown>, key: K) => boolean = uncurry(Map.prototype.delete) as never;
export const mapForEach: (map: Map<unknown, unknown>, visit: (value: unknown, key: unknown) => void) => void = uncurry(
  Map.prototype.forEach,
) as never;
export const mapSize: (map: unknown) => number = getter(Map.prototype, "size");
export const setSize: (set: unknown) => number = getter(Set.prototype, "size");
export const slice: (text: string, from: number, to?: number) => string = uncurry(String.prototype.slice);
export const objectToString: (value: unknown) => string = uncurry(Object.prototype.toString);
export const inheritsFrom: (prototype: object, value: object) => boolean = uncurry(Object.prototype.isPrototypeOf);
export const dateTime: (value: unknown) => number = uncurry(Date.prototype.getTime) as never;
export const regExpSource: (value: unknown) => string = getter(RegExp.prototype, "source");
export const regExpFlags: (value: unknown) => string = getter(RegExp.prototype, "flags");
export const matches: (pattern: RegExp, text: string) => unknown = uncurry(RegExp.prototype.exec);
export const bigIntToString: (value: bigint, radix: number) => string = uncurry(BigInt.prototype.toString);
export const numberValue: (value: unknown) => number = uncurry(Number.prototype.valueOf) as never;
export const stringValue: (value: unknown) => string = uncurry(String.prototype.valueOf) as never;
export const booleanValue: (value: unknown) => boolean = uncurry(Boolean.prototype.valueOf) as never;
export const bigIntValue: (value: unknown) => bigint = uncurry(BigInt.prototype.valueOf) as never;
export const bufferLength: (value: unknown) => number = getter(ArrayBuffer.prototype, "byteLength");

export const dataViewBuffer: (value: unknown) => ArrayBufferLike = getter(DataView.prototype, "buffer");
export const dataViewOffset: (value: unknown) => number = getter(DataView.prototype, "byteOffset");
export const dataViewLength: (value: unknown) => number = getter(DataView.prototype, "byteLength");

const typedArrayPrototype = getPrototypeOf(Uint8Array.prototype) as object;
/** "Uint8Array" and so on; undefined for everything that is no typed array. */
export const typedArrayKind: (value: unknown) => string | undefined = getter(typedArrayPrototype, Symbol.toStringTag);
export const typedArrayBuffer: (value: unknown) => ArrayBufferLike = getter(typedArrayPrototype, "buffer");
export const typedArrayOffset: (value: unknown) => number = getter(typedArrayPrototype, "byteOffset");
export const typedArrayByteLength: (value: unknown) => number = getter(typedArrayPrototype, "byteLength");
export const typedArrayLength: (value: unknown) => number = getter(typedArrayPrototype, "length");
export const copyInto: (target: Uint8Array, source: Uint8Array) => void = uncurry(Uint8Array.prototype.set) as never;

const nativeIsError = (Error as unknown as Loose)["isError"] as ((value: unknown) => boolean) | undefined;

/** Errors of any realm, and what merely inherits from this one's `Error.prototype`. */
export function isError(value: object): boolean {
  return (nativeIsError !== undefined && nativeIsError(value)) || inheritsFrom(errorPrototype, value);
}

type ViewConstructor = {
  new (buffer: ArrayBuffer, byteOffset: number, length: number): ArrayBufferView;
  readonly BYTES_PER_ELEMENT?: number;
  readonly prototype: object;
};

/** By name. `Float16Array` is there where the engine has it. */
export const viewConstructors: Readonly<Record<string, ViewConstructor>> = table([
  "Int8Array",
  "Uint8Array",
  "Uint8ClampedArray",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "Float16Array",
  "Float32Array",
  "Float64Array",
  "BigInt64Array",
  "BigUint64Array",
  "DataView",
]);

export const errorConstructors: Readonly<Record<string, new (message?: unknown) => Error>> = table([
  "Error",
  "EvalError",
  "RangeError",
  "ReferenceError",
  "SyntaxError",
  "TypeError",
  "URIError",
]);

export const AggregateErrorOf: AggregateErrorConstructor = AggregateError;

/** Without a prototype, so that no inherited name is taken for an entry. */
function table<T>(names: readonly string[]): Readonly<Record<string, T>> {
  const result = Object.create(null) as Record<string, T>;
  for (const name of names) if (typeof globals[name] === "function") result[name] = globals[name] as T;
  return Object.freeze(result);
}

const attributes = { value: undefined as unknown, writable: true, enumerable: true, configurable: true };
Object.setPrototypeOf(attributes, null);

/** Own properties only by definition: assignment would call setters that somebody put on a prototype. */
export function define(object: object, key: string | number, value: unknown, enumerable: boolean): void {
  attributes.value = value;
  attributes.enumerable = enumerable;
  defineProperty(object, key, attributes);
  attributes.value = undefined;
}
