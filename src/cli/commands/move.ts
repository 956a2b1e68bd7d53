/** `perdure move`: a live process goes to another node. */
import type { Command } from "commander";
import { moveBeside } from "../../engine/moving.ts";
import type { Moved } from "../../engine/moving.ts";
import { systemClock } from "../../engine/system.ts";
import { act, defineCommand } from "../context.ts";
import { locate, withReader } from "../reader.ts";

export function moveCommand(): Command {
  const command = defineCommand("move", "Moves a live process to another node, between two of its turns.", [
    "perdure nodes                             # the nodes and their names",
    "perdure move order-7 web-2",
  ])
    .argument("<pid>", "the process")
    .argument("<node>", "the node's name or id");
  return act(command, async (context, [pid = "", node = ""]) => {
    const { json, terminal } = context;
    await withReader(context, async (reader) => {
      const { pid: found } = await locate(reader, pid);
      const moved = await moveBeside(reader, found, node, systemClock);
      if (json) terminal.print(JSON.stringify({ pid: found, ...moved }));
      else terminal.note(describe(found, moved));
    });
  });
}

function describe(pid: string, { node, tookMs, stoodStillMs }: Moved): string {
  const [took, stoodStill] = [tookMs, stoodStillMs].map((ms) => Math.round(ms));
  return `Process ${pid} is on ${node}, after ${took} ms. It stood still for ${stoodStill} ms at most.`;
}
