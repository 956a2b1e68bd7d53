/** How a supervisor lives: it starts its children, and handles one thing after the other until it ends. */
import { takeItem } from "../../mailbox.ts";
import type { Pid } from "../../pid.ts";
import { self } from "../../process.ts";
import { describeReason, ExitRequest } from "../../reason.ts";
import { guardExits } from "../../relations.ts";
import { log } from "../../runtime.ts";
import { Crashed, Exit, Internal } from "../../signals.ts";
import { callRefused } from "../errors.ts";
import { reply, replyError, Request, Retry, sendAck } from "../requests.ts";
import { checkFlags } from "./check.ts";
import type { Ending, Flock } from "./flock.ts";
import { RestartWindow } from "./intensity.ts";
import { List } from "./list.ts";
import { Pool } from "./pool.ts";
import type { SupervisorFlags } from "./types.ts";

/** Runs until the supervisor ends: it throws what the process exits with. */
export async function runSupervisor(flags: SupervisorFlags, starter: Pid | undefined): Promise<never> {
  guardExits();
  const checked = checkFlags(flags);
  if (checked.problem !== undefined) throw new ExitRequest({ start_spec: checked.problem });
  const { strategy, intensity, periodMs } = checked.ok;
  const window = new RestartWindow(intensity, periodMs);
  const flock: Flock = new (strategy === "simple_one_for_one" ? Pool : List)(checked.ok, window);
  const failed = await flock.start();
  if (failed !== undefined) throw new ExitRequest(failed.reason);
  sendAck(starter, "started");
  for (;;) {
    const ending = await handle(flock, await takeItem(isItem), starter);
    if (ending === undefined) continue;
    await flock.stop();
    throw new ExitRequest(ending.reason);
  }
}

function isItem(_item: unknown): _item is unknown {
  return true;
}

async function handle(flock: Flock, item: unknown, starter: Pid | undefined): Promise<Ending | undefined> {
  if (item instanceof Exit) {
    // Its own supervisor, or an operator. Exits of strangers mean nothing to it, as in OTP.
    if (item.from === starter || item.from === "") return { reason: item.reason };
    return await flock.exited(item.from, item.reason);
  }
  if (item instanceof Retry) return await flock.retry(item);
  if (item instanceof Request) await answer(flock, item);
  else if (item instanceof Crashed) await flock.crashed(item);
  else if (!(item instanceof Internal))
    log("warn", `Supervisor ${self()} got a message, which it has no use for: ${describeReason(item)}`);
  return undefined;
}

async function answer(flock: Flock, request: Request): Promise<void> {
  const answered = flock.answer(request.method, request.args);
  if (answered === undefined) replyError(request, callRefused(self(), request.method, "it is a supervisor"));
  else reply(request, await answered);
}
