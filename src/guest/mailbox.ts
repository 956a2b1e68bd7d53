import { durationMs } from "../base/duration.ts";
import type { Duration } from "../base/duration.ts";
import { matches } from "./match.ts";
import type { Class, Matched } from "./match.ts";
import type { Pid } from "./pid.ts";
import { now } from "./prelude/intrinsics.ts";
import { self } from "./process.ts";
import { startTimer, stopTimer } from "./runtime.ts";
import { Crashed, Exit, Internal } from "./signals.ts";
import type { Down } from "./signals.ts";
import { createWait } from "./wait.ts";
import type { AbortSignalLike } from "./wait.ts";

/** `receive` gave up after its timeout. */
export class TimeoutError extends Error {
  override get name(): string {
    return "TimeoutError";
  }
}

export interface ReceiveOptions<T> {
  /**
   * Takes the first message this says yes to; the others stay in the mailbox, in order. A type guard, a class, or a pattern
   * such as `{ type: "add", count: Number }` (see `Matched`). Default: any message.
   */
  match?: ((message: unknown) => message is T) | Class<T>;
  /**
   * Rejects with `TimeoutError` after this long. Default: waits for ever. Time during which no node runs the process
   * does not count: the sender is not to blame for it.
   */
  timeout?: Duration;
  /** Rejects with the signal's reason when it fires; no message is lost by that. */
  signal?: AbortSignalLike;
}

/** As `ReceiveOptions`, with a pattern. */
export interface MatchOptions<P> extends Omit<ReceiveOptions<unknown>, "match"> {
  match: P;
}

/**
 * A mailbox that knows its messages. A function that is spawned says by the type of its `this` what may be sent to it, and its
 * pid knows:
 *
 *     export async function counter(this: Mailbox<Add | Get>, start: number) {
 *       const message = await this.receive();
 *
 * Elsewhere `mailbox<Add | Get>()` gives it. There is one mailbox for each process; the type is for the compiler.
 */
export interface Mailbox<Message> {
  /** This process, as those know it who may send it such messages. */
  readonly pid: Pid<Exclude<Message, Exit | Down>>;
  /** As `receive`. */
  receive(options?: Omit<ReceiveOptions<Message>, "match">): Promise<Message>;
  receive<const P>(options: MatchOptions<P>): Promise<Narrowed<Message, Matched<P>>>;
}

/** Those of a mailbox's messages that a pattern takes. */
export type Narrowed<Message, T> = [Extract<Message, T>] extends [never] ? Message & T : Extract<Message, T>;

interface Receiver {
  accepts(message: unknown): boolean;
  take(message: unknown): void;
}

/** Messages nobody has taken yet: `waiting[head]` is the oldest. What lies before is gone. */
const waiting: unknown[] = [];
/** Their numbers, see `messageNumber`; 0 for what is no message. */
const numbers: number[] = [];
/** Of the message that is being delivered. */
let arriving = 0;
/** Of the message taken last since the input at hand came in. If the process fails now, that is suspected. */
let taken = 0;
let head = 0;
let exitsWaiting = 0;
const receivers: Receiver[] = [];

/**
 * The next message of this process's mailbox, in order of arrival; waits if there is none. Messages come from
 * `handle.send`, `perdure send` and other processes; those of a process that traps exits or monitors others are also
 * instances of `Exit` and `Down`. Rejects with `TimeoutError`, with the signal's reason, or with `CancelledError`.
 */
export function receive<T = unknown>(options?: ReceiveOptions<T>): Promise<T>;
export function receive<const P>(options: MatchOptions<P>): Promise<Matched<P>>;
export function receive(options: Partial<MatchOptions<unknown>> = {}): Promise<unknown> {
  const { match, timeout, signal } = options;
  const timeoutMs = timeout === undefined ? undefined : durationMs(timeout);
  const accepts = (message: unknown): boolean =>
    !(message instanceof Internal) && (match === undefined || matches(match, message));
  if (signal?.aborted !== true) {
    const found = takeWaiting(accepts);
    if (found !== nothing) return Promise.resolve(found);
  }
  return park(accepts, timeoutMs, signal);
}

