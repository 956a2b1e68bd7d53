/** `perdure run`: starts a program as a process, or goes on with the one that was started so before. */
import { existsSync, realpathSync } from "node:fs";
import type { Command } from "commander";
import { validatePid } from "../../base/ids.ts";
import { checkLabel } from "../../engine/labels.ts";
import { parseArgument } from "../arguments.ts";
import { act, collect, defineCommand } from "../context.ts";
import type { Context } from "../context.ts";
import { usageError } from "../failure.ts";
import { nodeFlags, withNodeFlags } from "../node-options.ts";
import type { NodeFlagOptions } from "../node-options.ts";
import { newestUnfinished } from "../unfinished.ts";
import type { RunRequest } from "../run-program.ts";

interface RunOptions extends NodeFlagOptions {
  readonly new?: boolean;
  readonly id?: string;
  readonly env?: readonly string[];
  readonly string?: boolean;
  readonly needs?: string;
}

export function runCommand(): Command {
  const command = defineCommand("run", "Runs a program until it ends, whatever happens in between.", [
    "perdure run app.ts",
    'perdure run app.ts default order-7 4200   # default("order-7", 4200)',
    'perdure run app.ts refund \'{"id": "order-7"}\' --id refund-7',
    "perdure run script.ts                     # no default export: the file itself is the program",
  ])
    .argument("<file>", "the program's entry file")
    .argument("[entry]", 'the exported function to call: "default", "refund", "lib/x.ts#name" (default: "default")')
    .argument("[args...]", "its arguments: JSON where they are JSON, else texts")
    .option("--new", "start another process, even if one of the same file, entry and arguments is unfinished")
    .option("--id <id>", "the process's pid; the same id never runs twice, but prints its result again")
    .option("--env <name>", "an environment variable the program may see (repeatable)", collect)
    .option("--needs <label>", "the label that a node must have to run the process: it waits for such a node")
    .option("--string", "take all arguments as texts");
  return act<RunOptions>(withNodeFlags(command), run);
}

async function run(
  context: Context,
  [file = "", entry, ...args]: readonly string[],
  options: RunOptions,
): Promise<number> {
  if (options.new === true && options.id !== undefined)
    throw usageError("--new and --id exclude each other: an id names one process for ever. Leave one of them out.");
  if (options.id !== undefined) validatePid(options.id);
  if (options.needs !== undefined) checkLabel(options.needs);
  for (const name of options.env ?? []) checkName(context, name);
  const request: RunRequest = {
    file,
    entry: entry ?? "",
    args: args.map((text) => parseArgument(text, options.string)),
    words: [...(entry === undefined ? [] : [entry]), ...args, ...(options.string === true ? ["--string"] : [])],
    id: options.id,
    needs: options.needs,
    env: options.env ?? [],
    node: nodeFlags(options),
  };
  const goesOn =
    options.new === true || options.id !== undefined
      ? undefined
      : await newestUnfinished(context, realFile(file), request.entry, request.args);
  // The engine and the bundler are loaded for those who need them: looking things up stays quick.
  const { runProgram } = await import("../run-program.ts");
  return await runProgram(context, request, goesOn);
}

function checkName(context: Context, name: string): void {
  if (!/^[A-Za-z_]\w*$/.test(name)) {
    throw usageError(
      `--env is ${JSON.stringify(name)}; it must be the name of an environment variable, such as API_URL. Its value is taken from the environment.`,
    );
  }
  if (process.env[name] === undefined)
    context.terminal.note(
      `perdure: --env ${name}: there is no such variable in the environment, so the program will not see it.`,
    );
}

/** As programs are recorded: symbolic links resolved. A file that is missing is reported when it is built. */
function realFile(file: string): string {
  return existsSync(file) ? realpathSync(file) : file;
}
