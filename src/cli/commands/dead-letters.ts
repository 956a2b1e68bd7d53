/** `perdure dead-letters`: messages that made their processes fail and were set aside. */
import type { Command } from "commander";
import { readEdgeAddress } from "../../base/edge-key.ts";
import { PerdureError } from "../../base/errors.ts";
import { findDeadLetter, noLetter, readDeadLetters } from "../../engine/dead-letters.ts";
import type { Pid } from "../../journal/types.ts";
import { commandLine } from "../arguments.ts";
import { act, defineCommand, wholeNumber } from "../context.ts";
import type { Context } from "../context.ts";
import { describeFailure, describeMessage, letterDocument, readLetter } from "../dead-letter.ts";
import type { Letter } from "../dead-letter.ts";
import { usageError } from "../failure.ts";
import { formatGuestError } from "../guest-error.ts";
import { formatValue } from "../outcome.ts";
import { goOnCommand, isNodeRunning, locate, withReader } from "../reader.ts";
import { renderTable } from "../table.ts";
import type { Cell } from "../table.ts";
import { indent } from "../text.ts";
import { formatAgo, formatTime } from "../time.ts";

interface Options {
  readonly pid?: string;
  readonly to?: string;
  readonly limit: number;
}

const defaultLimit = 100;
const actions = ["show", "resend", "drop"];

export function deadLettersCommand(): Command {
  const command = defineCommand(
    "dead-letters",
    "Lists, shows, sends again or drops messages that made their processes fail and were set aside.",
    [
      "perdure dead-letters",
      "perdure dead-letters show 3               # the message, and what it led to",
      "perdure dead-letters resend 3             # to the process it was for",
      "perdure dead-letters resend 3 --to cart-9",
      "perdure dead-letters drop 3 4 5",
    ],
  )
    .argument("[action]", "show, resend or drop; without one they are listed")
    .argument("[numbers...]", "which letters")
    .option("--pid <pid>", "list only those of this process")
    .option("--to <pid>", "resend to this process instead")
    .option("--limit <number>", "list at most so many", wholeNumber("--limit", 1), defaultLimit);
  return act<Options>(command, async (context, [action, ...words], options) => {
    if (action === undefined) return await list(context, options);
    const seqs = numbers(action, words);
    if (options.to !== undefined && action !== "resend") throw usageError("--to goes with resend only. Leave it out.");
    for (const seq of seqs) {
      if (action === "show") await show(context, seq);
      else if (action === "resend") await resend(context, seq, options.to);
      else await drop(context, seq);
    }
  });
}

function numbers(action: string, words: readonly string[]): number[] {
  if (!actions.includes(action)) {
    const shown = /^\d+$/.test(action) ? ` Did you mean: perdure dead-letters show ${action}` : "";
    throw usageError(`${JSON.stringify(action)} is none of ${actions.join(", ")}.${shown}`);
  }
  if (words.length === 0) {
    throw usageError(
      `Which letters? Name them by number: perdure dead-letters ${action} 1. They are listed without ${action}.`,
    );
  }
  return words.map(wholeNumber("A letter's number", 1));
}

async function list(context: Context, options: Options): Promise<void> {
  const { limit } = options;
  await withReader(context, async (reader) => {
    const only = options.pid === undefined ? {} : { pid: (await locate(reader, options.pid)).pid };
    const found = await readDeadLetters(reader, { limit: limit + 1, ...only });
    const letters = await Promise.all(found.slice(0, limit).map((each) => readLetter(reader, each)));
    const { json, terminal } = context;
    if (json) return terminal.print(JSON.stringify(letters.map(letterDocument)));
    if (letters.length === 0) return terminal.note("There are no dead letters.");
    printTable(context, letters);
    if (found.length > limit) terminal.note(terminal.err.dim(`Only the oldest ${limit}; --limit shows more.`));
  });
}

