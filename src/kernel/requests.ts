/**
 * What a turn asks of the kernel comes out of a sandbox: a program that reached beneath its globals can ask for anything. What
 * is malformed ends that process, and never gets as far as the node's own state.
 */
import { validatePid } from "../base/ids.ts";
import type { Command, Pid, SpawnOptions } from "../journal/types.ts";
import { kernelOperations } from "./effects.ts";
import type { KernelOperation } from "./effects.ts";

/** The options of the kernel's operations. Which of them are there is checked by `requestOf`. */
export interface Request {
  readonly name: string;
  readonly group: string;
  readonly pid: Pid;
  readonly id: Pid;
  readonly entry: string;
  readonly label: string;
  readonly role: string;
  readonly from: "previous" | "checkpoint";
}

const needed: Readonly<Record<string, readonly (keyof Request)[]>> = {
  "perdure:register": ["name", "pid"],
  "perdure:unregister": ["name"],
  "perdure:whereis": ["name"],
  "perdure:join": ["group", "pid"],
  "perdure:leave": ["group", "pid"],
  "perdure:members": ["group"],
  "perdure:alive": ["pid"],
  "perdure:pause": ["pid"],
  "perdure:resume": ["pid"],
  "perdure:start": ["id", "entry"],
  "perdure:revive": ["pid", "from"],
  "perdure:release": ["pid"],
};

const longestText = 1_000_000;

/** Call it only for turns that passed `whyMalformed`. */
export function requestOf({ options }: KernelOperation): Request {
  return { label: "", role: "", ...(JSON.parse(options) as Partial<Request>) } as Request;
}

/** Undefined if all of a turn's commands can be carried out as far as their form goes; otherwise what is wrong. */
export function whyMalformed(commands: readonly Command[], exists: (pid: Pid) => boolean): string | undefined {
  const born = new Set<Pid>();
  for (const command of commands) {
    if (command.kind === "spawn") {
      const isTaken = born.has(command.pid) || exists(command.pid);
      if (isTaken) return `it spawned a process with the pid ${JSON.stringify(command.pid)}, which is taken`;
      born.add(command.pid);
    }
    const problem = problemOf(command);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function problemOf(command: Command): string | undefined {
  switch (command.kind) {
    case "spawn":
      return badPid(command.pid) ?? (isSpawnOptions(command.options) ? undefined : "it spawned with malformed options");
    case "link":
    case "unlink":
    case "monitor":
    case "signal":
    case "cancel":
      return command.to.length > longestText ? `its ${command.kind} has no receiver` : undefined;
    case "operation": {
      if (!kernelOperations.has(command.name)) return undefined;
      const request = parsed(command.options);
      const isComplete =
        request !== undefined && needed[command.name]?.every((key) => typeof request[key] === "string");
      if (!isComplete) return `it asked for ${command.name} with malformed options`;
      return command.name === "perdure:start" ? badPid(request["id"] as string) : undefined;
    }
    default:
      return undefined;
  }
}

function badPid(pid: Pid): string | undefined {
  try {
    validatePid(pid);
    return undefined;
  } catch {
    return `it began a process with the pid ${JSON.stringify(pid.slice(0, 60))}`;
  }
}

/** An object all of whose texts are of a length that a row can hold; anything else is not taken. */
function parsed(options: string): Readonly<Record<string, unknown>> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(options);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const isShort = Object.values(value).every((each) => typeof each !== "string" || each.length <= longestText);
  const { label = "", role = "", needs = "" } = value as Record<string, unknown>;
  return isShort && [label, role, needs].every((each) => typeof each === "string") ? { ...value } : undefined;
}

function isSpawnOptions(options: string): boolean {
  if (options === "") return true;
  const found: { readonly [K in keyof SpawnOptions]?: unknown } | undefined = parsed(options);
  if (found === undefined) return false;
  const { restarts = 0, held = false } = found;
  return Number.isSafeInteger(restarts) && (restarts as number) >= 0 && typeof held === "boolean";
}
