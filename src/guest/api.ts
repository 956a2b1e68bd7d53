/**
 * `import … from "perdure"`: what a program may use beyond the web's globals. These functions work inside a Perdure
 * process only; elsewhere they throw OPERATION_OUTSIDE.
 */
import { durationMs } from "../base/duration.ts";
import type { Duration } from "../base/duration.ts";
import type { Pid } from "../journal/types.ts";
import { now } from "./prelude/intrinsics.ts";
import { self as currentPid } from "./process.ts";
import { send as sendCommand, startTimer, stopTimer } from "./runtime.ts";
import { createWait } from "./wait.ts";
import type { AbortSignalLike } from "./wait.ts";

export { PerdureError } from "../base/errors.ts";
export type { ErrorCode } from "../base/errors.ts";
export type { Duration } from "../base/duration.ts";
export type { Pid } from "../journal/types.ts";
export { receive, TimeoutError } from "./mailbox.ts";
export type { ReceiveOptions } from "./mailbox.ts";
export { signal } from "./process.ts";
export { CancelledError } from "./wait.ts";
export type { AbortSignalLike } from "./wait.ts";

export interface SleepOptions {
  /** Rejects with the signal's reason when it fires. */
  signal?: AbortSignalLike;
}

/**
 * Waits for `duration` of wall time: milliseconds, or text such as `"3 days"`. It survives anything: a node that was
 * down when the time came resumes the process as soon as it is up. Rejects with `CancelledError` when the process is
 * cancelled.
 */
export function sleep(duration: Duration, options: SleepOptions = {}): Promise<void> {
  const delayMs = durationMs(duration);
  let timer = 0;
  const wait = createWait<void>(() => stopTimer(timer), options.signal);
  if (options.signal?.aborted !== true) timer = startTimer("wall", now() + delayMs, () => wait.resolve());
  return wait.promise;
}

/** Sends a message to another process: exactly once, and in order among the messages from this process to that one. */
export function send(to: Pid, message: unknown): void {
  sendCommand(to, message);
}

/** This process's pid: the id it was started with, or the one it was given. */
export function self(): Pid {
  return currentPid();
}
