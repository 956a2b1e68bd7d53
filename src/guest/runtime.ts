/**
 * The floor of everything inside the sandbox: operations, timers, log and randomness, on top of the one function the
 * machine gives (`emit`). The web's globals (`prelude/`) and the `perdure` API stand on these functions and reach the
 * host by no other way.
 *
 * All state is local to this module, so it is part of the process's memory and as durable as the program's own variables.
 */
import { PerdureError } from "../base/errors.ts";
import { decodeValue, encodeError, encodeValue } from "../base/value.ts";
import type { Payload } from "../base/value.ts";
import type { ExitReason, LogLevel, TimerClock } from "../journal/types.ts";
import { reviveErrors } from "./operation-errors.ts";
import { toWellFormed } from "./prelude/intrinsics.ts";

/**
 * Hands one command to the host. Strings are passed as they are (primitives), chunks as whole buffers. The machine sets it
 * before the prelude is evaluated; see `machine/protocol.ts` for what each kind carries.
 */
export type Emit = (kind: number, number: number, a: string, b: string, ...chunks: ArrayBuffer[]) => void;

export const emitKind = {
  operation: 1,
  abort: 2,
  timer: 3,
  clearTimer: 4,
  send: 5,
  log: 6,
  exit: 7,
  spawn: 8,
  link: 9,
  unlink: 10,
  monitor: 11,
  demonitor: 12,
  signal: 13,
  trapExit: 14,
  checkpoint: 15,
  cancel: 16,
} as const;

/**
 * Numbers that this process gives out, from 1. After it was restored to a checkpoint, they go on far above all that it gave
 * out before: what is still under way for those must not be taken for something new.
 */
export class Counter {
  last = 0;

  constructor() {
    counters.push(this);
  }

  next(): number {
    return ++this.last;
  }
}

const counters: Counter[] = [];
const numbersPerLife = 1e9;
let life = 1;

/** Which life of the process this is, see the `restore` input. */
export function currentLife(): number {
  return life;
}

/** The heap is that of a checkpoint: another life begins. */
export function beginLife(number: number): void {
  life = number;
  for (const counter of counters) counter.last = number * numbersPerLife;
}

/** An operation as whoever issued it holds it. */
export interface IssuedOperation {
  readonly promise: Promise<unknown>;
  /** Forgets the operation: its promise rejects with `reason`, the host is told, a result that comes anyway is dropped. No-op once settled. */
  abort(reason: unknown): void;
}

class PendingOperation implements IssuedOperation {
  readonly number: number;
  readonly isBrief: boolean;
  readonly promise: Promise<unknown>;
  resolve!: (value: unknown) => void;
  reject!: (error: unknown) => void;

