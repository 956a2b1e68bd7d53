/**
 * `Math.random` and `crypto`, from the process's seed: different in every process, the same on every replay.
 *
 * The seed is a ChaCha20 key. One of its streams answers `crypto`; another, of 16 bytes, seeds the generator behind
 * `Math.random`, so that neither tells anything about the other.
 */
import { PerdureError } from "../../base/errors.ts";
import { markImpure } from "../runtime.ts";
import { KeyStream } from "./chacha20.ts";
import { DOMException } from "./dom-exception.ts";
import { stringSlice } from "./intrinsics.ts";

const seedBytes = 32;
const imul = Math.imul;

/** False until `start`: what is drawn before then would be the same in every process, and keeps the program out of the image. */
let seeded = false;
/** Both generators are made when first drawn from: most processes never do. */
let strong: KeyStream | undefined;
/** xoshiro128**'s state. */
let weak: Uint32Array | undefined;
let key = new Uint8Array(seedBytes);

/** `seed` is 32 bytes. Everything drawn from here on follows from it alone. */
export function seedRandom(seed: Uint8Array): void {
  if (seed.length !== seedBytes) {
    throw new PerdureError("ARGUMENT_INVALID", `A process's seed has ${seedBytes} bytes, not ${seed.length}.`);
  }
  key = seed.slice();
  strong = undefined;
  weak = undefined;
  seeded = true;
}

function stream(id: number): KeyStream {
  const nonce = new Uint8Array(12);
  nonce[0] = id;
  return new KeyStream(key, nonce);
}

function weakState(): Uint32Array {
  if (weak === undefined) {
    weak = new Uint32Array(4);
    stream(2).draw(new Uint8Array(weak.buffer));
  }
  return weak;
}

/** Overwrites `target` with unforeseeable bytes. */
export function fillRandom(target: Uint8Array): void {
  if (!seeded) markImpure();
  strong ??= stream(1);
  strong.draw(target);
}

export function random(): number {
  if (!seeded) markImpure();
  const state = weakState();
  // 53 bits: 27 from one word, 26 from the next.
  return ((nextWord(state) >>> 5) * 0x4000000 + (nextWord(state) >>> 6)) / 0x20000000000000;
}

/** xoshiro128** by Blackman and Vigna. */
function nextWord(state: Uint32Array): number {
  const product = imul(state[1]!, 5);
  const result = imul((product << 7) | (product >>> 25), 9);
  const shifted = state[1]! << 9;
  state[2]! ^= state[0]!;
  state[3]! ^= state[1]!;
  state[1]! ^= state[2]!;
  state[0]! ^= state[3]!;
  state[2]! ^= shifted;
  const last = state[3]!;
  state[3] = (last << 11) | (last >>> 21);
  return result >>> 0;
}

const integerArrays: ReadonlySet<unknown> = new Set([
  "Int8Array",
  "Uint8Array",
  "Uint8ClampedArray",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "BigInt64Array",
  "BigUint64Array",
]);
const maxRequestBytes = 65_536;
const typedArrayTag = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype) as object,
  Symbol.toStringTag,
)!.get!;

/** No `subtle`: nothing in the sandbox could make it asynchronous, and host functions have all of Node's crypto. */
export class Crypto {
  getRandomValues<T extends ArrayBufferView>(array: T): T {
    if (!integerArrays.has(typedArrayTag.call(array))) {
      throw new DOMException("crypto.getRandomValues takes an integer typed array.", "TypeMismatchError");
    }
    if (array.byteLength > maxRequestBytes) {
      throw new DOMException(
        `crypto.getRandomValues gives at most ${maxRequestBytes} bytes at a time, not ${array.byteLength}.`,
        "QuotaExceededError",
      );
    }
    fillRandom(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return array;
  }

  randomUUID(): string {
    const bytes = new Uint8Array(16);
    fillRandom(bytes);
    bytes[6] = (bytes[6]! & 0x0f) | 0x40;
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    const hex = toHex(bytes);
    const part = (start: number, end: number): string => stringSlice(hex, start, end);
    return `${part(0, 8)}-${part(8, 12)}-${part(12, 16)}-${part(16, 20)}-${part(20, 32)}`;
  }
}

const digits = "0123456789abcdef";

export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index]!;
    text += digits[byte >> 4]! + digits[byte & 15]!;
  }
  return text;
}
