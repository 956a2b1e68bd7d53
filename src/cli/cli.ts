/** The command line: all commands under one roof, and what happens to words that are none. */
import { existsSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { acceptRestoredCommand } from "./commands/accept-restored.ts";
import { archiveCommand } from "./commands/archive.ts";
import { cancelCommand } from "./commands/cancel.ts";
import { deadLettersCommand } from "./commands/dead-letters.ts";
import { exportCommand } from "./commands/export.ts";
import { historyCommand } from "./commands/history.ts";
import { importCommand } from "./commands/import.ts";
import { killCommand } from "./commands/kill.ts";
import { logsCommand } from "./commands/logs.ts";
import { migrateCommand } from "./commands/migrate.ts";
import { nodesCommand } from "./commands/nodes.ts";
import { moveCommand } from "./commands/move.ts";
import { pauseCommand, unpauseCommand } from "./commands/pause.ts";
import { programsCommand } from "./commands/programs.ts";
import { pruneCommand } from "./commands/prune.ts";
import { psCommand } from "./commands/ps.ts";
import { resultCommand } from "./commands/result.ts";
import { resumeCommand } from "./commands/resume.ts";
import { runCommand } from "./commands/run.ts";
import { sendCommand } from "./commands/send.ts";
import { serveCommand } from "./commands/serve.ts";
import { showCommand } from "./commands/show.ts";
import { treeCommand } from "./commands/tree.ts";
import { verifyCommand } from "./commands/verify.ts";
import { release } from "../engine/release.ts";
import { withCommonOptions } from "./context.ts";
import { reportFailure, usageError } from "./failure.ts";
import { createTerminal } from "./terminal.ts";
import { oneLine } from "./text.ts";

const description = "Runs TypeScript programs as indestructible processes.";
const after = `
Examples:
  $ perdure run app.ts default order-7 4200
  $ perdure serve shop.ts
  $ perdure ps
  $ perdure send order-7 '{"approved": true}'
  $ perdure help run

Exit codes: 0 ended normally, 1 failed, 2 wrong usage, 3 not finished (result), 70 the node failed, 130 Ctrl-C, 143 SIGTERM.`;

/** Runs the command of `words` (without node and script). Ends the operating system's process with its exit code. */
export async function main(words: readonly string[]): Promise<void> {
  try {
    const cli = createCli();
    if (words.length === 0) return cli.outputHelp();
    const [first, second] = words;
    const isKnown = cli.commands.some((command) => command.name() === second);
    // The help of a command that there is not: as if it had been called.
    const asked = first === "help" && second !== undefined && !isKnown ? [second] : [...words];
    await cli.parseAsync(asked, { from: "user" });
  } catch (error) {
    const code = await complain(error, words);
    process.exit(code);
  }
}

export function createCli(): Command {
  const cli = withCommonOptions(new Command("perdure"))
    .description(description)
    .usage("<command> [options]")
    .version(release, "--version", "print the version")
    .helpCommand("help [command]", "show the help of a command")
    .addHelpText("after", after);
  const commands = [
    runCommand(),
    serveCommand(),
    resumeCommand(),
    psCommand(),
    treeCommand(),
    showCommand(),
    historyCommand(),
    logsCommand(),
    resultCommand(),
    sendCommand(),
    pauseCommand(),
    unpauseCommand(),
    moveCommand(),
    cancelCommand(),
    killCommand(),
    deadLettersCommand(),
    nodesCommand(),
    programsCommand(),
    exportCommand(),
    importCommand(),
    migrateCommand(),
    archiveCommand(),
    pruneCommand(),
    verifyCommand(),
    acceptRestoredCommand(),
  ];
  for (const command of [cli, ...commands]) {
    command
      .exitOverride()
      .configureOutput({ outputError: () => undefined, writeErr: () => undefined })
      .configureHelp({ subcommandTerm: termOf });
  }
  for (const command of commands) cli.addCommand(command);
  return cli;
}

/** That a command has options goes without saying. */
function termOf(command: Command): string {
  const words = command.registeredArguments.map((argument) => {
    const name = argument.variadic ? `${argument.name()}...` : argument.name();
    return argument.required ? `<${name}>` : `[${name}]`;
  });
  return [command.name(), ...words].join(" ");
}

/** Commander throws for everything that is no command, `--help` included. */
async function complain(error: unknown, words: readonly string[]): Promise<number> {
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  const json = words.includes("--json");
  const terminal = createTerminal({ color: !words.includes("--no-color") });
  const code = reportFailure(
    error instanceof CommanderError ? usageError(explain(error, words)) : error,
    terminal,
    json,
  );
  await terminal.flush();
  return code;
}

function explain(error: CommanderError, words: readonly string[]): string {
  if (error.code === "commander.help") return "There is no command. See perdure --help.";
  // A word may hold anything, line breaks too; the suggestion is a line of its own at the end.
  const [, given = "", suggestion = ""] =
    /^(?:error: )?([^]*?)(?:\n\((Did you mean [^\n]*)\))?$/.exec(error.message) ?? [];
  const text = oneLine(given);
  const what = `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;
  if (suggestion !== "") return `${what} ${suggestion}`;
  const first = words.find((word) => !word.startsWith("-"));
  if (error.code !== "commander.unknownCommand")
    return `${what} See perdure ${first === undefined ? "" : `${first} `}--help.`;
  return first !== undefined && existsSync(first)
    ? `${what} Did you mean: perdure run ${first}`
    : `${what} See perdure --help.`;
}
