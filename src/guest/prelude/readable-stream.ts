/**
 * `ReadableStream` (Streams Standard) with its default reader and controller. There are no BYOB readers, and neither
 * `pipeTo` nor `pipeThrough`: the sandbox has no other kinds of streams.
 */
import { bytesOf, copyBytes, reflectApply } from "./intrinsics.ts";
import { StreamCore } from "./stream-core.ts";
import type { Lock, ReadResult } from "./stream-core.ts";

export interface UnderlyingSource {
  readonly start?: (controller: ReadableStreamDefaultController) => unknown;
  readonly pull?: (controller: ReadableStreamDefaultController) => unknown;
  readonly cancel?: (reason: unknown) => unknown;
  /** A stream of bytes takes views of buffers only, and gives Uint8Arrays. */
  readonly type?: "bytes" | undefined;
}

export interface QueuingStrategy {
  readonly highWaterMark?: number;
  readonly size?: (chunk: unknown) => number;
}

/** Beyond the reach of programs, which can make neither controllers nor readers of what is not theirs. */
let coreOf: (stream: ReadableStream) => StreamCore;
const key = Symbol("ReadableStreamDefaultController");

export class ReadableStreamDefaultController {
  readonly #core: StreamCore;
  readonly #isBytes: boolean;

  constructor(secret: unknown, core: StreamCore, isBytes: boolean) {
    if (secret !== key) throw new TypeError("Illegal constructor: a stream's source is handed its controller.");
    this.#core = core;
    this.#isBytes = isBytes;
  }

  get desiredSize(): number | null {
    return this.#core.desiredSize;
  }

  enqueue(chunk?: unknown): void {
    if (!this.#isBytes) return this.#core.enqueue(chunk);
    const bytes = ArrayBuffer.isView(chunk) ? bytesOf(chunk) : undefined;
    if (bytes === undefined || bytes.length === 0) {
      throw new TypeError("A stream of bytes takes views of buffers that are not empty.");
    }
    return this.#core.enqueue(bytes);
  }

  close(): void {
    this.#core.close();
  }

  error(reason?: unknown): void {
    this.#core.fail(reason);
  }
}

export class ReadableStreamDefaultReader {
  readonly #core: StreamCore;
  readonly #lock: Lock;

  constructor(stream: ReadableStream) {
    if (!(stream instanceof ReadableStream)) throw new TypeError("A reader reads a ReadableStream.");
    this.#core = coreOf(stream);
    this.#lock = this.#core.acquire();
  }

  get closed(): Promise<undefined> {
    return this.#lock.closed.promise;
  }

  async read(): Promise<ReadResult> {
    this.#requireLock();
    return await this.#core.read(this.#lock);
  }

  async cancel(reason?: unknown): Promise<undefined> {
    this.#requireLock();
    return await this.#core.cancel(reason);
  }

  releaseLock(): void {
    if (this.#core.lock === this.#lock) this.#core.release(this.#lock);
  }

  #requireLock(): void {
    if (this.#core.lock !== this.#lock) throw new TypeError("The reader was released.");
  }
}

interface StreamIterator extends AsyncIterableIterator<unknown> {
  return(value?: unknown): Promise<IteratorResult<unknown>>;
}

export class ReadableStream {
  readonly #core: StreamCore;

  static {
    coreOf = (stream) => stream.#core;
  }

  constructor(source: UnderlyingSource = {}, strategy: QueuingStrategy = {}) {
    if ((typeof source !== "object" && typeof source !== "function") || source === null) {
      throw new TypeError("A ReadableStream is made of an object with start, pull and cancel.");
    }
    const { isBytes, highWaterMark, size } = settingsOf(source, strategy ?? {});
    const core = new StreamCore(
      {
        pull: method(source, "pull") && (() => source.pull!(controller)),
        cancel: method(source, "cancel") && ((reason) => source.cancel!(reason)),
      },
      highWaterMark,
      size,
    );
    const controller = new ReadableStreamDefaultController(key, core, isBytes);
    this.#core = core;
    core.started(method(source, "start") ? source.start!(controller) : undefined);
  }

  /** A stream over anything that can be iterated, asynchronously or not; nothing is asked for before it is read. */
  static from(iterable: AsyncIterable<unknown> | Iterable<unknown>): ReadableStream {
    const iterator = iteratorOf(iterable);
    return new ReadableStream(
      {
        async pull(controller) {
          const { done, value } = await iterator.next();
          if (done === true) controller.close();
          else controller.enqueue(await value);
        },
        async cancel(reason) {
          await iterator.return?.(reason);
        },
      },
      { highWaterMark: 0 },
    );
  }

  get locked(): boolean {
    return this.#core.lock !== undefined;
  }

  getReader(options: { readonly mode?: undefined } = {}): ReadableStreamDefaultReader {
    if (options?.mode !== undefined) {
      throw new TypeError("The sandbox has no BYOB readers: call getReader() without a mode.");
    }
    return new ReadableStreamDefaultReader(this);
  }

  async cancel(reason?: unknown): Promise<undefined> {
    if (this.locked) throw new TypeError("The stream is locked to a reader.");
    return await this.#core.cancel(reason);
  }

