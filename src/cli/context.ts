/** What every command knows: which store, which configuration, how to print. */
import path from "node:path";
import { Command } from "commander";
import { loadConfig } from "./config.ts";
import type { Config } from "./config-schema.ts";
import { exitCodes, reportFailure, usageError } from "./failure.ts";
import { resolvePlace, retypedPlace } from "../store/place.ts";
import { createTerminal } from "./terminal.ts";
import type { Terminal } from "./terminal.ts";

export interface Context {
  /** Absolute path, "memory:", or a `postgres://` URL. */
  readonly store: string;
  /** The words that name the store on a command line to be typed next: none where it would be found anyway. */
  readonly storeWords: readonly string[];
  readonly config: Config;
  /** Absolute path of the folder where a node archives what it prunes. */
  readonly archive?: string;
  readonly json: boolean;
  readonly terminal: Terminal;
}

interface CommonOptions {
  readonly store?: string;
  readonly json?: boolean;
  readonly color: boolean;
}

/** A command with the options that all have, and examples under its help. */
export function defineCommand(name: string, description: string, examples: readonly string[]): Command {
  return withCommonOptions(new Command(name))
    .description(description)
    .addHelpText("after", `\nExamples:\n${examples.map((example) => `  $ ${example}`).join("\n")}`);
}

export function withCommonOptions(command: Command): Command {
  return command
    .option(
      "--store <place>",
      'the store: a file, or a postgres:// URL (default: $PERDURE_STORE, the configuration\'s, or "perdure.db")',
    )
    .option("--json", "print JSON on standard output")
    .option("--no-color", "no colours (also: NO_COLOR=1)");
}

export type Action<Options> = (context: Context, words: readonly string[], options: Options) => Promise<number | void>;

/**
 * Runs a command's action and ends the process with its exit code (0 when it returns none). It is ended by force: host code may
 * have left timers and connections behind that would keep it alive for ever.
 */
export function act<Options>(command: Command, action: Action<Options>): Command {
  return command.action(async () => {
    const options = { ...command.opts<CommonOptions>(), ...givenAbove(command) };
    const terminal = createTerminal({ color: options.color });
    const json = options.json === true;
    let exitCode: number;
    try {
      const context = { ...(await place(options)), json, terminal };
      exitCode = (await action(context, command.args, options as Options)) ?? exitCodes.ok;
    } catch (error) {
      exitCode = reportFailure(error, terminal, json);
    }
    await terminal.flush();
    process.exit(exitCode);
  });
}

/** The common options may also stand before the command's name; behind it they count for more. */
function givenAbove(command: Command): Partial<CommonOptions> {
  const parent = command.parent;
  const given = Object.keys(parent?.opts() ?? {}).filter(
    (name) => parent?.getOptionValueSource(name) === "cli" && command.getOptionValueSource(name) !== "cli",
  );
  return Object.fromEntries(given.map((name) => [name, parent?.getOptionValue(name) as unknown]));
}

async function place(options: CommonOptions): Promise<Pick<Context, "store" | "storeWords" | "config" | "archive">> {
  const { file, config: found } = await loadConfig(process.cwd());
  const { archive, ...config } = found;
  const common = archive === undefined ? {} : { archive: path.resolve(path.dirname(file ?? ""), archive) };
  if (options.store !== undefined) {
    if (options.store === "") throw usageError('--store is "". Name a file, such as perdure.db.');
    return {
      store: resolvePlace(options.store, process.cwd()),
      storeWords: ["--store", retypedPlace(options.store)],
      config,
      ...common,
    };
  }
  const fromEnvironment = process.env["PERDURE_STORE"] ?? "";
  if (fromEnvironment !== "")
    return { store: resolvePlace(fromEnvironment, process.cwd()), storeWords: [], config, ...common };
  const folder = file === undefined || config.store === undefined ? process.cwd() : path.dirname(file);
  return { store: resolvePlace(config.store ?? "perdure.db", folder), storeWords: [], config, ...common };
}

/** A whole number from `least`, for options. */
export function wholeNumber(option: string, least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value;
    throw usageError(`${option} is ${JSON.stringify(text)}; it must be a whole number from ${least}.`);
  };
}

/** For options that may be repeated. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}
