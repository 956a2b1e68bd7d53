/** What Request and Response have in common: a body of bytes that can be read once. */
import { Blob, blobBytes, blobOver, withoutBom } from "./blob.ts";
import { ByteSource, openStream, ReadableStream, takeStream } from "./byte-stream.ts";
import { FormData } from "./form-data.ts";
import type { Headers } from "./headers.ts";
import { bytesOf, copyBytes } from "./intrinsics.ts";
import { decodeMultipart, encodeMultipart, newBoundary } from "./multipart.ts";
import { decodeUtf8 } from "./text-decoder.ts";
import { encodeUtf8 } from "./text-encoder.ts";
import { URLSearchParams } from "./url-search-params.ts";

export type BodyInit = string | Blob | ArrayBuffer | ArrayBufferView | URLSearchParams | FormData | ReadableStream;

export interface ExtractedBody {
  readonly source: ByteSource;
  /** The content type the kind of body implies. */
  readonly type: string | undefined;
}

/** Turns what a program gives as a body into bytes nobody else can change. */
export function extractBody(init: unknown): ExtractedBody {
  if (init instanceof ReadableStream) return { source: takeStream(init), type: undefined };
  if (init instanceof Blob) return over(blobBytes(init), init.type === "" ? undefined : init.type);
  if (init instanceof URLSearchParams) {
    return over(encodeUtf8(init.toString()), "application/x-www-form-urlencoded;charset=UTF-8");
  }
  if (init instanceof FormData) {
    const boundary = newBoundary();
    return over(encodeMultipart(init, boundary), `multipart/form-data; boundary=${boundary}`);
  }
  const bytes = bytesOf(init);
  if (bytes !== undefined) return over(copyBytes(bytes), undefined);
  if (typeof init === "object" && init !== null && Symbol.asyncIterator in init) {
    throw new TypeError("A body cannot be a stream: read it first and give its bytes or text.");
  }
  return over(encodeUtf8(String(init)), "text/plain;charset=UTF-8");
}

function over(bytes: Uint8Array, type: string | undefined): ExtractedBody {
  return { source: new ByteSource(bytes), type };
}

/** A second source of a body's bytes, which they share; null if there is no body. Throws a TypeError if it was read. */
export let copyBody: (body: Body) => ByteSource | null;
/** As `copyBody`, but the body counts as read from now on. */
export let takeBody: (body: Body) => ByteSource | null;

export abstract class Body {
  readonly #headers: Headers;
  readonly #source: ByteSource | null;
  #stream: ReadableStream | undefined = undefined;

  static {
    copyBody = (body) => {
      body.#requireUnused();
      return body.#source === null ? null : new ByteSource(body.#source.bytes);
    };
    takeBody = (body) => (body.#source === null ? null : new ByteSource(body.#take()));
  }

  constructor(headers: Headers, source: ByteSource | null) {
    this.#headers = headers;
    this.#source = source;
  }

  get headers(): Headers {
    return this.#headers;
  }

  /** All of the body's bytes are there when the program sees the response: this is a stream to look at. */
  get body(): ReadableStream | null {
    if (this.#source === null) return null;
    this.#stream ??= openStream(this.#source);
    return this.#stream;
  }

  get bodyUsed(): boolean {
    return this.#source?.disturbed ?? false;
  }

  async text(): Promise<string> {
    return withoutBom(decodeUtf8(this.#take()));
  }

  async json(): Promise<unknown> {
    return JSON.parse(withoutBom(decodeUtf8(this.#take())));
  }

  async bytes(): Promise<Uint8Array> {
    return copyBytes(this.#take());
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return copyBytes(this.#take()).buffer;
  }

  async blob(): Promise<Blob> {
    return blobOver(this.#take(), this.#headers.get("content-type") ?? "");
  }

  async formData(): Promise<FormData> {
    const type = this.#headers.get("content-type") ?? "";
    const boundary = /^multipart\/form-data\s*;.*?boundary=("?)([^";]+)\1/i.exec(type)?.[2];
    if (boundary !== undefined) return decodeMultipart(this.#take(), boundary);
    if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(type)) {
      throw new TypeError(`formData() cannot read a body of type ${JSON.stringify(type)}.`);
    }
    const form = new FormData();
    for (const [name, value] of new URLSearchParams(decodeUtf8(this.#take()))) form.append(name, value);
    return form;
  }

  #take(): Uint8Array {
    this.#requireUnused();
    if (this.#source === null) return new Uint8Array(0);
    this.#source.disturbed = true;
    return this.#source.bytes;
  }

  #requireUnused(): void {
    if (this.#source?.locked === true) throw new TypeError("The body is locked to a reader.");
    if (this.#source?.disturbed === true) throw new TypeError("The body was already read; clone() it before.");
  }
}
