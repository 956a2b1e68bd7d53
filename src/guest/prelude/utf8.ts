/** The slow way through UTF-8, for what is malformed or cut off (WHATWG Encoding, "UTF-8 decoder"). */
import { fromCharCode } from "./intrinsics.ts";

/** How many bytes follow a lead byte; -1 for a byte that begins nothing. */
function followingBytes(lead: number): number {
  if (lead < 0x80) return 0;
  if (lead < 0xc2 || lead > 0xf4) return -1;
  return lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
}

/** Whether `byte` may follow `lead` directly: this is where overlong forms, surrogates and what is past U+10FFFF end. */
function fitsAfterLead(lead: number, byte: number): boolean {
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  return byte >= low && byte <= high;
}

/**
 * How many bytes the character at `start` has; negative if they are only the longest good beginning of one (at least 1).
 * Called for each character of malformed text, so it makes no object.
 */
function measure(bytes: Uint8Array, start: number): number {
  const lead = bytes[start]!;
  const following = followingBytes(lead);
  if (following < 0) return -1;
  for (let index = 1; index <= following; index++) {
    const byte = bytes[start + index];
    if (byte === undefined) return -index;
    const fits = index === 1 ? fitsAfterLead(lead, byte) : (byte & 0xc0) === 0x80;
    if (!fits) return -index;
  }
  return following + 1;
}

/** How many bytes at the end are a good beginning of a character that is cut off: 0 to 3. */
export function incompleteTailBytes(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    return followingBytes(byte) >= back && measure(bytes, bytes.length - back) === -back ? back : 0;
  }
  return 0;
}

/** One U+FFFD for each maximal beginning of a character that does not go on. */
export function decodeMalformed(bytes: Uint8Array): string {
  let text = "";
  let index = 0;
  while (index < bytes.length) {
    const sizeBytes = measure(bytes, index);
    text += sizeBytes < 0 ? "\ufffd" : character(bytes, index, sizeBytes);
    index += sizeBytes < 0 ? -sizeBytes : sizeBytes;
  }
  return text;
}

function character(bytes: Uint8Array, start: number, sizeBytes: number): string {
  if (sizeBytes === 1) return fromCharCode(bytes[start]!);
  let codePoint = bytes[start]! & (0xff >> (sizeBytes + 1));
  for (let index = 1; index < sizeBytes; index++) codePoint = (codePoint << 6) | (bytes[start + index]! & 0x3f);
  if (codePoint <= 0xffff) return fromCharCode(codePoint);
  return fromCharCode(0xd800 + ((codePoint - 0x10000) >> 10), 0xdc00 + (codePoint & 0x3ff));
}
