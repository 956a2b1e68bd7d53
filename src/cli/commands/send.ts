/** `perdure send`: a message to a process. */
import type { Command } from "commander";
import { encodeValue } from "../../base/value.ts";
import { parseArgument } from "../arguments.ts";
import { act, defineCommand } from "../context.ts";
import { post } from "../posting.ts";

export function sendCommand(): Command {
  const command = defineCommand("send", "Puts a message in a process's mailbox.", [
    "perdure send order-7 '{\"approved\": true}'",
    "perdure send order-7 yes",
    'perdure send order-7 42 --string          # the text "42", not the number',
  ])
    .argument("<pid>", "the receiver")
    .argument("<message>", "JSON if it is JSON, else a text")
    .option("--string", "take the message as a text");
  return act<{ readonly string?: boolean }>(command, async (context, [pid = "", message = ""], options) => {
    const body = encodeValue(parseArgument(message, options.string));
    await post(context, pid, { kind: "message", from: "", body }, (to) => `Message sent to ${to}`);
  });
}
