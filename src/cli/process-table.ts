/** Processes as a table: what `perdure ps` prints. */
import { isPerdureError } from "../base/errors.ts";
import { decodeValue } from "../base/value.ts";
import { processDetails, processView } from "../engine/views.ts";
import type { Directory } from "../engine/directory.ts";
import type { ProcessDetails } from "../engine/views.ts";
import type { Pid } from "../journal/types.ts";
import type { ProcessRow, StoreReader } from "../store/port.ts";
import { branches } from "./branches.ts";
import type { Branch } from "./branches.ts";
import type { Context } from "./context.ts";
import { headOf } from "./guest-error.ts";
import { formatBriefly } from "./outcome.ts";
import { paintState, stateOf } from "./states.ts";
import { renderTable } from "./table.ts";
import type { Cell, Column } from "./table.ts";
import type { Colors } from "./terminal.ts";
import { formatAgo } from "./time.ts";
import { describeWaiting } from "./waiting.ts";

export interface Listed {
  readonly row: ProcessRow;
  readonly details: ProcessDetails;
}

/** One damaged process must not hide the others. */
export async function lookAt(reader: StoreReader, row: ProcessRow, directory: Directory): Promise<Listed> {
  try {
    return { row, details: await processDetails(reader, row.pid, directory) };
  } catch (error) {
    if (!isPerdureError(error, "JOURNAL_CORRUPT")) throw error;
    const view = processView(row, directory);
    const details = {
      ...view,
      problem: view.problem || error.message,
      turns: await reader.lastTurn(row.key),
      life: row.life,
      links: [],
      monitors: [],
      operations: [],
      timers: [],
      inbox: [],
    };
    return { row, details };
  }
}

/** `asTree`: what was started by another process of the table stands below it. */
export function printProcesses(
  { terminal }: Context,
  processes: readonly Listed[],
  { nodeRuns, asTree }: { readonly nodeRuns: boolean; readonly asTree: boolean },
): void {
  const lines: readonly Branch<Listed>[] = asTree
    ? branches(nested(processes), terminal)
    : processes.map((node) => ({ node, prefix: "" }));
  const fields = fieldsOf(terminal.out, Date.now(), nodeRuns).filter(
    ({ optional, cell }) => optional !== true || lines.some((line) => cell(line).text !== ""),
  );
  const rows = lines.map((line) => fields.map(({ cell }) => cell(line)));
  for (const line of renderTable(fields, rows, { width: terminal.width, paintTitle: terminal.out.bold }))
    terminal.print(line);
}

interface Field extends Column {
  /** Left out if no process has anything to say there. */
  readonly optional?: boolean;
  cell(line: Branch<Listed>): Cell;
}

function fieldsOf(colors: Colors, nowMs: number, nodeRuns: boolean): readonly Field[] {
  return [
    { title: "PID", leastWidth: 12, cell: ({ node, prefix }) => ({ text: prefix + node.details.pid }) },
    { title: "LABEL", leastWidth: 8, optional: true, cell: ({ node }) => ({ text: node.details.label }) },
    {
      title: "STATE",
      cell: ({ node: { details } }) => ({ text: stateOf(details), paint: paintState(details, colors) }),
    },
    { title: "NODE", optional: true, cell: ({ node }) => ({ text: node.details.node ?? "" }) },
    { title: "NEEDS", optional: true, cell: ({ node }) => ({ text: node.details.needs }) },
    // Perdure's own entries go by what they are.
    {
      title: "ENTRY",
      leastWidth: 8,
      cell: ({ node }) => ({ text: node.details.entry.replace(/^perdure:/, "") }),
    },
    {
      title: "STARTED",
      right: true,
      cell: ({ node }) => ({ text: formatAgo(node.details.startedAtMs, nowMs), paint: colors.dim }),
    },
    { title: "TURNS", right: true, cell: ({ node }) => ({ text: String(node.details.turns), paint: colors.dim }) },
    {
      title: "RESTARTS",
      right: true,
      optional: true,
      cell: ({ node: { details } }) => ({
        text: details.restarts === 0 ? "" : String(details.restarts),
        paint: colors.yellow,
      }),
    },
    {
      title: "WAITS FOR, OR ENDED WITH",
      leastWidth: 16,
      cell: ({ node: { row, details } }) => ({ text: now(row, details, nowMs, nodeRuns) }),
    },
  ];
}

type Nested = Listed & { readonly children: Nested[] };

/** In the order they came in, on each level. */
function nested(processes: readonly Listed[]): Nested[] {
  const nodes = new Map<Pid, Nested>();
  for (const listed of processes) nodes.set(listed.details.pid, { ...listed, children: [] });
  const top: Nested[] = [];
  for (const node of nodes.values()) (nodes.get(node.details.parent)?.children ?? top).push(node);
  return top;
}

function now(row: ProcessRow, details: ProcessDetails, nowMs: number, nodeRuns: boolean): string {
  if (details.problem !== "") return details.problem;
  if (row.exit === undefined) return describeWaiting(details, { nowMs, nodeRuns });
  const value = decodeValue(row.exit.value);
  if (row.state === "crashed") return `its supervisor, after ${value === undefined ? row.exit.reason : shown(value)}`;
  if (row.exit.reason !== "normal" && typeof value === "string") return value;
  return value === undefined ? "" : shown(value);
}

function shown(value: unknown): string {
  return value instanceof Error ? headOf(value) : formatBriefly(value);
}
