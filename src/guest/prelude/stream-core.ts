/**
 * The machinery of a ReadableStream with a default controller (Streams Standard): a queue, whoever reads from it, and the
 * source that fills it. The classes programs see stand before it and hold nothing themselves.
 */
import { reflectApply } from "./intrinsics.ts";

export interface ReadResult {
  readonly done: boolean;
  readonly value: unknown;
}

/** What fills a stream. Each may return a promise; what one throws makes the stream fail. */
export interface Source {
  readonly pull: (() => unknown) | undefined;
  readonly cancel: ((reason: unknown) => unknown) | undefined;
}

interface ReadRequest {
  resolve(result: ReadResult): void;
  reject(reason: unknown): void;
}

/** One reader's claim on a stream. */
export class Lock {
  readonly requests: ReadRequest[] = [];
  closed: PromiseWithResolvers<undefined> = quiet();
}

/** A promise whose rejection nobody has to handle: it only repeats what every `read` says. */
function quiet(): PromiseWithResolvers<undefined> {
  const made = Promise.withResolvers<undefined>();
  made.promise.catch(() => undefined);
  return made;
}

export class StreamCore {
  state: "readable" | "closed" | "errored" = "readable";
  error: unknown = undefined;
  /** Somebody has read from it or cancelled it. */
  disturbed = false;
  lock: Lock | undefined = undefined;
  #source: Source | undefined;
  readonly #highWaterMark: number;
  readonly #sizeOf: (chunk: unknown) => number;
  #queue: { readonly chunk: unknown; readonly size: number }[] = [];
  #queueSize = 0;
  #closeRequested = false;
  #started = false;
  #pulling = false;
  #pullAgain = false;

  constructor(source: Source, highWaterMark: number, sizeOf: (chunk: unknown) => number) {
    this.#source = source;
    this.#highWaterMark = highWaterMark;
    this.#sizeOf = sizeOf;
  }

  /** `result` is what the source's `start` returned: nothing is pulled before it has settled. */
  started(result: unknown): void {
    Promise.resolve(result).then(
      () => {
        this.#started = true;
        this.#pullIfNeeded();
      },
      (error: unknown) => this.fail(error),
    );
  }

  get desiredSize(): number | null {
    if (this.state === "errored") return null;
    return this.state === "closed" ? 0 : this.#highWaterMark - this.#queueSize;
  }

  get isOpen(): boolean {
    return this.state === "readable" && !this.#closeRequested;
  }

  enqueue(chunk: unknown): void {
    if (!this.isOpen) throw new TypeError("The stream is closed or failed: nothing can be added to it.");
    const waiting = this.lock?.requests.shift();
    if (waiting !== undefined) waiting.resolve({ done: false, value: chunk });
    else this.#push(chunk);
    this.#pullIfNeeded();
  }

  close(): void {
    if (!this.isOpen) throw new TypeError("The stream is closed or failed already.");
    this.#closeRequested = true;
    if (this.#queue.length === 0) this.#finish();
  }

  fail(error: unknown): void {
    if (this.state !== "readable") return;
    this.state = "errored";
    this.error = error;
    this.#drop();
    this.lock?.closed.reject(error);
    for (const request of this.lock?.requests.splice(0) ?? []) request.reject(error);
  }

  acquire(): Lock {
    if (this.lock !== undefined) throw new TypeError("The stream is locked to another reader.");
    const lock = new Lock();
    this.lock = lock;
    if (this.state === "closed") lock.closed.resolve(undefined);
    else if (this.state === "errored") lock.closed.reject(this.error);
    return lock;
  }

  release(lock: Lock): void {
    const released = new TypeError("The reader was released.");
    if (this.state !== "readable") lock.closed = quiet();
    lock.closed.reject(released);
    this.lock = undefined;
    for (const request of lock.requests.splice(0)) request.reject(released);
  }

  read(lock: Lock): Promise<ReadResult> {
    this.disturbed = true;
    if (this.state === "errored") return Promise.reject(this.error);
    if (this.state === "closed") return Promise.resolve({ done: true, value: undefined });
    const next = this.#queue.shift();
    if (next === undefined) {
      const { promise, resolve, reject } = Promise.withResolvers<ReadResult>();
      lock.requests.push({ resolve, reject });
      this.#pullIfNeeded();
      return promise;
    }
    this.#queueSize -= next.size;
    if (this.#closeRequested && this.#queue.length === 0) this.#finish();
    else this.#pullIfNeeded();
    return Promise.resolve({ done: false, value: next.chunk });
  }

  async cancel(reason: unknown): Promise<undefined> {
    this.disturbed = true;
    if (this.state === "errored") throw this.error;
    if (this.state === "closed") return undefined;
    const cancel = this.#source?.cancel;
    this.#finish();
    await cancel?.(reason);
    return undefined;
  }

  #push(chunk: unknown): void {
    try {
      const size = Number(reflectApply(this.#sizeOf, undefined, [chunk]));
      if (!(size >= 0 && size < Infinity)) throw new RangeError(`A chunk cannot have the size ${size}.`);
      this.#queue.push({ chunk, size });
      this.#queueSize += size;
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  #pullIfNeeded(): void {
    const isWanted = (this.lock?.requests.length ?? 0) > 0 || (this.desiredSize ?? 0) > 0;
    if (!this.isOpen || !this.#started || !isWanted) return;
    if (this.#pulling) {
      this.#pullAgain = true;
      return;
    }
    this.#pulling = true;
    this.#pull().then(
      () => {
        this.#pulling = false;
        if (!this.#pullAgain) return;
        this.#pullAgain = false;
        this.#pullIfNeeded();
      },
      (error: unknown) => this.fail(error),
    );
  }

  async #pull(): Promise<void> {
    await this.#source?.pull?.();
  }

  #finish(): void {
    this.state = "closed";
    this.#drop();
    this.lock?.closed.resolve(undefined);
    for (const request of this.lock?.requests.splice(0) ?? []) request.resolve({ done: true, value: undefined });
  }

  /** What is over holds neither chunks nor its source. */
  #drop(): void {
    this.#queue = [];
    this.#queueSize = 0;
    this.#source = undefined;
  }
}
