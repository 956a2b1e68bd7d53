/** What a durable engine can do before it restarts a child: let it go on from an earlier heap. */
import { askKernel } from "../../kernel-operations.ts";
import type { Pid } from "../../pid.ts";
import { now } from "../../prelude/intrinsics.ts";
import { startTimer } from "../../runtime.ts";
import type { Crashed } from "../../signals.ts";
import type { CheckedChild, CheckedFlags } from "./check.ts";
import type { Child } from "./child.ts";
import type { RestartWindow } from "./intensity.ts";
import { supervisorReport } from "./report.ts";

type Rung = "previous" | "checkpoint";

/** Whether a child's failing turns are to be undone, so that its supervisor can decide. */
export function isHeld(spec: CheckedChild, { recovery }: CheckedFlags): boolean {
  if (spec.restart === "temporary") return false;
  return spec.recover !== "fresh" || (recovery !== undefined && recovery.previous + recovery.checkpoint > 0);
}

/** A crashed child exits now. Its end is heard of as any other. */
export async function release(pid: Pid): Promise<void> {
  await askKernel("release", { pid });
}

/**
 * Lets a crashed child go on from the first rung that is left and possible; else it exits. The ladder's rungs are free, a
 * child's own `recover` counts as a restart: without that, what fails again and again would never climb any further.
 */
export async function recover(
  child: Child | undefined,
  { from, reason }: Crashed,
  flags: CheckedFlags,
  window: RestartWindow,
): Promise<void> {
  if (child === undefined) return await release(from);
  for (const rung of ladderOf(child, flags)) {
    if (!(await revive(from, rung))) continue;
    useRung(child, rung, flags);
    return supervisorReport(`"${child.spec.id}" goes on from ${placeOf(rung)} after it failed`, reason);
  }
  for (const rung of ownRungs(child)) {
    if (!window.hasRoom() || !(await revive(from, rung))) continue;
    window.add();
    child.restarts++;
    return supervisorReport(`"${child.spec.id}" goes on from ${placeOf(rung)} after it failed`, reason);
  }
  await release(from);
}

async function revive(pid: Pid, from: Rung): Promise<boolean> {
  return (await askKernel("revive", { pid, from })) as boolean;
}

function ladderOf({ rungs }: Child, { recovery }: CheckedFlags): Rung[] {
  if (recovery === undefined) return [];
  return (["previous", "checkpoint"] as const).filter((rung) => rungs[rung] < recovery[rung]);
}

function useRung({ rungs }: Child, rung: Rung, { recovery }: CheckedFlags): void {
  rungs[rung]++;
  startTimer("service", now() + (recovery?.withinMs ?? 0), () => rungs[rung]--);
}

function ownRungs({ spec }: Child): Rung[] {
  return spec.recover === "fresh" ? [] : spec.recover === "previous" ? ["previous", "checkpoint"] : ["checkpoint"];
}

function placeOf(rung: Rung): string {
  return rung === "previous" ? "before that turn" : "its checkpoint";
}
