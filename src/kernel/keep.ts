/** What is kept of finished processes. Pure: the policy, and what it says of one of them. */
import { failureReasons } from "../journal/types.ts";
import type { FinishedPlace, FinishedRow } from "../store/port.ts";

/** Each limit stands for itself: a process goes as soon as one of them says so. Infinity is for ever. */
export interface KeepPolicy {
  /** How long after its end a process is kept; and programs that nothing refers to, since they were deployed. */
  readonly ageMs: number;
  /** The same for those that failed, in place of `ageMs`. */
  readonly failuresMs: number;
  /** So many finished processes are kept, those that ended last. All of them count. */
  readonly count: number;
  /** How long after a process's end its tombstone is kept. */
  readonly tombstonesMs: number;
  /** How long what callers asked under keys of their own is remembered, since it was asked first. */
  readonly keysMs: number;
}

export const keepForever: KeepPolicy = {
  ageMs: Infinity,
  failuresMs: Infinity,
  count: Infinity,
  tombstonesMs: Infinity,
  keysMs: Infinity,
};

export function prunesProcesses({ ageMs, failuresMs, count }: KeepPolicy): boolean {
  return Math.min(ageMs, failuresMs, count) < Infinity;
}

/** No process that ended later is due. `beyond`: the newest process that is not among the newest `count`. */
export function latestDueMs(
  { ageMs, failuresMs }: KeepPolicy,
  beyond: FinishedPlace | undefined,
  nowMs: number,
): number {
  return Math.max(nowMs - Math.min(ageMs, failuresMs), beyond?.atMs ?? -Infinity);
}

export function isDue(
  row: Omit<FinishedRow, "held">,
  policy: KeepPolicy,
  beyond: FinishedPlace | undefined,
  nowMs: number,
): boolean {
  const keptMs = failureReasons.includes(row.reason) ? policy.failuresMs : policy.ageMs;
  if (row.atMs <= nowMs - keptMs) return true;
  return beyond !== undefined && (row.atMs < beyond.atMs || (row.atMs === beyond.atMs && row.key <= beyond.key));
}
