/** `TextEncoder`. The engine's own base64 and percent coding do the work: a loop over characters is ten times slower. */
import { charCodeAt, concatBytes, regExpTest, setBytes, stringSlice, toWellFormed } from "./intrinsics.ts";

const fromBase64 = (Uint8Array as unknown as { fromBase64(text: string): Uint8Array<ArrayBuffer> }).fromBase64.bind(
  Uint8Array,
);
const { btoa, encodeURIComponent } = globalThis as unknown as Record<
  "btoa" | "encodeURIComponent",
  (text: string) => string
>;
const unescape = (globalThis as unknown as { unescape(text: string): string }).unescape;

const nonAscii = /[^\0-\x7f]/;
/** Piece by piece, because memory the engine once took for intermediate strings stays with the process for good. */
const pieceLength = 0x8000;

/** UTF-8; a lone surrogate becomes U+FFFD. */
export function encodeUtf8(text: string): Uint8Array<ArrayBuffer> {
  if (text.length <= pieceLength) return encodePiece(text);
  const pieces: Uint8Array[] = [];
  let start = 0;
  while (start < text.length) {
    const end = pieceEnd(text, start, pieceLength);
    pieces[pieces.length] = encodePiece(stringSlice(text, start, end));
    start = end;
  }
  return concatBytes(pieces);
}

function encodePiece(piece: string): Uint8Array<ArrayBuffer> {
  const binary = regExpTest(nonAscii, piece) ? unescape(encodeURIComponent(toWellFormed(piece))) : piece;
  return fromBase64(btoa(binary));
}

/** Where a piece that begins at `start` ends, without parting a surrogate pair. */
function pieceEnd(text: string, start: number, length: number): number {
  const end = start + length;
  if (end >= text.length) return text.length;
  const last = charCodeAt(text, end - 1);
  return length > 1 && last >= 0xd800 && last <= 0xdbff ? end - 1 : end;
}

export class TextEncoder {
  get encoding(): string {
    return "utf-8";
  }

  encode(text = ""): Uint8Array<ArrayBuffer> {
    return encodeUtf8(String(text));
  }

  /** Writes as many whole characters as `target` has room for; `read` counts UTF-16 code units, `written` bytes. */
  encodeInto(text: string, target: Uint8Array): { read: number; written: number } {
    if (!(target instanceof Uint8Array)) throw new TypeError("TextEncoder.encodeInto writes to a Uint8Array.");
    const source = String(text);
    let read = 0;
    let written = 0;
    while (read < source.length && written < target.length) {
      const room = target.length - written;
      // A third of the room always fits: no UTF-16 unit needs more than three bytes.
      const length = Math.min(pieceLength, Math.floor(room / 3));
      const end = length > 1 ? pieceEnd(source, read, length) : characterEnd(source, read);
      const bytes = encodePiece(stringSlice(source, read, end));
      if (bytes.length > room) break;
      setBytes(target, bytes, written);
      read = end;
      written += bytes.length;
    }
    return { read, written };
  }
}

function characterEnd(text: string, index: number): number {
  return index + (text.codePointAt(index)! > 0xffff ? 2 : 1);
}
