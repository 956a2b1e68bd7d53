/** `Blob` and `File`: bytes in memory with a type. They never change, so slices share them. */
import { openStream } from "./byte-stream.ts";
import { bytesOf, concatBytes, copyBytes, lowerCase, now, subarray } from "./intrinsics.ts";
import type { ReadableStream } from "./readable-stream.ts";
import { decodeUtf8 } from "./text-decoder.ts";
import { encodeUtf8 } from "./text-encoder.ts";

export type BlobPart = Blob | ArrayBuffer | ArrayBufferView | string;

export interface BlobOptions {
  readonly type?: string;
  readonly endings?: "transparent" | "native";
}

let bytesOfBlob: (blob: Blob) => Uint8Array;
let makeBlob: (bytes: Uint8Array, type: string) => Blob;

export class Blob {
  #bytes: Uint8Array;
  #type: string;

  static {
    bytesOfBlob = (blob) => blob.#bytes;
    makeBlob = (bytes, type) => {
      const blob = new Blob();
      blob.#bytes = bytes;
      blob.#type = normalType(type);
      return blob;
    };
  }

  constructor(parts: Iterable<BlobPart> = [], options: BlobOptions = {}) {
    if (parts === null || typeof parts !== "object" || !(Symbol.iterator in parts)) {
      throw new TypeError("Blob takes an iterable of parts, such as an array.");
    }
    this.#bytes = concatBytes([...parts].map((part) => partBytes(part, options?.endings === "native")));
    this.#type = normalType(String(options?.type ?? ""));
  }

  get size(): number {
    return this.#bytes.length;
  }

  get type(): string {
    return this.#type;
  }

  /** Negative positions count from the end. */
  slice(start = 0, end: number = this.size, type = ""): Blob {
    return makeBlob(subarray(this.#bytes, start, end), String(type));
  }

  async text(): Promise<string> {
    return withoutBom(decodeUtf8(this.#bytes));
  }

  async bytes(): Promise<Uint8Array> {
    return copyBytes(this.#bytes);
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return copyBytes(this.#bytes).buffer;
  }

  stream(): ReadableStream {
    return openStream({ bytes: this.#bytes });
  }
}

export class File extends Blob {
  readonly #name: string;
  readonly #lastModifiedMs: number;

  constructor(parts: Iterable<BlobPart>, name: string, options: BlobOptions & { readonly lastModified?: number } = {}) {
    if (arguments.length < 2) throw new TypeError("A File needs parts and a name.");
    super(parts, options);
    this.#name = String(name);
    this.#lastModifiedMs = options?.lastModified === undefined ? now() : Math.trunc(Number(options.lastModified)) || 0;
  }

  get name(): string {
    return this.#name;
  }

  /** Milliseconds since the Unix epoch; without the option, the turn's time. */
  get lastModified(): number {
    return this.#lastModifiedMs;
  }

  get webkitRelativePath(): string {
    return "";
  }
}

/** The blob's own bytes: not to be written to. */
export function blobBytes(blob: Blob): Uint8Array {
  return bytesOfBlob(blob);
}

/** A blob over `bytes`, which must not change any more. */
export function blobOver(bytes: Uint8Array, type: string): Blob {
  return makeBlob(bytes, type);
}

/** "UTF-8 decode" drops a byte order mark. */
export function withoutBom(text: string): string {
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

function partBytes(part: unknown, nativeEndings: boolean): Uint8Array {
  if (part instanceof Blob) return bytesOfBlob(part);
  const bytes = bytesOf(part);
  if (bytes !== undefined) return bytes;
  const text = String(part);
  return encodeUtf8(nativeEndings ? text.replace(/\r\n?/g, "\n") : text);
}

function normalType(type: string): string {
  return /^[\x20-\x7e]*$/.test(type) ? lowerCase(type) : "";
}
