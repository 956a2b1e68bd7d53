/**
 * The ChaCha20 stream cipher's key stream (RFC 8439): bytes nobody can foretell without the key, the same ones for the
 * same key. Written over 32-bit words in place, because it runs in an interpreter.
 */
import { setBytes, subarray } from "./intrinsics.ts";

const blockBytes = 64;
/** "expand 32-byte k" as four little-endian words. */
const constants = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574];

export class KeyStream {
  /** Constants, key, block counter, nonce. */
  readonly #input = new Uint32Array(16);
  readonly #words = new Uint32Array(16);
  readonly #block = new Uint8Array(this.#words.buffer);
  #usedBytes = blockBytes;

  /** `key` is 32 bytes; streams with the same key and another `nonce` (12 bytes) have nothing in common. */
  constructor(key: Uint8Array, nonce: Uint8Array, counter = 0) {
    setBytes(subarray(new Uint8Array(this.#input.buffer), 16), key);
    for (let index = 0; index < 4; index++) this.#input[index] = constants[index]!;
    this.#input[12] = counter;
    setBytes(subarray(new Uint8Array(this.#input.buffer), 52), nonce);
  }

  /** Overwrites `target` with the next bytes of the stream. */
  draw(target: Uint8Array): void {
    let offset = 0;
    while (offset < target.length) {
      if (this.#usedBytes === blockBytes) this.#nextBlock();
      const sizeBytes = Math.min(blockBytes - this.#usedBytes, target.length - offset);
      setBytes(target, subarray(this.#block, this.#usedBytes, this.#usedBytes + sizeBytes), offset);
      this.#usedBytes += sizeBytes;
      offset += sizeBytes;
    }
  }

  #nextBlock(): void {
    const words = this.#words;
    const input = this.#input;
    setBytes(words as unknown as Uint8Array, input);
    for (let round = 0; round < 10; round++) {
      quarterRound(words, 0, 4, 8, 12);
      quarterRound(words, 1, 5, 9, 13);
      quarterRound(words, 2, 6, 10, 14);
      quarterRound(words, 3, 7, 11, 15);
      quarterRound(words, 0, 5, 10, 15);
      quarterRound(words, 1, 6, 11, 12);
      quarterRound(words, 2, 7, 8, 13);
      quarterRound(words, 3, 4, 9, 14);
    }
    for (let index = 0; index < 16; index++) words[index]! += input[index]!;
    // 2^32 blocks are 256 GiB: the counter carries into the nonce's first word, as the original cipher's does.
    input[12]!++;
    if (input[12] === 0) input[13]!++;
    this.#usedBytes = 0;
  }
}

function quarterRound(words: Uint32Array, a: number, b: number, c: number, d: number): void {
  let wordA = words[a]! | 0;
  let wordB = words[b]! | 0;
  let wordC = words[c]! | 0;
  let wordD = words[d]! | 0;
  wordA = (wordA + wordB) | 0;
  wordD ^= wordA;
  wordD = (wordD << 16) | (wordD >>> 16);
  wordC = (wordC + wordD) | 0;
  wordB ^= wordC;
  wordB = (wordB << 12) | (wordB >>> 20);
  wordA = (wordA + wordB) | 0;
  wordD ^= wordA;
  wordD = (wordD << 8) | (wordD >>> 24);
  wordC = (wordC + wordD) | 0;
  wordB ^= wordC;
  wordB = (wordB << 7) | (wordB >>> 25);
  words[a] = wordA;
  words[b] = wordB;
  words[c] = wordC;
  words[d] = wordD;
}
