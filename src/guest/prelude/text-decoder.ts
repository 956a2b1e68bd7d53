/** `TextDecoder` for UTF-8, UTF-16LE and windows-1252 (which is what the web calls "latin1" and "ascii"). */
import {
  bytesOf,
  charCodeAt,
  concatBytes,
  copyBytes,
  fromCharCode,
  lowerCase,
  reflectApply,
  regExpTest,
  stringSlice,
  subarray,
  toWellFormed,
  uncurry,
} from "./intrinsics.ts";
import { decodeMalformed, incompleteTailBytes } from "./utf8.ts";

const { atob, escape, decodeURIComponent } = globalThis as unknown as Record<
  "atob" | "escape" | "decodeURIComponent",
  (text: string) => string
>;
const toBase64: (self: Uint8Array) => string = uncurry(
  (Uint8Array.prototype as unknown as { toBase64(this: Uint8Array): string }).toBase64,
);
const isWellFormed = uncurry(String.prototype.isWellFormed);
const trim = uncurry(String.prototype.trim);
const replace = uncurry(String.prototype.replace) as (
  self: string,
  search: RegExp,
  by: (found: string) => string,
) => string;

const nonAscii = /[^\0-\x7f]/;
/** A multiple of 3, so that base64 has no padding to skip; small, because the engine keeps the memory it once took. */
const pieceBytes = 0x6000;

/** UTF-8 with U+FFFD for what is malformed. A byte order mark stays. */
export function decodeUtf8(bytes: Uint8Array, fatal = false): string {
  let text = "";
  let start = 0;
  while (start < bytes.length) {
    let end = Math.min(start + pieceBytes, bytes.length);
    if (end < bytes.length) end -= incompleteTailBytes(subarray(bytes, start, end));
    text += decodePiece(subarray(bytes, start, end), fatal);
    start = end;
  }
  return text;
}

function decodePiece(piece: Uint8Array, fatal: boolean): string {
  const binary = atob(toBase64(piece));
  if (!regExpTest(nonAscii, binary)) return binary;
  try {
    return decodeURIComponent(escape(binary));
  } catch {
    if (fatal) throw new TypeError("The encoded data was not valid for encoding utf-8.");
  }
  if (piece.length < 1024) return decodeMalformed(piece);
  // The slow way only for the neighbourhood of what is malformed.
  const half = piece.length >> 1;
  const middle = half - incompleteTailBytes(subarray(piece, 0, half));
  return decodePiece(subarray(piece, 0, middle), false) + decodePiece(subarray(piece, middle), false);
}

function decodeUtf16(bytes: Uint8Array, fatal: boolean): string {
  // A copy, because a Uint16Array must begin at an even address.
  const units = new Uint16Array(copyBytes(bytes, 0, bytes.length - (bytes.length % 2)).buffer);
  let text = "";
  for (let start = 0; start < units.length; start += 0x2000) {
    text += reflectApply(fromCharCode, undefined, units.subarray(start, start + 0x2000));
  }
  const whole = bytes.length % 2 === 0;
  if (fatal && !(whole && isWellFormed(text))) {
    throw new TypeError("The encoded data was not valid for encoding utf-16le.");
  }
  // Half a unit at the end is an error of its own, but for one that follows half a pair: the two are one.
  const spoiled = !whole && (charCodeAt(text, text.length - 1) & 0xfc00) !== 0xd800;
  return toWellFormed(text) + (spoiled ? "\ufffd" : "");
}

/** What windows-1252 has at 0x80 to 0x9F; its other bytes are the code points of their own number. */
const windows1252 =
  "\u20ac\x81\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\x8d\u017d\x8f" +
  "\x90\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\x9d\u017e\u0178";

function decodeWindows1252(bytes: Uint8Array): string {
  const binary = atob(toBase64(bytes));
  return replace(binary, /[\x80-\x9f]/g, (found) => windows1252[found.charCodeAt(0) - 0x80]!);
}

