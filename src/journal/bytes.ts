/** Writing and reading the journal's bytes: varints, strings, raw bytes. The layout is specified in `encoding.ts`. */
import { PerdureError } from "../base/errors.ts";
import { fromUtf8, utf8 } from "./utf8.ts";

const initialBytes = 4096;
/** A writer that has grown beyond this gives its memory back. */
const keptBytes = 1024 * 1024;

/** Grows as needed and is used again and again: a row costs one allocation, its own. */
export class Writer {
  private buffer = new Uint8Array(initialBytes);
  private length = 0;

  /** What was written since the last call. */
  take(): Uint8Array {
    const bytes = this.buffer.slice(0, this.length);
    this.reset();
    return bytes;
  }

  /** Forgets what was written: after an error. */
  reset(): void {
    this.length = 0;
    if (this.buffer.length > keptBytes) this.buffer = new Uint8Array(initialBytes);
  }

  byte(value: number): void {
    this.reserve(1);
    this.buffer[this.length++] = value;
  }

  /** Seven bits a byte, the lowest first; the highest bit of a byte says that more follow. */
  varint(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new PerdureError(
        "ARGUMENT_INVALID",
        `The journal holds whole numbers from 0 to 2^53-1 only, not ${value}.`,
      );
    }
    this.reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.buffer[this.length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.buffer[this.length++] = rest;
  }

  /** A varint, `scale` times the length of the text in bytes, then the text. */
  text(text: string, scale = 1): void {
    if (text.length < 64 && this.shortAscii(text, scale)) return;
    const bytes = utf8(text);
    this.varint(bytes.length * scale);
    this.raw(bytes);
  }

  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** Sixteen hexadecimal digits as eight bytes. */
  digest(digits: string): void {
    if (!/^[0-9a-f]{16}$/.test(digits)) {
      throw new PerdureError("ARGUMENT_INVALID", `A digest has 16 hexadecimal digits, not ${JSON.stringify(digits)}.`);
    }
    this.reserve(8);
    for (let i = 0; i < 16; i += 2) this.buffer[this.length++] = (nibble(digits, i) << 4) | nibble(digits, i + 1);
  }

  private shortAscii(text: string, scale: number): boolean {
    const { length: start } = this;
    this.reserve(2 + text.length);
    this.varint(text.length * scale);
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) {
        this.length = start;
        return false;
      }
      this.buffer[this.length++] = unit;
    }
    return true;
  }

  private reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(needed, this.buffer.length * 2));
    grown.set(this.buffer);
    this.buffer = grown;
  }
}

/** Reads `bytes` from the front and never beyond their end; whatever is wrong is JOURNAL_CORRUPT with the place. */
export class Reader {
  private readonly bytes: Uint8Array;
  private offset = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get position(): number {
    return this.offset;
  }

  get ended(): boolean {
    return this.offset === this.bytes.length;
  }

  byte(): number {
    const value = this.bytes[this.offset];
    if (value === undefined) throw this.corrupt("it ends too early");
    this.offset++;
    return value;
  }

  varint(): number {
    const start = this.offset;
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        // One form for each number: no zeros at its end.
        if (value > Number.MAX_SAFE_INTEGER || (byte === 0 && scale > 1))
          throw this.corrupt("a number is malformed", start);
        return value;
      }
      if (scale >= 2 ** 49) throw this.corrupt("a number is malformed", start);
    }
  }

  text(): string {
    return this.utf8(this.varint());
  }

  utf8(length: number): string {
    const start = this.skip(length);
    const text = fromUtf8(this.bytes, start, this.offset);
    if (text === undefined) throw this.corrupt("a text is not UTF-8", start);
    return text;
  }

  raw(length: number): Uint8Array {
    return this.bytes.slice(this.skip(length), this.offset);
  }

  digest(): string {
    const start = this.skip(8);
    let digits = "";
    for (let i = start; i < this.offset; i++) digits += hex[this.bytes[i] as number] as string;
    return digits;
  }

  /** To be called when everything is read. */
  end(): void {
    if (this.offset !== this.bytes.length) throw this.corrupt("it goes on after its end");
  }

  corrupt(what: string, offset: number = this.offset): PerdureError {
    const sizeBytes = this.bytes.length;
    return new PerdureError(
      "JOURNAL_CORRUPT",
      `A journal row is damaged: at byte ${offset} of ${sizeBytes}, ${what}. Check the disk, and restore the store from a backup.`,
      { details: { offset, sizeBytes } },
    );
  }

  private skip(length: number): number {
    const start = this.offset;
    if (length > this.bytes.length - start) throw this.corrupt(`${length} bytes are announced and fewer follow`);
    this.offset = start + length;
    return start;
  }
}

function nibble(digits: string, index: number): number {
  const unit = digits.charCodeAt(index);
  return unit < 0x3a ? unit - 0x30 : unit - 0x57;
}

const hex: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
