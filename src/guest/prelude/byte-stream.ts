/**
 * What `Response.body` and `Blob.stream()` give: a ReadableStream to look at, with all of its bytes there from the
 * beginning, because an operation's result is durable before the program sees any of it. It can be read, iterated and
 * cancelled; there is no `pipeTo`, `pipeThrough` or `tee`, and no way to make one.
 */

/** Bytes that are read at most once, by whoever comes first. Shared between a body and its stream. */
export class ByteSource {
  readonly bytes: Uint8Array;
  /** Somebody took the bytes, or began to. */
  disturbed = false;
  locked = false;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

export interface ReadResult {
  readonly done: boolean;
  readonly value: Uint8Array | undefined;
}

const chunkBytes = 0x10000;

let open: (source: ByteSource) => ReadableStream;
let sourceOf: (stream: ReadableStream) => ByteSource;
const key = Symbol("ReadableStream");

export class ReadableStream {
  readonly #source: ByteSource;
  #offset = 0;
  #closed = Promise.withResolvers<undefined>();

  static {
    open = (source) => new ReadableStream(key, source);
    sourceOf = (stream) => stream.#source;
  }

  constructor(secret: unknown, source: ByteSource) {
    if (secret !== key) throw new TypeError("The sandbox has no streams of your own making.");
    this.#source = source;
  }

  get locked(): boolean {
    return this.#source.locked;
  }

  getReader(): ReadableStreamReader {
    if (this.locked) throw new TypeError("The stream is locked to another reader.");
    this.#source.locked = true;
    let released = false;
    const mine = <T>(action: () => T): Promise<T> => {
      if (released) return Promise.reject(new TypeError("The reader was released."));
      return Promise.resolve(action());
    };
    return {
      closed: this.#closed.promise,
      read: () => mine(() => this.#read()),
      cancel: () => mine(() => this.#finish()),
      releaseLock: () => {
        if (!released) this.#source.locked = false;
        released = true;
      },
    };
  }

  async cancel(): Promise<undefined> {
    if (this.locked) throw new TypeError("The stream is locked to a reader.");
    return this.#finish();
  }

  async *values(): AsyncGenerator<Uint8Array, undefined, void> {
    const reader = this.getReader();
    try {
      for (;;) {
        const { done, value } = this.#read();
        if (done || value === undefined) return;
        yield value;
      }
    } finally {
      this.#finish();
      reader.releaseLock();
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array, undefined, void> {
    return this.values();
  }

  #read(): ReadResult {
    const { bytes } = this.#source;
    this.#source.disturbed = true;
    const start = this.#offset;
    if (start >= bytes.length) return { done: true, value: this.#finish() };
    this.#offset = Math.min(start + chunkBytes, bytes.length);
    // A copy: whoever reads may write to it, and a clone of the body must not see that.
    return { done: false, value: bytes.slice(start, this.#offset) };
  }

  #finish(): undefined {
    this.#source.disturbed = true;
    this.#offset = this.#source.bytes.length;
    this.#closed.resolve(undefined);
    return undefined;
  }
}

export interface ReadableStreamReader {
  readonly closed: Promise<undefined>;
  read(): Promise<ReadResult>;
  cancel(): Promise<undefined>;
  releaseLock(): void;
}

export function openStream(source: ByteSource): ReadableStream {
  return open(source);
}

/** The bytes behind a stream nobody has touched. Throws a TypeError if somebody has. */
export function takeStream(stream: ReadableStream): ByteSource {
  const source = sourceOf(stream);
  if (source.disturbed || source.locked) throw new TypeError("The stream is locked or was already read.");
  return source;
}
