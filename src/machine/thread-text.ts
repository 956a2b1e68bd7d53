/**
 * Turns between threads as text. JSON of them is made and read several times faster than a structured clone of the same
 * objects; what holds bytes cannot be said in it and goes as it is.
 */
import type { Payload } from "../base/value.ts";
import type { Command, Input } from "../journal/types.ts";
import type { TurnRequest, TurnResult } from "./port.ts";

export function requestsAsText(requests: readonly TurnRequest[]): string | undefined {
  const isPlain = requests.every(({ load, inputs }) => load === undefined && inputs.every(isPlainInput));
  return isPlain ? JSON.stringify(requests) : undefined;
}

export function resultsAsText(results: readonly TurnResult[]): string | undefined {
  const isPlain = results.every(({ outcome }) => outcome.kind !== "done" || outcome.commands.every(isPlainCommand));
  return isPlain ? JSON.stringify(results) : undefined;
}

function isPlainInput(input: Input): boolean {
  switch (input.kind) {
    case "start":
    case "restore":
      return false;
    case "message":
      return isText(input.body);
    case "result":
    case "exit":
    case "down":
      return isText(input.value);
    default:
      return true;
  }
}

function isPlainCommand(command: Command): boolean {
  switch (command.kind) {
    case "operation":
    case "spawn":
      return isText(command.args);
    case "send":
      return isText(command.body);
    case "signal":
    case "exit":
      return isText(command.value);
    // JSON has one zero.
    case "timer":
      return !Object.is(command.dueMs, -0);
    default:
      return true;
  }
}

function isText({ chunks }: Payload): boolean {
  return chunks === undefined;
}
