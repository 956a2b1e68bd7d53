/** `performance`: milliseconds since the process's start, as whole as the turn's time is. */
import { markImpure } from "../runtime.ts";
import { now } from "./intrinsics.ts";

let originMs: number | undefined;

/** Wall time of the process's start. */
export function setTimeOrigin(timeMs: number): void {
  originMs = timeMs;
}

function origin(): number {
  if (originMs !== undefined) return originMs;
  // While modules are evaluated there is no process yet whose start this could be.
  markImpure();
  return now();
}

/** Milliseconds since the process's start. */
export function sinceStartMs(): number {
  return Math.max(0, now() - origin());
}

export class Performance {
  now(): number {
    return sinceStartMs();
  }

  get timeOrigin(): number {
    return origin();
  }

  toJSON(): { timeOrigin: number } {
    return { timeOrigin: origin() };
  }
}

export const performance: Performance = new Performance();
