/** `perdure kill`: ends a process without asking it. */
import type { Command } from "commander";
import { act, defineCommand } from "../context.ts";
import { post } from "../posting.ts";

export function killCommand(): Command {
  const command = defineCommand("kill", "Ends a process at once. No cleanup of it runs; to ask it first, use cancel.", [
    "perdure kill order-7",
  ]).argument("<pid>", "the process");
  return act(command, async (context, [pid = ""]) => {
    await post(
      context,
      pid,
      { kind: "fatal", reason: "killed", detail: "Killed by the operator." },
      (to) => `Process ${to} is to be killed`,
    );
  });
}
