/** `perdure send`: a message to a process. */
import type { Command } from "commander";
import { edgeAddress } from "../../base/edge-key.ts";
import { encodeValue } from "../../base/value.ts";
import { aboutMessage, askedUnder } from "../../engine/asked.ts";
import { parseArgument } from "../arguments.ts";
import { act, defineCommand } from "../context.ts";
import { post } from "../posting.ts";

interface Options {
  readonly string?: boolean;
  readonly key?: string;
}

export function sendCommand(): Command {
  const command = defineCommand("send", "Puts a message in a process's mailbox.", [
    "perdure send order-7 '{\"approved\": true}'",
    "perdure send order-7 yes",
    'perdure send order-7 42 --string          # the text "42", not the number',
    "perdure send order-7 yes --key mail-1042  # once, however often it is repeated",
  ])
    .argument("<pid>", "the receiver")
    .argument("<message>", "JSON if it is JSON, else a text")
    .option("--string", "take the message as a text")
    .option("--key <key>", "send it once, however often this command runs with the same key");
  return act<Options>(command, async (context, [pid = "", message = ""], { string, key }) => {
    const value = parseArgument(message, string);
    const body = encodeValue(value);
    const asked = key === undefined ? undefined : askedUnder(key, "sent", { body, about: aboutMessage(value) });
    const from = asked === undefined ? "" : edgeAddress(asked);
    await post(context, pid, { kind: "message", from, body }, (to) => `Message sent to ${to}`, asked);
  });
}
