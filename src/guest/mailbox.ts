import { durationMs } from "../base/duration.ts";
import type { Duration } from "../base/duration.ts";
import { now } from "./prelude/intrinsics.ts";
import { startTimer, stopTimer } from "./runtime.ts";
import { createWait } from "./wait.ts";
import type { AbortSignalLike } from "./wait.ts";

/** `receive` gave up after its timeout. */
export class TimeoutError extends Error {
  override get name(): string {
    return "TimeoutError";
  }
}

export interface ReceiveOptions<T> {
  /** Takes the first message this says yes to; the others stay in the mailbox, in order. Default: any message. */
  match?: (message: unknown) => message is T;
  /**
   * Rejects with `TimeoutError` after this long. Default: waits for ever. Time during which no node runs the process
   * does not count: the sender is not to blame for it.
   */
  timeout?: Duration;
  /** Rejects with the signal's reason when it fires; no message is lost by that. */
  signal?: AbortSignalLike;
}

interface Receiver {
  accepts(message: unknown): boolean;
  take(message: unknown): void;
}

const messages: unknown[] = [];
const receivers: Receiver[] = [];

/**
 * The next message of this process's mailbox, in order of arrival; waits if there is none. Messages come from
 * `handle.send`, `perdure send` and other processes.
 */
export function receive<T = unknown>(options: ReceiveOptions<T> = {}): Promise<T> {
  const match = options.match;
  const accepts = (message: unknown): boolean => match === undefined || match(message);
  if (options.signal?.aborted !== true) {
    const waiting = messages.findIndex(accepts);
    if (waiting !== -1) return Promise.resolve(messages.splice(waiting, 1)[0] as T);
  }
  return park<T>(accepts, options);
}

function park<T>(accepts: Receiver["accepts"], options: ReceiveOptions<T>): Promise<T> {
  let timer: number | undefined;
  const leave = (): void => {
    const index = receivers.indexOf(receiver);
    if (index !== -1) receivers.splice(index, 1);
    if (timer !== undefined) stopTimer(timer);
  };
  const receiver: Receiver = {
    accepts,
    take(message) {
      leave();
      wait.resolve(message as T);
    },
  };
  const timeoutMs = options.timeout === undefined ? undefined : durationMs(options.timeout);
  const wait = createWait<T>(leave, options.signal);
  if (options.signal?.aborted === true) return wait.promise;
  receivers.push(receiver);
  if (timeoutMs !== undefined) {
    timer = startTimer("service", now() + timeoutMs, () => {
      timer = undefined;
      leave();
      wait.reject(new TimeoutError(`No matching message arrived within ${timeoutMs} ms.`));
    });
  }
  return wait.promise;
}

/** Called by the core with each message that arrives. */
export function deliverMessage(message: unknown): void {
  const receiver = receivers.find((candidate) => candidate.accepts(message));
  if (receiver === undefined) messages.push(message);
  else receiver.take(message);
}
