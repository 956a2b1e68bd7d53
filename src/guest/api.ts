/**
 * `import … from "perdure"`: what a program may use beyond the web's globals. These functions work inside a Perdure
 * process only; elsewhere they throw OPERATION_OUTSIDE.
 */
import { durationMs } from "../base/duration.ts";
import type { Duration } from "../base/duration.ts";
import type { Pid } from "./pid.ts";
import { now } from "./prelude/intrinsics.ts";
import { self as currentPid } from "./process.ts";
import { send as sendCommand, startTimer, stopTimer } from "./runtime.ts";
import { createWait } from "./wait.ts";
import type { AbortSignalLike } from "./wait.ts";

export { PerdureError } from "../base/errors.ts";
export type { ErrorCode } from "../base/errors.ts";
export { OperationAbortedError, OperationTimeoutError, UncertainOperationError } from "../base/operation-errors.ts";
export type { Duration } from "../base/duration.ts";
export { cancelTimer, checkpoint, sendAfter } from "./later.ts";
export type { Timer } from "./later.ts";
export { mailbox, receive, TimeoutError } from "./mailbox.ts";
export type { Mailbox, MatchOptions, ReceiveOptions } from "./mailbox.ts";
export type { Class, Matched } from "./match.ts";
export { isAlive, join, leave, members, pause, register, resume, unregister, whereis } from "./names.ts";
export type { Pid } from "./pid.ts";
export { Refusal } from "./otp/errors.ts";
export type { CallTimeout } from "./otp/call.ts";
export { Reply } from "./otp/reply.ts";
export { Server } from "./otp/server.ts";
export type { InitArgs, ServerClass, Started } from "./otp/server.ts";
export type { KeyedRef, ServerRef } from "./otp/server-ref.ts";
export { ignore } from "./otp/start.ts";
export type { Ignore } from "./otp/start.ts";
export { checkChildSpecs, Supervisor, supervisor, SupervisorRef } from "./otp/supervisor/supervisor.ts";
export type { StartedSupervisor, SupervisorStart } from "./otp/supervisor/supervisor.ts";
export type {
  Backoff,
  ChildCounts,
  ChildInfo,
  ChildSpec,
  DeleteChildResult,
  EntryStart,
  ListFlags,
  PoolFlags,
  Recover,
  RecoveryLadder,
  Restart,
  RestartChildResult,
  Result,
  Shutdown,
  SpecProblem,
  Start,
  StartChildResult,
  Strategy,
  SupervisorFlags,
  SupervisorInit,
  SupervisorSpec,
  SupervisorSpecification,
  TemplateSpec,
  TerminateChildResult,
  WorkerSpec,
} from "./otp/supervisor/types.ts";
export { SupervisedTasks, Task, taskSupervisor } from "./otp/task.ts";
export type { StreamOptions } from "./otp/task-stream.ts";
export { signal } from "./process.ts";
export { Saga, SagaError } from "./saga.ts";
export type { SagaOptions, SagaRetry, StepOptions } from "./saga.ts";
export { cancel, demonitor, exit, link, monitor, trapExit, unlink } from "./relations.ts";
export { Down, Exit } from "./signals.ts";
export type { Monitor } from "./signals.ts";
export { spawn, spawnLink, spawnMonitor } from "./spawn.ts";
export type { PidOf, Spawnable } from "./spawn.ts";
export { CancelledError } from "./wait.ts";
export type { AbortSignalLike } from "./wait.ts";

declare global {
  /** `fetch` inside a program knows more than the web's; see docs/fetch.md. */
  interface RequestInit {
    /**
     * True: the request bears an `Idempotency-Key` that is the same however often it has to be sent, and differs from every other
     * request's. A text is a key of your own. Either way the request is sent at least once, whatever its method. Default false.
     */
    idempotencyKey?: boolean | string | undefined;
  }
}

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

/**
 * Sends a message to another process, by pid or registered name: exactly once, and in order among the messages from this
 * process to that one. A message to nobody is dropped. What the receiver does not understand, its pid refuses to compile.
 */
export function send<Message>(to: Pid<Message>, message: NoInfer<Message>): void {
  sendCommand(to, message);
}

/** This process's pid: the id it was started with, or the one it was given. */
export function self<Message = any>(): Pid<Message> {
  return currentPid();
}
