/** `perdure cancel`: asks a process to wind up. */
import type { Command } from "commander";
import { act, defineCommand } from "../context.ts";
import { post } from "../posting.ts";

const defaultReason = "Cancelled by the operator.";

export function cancelCommand(): Command {
  const command = defineCommand(
    "cancel",
    "Asks a process to wind up: its AbortSignal fires, its waits reject, cleanup may run.",
    ["perdure cancel order-7", 'perdure cancel order-7 --reason "out of stock"'],
  )
    .argument("<pid>", "the process")
    .option("--reason <text>", "what the program is told", defaultReason);
  return act<{ readonly reason: string }>(command, async (context, [pid = ""], { reason }) => {
    await post(context, pid, { kind: "cancel", reason }, (to) => `Process ${to} is asked to wind up`);
  });
}
