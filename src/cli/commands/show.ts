/** `perdure show`: one process, in full. */
import type { Command } from "commander";
import { isPerdureError } from "../../base/errors.ts";
import { decodeValue } from "../../base/value.ts";
import { readDeadLetters } from "../../engine/dead-letters.ts";
import { findEver, isPruned } from "../../engine/generations.ts";
import { processDetails, turnView } from "../../engine/views.ts";
import type { ProcessDetails, TurnView } from "../../engine/views.ts";
import type { DroppedOperation, Input } from "../../journal/types.ts";
import type { InboxRow, ProcessRow, ProgramRow, StoreReader, Tombstone } from "../../store/port.ts";
import { commandLine } from "../arguments.ts";
import { act, defineCommand } from "../context.ts";
import type { Context } from "../context.ts";
import { describeFailure, describeMessage, letterDocument, readLetter } from "../dead-letter.ts";
import type { Letter } from "../dead-letter.ts";
import { formatGuestError } from "../guest-error.ts";
import { errorToJson } from "../json-value.ts";
import { formatValue, outcomeDocument } from "../outcome.ts";
import type { Outcome } from "../outcome.ts";
import { shortPath } from "../paths.ts";
import { isNodeRunning, locate, resumeCommand, withReader } from "../reader.ts";
import { readOutcome } from "../read-outcome.ts";
import { mapErrorsWithin } from "../stacks.ts";
import { paintState, stateOf } from "../states.ts";
import { count, cut, indent, oneLine } from "../text.ts";
import { formatAgo, formatDuration, formatIn, formatTime } from "../time.ts";
import { describeDropped, describeInput, droppedDocument, inputDocument } from "../turns.ts";

interface Shown {
  readonly details: ProcessDetails;
  readonly program: ProgramRow | undefined;
  readonly inbox: readonly InboxRow[];
  readonly outcome: Outcome | undefined;
  /** What a crashed process failed with. */
  readonly crash: unknown;
  readonly letters: readonly Letter[];
  /** Of a process that failed: what it was told last, the newest at the end. */
  readonly lastInputs: readonly Input[];
  /** Of an exited process: operations that it left behind. */
  readonly dropped: readonly DroppedOperation[];
  readonly nodeRuns: boolean;
}

const maxLetters = 20;
const maxInputs = 5;

export function showCommand(): Command {
  const command = defineCommand(
    "show",
    "Shows all about a process: what it waits for, whom it is tied to, its inbox, how it ended.",
    ["perdure show order-7"],
  ).argument("<pid>", "the process");
  return act(command, async (context, [pid = ""]) => {
    const shown = await withReader(context, async (reader) => await read(context, reader, pid));
    if (context.json) context.terminal.print(JSON.stringify(showDocument(shown)));
    else for (const line of describe(context, shown)) context.terminal.print(line);
  });
}

async function read(context: Context, reader: StoreReader, word: string): Promise<Shown> {
  const found = await findEver(reader, word);
  if (isPruned(found)) return await readPruned(context, reader, found);
  const row = await locate(reader, word);
  const { pid, exit, state } = row;
  const lastTurns = exit === undefined ? [] : await readLastTurns(reader, row);
  return {
    details: await processDetails(reader, pid),
    program: await reader.program(row.program),
    inbox: await reader.inbox(row.key),
    outcome: await readOutcome(reader, pid),
    crash: await readCrash(reader, row),
    lastInputs: exit?.reason === "normal" ? [] : lastTurns.flatMap(({ inputs }) => inputs).slice(-maxInputs),
    dropped: state === "exited" ? (lastTurns.at(-1)?.dropped ?? []) : [],
    letters: await Promise.all(
      (await readDeadLetters(reader, { pid, limit: maxLetters })).map((each) => readLetter(reader, each)),
    ),
    nodeRuns: await isNodeRunning(context),
  };
}

/** How it ended is all that is left, and not even that if it was too large. */
async function readPruned(context: Context, reader: StoreReader, { pid, program, exit }: Tombstone): Promise<Shown> {
  return {
    details: await processDetails(reader, pid),
    program: await reader.program(program),
    inbox: [],
    outcome: exit.value === undefined ? undefined : await readOutcome(reader, pid),
    crash: undefined,
    lastInputs: [],
    dropped: [],
    letters: [],
    nodeRuns: await isNodeRunning(context),
  };
}

