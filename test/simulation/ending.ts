/** Whether a process came to an end that its program, undisturbed, could come to. */
import { decodeValue } from "../../src/base/value.ts";
import type { ProcessExit } from "../../src/store/port.ts";
import type { Wishes } from "./callers.ts";
import type { ExitValue } from "./process.ts";
import { endsOf } from "./program.ts";
import type { Program } from "./program.ts";

/** What is wrong with an exit; undefined if nothing is. `wasFatal`: the machine said that a turn passed a limit. */
export function checkExit(program: Program, exit: ProcessExit, wishes: Wishes, wasFatal: boolean): string | undefined {
  const { pid } = program;
  const { reason } = exit;
  switch (reason) {
    case "killed":
      return wishes.killed ? undefined : `${pid} was killed, and nobody asked for that`;
    case "cancelled":
      return wishes.cancelled ? undefined : `${pid} was cancelled, and nobody asked for that`;
    case "normal":
    case "error":
      return checkOwnEnd(program, reason, decodeValue(exit.value));
    default:
      return wasFatal ? undefined : `${pid} ended with ${reason}, and no turn of it passed a limit`;
  }
}

/** What a real program throws is an error; what it has to say is its message. */
export function exitValue(value: unknown): ExitValue | undefined {
  if (!(value instanceof Error)) return value as ExitValue;
  return value.message.startsWith("{") ? (JSON.parse(value.message) as ExitValue) : undefined;
}

function checkOwnEnd(program: Program, reason: "normal" | "error", value: unknown): string | undefined {
  const { pid } = program;
  const ending = exitValue(value);
  if (ending === undefined) return `${pid} failed: ${value instanceof Error ? value.stack : String(value)}`;
  const { site, seen } = ending;
  const { main, alternatives, exits } = endsOf(program);
  if (site > 0)
    return exits.get(site) === reason
      ? undefined
      : `${pid} ended at step ${site} with ${reason}, which its program does not do`;
  if (main === undefined || reason !== "normal")
    return `${pid} came to the end of main with ${reason}, which it cannot reach`;
  const isExpected =
    seen.length === main.length &&
    seen.every((what, index) => what === main[index] || what === alternatives.get(index));
  return isExpected ? undefined : `${pid} has seen [${seen.join("; ")}], and undisturbed it sees [${main.join("; ")}]`;
}