const view: Mailbox<unknown> = {
  get pid() {
    return self();
  },
  receive,
};

/** This process's mailbox, for code that is not the spawned function itself. */
export function mailbox<Message = any>(): Mailbox<Message> {
  return view as Mailbox<Message>;
}

/**
 * For behaviours: the first item that is accepted, internal ones among them. A cancel does not cut it short; behaviours are
 * told of it by a message.
 */
export function takeItem<T>(accepts: (item: unknown) => item is T): Promise<T> {
  const found = takeWaiting(accepts);
  return found === nothing ? awaitItem(accepts) : Promise.resolve(found as T);
}

/**
 * The same for what cannot be there yet, such as a sign of a process that was spawned just now: a full mailbox is not looked
 * through for it.
 */
export function awaitItem<T>(accepts: (item: unknown) => item is T): Promise<T> {
  return new Promise((resolve) => {
    const receiver: Receiver = {
      accepts,
      take(item) {
        receivers.splice(receivers.indexOf(receiver), 1);
        resolve(item as T);
      },
    };
    receivers.push(receiver);
  });
}

/** The same for a program's own waits: a cancel rejects it. */
export function awaitItemOrCancel<T>(accepts: (item: unknown) => item is T): Promise<T> {
  return park(accepts, undefined, undefined) as Promise<T>;
}

/** Takes out and forgets what is accepted among the items that wait now. */
export function flush(accepts: (item: unknown) => boolean): void {
  for (let index = head; index < waiting.length;) {
    if (accepts(waiting[index])) index = remove(index);
    else index++;
  }
}

/** The same for notices of the ends of processes. Mostly there are none, however full the mailbox is. */
export function flushExits(from: (pid: Pid) => boolean): void {
  if (exitsWaiting > 0) flush((item) => isNotice(item) && from(item.from));
}

function isNotice(item: unknown): item is Exit | Crashed {
  return item instanceof Exit || item instanceof Crashed;
}

const nothing = Symbol("nothing");

function takeWaiting(accepts: Receiver["accepts"]): unknown {
  for (let index = head; index < waiting.length; index++) {
    const item = waiting[index];
    if (!accepts(item)) continue;
    taken = numbers[index]!;
    remove(index);
    return item;
  }
  return nothing;
}

/** The index of the one after it, which may have moved. */
function remove(index: number): number {
  if (isNotice(waiting[index])) exitsWaiting--;
  if (index === head) return dropHead();
  waiting.splice(index, 1);
  numbers.splice(index, 1);
  return index;
}

/** To be called before each input. */
export function beginInput(message: number): void {
  arriving = message;
  taken = 0;
}

export function takenMessage(): number {
  return taken;
}

/** The message of this number made the process fail when it was taken: nobody shall take it again. */
export function discardMessage(number: number): void {
  const index = numbers.indexOf(number, head);
  if (index !== -1) remove(index);
}

/** Moving all others up for each message would make a full mailbox slow. */
function dropHead(): number {
  waiting[head++] = undefined;
  if (head === waiting.length) {
    waiting.length = 0;
    numbers.length = 0;
    head = 0;
  } else if (head >= 512 && head * 2 >= waiting.length) {
    waiting.splice(0, head);
    numbers.splice(0, head);
    head = 0;
  }
  return head;
}

function park(
  accepts: Receiver["accepts"],
  timeoutMs: number | undefined,
  signal: AbortSignalLike | undefined,
): Promise<unknown> {
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
      wait.resolve(message);
    },
  };
  const wait = createWait<unknown>(leave, signal);
  if (signal?.aborted === true) return wait.promise;
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
  if (receiver !== undefined) {
    taken = arriving;
    return receiver.take(message);
  }
  waiting.push(message);
  numbers.push(arriving);
  if (isNotice(message)) exitsWaiting++;
}
