/** Calls, as `gen_server:call` makes them: a monitor, a message, and a timer of the caller's. */
import { durationMs } from "../../base/duration.ts";
import { PerdureError } from "../../base/errors.ts";
import { encodeValue } from "../../base/value.ts";
import type { Payload } from "../../base/value.ts";
import { revived } from "../kernel-operations.ts";
import { requirePid } from "../pid.ts";
import type { Pid } from "../pid.ts";
import { now } from "../prelude/intrinsics.ts";
import { self } from "../process.ts";
import { demonitor, watch } from "../relations.ts";
import { Counter, sendEncoded, startTimer, stopTimer } from "../runtime.ts";
import { createWait } from "../wait.ts";
import { callRefused, revivedRefusal, serverGone } from "./errors.ts";

/** How long a call waits, unless `within` says otherwise. */
export const callTimeoutMs = 5000;

/** How long to wait for an answer: a duration, or `"infinity"`, which has no limit. */
export type CallTimeout = "infinity" | number | (string & {});

export function timeoutMsOf(timeout: CallTimeout): number {
  return timeout === "infinity" ? Infinity : durationMs(timeout);
}

/** Takes the answer to a reference that was given out, see `expectReply`. */
type Settle = (ok: boolean, value: unknown, mark: unknown) => void;

const references = new Counter();
const expected = new Map<unknown, Settle>();

/** A reference, and who takes the reply that bears it. `forgetReply` must follow if none comes. */
export function expectReply(settle: Settle): number {
  const ref = references.next();
  expected.set(ref, settle);
  return ref;
}

export function forgetReply(ref: number): void {
  expected.delete(ref);
}

/** Called by the core. A reply that nobody waits for any more is dropped. */
export function deliverReply(ref: unknown, ok: boolean, value: unknown, mark: unknown): void {
  const settle = expected.get(ref);
  expected.delete(ref);
  settle?.(ok, value, mark);
}

/**
 * Calls a method of the server behind a pid or a registered name. Rejects with the server's `Refusal`, with CALL_REFUSED if it
 * has no such method, with SERVER_GONE if it ends before it answers, with CALL_TIMEOUT after `timeoutMs` of service time,
 * and with what `encodeValue` throws.
 */
export async function call(
  target: Pid,
  method: string,
  args: readonly unknown[],
  timeoutMs: number = callTimeoutMs,
): Promise<unknown> {
  requirePid(target, `A call of ${method}`);
  if (target === self()) throw callRefused(target, method, "a process that calls itself would wait for ever");
  let timer: number | undefined;
  const stop = (): void => {
    forgetReply(ref);
    demonitor(monitor);
    if (timer !== undefined) stopTimer(timer);
  };
  const ref = expectReply((ok, value, mark) => {
    stop();
    if (ok) wait.resolve(value);
    else wait.reject(mark === "refusal" ? revivedRefusal(value) : revived(value));
  });
  const giveUp = (error: PerdureError): void => {
    stop();
    wait.reject(error);
  };
  const payload = encoded(ref, ["perdure:call", ref, self(), method, args]);
  const monitor = watch(target, ({ reason }) => giveUp(serverGone(target, method, reason)));
  const wait = createWait<unknown>(stop);
  sendEncoded(target, payload);
  if (timeoutMs < Infinity) {
    timer = startTimer("service", now() + timeoutMs, () => giveUp(late(target, method, timeoutMs)));
  }
  return await wait.promise;
}

function encoded(ref: number, list: readonly unknown[]): ReturnType<typeof encodeValue> {
  try {
    return encodeValue(list);
  } catch (error) {
    forgetReply(ref);
    throw error;
  }
}

function late(target: Pid, method: string, timeoutMs: number): PerdureError {
  return new PerdureError("CALL_TIMEOUT", `${target} did not answer ${method} within ${timeoutMs} ms.`, {
    details: { pid: target, method, timeoutMs },
  });
}

/** Tells a server to run a method; there is no answer. To nobody, it is lost. */
export function cast(target: Pid, method: string, args: readonly unknown[]): void {
  requirePid(target, `A cast of ${method}`);
  sendEncoded(target, encodeCast(method, args));
}

/** Throws what `encodeValue` throws. */
export function encodeCast(method: string, args: readonly unknown[]): Payload {
  return encodeValue(["perdure:cast", method, args]);
}
