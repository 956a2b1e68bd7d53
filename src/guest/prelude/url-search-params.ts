/** `URLSearchParams` (URL Standard). */
import { toText, toWellFormed } from "./intrinsics.ts";
import { formDecode, formEncode } from "./percent.ts";

export type Param = [name: string, value: string];
export type URLSearchParamsInit = string | Iterable<readonly string[]> | Readonly<Record<string, string>>;

/** Beyond the reach of programs: the link between a URL and its `searchParams`. */
let bind: (params: URLSearchParams, onChange: (query: string) => void) => void;
let assign: (params: URLSearchParams, query: string) => void;

export class URLSearchParams {
  #list: Param[] = [];
  #onChange: ((query: string) => void) | undefined = undefined;

  static {
    bind = (params, onChange) => {
      params.#onChange = onChange;
    };
    assign = (params, query) => {
      params.#list = parseParams(query);
    };
  }

  constructor(init: URLSearchParamsInit = "") {
    if ((typeof init !== "object" && typeof init !== "function") || init === null) {
      const text = scalar(init);
      this.#list = parseParams(text.startsWith("?") ? text.slice(1) : text);
    } else if (Symbol.iterator in init) {
      for (const pair of init as Iterable<readonly string[]>) this.#list.push(paramOf(pair));
    } else {
      this.#list = paramsOfRecord(init);
    }
  }

  get size(): number {
    return this.#list.length;
  }

  append(name: string, value: string): void {
    this.#list.push([scalar(name), scalar(value)]);
    this.#changed();
  }

  /** Deletes all of that name, or only those with `value` too. */
  delete(name: string, value?: string): void {
    this.#list = this.#list.filter((param) => !matches(param, name, value));
    this.#changed();
  }

  get(name: string): string | null {
    return this.getAll(name)[0] ?? null;
  }

  getAll(name: string): string[] {
    return this.#list.filter((param) => matches(param, name, undefined)).map(([, value]) => value);
  }

  has(name: string, value?: string): boolean {
    return this.#list.some((param) => matches(param, name, value));
  }

  set(name: string, value: string): void {
    const first = this.#list.find((param) => matches(param, name, undefined));
    if (first === undefined) this.#list.push([scalar(name), scalar(value)]);
    else {
      first[1] = scalar(value);
      this.#list = this.#list.filter((param) => param === first || !matches(param, name, undefined));
    }
    this.#changed();
  }

  /** By name, in code units' order; those of one name keep theirs. */
  sort(): void {
    this.#list.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    this.#changed();
  }

  forEach(callback: (value: string, name: string, params: URLSearchParams) => void, thisArgument?: unknown): void {
    if (typeof callback !== "function") throw new TypeError("URLSearchParams.forEach takes a function.");
    for (const [name, value] of this) callback.call(thisArgument, value, name, this);
  }

  *entries(): Generator<Param, undefined, void> {
    for (let index = 0; index < this.#list.length; index++) {
      const [name, value] = this.#list[index]!;
      yield [name, value];
    }
  }

  *keys(): Generator<string, undefined, void> {
    for (const [name] of this.entries()) yield name;
  }

  *values(): Generator<string, undefined, void> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): Generator<Param, undefined, void> {
    return this.entries();
  }

  toString(): string {
    return this.#list.map(([name, value]) => `${formEncode(name)}=${formEncode(value)}`).join("&");
  }

  #changed(): void {
    this.#onChange?.(this.toString());
  }
}

/** Makes `params` tell `onChange` its text after each change; the URL it belongs to listens. */
export function bindParams(params: URLSearchParams, onChange: (query: string) => void): void {
  bind(params, onChange);
}

/** Replaces everything in `params`, without telling. */
export function assignParams(params: URLSearchParams, query: string): void {
  assign(params, query);
}

function parseParams(query: string): Param[] {
  const list: Param[] = [];
  for (const part of query.split("&")) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    if (equals === -1) list.push([formDecode(part), ""]);
    else list.push([formDecode(part.slice(0, equals)), formDecode(part.slice(equals + 1))]);
  }
  return list;
}

function paramOf(pair: readonly string[]): Param {
  if (typeof pair !== "object" || pair === null || !(Symbol.iterator in pair)) {
    throw new TypeError("A parameter must be a pair of name and value.");
  }
  const items = [...pair];
  if (items.length !== 2) throw new TypeError("A parameter must be a pair of name and value.");
  return [scalar(items[0]), scalar(items[1])];
}

/** Names that become the same text are one parameter, with the last value. */
function paramsOfRecord(record: Readonly<Record<string, string>>): Param[] {
  const byName = new Map<string, string>();
  for (const name of Reflect.ownKeys(record)) {
    if (!Object.prototype.propertyIsEnumerable.call(record, name)) continue;
    if (typeof name === "symbol") throw new TypeError("A parameter's name cannot be a symbol.");
    byName.set(scalar(name), scalar(record[name]));
  }
  return [...byName];
}

function matches([ownName, ownValue]: Param, name: string, value: string | undefined): boolean {
  return ownName === scalar(name) && (value === undefined || ownValue === scalar(value));
}

function scalar(value: unknown): string {
  return toWellFormed(toText(value));
}
