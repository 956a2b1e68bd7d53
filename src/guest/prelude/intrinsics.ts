/**
 * Built-ins as they were before the program ran. A program may patch `Array.prototype` or `Promise.prototype.then`; the
 * globals must not change their behaviour by it, so hot paths call the functions captured here.
 */
type Uncurried = <Self, Args extends unknown[], Result>(
  method: (this: Self, ...args: Args) => Result,
) => (self: Self, ...args: Args) => Result;

const { bind, call } = Function.prototype;

/** `uncurry(method)(self, ...args)` is `method.call(self, ...args)`, whatever became of `Function.prototype.call`. */
export const uncurry: Uncurried = (bind as (...args: unknown[]) => unknown).bind(call) as unknown as Uncurried;

export const now: () => number = Date.now;
export const reflectApply: typeof Reflect.apply = Reflect.apply;
export const defineProperty: typeof Object.defineProperty = Object.defineProperty;
export const fromCharCode: typeof String.fromCharCode = String.fromCharCode;
/** A promise nobody handles: how an error reaches the process's own `uncaught` from where it must not be thrown. */
export const rejectPromise: (reason: unknown) => Promise<never> = Promise.reject.bind(Promise);

export const stringSlice: (self: string, start?: number, end?: number) => string = uncurry(String.prototype.slice);
export const charCodeAt: (self: string, index: number) => number = uncurry(String.prototype.charCodeAt);
export const toWellFormed: (self: string) => string = uncurry(String.prototype.toWellFormed);
export const lowerCase: (self: string) => string = uncurry(String.prototype.toLowerCase);
const regExpExec: (self: RegExp, text: string) => RegExpExecArray | null = uncurry(RegExp.prototype.exec);

/** For patterns without flags "g" and "y". Not RegExp.prototype.test, which calls whatever `exec` has become. */
export function regExpTest(pattern: RegExp, text: string): boolean {
  return regExpExec(pattern, text) !== null;
}

/** The list with one more item: no method, no iterator. */
export function appended<T>(list: readonly T[], item: T): T[] {
  const longer: T[] = [];
  for (let index = 0; index < list.length; index++) longer[index] = list[index]!;
  longer[list.length] = item;
  return longer;
}

export function without<T>(list: readonly T[], item: T): T[] {
  const shorter: T[] = [];
  for (let index = 0; index < list.length; index++) {
    if (list[index] !== item) shorter[shorter.length] = list[index]!;
  }
  return shorter;
}

export const subarray: (self: Uint8Array, start?: number, end?: number) => Uint8Array = uncurry(
  Uint8Array.prototype.subarray,
);
export const copyBytes: (self: Uint8Array, start?: number, end?: number) => Uint8Array<ArrayBuffer> = uncurry(
  Uint8Array.prototype.slice,
) as never;
export const setBytes: (self: Uint8Array, source: ArrayLike<number>, offset?: number) => void = uncurry(
  Uint8Array.prototype.set,
);

export const mapGet: <K, V>(self: Map<K, V>, key: K) => V | undefined = uncurry(Map.prototype.get) as never;
export const mapSet: <K, V>(self: Map<K, V>, key: K, value: V) => Map<K, V> = uncurry(Map.prototype.set) as never;
export const mapDelete: <K, V>(self: Map<K, V>, key: K) => boolean = uncurry(Map.prototype.delete) as never;

export const setForEach: <T>(self: Set<T>, visit: (item: T) => void) => void = uncurry(Set.prototype.forEach) as never;

/** The bytes a BufferSource stands for, not copied; undefined for anything else. */
export function bytesOf(source: unknown): Uint8Array | undefined {
  if (source instanceof Uint8Array) return source;
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  return undefined;
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let sizeBytes = 0;
  for (let index = 0; index < parts.length; index++) sizeBytes += parts[index]!.length;
  const whole = new Uint8Array(sizeBytes);
  let offset = 0;
  for (let index = 0; index < parts.length; index++) {
    setBytes(whole, parts[index]!, offset);
    offset += parts[index]!.length;
  }
  return whole;
}

/** As the web converts arguments to text: a symbol is a TypeError. */
export function toText(value: unknown): string {
  if (typeof value === "symbol") throw new TypeError("A symbol cannot become text.");
  return String(value);
}
