import { uncurry } from "./value/intrinsics.ts";

/**
 * A fast 64-bit hash in the manner of MurmurHash3 (two lanes of 32 bits): good at telling that something differs by accident, and
 * no defence against anyone who wants two things to look the same.
 *
 * Everything is fed with its length, so that two sequences of calls give the same hash only if each call was the same.
 */
export class Hasher {
  private first = 0x243f6a88;
  private second = 0x85a308d3 | 0;
  private fed = 0;

  /** Any number; 0 and -0 differ. */
  number(value: number): void {
    scratch[0] = value;
    this.word(scratchWords[0] as number);
    this.word(scratchWords[1] as number);
  }

  text(text: string): void {
    const { length } = text;
    this.word(length);
    let i = 0;
    for (; i + 1 < length; i += 2) this.word(charCodeAt(text, i) | (charCodeAt(text, i + 1) << 16));
    if (i < length) this.word(charCodeAt(text, i));
  }

  bytes(bytes: Uint8Array): void {
    const { length } = bytes;
    this.word(length);
    let i = 0;
    for (; i + 3 < length; i += 4) {
      const low = (bytes[i] as number) | ((bytes[i + 1] as number) << 8);
      this.word(low | ((bytes[i + 2] as number) << 16) | ((bytes[i + 3] as number) << 24));
    }
    let rest = 0;
    for (let shift = 0; i < length; i++, shift += 8) rest |= (bytes[i] as number) << shift;
    if (length % 4 !== 0) this.word(rest);
  }

  /** Another one that goes on from here. */
  copy(): Hasher {
    const copy = new Hasher();
    copy.first = this.first;
    copy.second = this.second;
    copy.fed = this.fed;
    return copy;
  }

  /** Sixteen hexadecimal digits. The hasher is used up. */
  digest(): string {
    const [a, b] = this.words();
    return digits(a) + digits(b);
  }

  /** The same as two words of 32 bits. */
  words(): readonly [number, number] {
    let a = this.first ^ this.fed;
    let b = this.second ^ this.fed;
    a = (a + b) | 0;
    b = (b + a) | 0;
    a = avalanche(a);
    b = avalanche(b);
    a = (a + b) | 0;
    b = (b + a) | 0;
    return [a, b];
  }

  private word(word: number): void {
    this.fed++;
    const a = imul(rotate(imul(word, 0x239b961b), 15), 0xab0e9789);
    const b = imul(rotate(imul(word, 0x38b34ae5), 18), 0xa1e38b93);
    this.first = (imul((rotate(this.first ^ a, 19) + this.second) | 0, 5) + 0x561ccd1b) | 0;
    this.second = (imul((rotate(this.second ^ b, 17) + this.first) | 0, 5) + 0x0bcaa747) | 0;
  }
}

// Everything below is indexing and captured functions: a program may patch any method, and its children's pids come from here.
const { imul } = Math;
const charCodeAt: (self: string, index: number) => number = uncurry(String.prototype.charCodeAt);
const scratch = new Float64Array(1);
/** Low half first, as on every processor that Node runs on. */
const scratchWords = new Int32Array(scratch.buffer);
const hexadecimal = "0123456789abcdef";

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

function avalanche(word: number): number {
  let hash = imul(word ^ (word >>> 16), 0x85ebca6b);
  hash = imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function digits(word: number): string {
  let text = "";
  for (let shift = 28; shift >= 0; shift -= 4) text += hexadecimal[(word >>> shift) & 15] as string;
  return text;
}
