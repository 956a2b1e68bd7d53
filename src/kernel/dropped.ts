/** What became of operations whose result nobody waits for any more. */
import type { DroppedOperation } from "../journal/types.ts";
import type { TurnEffects } from "./effects.ts";
import type { Live, PendingOperation } from "./live.ts";

export function droppedOperation(operation: PendingOperation): DroppedOperation {
  const { number, name, attempt } = operation.row;
  return { number, name, state: stateOf(operation), attempt };
}

function stateOf({ row, inherited, token, settled }: PendingOperation): DroppedOperation["state"] {
  const { state, attempt, startedAtMs, deaths } = row;
  if (settled) return "ended";
  if (token !== undefined || startedAtMs > 0 || deaths > 0) return "running";
  if (attempt > 1 || state !== "pending") return "waiting";
  return inherited ? "running" : "queued";
}

/**
 * Those that a turn gives up: it takes them back, or its process exits. To be called before the turn is staged. What it issues and
 * takes back again never existed; what it issues and exits over never begins. Of one whose result is among the turn's inputs there is
 * nothing more to say. One whose result waits in the inbox is known only until the process is forgotten: its row is gone.
 */
export function droppedBy(live: Live, { turn, operations, operationsAborted, exit }: TurnEffects): DroppedOperation[] {
  if (exit === undefined && operationsAborted.length === 0) return [];
  const aborted = new Set(operationsAborted);
  const taken = new Set(turn.inputs.flatMap((input) => (input.kind === "result" ? [input.operation] : [])));
  const left = [...live.operations].filter(
    ([number]) => !taken.has(number) && (exit !== undefined || aborted.has(number)),
  );
  const begun =
    exit === undefined ? [] : operations.map((row) => ({ row, inherited: false, token: undefined, settled: false }));
  return [...left.map(([, operation]) => operation), ...begun].map(droppedOperation);
}
