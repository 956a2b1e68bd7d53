/** OTP's decisions that do not depend on where children are kept. */
import { isNormalExit } from "../../reason.ts";
import { sendRetry } from "../requests.ts";
import type { Retry } from "../requests.ts";
import { nextDelayMs, retryLater } from "./backoff.ts";
import type { CheckedChild } from "./check.ts";
import type { Child } from "./child.ts";
import type { RestartWindow } from "./intensity.ts";
import { supervisorReport } from "./report.ts";

/** Whether an end leads to a restart. */
export function isRestarted({ restart }: CheckedChild, reason: unknown): boolean {
  return restart === "permanent" || (restart === "transient" && !isNormalExit(reason));
}

/** OTP reports every end of a permanent child, and abnormal ones of the others. */
export function reportEnd({ spec, pid, restarts }: Child, reason: unknown): void {
  if (spec.restart !== "permanent" && isNormalExit(reason)) return;
  const before = restarts === 0 ? "" : `, restarted ${restarts} ${restarts === 1 ? "time" : "times"} before,`;
  supervisorReport(`the child "${spec.id}" (${pid})${before} ended`, reason);
}

/** Counts a restart. False if the supervisor must give up instead. */
export function mayRestart(child: Child, window: RestartWindow): boolean {
  if (window.add()) return true;
  const { intensity, periodMs } = window;
  const limit = `${intensity} ${intensity === 1 ? "restart" : "restarts"} in ${periodMs / 1000} s`;
  supervisorReport(`"${child.spec.id}" failed once too often, so it gives up`, `more than ${limit}`);
  return false;
}

/** Marks a child as `restarting` because its start failed; it is tried again after what waits in the mailbox. */
export function tryAgain(child: Child, key: string, reason: unknown): void {
  supervisorReport(`"${child.spec.id}" could not be started and is tried again`, reason);
  child.restarting = true;
  child.delay = undefined;
  sendRetry(key);
}

/** True if the child has a backoff: then it is `restarting` until that is over. */
export function isDelayed(child: Child, key: string, ran: boolean): boolean {
  const delayMs = nextDelayMs(child, ran);
  if (delayMs === 0) return false;
  child.restarting = true;
  child.delay = retryLater(key, delayMs);
  return true;
}

/** Whether a retry is the one that the child waits for. */
export function isDue(child: Child | undefined, { delay }: Retry): child is Child {
  return child !== undefined && child.restarting && child.delay === delay;
}
