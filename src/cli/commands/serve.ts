/** `perdure serve`: a node whose root is the program's supervisor. */
import type { Command } from "commander";
import { validatePid } from "../../base/ids.ts";
import { defaultRootId } from "../root-id.ts";
import { act, collect, defineCommand } from "../context.ts";
import { nodeFlags, withNodeFlags } from "../node-options.ts";
import type { NodeFlagOptions } from "../node-options.ts";

interface ServeOptions extends NodeFlagOptions {
  readonly id: string;
  readonly env?: readonly string[];
  readonly fresh?: boolean;
  readonly standby?: boolean;
}

export function serveCommand(): Command {
  const command = defineCommand(
    "serve",
    "Runs a program whose default export is a supervisor, until it is stopped or the supervisor gives up.",
    [
      "perdure serve shop.ts                     # the first time it starts the tree, later it goes on with it",
      "perdure serve shop.ts --standby           # waits while another node serves it, and takes over when that one is gone",
      "perdure serve shop.ts --fresh             # stops the old tree in good order and starts another",
      "perdure tree                              # what lives in it, from another terminal",
    ],
  )
    .argument("<file>", "the program's entry file")
    .option("--id <id>", "the root's pid", defaultRootId)
    .option("--env <name>", "an environment variable the program may see (repeatable)", collect)
    .option("--fresh", "stop the tree there is and start one of the program as it is now")
    .option("--standby", "wait if another node owns the store, and take over when it is gone");
  return act<ServeOptions>(withNodeFlags(command), async (context, [file = ""], options) => {
    const { id, env = [], fresh = false, standby = false } = options;
    validatePid(id);
    const node = nodeFlags(options);
    const { serveProgram } = await import("../serve-program.ts");
    return await serveProgram(context, { file, id, env, fresh, standby, node });
  });
}
