/** `perdure resume`: a node for everything that is unfinished. */
import type { Command } from "commander";
import { act, collect, defineCommand } from "../context.ts";
import { nodeFlags, withNodeFlags } from "../node-options.ts";
import type { NodeFlagOptions } from "../node-options.ts";

interface ResumeOptions extends NodeFlagOptions {
  readonly pid?: readonly string[];
}

export function resumeCommand(): Command {
  const command = defineCommand("resume", "Runs all unfinished processes of the store until none is left.", [
    "perdure resume",
    "perdure resume --pid order-7              # all go on, but it ends with this one",
    "perdure resume app.ts                     # with the host functions of this program",
  ])
    .argument("[file]", "the program whose host functions to use (default: the newest one with unfinished processes)")
    .option("--pid <pid>", "wait for this process only (repeatable)", collect);
  return act<ResumeOptions>(withNodeFlags(command), async (context, [file], options) => {
    const node = nodeFlags(options);
    const { resumeAll } = await import("../resume-all.ts");
    return await resumeAll(context, { file, pids: options.pid ?? [], node });
  });
}
