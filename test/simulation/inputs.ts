/** Inputs by name: to tell whether two are the same, and for people. */
import { decodeValue } from "../../src/base/value.ts";
import type { Input } from "../../src/journal/types.ts";
import type { ProcessKey } from "../../src/store/port.ts";
import type { Message } from "./process.ts";
import { textOf } from "./program.ts";

/** What a transaction has put into the inbox the kernel knows by the report alone. */
export function resultKey(process: ProcessKey, input: Input): string {
  return input.kind === "result" ? `${process}/${input.operation} ${input.value.text}` : "";
}

export function messageKey(input: Input): string {
  if (input.kind !== "message") return "";
  const { stream, number } = decodeValue(input.body) as Message;
  return `${stream} ${number}`;
}

export function describeInput(input: Input): string {
  switch (input.kind) {
    case "message": {
      const { stream, number } = decodeValue(input.body) as Partial<Message>;
      return `"${stream ?? `of ${input.from}`}" ${number}`;
    }
    case "exit":
      return `${input.linked ? "linked " : ""}exit of ${input.from}: ${input.reason}${input.held === "" ? "" : ` held by ${input.held}`}`;
    case "down":
      return `down ${input.monitor} of ${input.from}: ${input.reason}`;
    case "restore":
      return `restore ${input.life}`;
    case "result":
      return `result of ${input.operation}: ${textOf(decodeValue(input.value))}`;
    case "timer":
      return `timer ${input.timer}`;
    case "fatal":
      return `fatal ${input.reason}`;
    default:
      return input.kind;
  }
}
