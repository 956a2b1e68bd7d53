/**
 * Streams and the bytes behind them. What comes from outside is there as a whole before the program sees any of it, since
 * an operation's result is durable; so its stream is a view of bytes, and whoever wants all of them gets them without reading.
 */
import type { AbortSignal } from "./abort.ts";
import { concatBytes } from "./intrinsics.ts";
import { disturb, isDisturbed, ReadableStream } from "./readable-stream.ts";
import { encodeUtf8 } from "./text-encoder.ts";

/** Bytes that nobody changes any more. */
export interface Whole {
  readonly bytes: Uint8Array;
  /** When it aborts, what was not read yet cannot be read any more. */
  readonly signal?: AbortSignal | null | undefined;
}

const chunkBytes = 0x10000;
const wholes = new WeakMap<ReadableStream, Whole>();

export function openStream(whole: Whole): ReadableStream {
  const { bytes, signal } = whole;
  let offset = 0;
  const stream = new ReadableStream(
    {
      pull(controller) {
        signal?.throwIfAborted();
        const end = Math.min(offset + chunkBytes, bytes.length);
        // A copy: whoever reads may write to it, and a clone of the body must not see that.
        if (end > offset) controller.enqueue(bytes.slice(offset, end));
        offset = end;
        if (offset === bytes.length) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  wholes.set(stream, whole);
  return stream;
}

/** The bytes behind a stream that nobody has touched; undefined if they are not known. */
export function wholeOf(stream: ReadableStream): Whole | undefined {
  return isUsable(stream) ? wholes.get(stream) : undefined;
}

export function isUsable(stream: ReadableStream): boolean {
  return !stream.locked && !isDisturbed(stream);
}

/** Of an iterable whose items are bytes; texts stand for their UTF-8, as in Node. */
export function streamOf(iterable: AsyncIterable<unknown>): ReadableStream {
  return ReadableStream.from(
    (async function* () {
      for await (const item of iterable) {
        const bytes = typeof item === "string" ? encodeUtf8(item) : item;
        if (!(bytes instanceof Uint8Array) || bytes.length > 0) yield bytes;
      }
    })(),
  );
}

/** Takes a stream over: it is locked and counts as read, and the result is in its place. */
export function takeOver(stream: ReadableStream): ReadableStream {
  const reader = stream.getReader();
  disturb(stream);
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

export interface Collecting {
  readonly bytes: Promise<Uint8Array>;
  /** Reads no further. */
  cancel(reason: unknown): void;
}

/** Reads a stream of bytes to its end; it is locked from now on. Rejects with a TypeError beyond `maxBytes`. */
export function collect(stream: ReadableStream, maxBytes: number = Infinity): Collecting {
  const whole = wholeOf(stream);
  const reader = stream.getReader();
  const cancel = (reason: unknown): void => void reader.cancel(reason).catch(() => undefined);
  const read = async (): Promise<Uint8Array> => {
    if (whole !== undefined) {
      await reader.cancel();
      whole.signal?.throwIfAborted();
      return whole.bytes;
    }
    const chunks: Uint8Array[] = [];
    for (let sizeBytes = 0; ;) {
      const { done, value } = await reader.read();
      if (done) return concatBytes(chunks);
      const problem =
        value instanceof Uint8Array
          ? (sizeBytes += value.length) > maxBytes && `it is larger than ${maxBytes} bytes`
          : `one of its chunks is no Uint8Array but ${value === null ? "null" : `a ${typeof value}`}`;
      if (problem !== false) {
        const error = new TypeError(`The body cannot be read: ${problem}.`);
        cancel(error);
        throw error;
      }
      chunks.push((value as Uint8Array).slice());
    }
  };
  return { bytes: read(), cancel };
}
