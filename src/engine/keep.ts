/** How users say what is kept of finished processes. */
import { durationMs } from "../base/duration.ts";
import type { Duration } from "../base/duration.ts";
import { PerdureError } from "../base/errors.ts";
import type { KeepPolicy } from "../kernel/keep.ts";

/**
 * How long a finished process is kept: "forever", a duration since its end, or any of the limits. It is pruned as soon as one of them
 * says so.
 */
export type Keep =
  | Duration
  | {
      /** How long after its end a process is kept: a duration or "forever". Default "forever". */
      readonly age?: Duration;
      /** How many finished processes are kept, those that ended last. All count, failed ones too. Default all. */
      readonly count?: number;
      /** How long those that failed are kept, in place of `age`: a duration or "forever". Default as long as the others. */
      readonly failures?: Duration;
    };

export interface KeepOptions {
  readonly keep?: Keep;
  /** A duration since the end, or "forever". */
  readonly tombstones?: Duration;
  /** A duration since it was asked first, or "forever". */
  readonly keys?: Duration;
}

/** Throws DURATION_INVALID, ARGUMENT_INVALID. */
export function keepPolicy({ keep = "forever", tombstones = "forever", keys = "forever" }: KeepOptions): KeepPolicy {
  const limits = typeof keep === "object" ? keep : { age: keep };
  const ageMs = lengthMs(limits.age);
  return {
    ageMs,
    failuresMs: limits.failures === undefined ? ageMs : lengthMs(limits.failures),
    count: limits.count === undefined ? Infinity : checkedCount(limits.count),
    tombstonesMs: lengthMs(tombstones),
    keysMs: lengthMs(keys),
  };
}

function lengthMs(length: Duration = "forever"): number {
  return length === "forever" ? Infinity : durationMs(length);
}

function checkedCount(count: number): number {
  if (Number.isSafeInteger(count) && count >= 0) return count;
  throw new PerdureError(
    "ARGUMENT_INVALID",
    `keep.count is ${String(count)}; it must be a whole number from 0, such as 10_000.`,
  );
}
