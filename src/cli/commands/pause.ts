/** `perdure pause` and `perdure unpause`: an operator's hand on one process. */
import type { Command } from "commander";
import { act, defineCommand } from "../context.ts";
import { post } from "../posting.ts";

export function pauseCommand(): Command {
  const command = defineCommand("pause", "Stops a process's turns; what reaches it waits until it is unpaused.", [
    "perdure pause order-7",
    "perdure ps --state paused",
  ]).argument("<pid>", "the process");
  return act(command, async (context, [pid = ""]) => {
    await post(context, pid, { kind: "pause" }, (to) => `Process ${to} is to pause`);
  });
}

export function unpauseCommand(): Command {
  const command = defineCommand("unpause", "Lets a paused process go on.", ["perdure unpause order-7"]).argument(
    "<pid>",
    "the process",
  );
  return act(command, async (context, [pid = ""]) => {
    await post(context, pid, { kind: "resume" }, (to) => `Process ${to} is to go on`);
  });
}