const labels: Readonly<Record<string, string>> = {
  "utf-8": "utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8",
  "utf-16le": "utf-16le utf-16 ucs-2 unicode unicodefeff csunicode iso-10646-ucs-2",
  "windows-1252":
    "windows-1252 latin1 ascii us-ascii iso-8859-1 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1 cp1252 cp819 " +
    "ibm819 x-cp1252 ansi_x3.4-1968 csisolatin1 iso-ir-100",
};

function encodingOf(label: string): string | undefined {
  const wanted = ` ${lowerCase(trim(label))} `;
  for (const encoding in labels) if (` ${labels[encoding]} `.includes(wanted)) return encoding;
  return undefined;
}

export interface TextDecoderOptions {
  /** Throws a TypeError at malformed input instead of writing U+FFFD. Default false. */
  readonly fatal?: boolean;
  /** Keeps a byte order mark as a character. Default false. */
  readonly ignoreBOM?: boolean;
}

export class TextDecoder {
  readonly #encoding: string;
  readonly #fatal: boolean;
  readonly #ignoreBom: boolean;
  /** The beginning of a character, kept from a call with `stream` for the next. */
  #rest = new Uint8Array(0);
  #bomSeen = false;

  constructor(label = "utf-8", options: TextDecoderOptions = {}) {
    const encoding = encodingOf(String(label));
    if (encoding === undefined) {
      throw new RangeError(
        `The "${label}" encoding is not supported in the sandbox; it knows utf-8, utf-16le and windows-1252 (latin1).`,
      );
    }
    this.#encoding = encoding;
    this.#fatal = Boolean(options.fatal);
    this.#ignoreBom = Boolean(options.ignoreBOM);
  }

  get encoding(): string {
    return this.#encoding;
  }

  get fatal(): boolean {
    return this.#fatal;
  }

  get ignoreBOM(): boolean {
    return this.#ignoreBom;
  }

  /** With `stream`, a character cut off at the end waits for the next call. */
  decode(input?: ArrayBuffer | ArrayBufferView, options: { readonly stream?: boolean } = {}): string {
    const given = input === undefined ? new Uint8Array(0) : bytesOf(input);
    if (given === undefined) throw new TypeError("TextDecoder.decode takes an ArrayBuffer or a view of one.");
    let bytes = this.#rest.length === 0 ? given : concatBytes([this.#rest, given]);
    const stream = Boolean(options.stream);
    const keptBytes = stream ? this.#incompleteBytes(bytes) : 0;
    this.#rest = copyBytes(bytes, bytes.length - keptBytes);
    if (keptBytes > 0) bytes = subarray(bytes, 0, bytes.length - keptBytes);
    const bomSeen = this.#bomSeen;
    // What a call throws or ends, the next does not continue.
    this.#bomSeen = false;
    const text = this.#convert(bytes);
    this.#bomSeen = stream && (bomSeen || text !== "");
    const bom = !bomSeen && !this.#ignoreBom && this.#encoding !== "windows-1252" && charCodeAt(text, 0) === 0xfeff;
    return bom ? stringSlice(text, 1) : text;
  }

  #convert(bytes: Uint8Array): string {
    if (this.#encoding === "utf-8") return decodeUtf8(bytes, this.#fatal);
    return this.#encoding === "utf-16le" ? decodeUtf16(bytes, this.#fatal) : decodeWindows1252(bytes);
  }

  #incompleteBytes(bytes: Uint8Array): number {
    if (this.#encoding === "utf-8") return incompleteTailBytes(bytes);
    if (this.#encoding !== "utf-16le") return 0;
    const odd = bytes.length % 2;
    const high = bytes[bytes.length - odd - 1];
    return high !== undefined && bytes.length - odd >= 2 && (high & 0xfc) === 0xd8 ? odd + 2 : odd;
  }
}