async function readCrash(reader: StoreReader, { state, exit, program }: ProcessRow): Promise<unknown> {
  if (state !== "crashed" || exit === undefined) return undefined;
  const error = decodeValue(exit.value);
  await mapErrorsWithin(reader, program, error);
  return error;
}

/** A damaged journal must not hide the rest. */
async function readLastTurns(reader: StoreReader, { key }: ProcessRow): Promise<TurnView[]> {
  try {
    const last = await reader.lastTurn(key);
    const turns = await reader.turns(key, Math.max(1, last - maxInputs + 1), maxInputs);
    return turns.map(turnView);
  } catch (error) {
    if (isPerdureError(error, "JOURNAL_CORRUPT")) return [];
    throw error;
  }
}

function showDocument({ details, program, inbox, outcome, crash, letters, lastInputs, dropped }: Shown): unknown {
  const { exit, ...rest } = details;
  return {
    ...rest,
    ...(details.crash === undefined ? {} : { crash: { ...details.crash, error: errorToJson(crash) } }),
    deadLetters: letters.map(letterDocument),
    ...(lastInputs.length === 0 ? {} : { lastInputs: lastInputs.map(inputDocument) }),
    ...(dropped.length === 0 ? {} : { dropped: dropped.map(droppedDocument) }),
    file: program?.file ?? "",
    inbox: inbox.map(({ input, atMs }) => ({ atMs, input: inputDocument(input) })),
    ...(exit === undefined || outcome === undefined ? {} : { exit: { atMs: exit.atMs, ...outcomeDocument(outcome) } }),
  };
}

type Field = (name: string, value: string) => string;

