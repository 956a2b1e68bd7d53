/**
 * UTF-8 for the journal. Ill-formed strings (lone surrogates) must come back as they were, or replay would see another
 * string than the first run did; so they are written as WTF-8: each lone surrogate as a sequence of three bytes.
 */

declare const TextEncoder: new () => { encode(text: string): Uint8Array };
declare const TextDecoder: new (
  label: string,
  options: { fatal: boolean; ignoreBOM: boolean },
) => { decode(bytes: Uint8Array): string };

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function utf8(text: string): Uint8Array {
  return text.isWellFormed() ? encoder.encode(text) : wtf8(text);
}

/** Below this, a loop is faster than a call out of JavaScript. */
const shortBytes = 24;

/** Text of `bytes[from..to)`, or undefined if that is neither UTF-8 nor WTF-8. */
export function fromUtf8(bytes: Uint8Array, from: number, to: number): string | undefined {
  if (to - from <= shortBytes) {
    let text = "";
    let at = from;
    for (; at < to; at++) {
      const byte = bytes[at] as number;
      if (byte >= 0x80) break;
      text += String.fromCharCode(byte);
    }
    if (at === to) return text;
  }
  try {
    return decoder.decode(bytes.subarray(from, to));
  } catch {
    return fromWtf8(bytes, from, to);
  }
}

function wtf8(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    if (point < 0x80) bytes.push(point);
    else if (point < 0x800) bytes.push(0xc0 | (point >> 6), tail(point));
    else if (point < 0x10000) bytes.push(0xe0 | (point >> 12), tail(point >> 6), tail(point));
    else bytes.push(0xf0 | (point >> 18), tail(point >> 12), tail(point >> 6), tail(point));
  }
  return Uint8Array.from(bytes);
}

function tail(bits: number): number {
  return 0x80 | (bits & 0x3f);
}

function fromWtf8(bytes: Uint8Array, from: number, to: number): string | undefined {
  const parts: string[] = [];
  let afterHigh = false;
  for (let at = from; at < to;) {
    const first = bytes[at] as number;
    const length = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf8 ? 4 : 0;
    if (length === 0 || at + length > to) return undefined;
    let point = length === 1 ? first : first & (0x7f >> length);
    for (let i = 1; i < length; i++) {
      const byte = bytes[at + i] as number;
      if ((byte & 0xc0) !== 0x80) return undefined;
      point = (point << 6) | (byte & 0x3f);
    }
    if (point < (smallest[length] as number) || point > 0x10ffff) return undefined;
    // Two halves of a pair have a shorter form, in which alone they may be written.
    if (afterHigh && point >= 0xdc00 && point < 0xe000) return undefined;
    afterHigh = point >= 0xd800 && point < 0xdc00;
    parts.push(String.fromCodePoint(point));
    at += length;
  }
  return parts.join("");
}

/** The smallest code point that needs so many bytes. */
const smallest: readonly number[] = [0, 0, 0x80, 0x800, 0x10000];
