/** What a process waits for, in a few words. */
import type { ProcessDetails } from "../engine/views.ts";
import { formatDuration, formatIn } from "./time.ts";
import { count } from "./text.ts";

export type Waiting = Pick<ProcessDetails, "state" | "lacks" | "turns" | "operations" | "timers" | "inbox">;

export interface WaitingOptions {
  readonly nowMs: number;
  /** Without a node nothing moves. */
  readonly nodeRuns: boolean;
}

/** "charge (attempt 2, next in 3s)", "a timer, due in 2h 5m", "a message"; "" when it waits for nothing but its turn. */
export function describeWaiting(details: Waiting, options: WaitingOptions): string {
  const parts = waitsFor(details, options);
  return parts.length <= 2 ? parts.join(", ") : `${parts.slice(0, 2).join(", ")} and ${parts.length - 2} more`;
}

/** Each thing a process waits for. */
export function waitsFor(
  { state, lacks, turns, operations, timers, inbox }: Waiting,
  { nowMs, nodeRuns }: WaitingOptions,
): string[] {
  if (state === "crashed") return ["its supervisor"];
  if (state === "paused") return ["perdure unpause"];
  if (state === "moving") return ["the end of its export or import"];
  if (lacks !== "") return [lacks];
  if (inbox.length > 0 || turns === 0)
    return nodeRuns ? [] : [`a node, with ${count(Math.max(1, inbox.length), "input")} to take`];
  const parts = operations.map((operation) => describeOperation(operation, nowMs));
  const wall = timers.filter(({ clock }) => clock === "wall").map(({ dueMs }) => dueMs);
  const next = wall.length === 0 ? undefined : Math.min(...wall);
  if (next !== undefined) parts.push(describeTimer(next, wall.length, nowMs, nodeRuns));
  // Service timers guard the waits for what others do: a message, with a timeout.
  if (wall.length < timers.length) parts.push("a message, with a timeout");
  return parts.length === 0 ? ["a message"] : parts;
}

/** "warehouse.ts#charge" is "charge" to who knows the program. */
export function shortName(name: string): string {
  return name.slice(name.lastIndexOf("#") + 1);
}

function describeOperation(
  { name, state, attempt, notBeforeMs }: ProcessDetails["operations"][number],
  nowMs: number,
): string {
  const short = shortName(name);
  if (state === "unavailable") return `${short} (no such host function)`;
  if (state === "quarantined") return `${short} (quarantined)`;
  if (notBeforeMs > nowMs) return `${short} (attempt ${attempt} ${formatIn(notBeforeMs, nowMs)})`;
  return attempt > 1 ? `${short} (attempt ${attempt})` : short;
}

function describeTimer(dueMs: number, timers: number, nowMs: number, nodeRuns: boolean): string {
  const first = timers === 1 ? "a timer" : `the first of ${timers} timers`;
  if (dueMs > nowMs) return `${first}, due ${formatIn(dueMs, nowMs)}`;
  return nodeRuns || nowMs - dueMs < 1000 ? `${first}, due now` : `${first}, due for ${formatDuration(nowMs - dueMs)}`;
}
