/**
 * Cases for nodes that die beside others. Nothing of a dead node's goes on before another has noticed, and time does not wait for that: a supervisor
 * with less patience kills a child that would have obeyed, and rightly so. So whoever obeys is given time enough, and whoever takes too long
 * takes much too long.
 */
import type { Case, WorkerNode } from "./format.ts";

/** Longer than it takes to notice some deaths in a row. */
const noticedMs = 30_000;

export function patient(scenario: Case): Case {
  const text = JSON.stringify(scenario);
  return JSON.parse(text, (_, value: unknown) => (isWorker(value) ? withTime(value) : value)) as Case;
}

function isWorker(value: unknown): value is WorkerNode {
  return typeof value === "object" && value !== null && "type" in value && value.type === "worker";
}

function withTime(worker: WorkerNode): WorkerNode {
  const { behaviour, shutdown } = worker;
  if (typeof shutdown !== "number" || behaviour?.kind === "stubborn") return worker;
  const delayMs = behaviour?.kind === "trap" ? (behaviour.stop_delay ?? 0) : 0;
  if (delayMs < shutdown) return { ...worker, shutdown: Math.max(shutdown, noticedMs) };
  return behaviour?.kind === "trap" ? { ...worker, behaviour: { ...behaviour, stop_delay: noticedMs } } : worker;
}
