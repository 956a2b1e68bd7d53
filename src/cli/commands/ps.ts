/** `perdure ps`: the processes of the store, newest first. */
import type { Command } from "commander";
import { isPerdureError } from "../../base/errors.ts";
import { processDetails, processView } from "../../engine/views.ts";
import type { ProcessDetails } from "../../engine/views.ts";
import type { ExitReason } from "../../journal/types.ts";
import type { ProcessFilter, ProcessRow, ProcessState, StoreReader } from "../../store/port.ts";
import { decodeValue } from "../../base/value.ts";
import { act, collect, defineCommand, wholeNumber } from "../context.ts";
import type { Context } from "../context.ts";
import { usageError } from "../failure.ts";
import { formatBriefly } from "../outcome.ts";
import { isNodeRunning, resumeCommand, withReader } from "../reader.ts";
import { exitReasons, paintState, processStates, stateOf } from "../states.ts";
import { renderTable } from "../table.ts";
import type { Cell } from "../table.ts";
import { count } from "../text.ts";
import { formatAgo } from "../time.ts";
import { describeWaiting } from "../waiting.ts";

interface PsOptions {
  readonly state?: readonly string[];
  readonly entry?: string;
  readonly limit: number;
  readonly all?: boolean;
}

const defaultLimit = 30;

export function psCommand(): Command {
  const command = defineCommand("ps", "Lists processes, newest first.", [
    "perdure ps",
    "perdure ps --state running --state broken",
    "perdure ps --state error --entry refund --all",
  ])
    .option("--state <state>", `only these (repeatable): ${[...processStates, ...exitReasons].join(", ")}`, collect)
    .option("--entry <entry>", "only processes of this exported function")
    .option("--limit <number>", "at most so many", wholeNumber("--limit", 1), defaultLimit)
    .option("--all", "all there are");
  return act<PsOptions>(command, ps);
}

async function ps(context: Context, _: readonly string[], options: PsOptions): Promise<void> {
  const limit = options.all === true ? Number.MAX_SAFE_INTEGER : options.limit;
  const filter = {
    ...stateFilter(options.state ?? []),
    ...(options.entry === undefined ? {} : { entry: options.entry }),
    limit,
  };
  await withReader(context, async (reader) => {
    const { rows, more } = await list(reader, filter);
    const processes = await Promise.all(rows.map((row) => lookAt(reader, row)));
    const { terminal } = context;
    if (context.json) return terminal.print(JSON.stringify(processes.map(({ details }) => details)));
    if (processes.length === 0) return terminal.note(await nothing(reader));
    const nodeRuns = isNodeRunning(context);
    printTable(context, processes, nodeRuns);
    if (more) terminal.note(terminal.err.dim(`Only the newest ${rows.length}; --all shows all.`));
    const { running } = await reader.countProcesses();
    if (!nodeRuns && running > 0)
      terminal.note(
        terminal.err.dim(
          `No node is running. ${count(running, "process goes", "processes go")} on with: ${resumeCommand(context)}`,
        ),
      );
  });
}

/** One more than asked for tells whether there are more. */
async function list(
  reader: StoreReader,
  filter: ProcessFilter,
): Promise<{ readonly rows: readonly ProcessRow[]; readonly more: boolean }> {
  const rows = await reader.listProcesses({ ...filter, limit: Math.min(filter.limit + 1, Number.MAX_SAFE_INTEGER) });
  return { rows: rows.slice(0, filter.limit), more: rows.length > filter.limit };
}

async function nothing(reader: StoreReader): Promise<string> {
  const counts = await reader.countProcesses();
  const total = Object.values(counts).reduce((sum, each) => sum + each, 0);
  return total === 0
    ? "There are no processes yet. Start one with: perdure run FILE"
    : `None of ${count(total, "process", "processes")} is like that.`;
}

/** A state is one of the four, or a reason of those that have exited. */
function stateFilter(words: readonly string[]): Pick<ProcessFilter, "states" | "reasons"> {
  const states = words.filter((word): word is ProcessState => (processStates as readonly string[]).includes(word));
  const reasons = words.filter((word): word is ExitReason => (exitReasons as readonly string[]).includes(word));
  const unknown = words.find((word) => !(states as string[]).includes(word) && !(reasons as string[]).includes(word));
  if (unknown !== undefined)
    throw usageError(
      `--state is ${JSON.stringify(unknown)}; it must be one of ${[...processStates, ...exitReasons].join(", ")}.`,
    );
  if (reasons.length === 0) return states.length === 0 ? {} : { states };
  if (states.length > 0 && !states.includes("exited"))
    throw usageError(
      "--state takes either states or exit reasons, since no process has both. Ask for them one after the other.",
    );
  return { states: ["exited"], reasons };
}

interface Listed {
  readonly row: ProcessRow;
  readonly details: ProcessDetails;
}

/** One damaged process must not hide the others. */
async function lookAt(reader: StoreReader, row: ProcessRow): Promise<Listed> {
  try {
    return { row, details: await processDetails(reader, row.pid) };
  } catch (error) {
    if (!isPerdureError(error, "JOURNAL_CORRUPT")) throw error;
    const details = {
      ...processView(row),
      turns: await reader.lastTurn(row.key),
      operations: [],
      timers: [],
      inbox: [],
    };
    return { row, details: { ...details, problem: details.problem || error.message } };
  }
}

function printTable({ terminal }: Context, processes: readonly Listed[], nodeRuns: boolean): void {
  const nowMs = Date.now();
  const colors = terminal.out;
  const columns = [
    { title: "PID", leastWidth: 12 },
    { title: "STATE" },
    { title: "ENTRY", leastWidth: 8 },
    { title: "STARTED", right: true },
    { title: "TURNS", right: true },
    { title: "WAITS FOR, OR ENDED WITH", leastWidth: 16 },
  ];
  const rows = processes.map(({ row, details }): Cell[] => [
    { text: details.pid },
    { text: stateOf(details), paint: paintState(details, colors) },
    { text: details.entry },
    { text: formatAgo(details.startedAtMs, nowMs), paint: colors.dim },
    { text: String(details.turns), paint: colors.dim },
    { text: now(row, details, nowMs, nodeRuns) },
  ]);
  for (const line of renderTable(columns, rows, { width: terminal.width, paintTitle: colors.bold }))
    terminal.print(line);
}

function now(row: ProcessRow, details: ProcessDetails, nowMs: number, nodeRuns: boolean): string {
  if (details.problem !== "") return details.problem;
  if (row.exit === undefined) return describeWaiting(details, { nowMs, nodeRuns });
  const value = decodeValue(row.exit.value);
  if (value instanceof Error) return value.message === "" ? value.name : `${value.name}: ${value.message}`;
  if (row.exit.reason !== "normal" && typeof value === "string") return value;
  return value === undefined ? "" : formatBriefly(value);
}