function printTable({ terminal }: Context, letters: readonly Letter[]): void {
  const { out, width } = terminal;
  const nowMs = Date.now();
  const columns = [
    { title: "NUMBER", right: true },
    { title: "SET ASIDE", right: true },
    { title: "PROCESS", leastWidth: 12 },
    { title: "MESSAGE", leastWidth: 16 },
    { title: "LED TO", leastWidth: 16 },
  ];
  const rows = letters.map((letter): Cell[] => [
    { text: String(letter.seq), paint: out.yellow },
    { text: formatAgo(letter.atMs, nowMs), paint: out.dim },
    { text: letter.pid },
    { text: describeMessage(letter.message) },
    { text: describeFailure(letter.error) || letter.reason, paint: out.red },
  ]);
  for (const line of renderTable(columns, rows, { width, paintTitle: out.bold })) terminal.print(line);
}

async function show(context: Context, seq: number): Promise<void> {
  const letter = await withReader(context, async (reader) => readLetter(reader, await findDeadLetter(reader, seq)));
  const { json, terminal } = context;
  if (json) return terminal.print(JSON.stringify(letterDocument(letter)));
  const { out, width } = terminal;
  const field = (name: string, value: string): string => `  ${out.dim(name.padEnd(10))}${value}`;
  const { error, message, reason } = letter;
  const failure = error instanceof Error ? formatGuestError(error, { dim: out.dim }) : describeFailure(error);
  const lines = [
    out.bold(`dead letter ${seq}`),
    field("process", letter.pid),
    field("from", senderOf(letter.from)),
    field("set aside", `${formatTime(letter.atMs)} (${formatAgo(letter.atMs, Date.now())})`),
    "",
    out.bold("Message"),
    indent(formatValue(message, { colors: out.isColorSupported, width }), "  "),
    "",
    out.bold(`Led to ${reason}`),
    ...(failure === "" ? [] : [indent(failure, "  ")]),
  ];
  for (const line of lines) terminal.print(line);
}

function senderOf(from: Pid): string {
  const asked = readEdgeAddress(from);
  if (asked !== undefined) return `outside, under the key ${JSON.stringify(asked.key)}`;
  return from === "" ? "outside" : from;
}

async function resend(context: Context, seq: number, to: string | undefined): Promise<void> {
  const { pid, goOn } = await withReader(context, async (reader) => {
    const letter = await findDeadLetter(reader, seq);
    const receiver = await locate(reader, to ?? letter.pid);
    if (receiver.state === "exited") throw exited(context, seq, receiver.pid);
    if (!(await reader.takeDeadLetter(seq, receiver.pid, Date.now()))) throw noLetter(seq);
    return { pid: receiver.pid, goOn: await goOnCommand(context, reader) };
  });
  const nodeRunning = await isNodeRunning(context);
  const { json, terminal } = context;
  if (json) return terminal.print(JSON.stringify({ seq, resent: pid, nodeRunning }));
  const when = nodeRunning
    ? "A node is running: it takes effect now."
    : `No node is running: it takes effect with the next one, such as: ${goOn}`;
  terminal.note(`Dead letter ${seq} was sent to ${pid} again. ${when}`);
}

function exited({ storeWords }: Context, seq: number, pid: string): PerdureError {
  const line = commandLine(["perdure", "dead-letters", "resend", String(seq), "--to", "PID", ...storeWords]);
  return new PerdureError(
    "PROCESS_EXITED",
    `Process ${pid} has exited and takes no more messages. Send letter ${seq} to another one: ${line}`,
    { details: { pid, seq } },
  );
}

async function drop(context: Context, seq: number): Promise<void> {
  await withReader(context, async (reader) => {
    if (!(await reader.takeDeadLetter(seq, undefined, Date.now()))) throw noLetter(seq);
  });
  const { json, terminal } = context;
  if (json) terminal.print(JSON.stringify({ seq, dropped: true }));
  else terminal.note(`Dead letter ${seq} is dropped.`);
}