  constructor(number: number, isBrief: boolean) {
    this.number = number;
    this.isBrief = isBrief;
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  abort(reason: unknown): void {
    if (!operations.delete(this.number)) return;
    issue(emitKind.abort, this.number, "", "");
    this.reject(reason);
  }
}

let emit: Emit | undefined;
const operationNumbers = new Counter();
const timerNumbers = new Counter();
const operations = new Map<number, PendingOperation>();
const timers = new Map<number, () => void>();
/** Timers that keep no program alive. */
const unawaited = new Set<number>();

/** True between the start input and the exit command: only then may commands be issued. */
let alive = false;
/** Set when module evaluation reached for something that differs between processes; then it cannot be part of an image. */
let impure = false;

export function connect(hostEmit: Emit): void {
  emit = hostEmit;
}

/** Called by anything nondeterministic (time apart, which the machine sees itself). */
export function markImpure(): void {
  if (!alive) impure = true;
}

export function isImpure(): boolean {
  return impure;
}

export function begin(): void {
  alive = true;
}

/** How many operations and timers are pending: a program without an entry function ends when nothing is. */
export function pendingCount(): number {
  return operations.size + timers.size - unawaited.size;
}

/** The engine passes at most 65,535 arguments to a function. */
const maxChunks = 65_000;
/** The last instant a Date can name. */
const maxTimeMs = 8.64e15;

/** For the modules that give the process's commands their meaning. */
export function issue(kind: number, number: number, a: string, b: string, chunks?: readonly Uint8Array[]): void {
  if (emit === undefined) {
    throw new PerdureError(
      "OPERATION_OUTSIDE",
      "This function works only inside a Perdure process. Start the program with `perdure run` or `Engine.start`.",
    );
  }
  // While an image is built nobody listens: the attempt alone tells that this program must be evaluated per process.
  if (!alive) {
    impure = true;
    return;
  }
  if (chunks === undefined) emit(kind, number, a, b);
  else emit(kind, number, a, b, ...wholeBuffers(chunks));
}

/** The border takes whole buffers: a view of a larger one is copied out of it. */
function wholeBuffers(chunks: readonly Uint8Array[]): ArrayBuffer[] {
  if (chunks.length > maxChunks) {
    throw new PerdureError(
      "VALUE_TOO_LARGE",
      `A value with ${chunks.length} buffers cannot cross the sandbox's border: the limit is ${maxChunks}. Put the bytes into fewer, larger ones.`,
      { details: { buffers: chunks.length, limitBuffers: maxChunks } },
    );
  }
  const buffers: ArrayBuffer[] = [];
  for (let index = 0; index < chunks.length; index++) {
    const chunk = chunks[index]!;
    const alone = chunk.length === chunk.buffer.byteLength ? chunk : chunk.slice();
    buffers[index] = alone.buffer as ArrayBuffer;
  }
  return buffers;
}

/**
 * Starts an operation on the host. `options` is for built-in operations only (names beginning with `perdure:`) and is part
 * of what replay compares. `isBrief`: the kernel answers it at once, so that no cancel cuts it short. Throws VALUE_NOT_CLONEABLE or VALUE_TOO_LARGE at once if an argument cannot cross.
 */
export function issueOperation(name: string, args: readonly unknown[], options = "", isBrief = false): IssuedOperation {
  const payload = encodeValue(args);
  const operation = new PendingOperation(operationNumbers.last + 1, isBrief);
  // Name and options share one string, so that every command has the same shape; names contain no line breaks.
  issue(
    emitKind.operation,
    operation.number,
    options === "" ? name : `${name}\n${options}`,
    payload.text,
    payload.chunks,
  );
  // Only now: if it could not be issued, there is nothing to wait for.
  operationNumbers.last = operation.number;
  operations.set(operation.number, operation);
  return operation;
}

/** Rejects all that may take long and are pending now; those that cleanup code starts afterwards are left alone. */
export function abortOperations(reason: () => unknown): void {
  for (const operation of [...operations.values()]) if (!operation.isBrief) operation.abort(reason());
}

export function settleOperation(number: number, ok: boolean, value: Payload): void {
  const pending = operations.get(number);
  if (pending === undefined) return;
  operations.delete(number);
  if (ok) pending.resolve(decodeValue(value));
  else pending.reject(reviveErrors(decodeValue(value)));
}

/** Calls `fire` once, in a turn of its own, when `clock` reaches `dueMs`. A program without an entry ends although it has not fired unless `isAwaited`. */
export function startTimer(clock: TimerClock, dueMs: number, fire: () => void, isAwaited = true): number {
  const number = timerNumbers.last + 1;
  issue(emitKind.timer, number, clock, `${dueMs > maxTimeMs ? maxTimeMs : dueMs}`);
  timerNumbers.last = number;
  timers.set(number, fire);
  if (!isAwaited) unawaited.add(number);
  return number;
}

export function stopTimer(number: number): void {
  unawaited.delete(number);
  if (timers.delete(number)) issue(emitKind.clearTimer, number, "", "");
}

export function fireTimer(number: number): void {
  const fire = timers.get(number);
  timers.delete(number);
  unawaited.delete(number);
  fire?.();
}

export function log(level: LogLevel, text: string): void {
  issue(emitKind.log, 0, level, toWellFormed(text));
}

/** Throws ARGUMENT_INVALID if `to` is no text, and what `encodeValue` throws. */
export function send(to: string, message: unknown): void {
  if (typeof to !== "string") {
    throw new PerdureError("ARGUMENT_INVALID", `A message is sent to a pid, which is a string, not to a ${typeof to}.`);
  }
  sendEncoded(to, encodeValue(message));
}

export function sendEncoded(to: string, { text, chunks }: Payload): void {
  issue(emitKind.send, 0, toWellFormed(to), text, chunks);
}

/**
 * The process's last command. Nothing is delivered to it afterwards, and nothing it still does is heard. A result that cannot
 * cross the border throws; of an error that cannot, what can be said of it crosses. `taken`: the message that is suspected, 0 for
 * none.
 */
export function exit(reason: ExitReason, value: unknown, taken = 0): void {
  if (!alive) return;
  const payload = reason === "normal" ? encodeValue(value) : encodeError(value);
  issue(emitKind.exit, taken, reason, payload.text, payload.chunks);
  alive = false;
}
