/** `perdure nodes`: who owns the store, and who stands by. */
import type { Command } from "commander";
import type { NodeRow } from "../../store/port.ts";
import { act, defineCommand } from "../context.ts";
import type { Context } from "../context.ts";
import { countGoing, goOnCommand, isNodeRunning, withReader } from "../reader.ts";
import { renderTable } from "../table.ts";
import type { Column } from "../table.ts";
import { formatAgo } from "../time.ts";

export function nodesCommand(): Command {
  const command = defineCommand("nodes", "Lists the nodes: the one that owns the store, and those that stand by.", [
    "perdure nodes",
    "perdure nodes --json",
  ]);
  return act(command, nodes);
}

const columns: readonly Column[] = [
  { title: "NODE", leastWidth: 12 },
  { title: "STATE" },
  { title: "INCARNATION", right: true },
  { title: "RELEASE" },
  { title: "SINCE", right: true },
  { title: "SEEN", right: true },
];

async function nodes(context: Context): Promise<void> {
  const { json, terminal } = context;
  const nowMs = Date.now();
  await withReader(context, async (reader) => {
    const rows = await reader.nodes(nowMs);
    if (json) return terminal.print(JSON.stringify(rows));
    if (rows.length > 0) {
      const table = rows.map((row) => cellsOf(row, nowMs, terminal.out));
      for (const line of renderTable(columns, table, { width: terminal.width, paintTitle: terminal.out.bold }))
        terminal.print(line);
    }
    if (rows.some(({ state }) => state === "active")) return;
    if (await isNodeRunning(context))
      return terminal.note("The store is owned by a command that is no node, such as perdure prune.");
    const start = (await countGoing(reader)) > 0 ? await goOnCommand(context, reader) : "perdure serve FILE";
    if (rows.length === 0) terminal.note(`No node is running. Start one with: ${start}`);
    else terminal.note("No node owns the store at this moment.");
  });
}

function cellsOf(row: NodeRow, nowMs: number, { dim, green }: Context["terminal"]["out"]) {
  const isActive = row.state === "active";
  return [
    { text: row.name },
    { text: row.state, paint: isActive ? green : dim },
    { text: isActive ? String(row.incarnation) : "" },
    { text: row.release },
    { text: formatAgo(row.sinceMs, nowMs), paint: dim },
    { text: formatAgo(row.seenMs, nowMs), paint: dim },
  ];
}
