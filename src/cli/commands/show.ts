/** `perdure show`: one process, in full. */
import type { Command } from "commander";
import { findProcess, processDetails } from "../../engine/views.ts";
import type { ProcessDetails } from "../../engine/views.ts";
import type { InboxRow, ProgramRow, StoreReader } from "../../store/port.ts";
import { act, defineCommand } from "../context.ts";
import type { Context } from "../context.ts";
import { formatGuestError } from "../guest-error.ts";
import { formatValue, outcomeDocument } from "../outcome.ts";
import type { Outcome } from "../outcome.ts";
import { shortPath } from "../paths.ts";
import { isNodeRunning, resumeCommand, withReader } from "../reader.ts";
import { readOutcome } from "../read-outcome.ts";
import { paintState, stateOf } from "../states.ts";
import { cut, indent, oneLine } from "../text.ts";
import { formatAgo, formatDuration, formatIn, formatTime } from "../time.ts";
import { describeInput, inputDocument } from "../turns.ts";

interface Shown {
  readonly details: ProcessDetails;
  readonly program: ProgramRow | undefined;
  readonly inbox: readonly InboxRow[];
  readonly outcome: Outcome | undefined;
  readonly nodeRuns: boolean;
}

export function showCommand(): Command {
  const command = defineCommand("show", "Shows all about a process: what it waits for, its inbox, how it ended.", [
    "perdure show order-7",
  ]).argument("<pid>", "the process");
  return act(command, async (context, [pid = ""]) => {
    const shown = await withReader(context, async (reader) => await read(context, reader, pid));
    if (context.json) context.terminal.print(JSON.stringify(showDocument(shown)));
    else for (const line of describe(context, shown)) context.terminal.print(line);
  });
}

async function read(context: Context, reader: StoreReader, pid: string): Promise<Shown> {
  const row = await findProcess(reader, pid);
  return {
    details: await processDetails(reader, pid),
    program: await reader.program(row.program),
    inbox: await reader.inbox(row.key),
    outcome: await readOutcome(reader, pid),
    nodeRuns: isNodeRunning(context),
  };
}

function showDocument({ details, program, inbox, outcome }: Shown): unknown {
  const { exit, ...rest } = details;
  return {
    ...rest,
    file: program?.file ?? "",
    inbox: inbox.map(({ input, atMs }) => ({ atMs, input: inputDocument(input) })),
    ...(exit === undefined || outcome === undefined ? {} : { exit: { atMs: exit.atMs, ...outcomeDocument(outcome) } }),
  };
}

function describe(context: Context, { details, program, inbox, outcome, nodeRuns }: Shown): string[] {
  const { out, width = 100 } = context.terminal;
  const nowMs = Date.now();
  const field = (name: string, value: string): string => `  ${out.dim(name.padEnd(10))}${value}`;
  const section = (title: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : ["", out.bold(title), ...lines];
  const when = (atMs: number): string => `${formatTime(atMs)} (${formatAgo(atMs, nowMs)})`;
  const waits = details.state === "exited" ? [] : waitLines(details, nowMs, width);
  const lines = [
    `${out.bold(details.pid)}  ${paintState(details, out)(stateOf(details))}`,
    ...(details.problem === "" ? [] : [field("problem", out.red(details.problem))]),
    field("entry", details.entry),
    field(
      "program",
      `${program === undefined ? "" : `${shortPath(program.file)}  `}${out.dim(details.program.slice(0, 12))}`,
    ),
    field("started", when(details.startedAtMs)),
    ...(details.exit === undefined
      ? []
      : [
          field(
            "ended",
            `${when(details.exit.atMs)}, after ${formatDuration(details.exit.atMs - details.startedAtMs)}`,
          ),
        ]),
    field("turns", String(details.turns)),
    ...section("Waits for", waits),
    ...section(
      "Inbox",
      inbox.map((row) => inboxLine(row, nowMs, width)),
    ),
    ...section(outcome !== undefined && "error" in outcome ? "Error" : "Result", outcomeLines(context, outcome)),
  ];
  if (!nodeRuns && details.state === "running") {
    lines.push("", out.dim(`No node is running. It goes on with: ${resumeCommand(context, "--pid", details.pid)}`));
  }
  return lines;
}

function waitLines({ operations, timers, inbox, turns }: ProcessDetails, nowMs: number, width: number): string[] {
  const lines = operations.flatMap(({ number, name, state, attempt, notBeforeMs, lastError }) => {
    const next = notBeforeMs > nowMs ? ` ${formatIn(notBeforeMs, nowMs)}` : "";
    const about = state === "pending" ? `attempt ${attempt}${next}` : state;
    const error = lastError === "" ? [] : [indent(cut(oneLine(lastError), width - 6), "      ")];
    return [`  operation #${number}  ${name}  ${about}`, ...error];
  });
  for (const { number, dueMs, clock } of timers) {
    // Service time stands still while no node runs: when that will be on the clock on the wall, nobody knows.
    lines.push(
      clock === "wall"
        ? `  timer #${number}  due ${formatTime(dueMs)} (${formatIn(dueMs, nowMs)})`
        : `  timeout #${number}`,
    );
  }
  return lines.length === 0 && inbox.length === 0 && turns > 0 ? ["  a message"] : lines;
}

function inboxLine({ input, atMs }: InboxRow, nowMs: number, width: number): string {
  const { what, value } = describeInput(input, new Map());
  return cut(oneLine(`  ${what}, ${formatAgo(atMs, nowMs)}${value === "" ? "" : `  ${value}`}`), width);
}

function outcomeLines({ terminal }: Context, outcome: Outcome | undefined): string[] {
  if (outcome === undefined) return [];
  const { out, width } = terminal;
  if (!("error" in outcome)) {
    return outcome.value === undefined
      ? []
      : indent(formatValue(outcome.value, { colors: out.isColorSupported, width }), "  ").split("\n");
  }
  const { cause } = outcome.error;
  return indent(typeof cause === "string" ? cause : formatGuestError(cause, { dim: out.dim }), "  ").split("\n");
}
