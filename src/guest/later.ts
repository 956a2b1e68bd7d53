import { durationMs } from "../base/duration.ts";
import type { Duration } from "../base/duration.ts";
import { encodeValue } from "../base/value.ts";
import { requirePid } from "./pid.ts";
import type { Pid } from "./pid.ts";
import { now } from "./prelude/intrinsics.ts";
import { emitKind, issue, sendEncoded, startTimer, stopTimer } from "./runtime.ts";

/** A message that is to be sent later. */
export class Timer {
  readonly number: number;
  /** When it is due, in milliseconds since 1970. */
  readonly dueMs: number;

  constructor(number: number, dueMs: number) {
    this.number = number;
    this.dueMs = dueMs;
  }
}

const pending = new Set<number>();

/**
 * Sends a message after `delay` of wall time, as it is now. The timer belongs to this process: it survives whatever the process
 * survives and ends with it.
 */
export function sendAfter<Message>(to: Pid<Message>, message: NoInfer<Message>, delay: Duration): Timer {
  requirePid(to, "sendAfter");
  const payload = encodeValue(message);
  const dueMs = now() + durationMs(delay);
  const number = startTimer("wall", dueMs, () => {
    pending.delete(number);
    sendEncoded(to, payload);
  });
  pending.add(number);
  return new Timer(number, dueMs);
}

/** Takes a message back that has not been sent yet. False if it has. */
export function cancelTimer(timer: Timer): boolean {
  if (!pending.delete(timer.number)) return false;
  stopTimer(timer.number);
  return true;
}

/**
 * Marks a heap that this process may be restored to (`recover: "checkpoint"`): the one at the end of this turn. After a
 * restore the program goes on behind `await checkpoint()` once more.
 */
export function checkpoint(): Promise<void> {
  issue(emitKind.checkpoint, 0, "", "");
  // What comes after it has to run in another turn: the checkpoint is the heap while this wait is pending.
  return new Promise((resolve) => startTimer("service", now(), resolve));
}
