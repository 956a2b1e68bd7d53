/** What became of operations whose result nobody waits for any more. */
import type { DroppedOperation } from "../journal/types.ts";
import type { TurnEffects } from "./effects.ts";
import type { Live, PendingOperation } from "./live.ts";

export function droppedOperation({ row, token, settled }: PendingOperation): DroppedOperation {
  const { number, name, attempt } = row;
  return { number, name, state: stateOf(row, token !== undefined, settled), attempt };
}

function stateOf(
  { state, attempt, startedAtMs, deaths }: PendingOperation["row"],
  isUnderway: boolean,
  settled: boolean,
): DroppedOperation["state"] {
  if (settled) return "ended";
  if (isUnderway || startedAtMs > 0 || deaths > 0) return "running";
  return attempt > 1 || state !== "pending" ? "waiting" : "queued";
}

/**
 * Those that a turn gives up: it takes them back, or its process exits. To be called before the turn is staged. What it issues and
 * takes back again never existed; what it issues and exits over never begins.
 */
export function droppedBy(
  live: Live,
  { operations, operationsGone, operationsAborted, exit }: TurnEffects,
): DroppedOperation[] {
  const aborted = new Set(operationsAborted);
  const gone = new Set(operationsGone);
  const dropped: DroppedOperation[] = [];
  if (aborted.size > 0 || exit !== undefined) {
    for (const [number, operation] of live.operations) {
      const isDropped = exit === undefined ? aborted.has(number) : aborted.has(number) || !gone.has(number);
      if (isDropped) dropped.push(droppedOperation(operation));
    }
  }
  if (exit === undefined) return dropped;
  for (const row of operations) dropped.push(droppedOperation({ row, token: undefined, settled: false }));
  return dropped;
}
