/** The options of commands that are nodes. */
import type { Command } from "commander";
import { nodeLabels } from "../engine/labels.ts";
import { collect } from "./context.ts";
import { usageError } from "./failure.ts";

export interface NodeFlags {
  /** Undefined: the engine's default. */
  readonly name: string | undefined;
  readonly health: HealthAddress | undefined;
  readonly labels: readonly string[];
  /** The words that say the same on a command line to be typed next. */
  readonly words: readonly string[];
}

export interface HealthAddress {
  readonly host: string;
  readonly port: number;
}

/** As commander hands them over. */
export interface NodeFlagOptions {
  readonly node?: string;
  readonly health?: string;
  readonly label?: readonly string[];
}

export function withNodeFlags(command: Command): Command {
  return command
    .option("--node <name>", "what this node is called (default: $PERDURE_NODE, or its process id and host)")
    .option(
      "--label <label>",
      "what this machine is or has, for processes that need it, such as gpu (repeatable)",
      collect,
    )
    .option("--health <[host:]port>", "answer /livez and /readyz over HTTP (default host: 127.0.0.1)");
}

export function nodeFlags({ node, health, label = [] }: NodeFlagOptions): NodeFlags {
  if (node === "") throw usageError('--node is "". Name the node, such as web-1.');
  const fromEnvironment = process.env["PERDURE_NODE"] ?? "";
  return {
    name: node ?? (fromEnvironment === "" ? undefined : fromEnvironment),
    health: health === undefined ? undefined : parseHealthAddress(health),
    labels: nodeLabels(label),
    words: [
      ...(node === undefined ? [] : ["--node", node]),
      ...label.flatMap((each) => ["--label", each]),
      ...(health === undefined ? [] : ["--health", health]),
    ],
  };
}

/** `9464`, `0.0.0.0:9464`, `[::1]:9464`, `localhost:9464`. */
export function parseHealthAddress(text: string): HealthAddress {
  const [, host = "127.0.0.1", digits = ""] = /^(?:(\[[\da-fA-F:.]+\]|[\w.-]+):)?(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === "" || port > 65_535) {
    throw usageError(
      `--health is ${JSON.stringify(text)}; it must be a port from 0 to 65535, or HOST:PORT such as 0.0.0.0:9464 (0: any port that is free).`,
    );
  }
  return { host: host.replace(/^\[|\]$/g, ""), port };
}
