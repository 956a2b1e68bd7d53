/** `Headers` (Fetch Standard): case-insensitive, iterated in sorted order, `set-cookie` never combined. */
import { lowerCase, regExpTest, toText } from "./intrinsics.ts";

export type HeaderPair = [name: string, value: string];
export type HeadersInit = Headers | Iterable<readonly string[]> | Readonly<Record<string, string>>;

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const illegalInValue = /[\0\r\n]|[^\0-\xff]/;
const outerWhitespace = /^[\t\n\r ]+|[\t\n\r ]+$/g;

/** Beyond the reach of programs. */
let lock: (headers: Headers) => void;

export class Headers {
  /** In the order of their arrival; names in lower case. */
  #pairs: HeaderPair[] = [];
  #immutable = false;
  /** What iteration gives, until something changes. */
  #sorted: readonly HeaderPair[] | undefined = undefined;

  static {
    lock = (headers) => {
      headers.#immutable = true;
    };
  }

  constructor(init?: HeadersInit) {
    if (init === undefined) return;
    if (init === null || (typeof init !== "object" && typeof init !== "function")) {
      throw new TypeError("Headers takes an object, an iterable of pairs, or other Headers.");
    }
    if (Symbol.iterator in init) {
      for (const pair of init as Iterable<readonly string[]>) this.#appendPair(pair);
    } else {
      for (const name of Reflect.ownKeys(init)) {
        if (!Object.prototype.propertyIsEnumerable.call(init, name)) continue;
        if (typeof name === "symbol") throw new TypeError("A header's name cannot be a symbol.");
        this.append(name, init[name]!);
      }
    }
  }

  #appendPair(pair: readonly string[]): void {
    if (typeof pair !== "object" || pair === null) throw new TypeError("A header must be a pair of name and value.");
    const items = [...pair];
    if (items.length !== 2) throw new TypeError("A header must be a pair of name and value.");
    this.append(items[0]!, items[1]!);
  }

  append(name: string, value: string): void {
    const pair = checkedPair(name, value);
    this.#change();
    this.#pairs.push(pair);
  }

  set(name: string, value: string): void {
    const pair = checkedPair(name, value);
    this.#change();
    const first = this.#pairs.findIndex(([other]) => other === pair[0]);
    if (first === -1) this.#pairs.push(pair);
    else
      this.#pairs = this.#pairs.flatMap((old, index) => (index === first ? [pair] : old[0] === pair[0] ? [] : [old]));
  }

  delete(name: string): void {
    const wanted = checkedName(name);
    this.#change();
    this.#pairs = this.#pairs.filter(([other]) => other !== wanted);
  }

  /** All values of that name, joined by ", "; null if there is none. */
  get(name: string): string | null {
    const values = this.#values(checkedName(name));
    return values.length === 0 ? null : values.join(", ");
  }

  has(name: string): boolean {
    const wanted = checkedName(name);
    return this.#pairs.some(([other]) => other === wanted);
  }

  getSetCookie(): string[] {
    return this.#values("set-cookie");
  }

  forEach(callback: (value: string, name: string, headers: Headers) => void, thisArgument?: unknown): void {
    if (typeof callback !== "function") throw new TypeError("Headers.forEach takes a function.");
    for (const [name, value] of this) callback.call(thisArgument, value, name, this);
  }

  *entries(): Generator<HeaderPair, undefined, void> {
    // Looked up anew at each step: iteration is live, as on the web.
    for (let index = 0; ; index++) {
      const pair = (this.#sorted ??= this.#sort())[index];
      if (pair === undefined) return;
      yield [...pair];
    }
  }

  *keys(): Generator<string, undefined, void> {
    for (const [name] of this.entries()) yield name;
  }

  *values(): Generator<string, undefined, void> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): Generator<HeaderPair, undefined, void> {
    return this.entries();
  }

  #values(name: string): string[] {
    return this.#pairs.filter(([other]) => other === name).map(([, value]) => value);
  }

  #sort(): HeaderPair[] {
    const names = [...new Set(this.#pairs.map(([name]) => name))].sort();
    return names.flatMap((name): HeaderPair[] => {
      const values = this.#values(name);
      return name === "set-cookie" ? values.map((value) => [name, value]) : [[name, values.join(", ")]];
    });
  }

  #change(): void {
    if (this.#immutable) throw new TypeError("These headers are immutable; copy them with new Headers(headers).");
    this.#sorted = undefined;
  }
}

/** Makes `headers` read-only, as those of a response from the network are. */
export function lockHeaders(headers: Headers): Headers {
  lock(headers);
  return headers;
}

function checkedPair(name: string, value: string): HeaderPair {
  const checked = checkedName(name);
  const trimmed = toText(value).replace(outerWhitespace, "");
  if (regExpTest(illegalInValue, trimmed)) {
    throw new TypeError(`The value of the header ${checked} is invalid: ${JSON.stringify(trimmed)}.`);
  }
  return [checked, trimmed];
}

function checkedName(name: string): string {
  const text = toText(name);
  if (!regExpTest(token, text)) throw new TypeError(`${JSON.stringify(text)} is not a valid header name.`);
  return lowerCase(text);
}
