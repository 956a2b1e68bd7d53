/** Why a served program has come to its end, for whoever reads the log of the machine in the morning. */
import { decodeValue } from "../base/value.ts";
import { eachProcess } from "../engine/tree.ts";
import { failureReasons } from "../journal/types.ts";
import type { ExitReason, Pid } from "../journal/types.ts";
import type { ProcessRow, StoreReader } from "../store/port.ts";
import { commandLine } from "./arguments.ts";
import { inMemory } from "../store/place.ts";
import type { Context } from "./context.ts";
import { exitCodes } from "./failure.ts";
import { formatGuestError } from "./guest-error.ts";
import { errorToJson } from "./json-value.ts";
import { formatBriefly, outcomeDocument } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";
import { withReader } from "./reader.ts";
import { mapErrorsWithin } from "./stacks.ts";
import { count, indent } from "./text.ts";
import { formatAgo } from "./time.ts";

interface Crash {
  /** The newest of those that ended in the same way. */
  readonly row: ProcessRow;
  readonly times: number;
  readonly atMs: number;
  readonly reason: ExitReason;
  readonly error: unknown;
}

const failures: readonly ExitReason[] = [...failureReasons, "killed"];
/** The last ones tell the story. */
const maxCrashes = 5;
const maxRead = 50;
/** Of one supervisor, only the newest of its ended children are looked at. */
const maxEnded = 200;

/** Prints it, and returns the exit code. `again`: the command that serves the program. */
export async function reportRoot(context: Context, outcome: Outcome, again: string): Promise<number> {
  const { json, terminal } = context;
  const crashes =
    context.store === inMemory ? [] : await withReader(context, (reader) => lastCrashes(reader, outcome.pid));
  for (const line of describe(context, outcome, crashes, again)) terminal.note(line);
  if (json) {
    const documents = crashes.map(({ row: { pid, label, restarts }, times, atMs, reason, error }) => ({
      pid,
      label,
      restarts,
      times,
      atMs,
      reason,
      error: errorToJson(error),
    }));
    terminal.print(JSON.stringify({ kind: "exit", ...outcomeDocument(outcome), crashes: documents }));
  }
  return outcome.reason === "normal" ? exitCodes.ok : exitCodes.failed;
}

/** Of the root's descendants, newest first: a supervisor that gave up did so because of those below it. */
async function lastCrashes(reader: StoreReader, root: Pid): Promise<Crash[]> {
  const found: ProcessRow[] = [];
  const todo = [root];
  for (let parent = todo.pop(); parent !== undefined; parent = todo.pop()) {
    let looked = 0;
    for await (const row of eachProcess(reader, { parent, states: ["exited"] })) {
      if (row.role === "supervisor") todo.push(row.pid);
      if (row.exit !== undefined && failures.includes(row.exit.reason)) found.push(row);
      if (++looked >= maxEnded) break;
    }
  }
  const newest = found.sort((a, b) => (b.exit?.atMs ?? 0) - (a.exit?.atMs ?? 0) || b.key - a.key);
  return grouped(await Promise.all(newest.slice(0, maxRead).map((row) => readCrash(reader, row))));
}

/** A child that fails in the same way again and again is told once. */
function grouped(crashes: readonly Crash[]): Crash[] {
  const groups = new Map<string, Crash>();
  for (const crash of crashes) {
    const { row, reason, error } = crash;
    const key = JSON.stringify([row.label || row.pid, reason, shown(error, String)]);
    const before = groups.get(key);
    groups.set(key, before === undefined ? crash : { ...before, times: before.times + 1 });
  }
  return [...groups.values()].slice(0, maxCrashes);
}

async function readCrash(reader: StoreReader, row: ProcessRow): Promise<Crash> {
  const { atMs = 0, reason = "normal", value } = row.exit ?? {};
  const error = value === undefined ? undefined : decodeValue(value);
  await mapErrorsWithin(reader, row.program, error);
  return { row, times: 1, atMs, reason, error };
}

function describe(context: Context, outcome: Outcome, crashes: readonly Crash[], again: string): string[] {
  const { err } = context.terminal;
  const { pid, reason } = outcome;
  const value = "error" in outcome ? outcome.error.cause : undefined;
  const why = explain(reason, value, crashes);
  const nowMs = Date.now();
  const look = commandLine(["perdure", "ps", "--tree", "--all", ...context.storeWords]);
  return [
    `${err.red("perdure:")} ${err.bold(`The root ${pid} has ended: ${reason}.`)} ${why} The node stops.`,
    ...(value === undefined ? [] : [indent(shown(value, err.dim), "  ")]),
    ...(crashes.length === 0 ? [] : ["", "What failed below it, the latest first:"]),
    ...crashes.flatMap((crash) => crashLines(crash, nowMs, err)),
    "",
    ...(context.store === inMemory ? [] : [`What it leaves can be looked at: ${look}`]),
    `A new tree is started by: ${again}`,
  ];
}

function explain(reason: ExitReason, value: unknown, crashes: readonly Crash[]): string {
  switch (reason) {
    case "normal":
      return "It is no supervisor, or there was nothing to supervise.";
    case "shutdown":
      if (hasFailedChild(value)) return "It did not start, because not all of its children did.";
      if (crashes.length > 0) return "It gave up: its children failed more often than it allows.";
      return "It was told to, or its significant children have ended.";
    case "exit":
      return "It did not start.";
    case "cancelled":
    case "killed":
      return "An operator ended it.";
    default:
      return "It failed itself.";
  }
}

/** OTP's `{failed_to_start_child, Id, Reason}`. */
function hasFailedChild(value: unknown): boolean {
  return typeof value === "object" && value !== null && "failed_to_start_child" in value;
}

function crashLines(
  { row, times, atMs, reason, error }: Crash,
  nowMs: number,
  err: Context["terminal"]["err"],
): string[] {
  const who = row.label === "" ? row.pid : `${row.label} (${row.pid})`;
  const again = row.restarts === 0 ? "" : `, restarted ${count(row.restarts, "time")} before`;
  const when = times === 1 ? formatAgo(atMs, nowMs) : `${times} times, last ${formatAgo(atMs, nowMs)}`;
  const text = shown(error, err.dim);
  return [`  ${err.bold(who)}${again}, ${when}: ${err.red(reason)}`, ...(text === "" ? [] : [indent(text, "    ")])];
}

function shown(value: unknown, dim: (text: string) => string): string {
  if (value === undefined) return "";
  if (value instanceof Error) return formatGuestError(value, { dim });
  return typeof value === "string" ? value : formatBriefly(value);
}
