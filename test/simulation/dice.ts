/** Seeded randomness: one seed decides a whole run, through streams that do not disturb each other. */

export class Dice {
  #a: number;
  #b: number;
  #c: number;
  #count = 1;

  /** `stream` names what is decided; the same seed gives every stream its own sequence. */
  constructor(seed: number, stream: string) {
    let mixed = seed >>> 0;
    for (let i = 0; i < stream.length; i++) mixed = scramble(mixed ^ stream.charCodeAt(i));
    this.#a = scramble(mixed + 0x9e3779b9);
    this.#b = scramble(this.#a ^ mixed);
    this.#c = scramble(this.#b + 0x85ebca6b);
    for (let i = 0; i < 8; i++) this.next();
  }

  /** The next 32 bits: the generator known as sfc32. */
  next(): number {
    const sum = (this.#a + this.#b + this.#count++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** In [0, 1). */
  unit(): number {
    return this.next() / 2 ** 32;
  }

  chance(probability: number): boolean {
    return probability > 0 && this.unit() < probability;
  }

  /** A whole number from `low` to `high`, both included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.unit() * (high - low + 1));
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(0, items.length - 1)] as T;
  }

  /** One of the keys, as often as its weight says. */
  weighted<K extends string>(weights: Readonly<Record<K, number>>): K {
    const entries = Object.entries<number>(weights) as [K, number][];
    let drawn = this.unit() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [key, weight] of entries) {
      drawn -= weight;
      if (drawn < 0) return key;
    }
    return (entries.at(-1) as [K, number])[0];
  }

  /** Mostly near `low`, now and then as far as `high`: how long things take. */
  delay(low: number, high: number): number {
    const drawn = this.unit();
    return Math.floor(low + (high - low) * drawn * drawn * drawn);
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.next() & 0xff);
  }
}

function scramble(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