function describe(context: Context, shown: Shown): string[] {
  const { details, inbox, outcome, crash, letters, lastInputs, dropped, nodeRuns } = shown;
  const { out, width = 100 } = context.terminal;
  const nowMs = Date.now();
  const field: Field = (name, value) => `  ${out.dim(name.padEnd(10))}${value}`;
  const section = (title: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : ["", out.bold(title), ...lines];
  const waits = details.state === "exited" ? [] : waitLines(details, nowMs, width);
  const lines = [
    `${out.bold(details.pid)}  ${paintState(details, out)(stateOf(details))}`,
    ...(details.problem === "" ? [] : [field("problem", out.red(details.problem))]),
    ...aboutLines(context, shown, field, nowMs),
    ...tieLines(details, field),
    ...section("Waits for", waits),
    ...section(
      "Inbox",
      inbox.map((row) => inboxLine(row, nowMs, width)),
    ),
    ...section(
      `Failed with ${details.crash?.reason ?? ""}, and its supervisor decides what becomes of it`,
      crash === undefined ? [] : failureLines(context, crash),
    ),
    ...section(
      "Dead letters",
      letters.map((letter) => letterLine(letter, nowMs, width)),
    ),
    ...section(outcomeTitle(outcome), outcomeLines(context, outcome)),
    ...section(
      "Left behind",
      dropped.map((each) => cut(oneLine(`  ${describeDropped(each)}`), width)),
    ),
    ...section(
      "Was told last",
      lastInputs.map((input) => inputText(input, width)),
    ),
  ];
  if (!nodeRuns && ["running", "crashed"].includes(details.state)) {
    lines.push("", out.dim(`No node is running. It goes on with: ${resumeCommand(context, "--pid", details.pid)}`));
  }
  return lines;
}

/** What it is, where it comes from, and since when. */
function aboutLines(
  { terminal: { out } }: Context,
  { details, program }: Shown,
  field: Field,
  nowMs: number,
): string[] {
  const when = (atMs: number): string => `${formatTime(atMs)} (${formatAgo(atMs, nowMs)})`;
  const { label, role, restarts, life, exit, node, needs } = details;
  return [
    ...(label === "" ? [] : [field("label", label)]),
    ...(role === "" ? [] : [field("role", role)]),
    ...(node === undefined ? [] : [field("node", node)]),
    ...(needs === "" ? [] : [field("needs", `a node with the label ${needs}`)]),
    field("entry", details.entry),
    field(
      "program",
      `${program === undefined ? "" : `${shortPath(program.file)}  `}${out.dim(details.program.slice(0, 12))}`,
    ),
    field("started", when(details.startedAtMs)),
    ...(exit === undefined
      ? []
      : [field("ended", `${when(exit.atMs)}, after ${formatDuration(exit.atMs - details.startedAtMs)}`)]),
    details.pruned === true
      ? field("pruned", "its turns and logs are gone; this is what is left of it")
      : field("turns", String(details.turns)),
    ...(restarts === 0 ? [] : [field("restarts", `${restarts} before this process was started`)]),
    ...(life === 1 ? [] : [field("lives", `${life}: it went back to its checkpoint ${count(life - 1, "time")}`)]),
  ];
}

const maxTies = 20;

function tieLines({ parent, names, links, monitors }: ProcessDetails, field: Field): string[] {
  const list = (name: string, pids: readonly string[]): string[] => {
    if (pids.length === 0) return [];
    const more = pids.length > maxTies ? ` and ${pids.length - maxTies} more` : "";
    return [field(name, pids.slice(0, maxTies).join(", ") + more)];
  };
  return [
    ...(parent === "" ? [] : [field("parent", parent)]),
    ...list("names", names),
    ...list("links", links),
    ...list("monitors", monitors),
  ];
}

function letterLine(letter: Letter, nowMs: number, width: number): string {
  const led = describeFailure(letter.error) || letter.reason;
  const line = `  #${letter.seq}, ${formatAgo(letter.atMs, nowMs)}  ${describeMessage(letter.message)}  led to ${led}`;
  return cut(oneLine(line), width);
}

function waitLines(
  { pid, state, lacks, operations, timers, inbox, turns }: ProcessDetails,
  nowMs: number,
  width: number,
): string[] {
  if (state === "crashed") return ["  its supervisor"];
  if (state === "paused") return [`  ${commandLine(["perdure", "unpause", pid])}`];
  const lines = lacks === "" ? [] : [`  ${lacks}`];
  const running = operations.flatMap(({ number, name, state, attempt, notBeforeMs, startedAtMs, lastError }) => {
    const next = notBeforeMs > nowMs ? ` ${formatIn(notBeforeMs, nowMs)}` : "";
    // Whether that had an effect is known only when there is a result.
    const begun = startedAtMs === 0 ? "" : `, begun ${formatAgo(startedAtMs, nowMs)}`;
    const about = state === "pending" ? `attempt ${attempt}${next}${begun}` : `${state}${begun}`;
    const error = lastError === "" ? [] : [indent(cut(oneLine(lastError), width - 6), "      ")];
    return [`  operation #${number}  ${name}  ${about}`, ...error];
  });
  lines.push(...running);
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
  return inputText(input, width, `, ${formatAgo(atMs, nowMs)}`);
}

function inputText(input: Input, width: number, when = ""): string {
  const { what, value } = describeInput(input, new Map());
  return cut(oneLine(`  ${what}${when}${value === "" ? "" : `  ${value}`}`), width);
}

function outcomeTitle(outcome: Outcome | undefined): string {
  if (outcome === undefined || !("error" in outcome)) return "Result";
  return outcome.error.cause instanceof Error ? "Error" : "Reason";
}

function outcomeLines({ terminal }: Pick<Context, "terminal">, outcome: Outcome | undefined): string[] {
  if (outcome === undefined) return [];
  const { out, width } = terminal;
  if (!("error" in outcome)) {
    return outcome.value === undefined
      ? []
      : indent(formatValue(outcome.value, { colors: out.isColorSupported, width }), "  ").split("\n");
  }
  const { cause } = outcome.error;
  return cause === undefined ? [] : failureLines({ terminal }, cause);
}

function failureLines({ terminal: { out } }: Pick<Context, "terminal">, thrown: unknown): string[] {
  return indent(typeof thrown === "string" ? thrown : formatGuestError(thrown, { dim: out.dim }), "  ").split("\n");
}
