/** `perdure tree`: what lives, and who started whom. */
import type { Command } from "commander";
import { processTree } from "../../engine/tree.ts";
import type { ProcessTree } from "../../engine/tree.ts";
import { branches } from "../branches.ts";
import { act, defineCommand, wholeNumber } from "../context.ts";
import type { Context } from "../context.ts";
import { locate, noteNoNode, withReader } from "../reader.ts";
import { paintState, stateOf } from "../states.ts";
import { renderTable } from "../table.ts";
import type { Cell } from "../table.ts";
import { count } from "../text.ts";
import { formatAgo } from "../time.ts";

interface TreeOptions {
  readonly children: number;
  readonly all?: boolean;
}

const defaultChildren = 20;

export function treeCommand(): Command {
  const command = defineCommand(
    "tree",
    "Shows the living processes, each below the one that started it, with states, restarts and names.",
    ["perdure tree", "perdure tree root --children 100", "perdure tree --json"],
  )
    .argument("[pid]", "only this process and what is below it")
    .option("--children <number>", "of one process, show so many", wholeNumber("--children", 1), defaultChildren)
    .option("--all", "show all children");
  return act<TreeOptions>(command, async (context, [word], { children, all }) => {
    await withReader(context, async (reader) => {
      const pid = word === undefined ? undefined : (await locate(reader, word)).pid;
      const tree = await processTree(reader);
      const top = pid === undefined ? tree : subtree(tree, pid);
      const { json, terminal } = context;
      if (json) return terminal.print(JSON.stringify(top));
      if (top.length === 0) {
        return terminal.note(
          pid === undefined ? "No process lives. Start some with: perdure serve FILE" : `Process ${pid} has ended.`,
        );
      }
      printTree(context, top, all === true ? Infinity : children);
      await noteNoNode(context, reader);
    });
  });
}

function subtree(tree: readonly ProcessTree[], pid: string): ProcessTree[] {
  const todo = [...tree];
  for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
    if (node.pid === pid) return [node];
    todo.push(...node.children);
  }
  return [];
}

/** A process, or the mark for those that are left out. */
type Shown =
  { readonly process: ProcessTree; readonly children: Shown[] } | { readonly left: number; readonly children: [] };

function shorten(nodes: readonly ProcessTree[], most: number): Shown[] {
  const shown = (process: ProcessTree): Shown => ({ process, children: [] });
  const top = nodes.map(shown);
  const todo = [...top];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    if (!("process" in next)) continue;
    const { children } = next.process;
    // A line that says "1 more" would take the place of that one.
    const few = children.length <= most + 1 ? children : children.slice(0, most);
    next.children.push(...few.map(shown));
    todo.push(...next.children);
    if (few.length < children.length) next.children.push({ left: children.length - few.length, children: [] });
  }
  return top;
}

function printTree({ terminal }: Context, top: readonly ProcessTree[], most: number): void {
  const nowMs = Date.now();
  const colors = terminal.out;
  const columns = [
    { title: "PROCESS", leastWidth: 16 },
    { title: "STATE" },
    { title: "WHAT", leastWidth: 8 },
    { title: "STARTED", right: true },
    { title: "RESTARTS", right: true },
    { title: "NAMES", leastWidth: 8 },
    { title: "PID", leastWidth: 12 },
  ];
  const rows = branches(shorten(top, most), terminal).map(({ node, prefix }): Cell[] => {
    if (!("process" in node)) return [{ text: `${prefix}… ${count(node.left, "more", "more")}` }];
    const { process } = node;
    return [
      { text: prefix + (process.label || process.pid) },
      { text: stateOf(process), paint: paintState(process, colors) },
      { text: whatIs(process) },
      { text: formatAgo(process.startedAtMs, nowMs), paint: colors.dim },
      { text: process.restarts === 0 ? "" : String(process.restarts), paint: colors.yellow },
      { text: process.names.join(", ") },
      { text: process.label === "" ? "" : process.pid, paint: colors.dim },
    ];
  });
  for (const line of renderTable(columns, rows, { width: terminal.width, paintTitle: colors.bold }))
    terminal.print(line);
}

/** "supervisor", "server Cart", "crawl": what is written in the program goes without Perdure's own names. */
function whatIs({ role, entry }: ProcessTree): string {
  if (role === "supervisor" || entry.startsWith("perdure:")) return role;
  return role === "" || role === "process" ? entry : `${role} ${entry}`;
}