  tee(): [ReadableStream, ReadableStream] {
    return tee(this, false);
  }

  values(options: { readonly preventCancel?: boolean } = {}): StreamIterator {
    return iterate(this.getReader(), Boolean(options?.preventCancel));
  }

  [Symbol.asyncIterator](): StreamIterator {
    return this.values();
  }
}

function settingsOf(source: UnderlyingSource, strategy: QueuingStrategy) {
  const isBytes = source.type !== undefined;
  if (isBytes && String(source.type) !== "bytes") {
    throw new TypeError(`The type of a stream is "bytes" or left out, not ${JSON.stringify(source.type)}.`);
  }
  if (isBytes && strategy.size !== undefined) throw new RangeError("A stream of bytes measures its chunks itself.");
  const highWaterMark = strategy.highWaterMark === undefined ? (isBytes ? 0 : 1) : Number(strategy.highWaterMark);
  if (!(highWaterMark >= 0)) throw new RangeError(`highWaterMark is at least 0, not ${highWaterMark}.`);
  const size = method(strategy, "size") ?? (isBytes ? (chunk: unknown) => (chunk as Uint8Array).length : () => 1);
  return { isBytes, highWaterMark, size };
}

function method<T extends object, K extends keyof T>(owner: T, name: K): NonNullable<T[K]> | undefined {
  const found = owner[name];
  if (found === undefined) return undefined;
  if (typeof found !== "function") throw new TypeError(`${String(name)} is a function, not a ${typeof found}.`);
  return found;
}

type AnyIterator = AsyncIterator<unknown> | Iterator<unknown>;

function iteratorOf(iterable: unknown): AnyIterator {
  if (iterable !== null && iterable !== undefined) {
    const { [Symbol.asyncIterator]: asynchronous, [Symbol.iterator]: synchronous } = iterable as {
      [Symbol.asyncIterator]?: unknown;
      [Symbol.iterator]?: unknown;
    };
    const open = asynchronous ?? synchronous;
    if (typeof open === "function") return reflectApply(open, iterable, []) as AnyIterator;
  }
  throw new TypeError("A stream can be made of what is iterable.");
}

/** Steps queue up: one that is asked for early waits for those before it. */
function iterate(reader: ReadableStreamDefaultReader, preventCancel: boolean): StreamIterator {
  let isOver = false;
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(step: () => Promise<T>): Promise<T> => {
    const run = last.then(step, step);
    last = run;
    return run;
  };
  const end = (): void => {
    isOver = true;
    reader.releaseLock();
  };
  const next = async (): Promise<IteratorResult<unknown>> => {
    if (isOver) return { done: true, value: undefined };
    try {
      const { done, value } = await reader.read();
      if (done) end();
      return { done, value } as IteratorResult<unknown>;
    } catch (error) {
      end();
      throw error;
    }
  };
  const stop = async (value: unknown): Promise<IteratorResult<unknown>> => {
    if (!isOver) {
      const cancelled = preventCancel ? undefined : reader.cancel(value);
      end();
      await cancelled;
    }
    return { done: true, value };
  };
  return {
    next: () => inTurn(next),
    return: (value) => inTurn(() => stop(value)),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/** Two streams with the chunks of one; `copies` gives the second bytes of its own. */
function tee(stream: ReadableStream, copies: boolean): [ReadableStream, ReadableStream] {
  const reader = stream.getReader();
  const branches: { controller: ReadableStreamDefaultController; isCancelled: boolean; reason: unknown }[] = [];
  const cancelled = Promise.withResolvers<unknown>();
  const open = () => branches.filter(({ isCancelled }) => !isCancelled);
  let isReading = false;
  let isWanted = false;
  const read = (): void => {
    isWanted = isReading;
    if (isReading) return;
    isReading = true;
    reader.read().then(
      ({ done, value }) => {
        isReading = false;
        branches.forEach(({ controller, isCancelled }, index) => {
          if (isCancelled) return;
          if (done) controller.close();
          else controller.enqueue(index === 1 && copies && value instanceof Uint8Array ? copyBytes(value) : value);
        });
        if (done) cancelled.resolve(undefined);
        else if (isWanted) read();
      },
      () => (isReading = false),
    );
  };
  reader.closed.catch((error: unknown) => {
    for (const { controller } of open()) controller.error(error);
    cancelled.resolve(undefined);
  });
  const branch = (index: number): ReadableStream =>
    new ReadableStream({
      start: (controller) => {
        branches[index] = { controller, isCancelled: false, reason: undefined };
      },
      pull: read,
      cancel: (reason) => {
        Object.assign(branches[index]!, { isCancelled: true, reason });
        if (open().length === 0) cancelled.resolve(reader.cancel(branches.map((one) => one.reason)));
        return cancelled.promise;
      },
    });
  return [branch(0), branch(1)];
}

export function isDisturbed(stream: ReadableStream): boolean {
  return coreOf(stream).disturbed;
}

/** It counts as read from now on. */
export function disturb(stream: ReadableStream): void {
  coreOf(stream).disturbed = true;
}

/** As `tee`, but the second stream has bytes of its own, as the copy of a body must. */
export function teeCopied(stream: ReadableStream): [ReadableStream, ReadableStream] {
  return tee(stream, true);
}
