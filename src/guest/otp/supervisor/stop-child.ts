/** Stopping children, as OTP's supervisor does: watch, unlink, tell, wait, kill. */
import { now } from "../../prelude/intrinsics.ts";
import type { Pid } from "../../pid.ts";
import { exit, unlinkAll, watch } from "../../relations.ts";
import { startTimer, stopTimer } from "../../runtime.ts";
import type { CheckedChild } from "./check.ts";
import { supervisorReport } from "./report.ts";

type Shutdown = CheckedChild["shutdown"];

/**
 * Stops one process and waits until it is gone. A notice of its end that waits in the mailbox is used up by that: unlinking
 * takes it out. (And a naughty child that unlinked itself could not make its supervisor wait for ever: the monitor tells.)
 */
export async function stopChild(child: { readonly spec: CheckedChild; readonly pid: Pid }): Promise<void> {
  await stopAll([child.pid], child.spec.shutdown);
}

/** Stops processes at the same time, with one timer for all of them. */
export async function stopAll(pids: readonly Pid[], shutdown: Shutdown): Promise<void> {
  if (pids.length === 0) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const living = new Set(pids);
  for (const pid of pids) {
    watch(pid, ({ reason }) => {
      if (!isExpected(reason, shutdown)) {
        supervisorReport(`the child ${pid} did not end in good order when it was stopped`, reason);
      }
      living.delete(pid);
      if (living.size === 0) resolve();
    });
  }
  unlinkAll(living);
  for (const pid of pids) exit(pid, shutdown === "brutal_kill" ? "kill" : "shutdown");
  let timer: number | undefined;
  if (typeof shutdown === "number") {
    timer = startTimer("service", now() + shutdown, () => {
      timer = undefined;
      for (const pid of living) exit(pid, "kill");
    });
  }
  await promise;
  if (timer !== undefined) stopTimer(timer);
}

/** A plain child that does not trap exits ends with `shutdown`, one that was gone before with `noproc`. */
function isExpected(reason: unknown, shutdown: Shutdown): boolean {
  if (reason === "shutdown" || reason === "noproc" || reason === "normal") return true;
  return shutdown === "brutal_kill" && reason === "killed";
}
