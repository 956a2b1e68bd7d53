import type { Payload } from "../base/value.ts";
import { commandKinds } from "./encoding.ts";
import { Hasher } from "./hash.ts";
import type { Command, CommandDigest } from "./types.ts";

/**
 * What the journal keeps of a command. The digest covers every field; the target, for people, is an operation's name, a
 * timer's, a monitor's or an aborted operation's number, the other process's pid, a log's level or an exit's reason.
 *
 * The journal holds these digests: another hash here is another journal format.
 */
export function commandDigest(command: Command): CommandDigest {
  const hasher = new Hasher();
  hasher.number(commandKinds[command.kind]);
  const target = add(hasher, command);
  return { kind: command.kind, target, digest: hasher.digest() };
}

/** A command as people are told of it; undefined where there is none. */
export function describeCommand(command: CommandDigest | undefined): string {
  return command === undefined ? "no command" : `${command.kind} ${command.target} (${command.digest})`;
}

/** Feeds all fields to the hasher, in a fixed order, and returns the target. */
function add(hasher: Hasher, command: Command): string {
  switch (command.kind) {
    case "operation":
      hasher.number(command.number);
      hasher.text(command.name);
      hasher.text(command.options);
      addPayload(hasher, command.args);
      return command.name;
    case "abort":
      hasher.number(command.operation);
      return `${command.operation}`;
    case "timer":
      hasher.number(command.number);
      hasher.text(command.clock);
      hasher.number(command.dueMs);
      return `${command.number}`;
    case "clear-timer":
      hasher.number(command.timer);
      return `${command.timer}`;
    case "send":
      hasher.text(command.to);
      addPayload(hasher, command.body);
      return command.to;
    case "log":
      hasher.text(command.level);
      hasher.text(command.text);
      return command.level;
    case "exit":
      hasher.text(command.reason);
      addPayload(hasher, command.value);
      return command.reason;
    default:
      return addRelation(hasher, command);
  }
}

type Relation = Extract<
  Command,
  { kind: "spawn" | "link" | "unlink" | "monitor" | "demonitor" | "signal" | "cancel" | "trap-exit" | "checkpoint" }
>;

function addRelation(hasher: Hasher, command: Relation): string {
  switch (command.kind) {
    case "spawn":
      hasher.text(command.pid);
      hasher.text(command.entry);
      addPayload(hasher, command.args);
      hasher.number(command.link ? 1 : 0);
      hasher.number(command.monitor);
      hasher.text(command.options);
      return command.pid;
    case "link":
    case "unlink":
      hasher.text(command.to);
      return command.to;
    case "monitor":
      hasher.number(command.number);
      hasher.text(command.to);
      return command.to;
    case "demonitor":
      hasher.number(command.monitor);
      return `${command.monitor}`;
    case "signal":
      hasher.text(command.to);
      hasher.text(command.reason);
      addPayload(hasher, command.value);
      return command.to;
    case "cancel":
      hasher.text(command.to);
      hasher.text(command.reason);
      return command.to;
    case "trap-exit":
      hasher.number(command.on ? 1 : 0);
      return command.on ? "on" : "off";
    case "checkpoint":
      return "";
  }
}

function addPayload(hasher: Hasher, { text, chunks }: Payload): void {
  hasher.text(text);
  hasher.number(chunks?.length ?? 0);
  for (const chunk of chunks ?? []) hasher.bytes(chunk);
}
