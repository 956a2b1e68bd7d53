/** `perdure nodes`: who owns the store, and who stands by. */
import type { Command } from "commander";
import type { NodeRow } from "../../store/port.ts";
import { act, defineCommand } from "../context.ts";
import type { Context } from "../context.ts";
import { countGoing, goOnCommand, isNodeRunning, withReader } from "../reader.ts";
import { renderTable } from "../table.ts";
import type { Cell, Column } from "../table.ts";
import { formatAgo } from "../time.ts";

export function nodesCommand(): Command {
  const command = defineCommand("nodes", "Lists the nodes: the one that owns the store, and those that stand by.", [
    "perdure nodes",
    "perdure nodes --json",
  ]);
  return act(command, nodes);
}

type Field = Column & { cell(row: NodeRow): Cell };

const fieldsOf = (nowMs: number, { dim, green }: Context["terminal"]["out"]): readonly Field[] => [
  { title: "NODE", leastWidth: 12, cell: ({ name }) => ({ text: name }) },
  { title: "STATE", cell: ({ state }) => ({ text: state, paint: state === "active" ? green : dim }) },
  { title: "LABELS", cell: ({ labels }) => ({ text: labels.join(" ") }) },
  {
    title: "INCARNATION",
    right: true,
    cell: ({ state, incarnation }) => ({ text: state === "active" ? String(incarnation) : "" }),
  },
  { title: "RELEASE", cell: ({ release }) => ({ text: release }) },
  { title: "SINCE", right: true, cell: ({ sinceMs }) => ({ text: formatAgo(sinceMs, nowMs), paint: dim }) },
  { title: "SEEN", right: true, cell: ({ seenMs }) => ({ text: formatAgo(seenMs, nowMs), paint: dim }) },
];

async function nodes(context: Context): Promise<void> {
  const { json, terminal } = context;
  const nowMs = Date.now();
  await withReader(context, async (reader) => {
    const rows = await reader.nodes(nowMs);
    if (json) return terminal.print(JSON.stringify(rows));
    if (rows.length > 0) {
      const hasLabels = rows.some(({ labels }) => labels.length > 0);
      const fields = fieldsOf(nowMs, terminal.out).filter(({ title }) => hasLabels || title !== "LABELS");
      const table = rows.map((row) => fields.map(({ cell }) => cell(row)));
      for (const line of renderTable(fields, table, { width: terminal.width, paintTitle: terminal.out.bold }))
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
