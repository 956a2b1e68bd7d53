/** What Request and Response have in common: a body of bytes that can be read once. */
import { Blob, blobBytes, blobOver, withoutBom } from "./blob.ts";
import { collect, isUsable, openStream, streamOf, takeOver, wholeOf } from "./byte-stream.ts";
import type { Whole } from "./byte-stream.ts";
import { FormData } from "./form-data.ts";
import type { Headers } from "./headers.ts";
import { bytesOf, copyBytes } from "./intrinsics.ts";
import { decodeMultipart, encodeMultipart, newBoundary } from "./multipart.ts";
import { disturb, isDisturbed, ReadableStream, teeCopied } from "./readable-stream.ts";
import { decodeUtf8 } from "./text-decoder.ts";
import { encodeUtf8 } from "./text-encoder.ts";
import { URLSearchParams } from "./url-search-params.ts";

export type BodyInit =
  | string
  | Blob
  | ArrayBuffer
  | ArrayBufferView
  | URLSearchParams
  | FormData
  | ReadableStream
  | AsyncIterable<Uint8Array | string>;

/** Either all of the bytes are there, or a stream of the program's own gives them when it is read. */
export type BodyContent = Whole | ReadableStream;

export interface ExtractedBody {
  readonly content: BodyContent;
  /** The content type the kind of body implies. */
  readonly type: string | undefined;
}

/** Turns what a program gives as a body into bytes nobody else can change. */
export function extractBody(init: unknown): ExtractedBody {
  if (init instanceof ReadableStream) {
    if (!isUsable(init)) throw new TypeError("The stream is locked or was already read.");
    return { content: init, type: undefined };
  }
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
    return { content: streamOf(init as AsyncIterable<unknown>), type: undefined };
  }
  return over(encodeUtf8(String(init)), "text/plain;charset=UTF-8");
}

function over(bytes: Uint8Array, type: string | undefined): ExtractedBody {
  return { content: { bytes }, type };
}

/** The same content once more; null if there is no body. Throws a TypeError if it was read. */
export let copyBody: (body: Body) => BodyContent | null;
/** As `copyBody`, but the body counts as read from now on. */
export let takeBody: (body: Body) => BodyContent | null;

export abstract class Body {
  readonly #headers: Headers;
  readonly #whole: Whole | undefined;
  /** Made when somebody asks for it, unless the body is nothing else. */
  #stream: ReadableStream | undefined;
  /** All bytes were read, without a stream. */
  #taken = false;

  static {
    copyBody = (body) => {
      body.#requireUnused();
      const whole = body.#known();
      if (whole !== undefined || body.#stream === undefined) return whole ?? null;
      const [mine, copy] = teeCopied(body.#stream);
      body.#stream = mine;
      return copy;
    };
    takeBody = (body) => {
      body.#requireUnused();
      const whole = body.#known();
      if (body.#stream === undefined) body.#taken = true;
      else if (whole === undefined) return takeOver(body.#stream);
      else lockAndEnd(body.#stream);
      return whole ?? null;
    };
  }

  constructor(headers: Headers, content: BodyContent | null) {
    this.#headers = headers;
    if (content instanceof ReadableStream) this.#stream = content;
    else this.#whole = content ?? undefined;
  }

  get headers(): Headers {
    return this.#headers;
  }

  /** Of an answer from outside, all bytes are there when the program sees it: its body is a view of them. */
  get body(): ReadableStream | null {
    if (this.#stream === undefined && this.#whole !== undefined) {
      this.#stream = openStream(this.#whole);
      if (this.#taken) lockAndEnd(this.#stream);
    }
    return this.#stream ?? null;
  }

  get bodyUsed(): boolean {
    return this.#stream === undefined ? this.#taken && this.#whole !== undefined : isDisturbed(this.#stream);
  }

  async text(): Promise<string> {
    return withoutBom(decodeUtf8(await this.#take()));
  }

  async json(): Promise<unknown> {
    return JSON.parse(withoutBom(decodeUtf8(await this.#take())));
  }

  async bytes(): Promise<Uint8Array> {
    return copyBytes(await this.#take());
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return copyBytes(await this.#take()).buffer;
  }

  async blob(): Promise<Blob> {
    return blobOver(await this.#take(), this.#headers.get("content-type") ?? "");
  }

  async formData(): Promise<FormData> {
    const bytes = await this.#take();
    const type = this.#headers.get("content-type") ?? "";
    const boundary = /^multipart\/form-data\s*;.*?boundary=("?)([^";]+)\1/i.exec(type)?.[2];
    if (boundary !== undefined) return decodeMultipart(bytes, boundary);
    if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(type)) {
      throw new TypeError(`formData() cannot read a body of type ${JSON.stringify(type)}.`);
    }
    const form = new FormData();
    for (const [name, value] of new URLSearchParams(decodeUtf8(bytes))) form.append(name, value);
    return form;
  }

  /** Throws at once if it cannot be read. */
  #take(): Uint8Array | Promise<Uint8Array> {
    this.#requireUnused();
    if (this.#stream !== undefined) return collect(this.#stream).bytes;
    this.#taken = true;
    this.#whole?.signal?.throwIfAborted();
    return this.#whole?.bytes ?? new Uint8Array(0);
  }

  /** The bytes of a body that nobody has touched, if they are known. */
  #known(): Whole | undefined {
    return this.#stream === undefined ? this.#whole : wholeOf(this.#stream);
  }

  #requireUnused(): void {
    if (this.bodyUsed) throw new TypeError("The body was already read; clone() it before.");
    if (this.#stream?.locked === true) throw new TypeError("The body is locked to a reader.");
  }
}

/** What becomes of a stream whose bytes were taken in another way. */
function lockAndEnd(stream: ReadableStream): void {
  disturb(stream);
  void stream.getReader().cancel();
}
