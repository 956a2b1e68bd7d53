/** Trees on a terminal: which lines stand before a name. */
import type { Terminal } from "./terminal.ts";

export interface Branch<T> {
  readonly node: T;
  /** What stands before it. */
  readonly prefix: string;
}

interface Marks {
  readonly child: string;
  readonly last: string;
  readonly through: string;
}

const drawn: Marks = { child: "├─ ", last: "└─ ", through: "│  " };
/** For whatever is no terminal: mails, logs, other programs. */
const plain: Marks = { child: "|- ", last: "`- ", through: "|  " };

/** All nodes from the top down, each before its children. Deep trees are no problem. */
export function branches<T extends { readonly children: readonly T[] }>(
  top: readonly T[],
  { isTerminal }: Pick<Terminal, "isTerminal">,
): Branch<T>[] {
  const marks = isTerminal ? drawn : plain;
  const lines: Branch<T>[] = [];
  const todo = [...top].reverse().map((node) => ({ node, prefix: "", below: "" }));
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const { node, prefix, below } = next;
    lines.push({ node, prefix });
    for (let index = node.children.length - 1; index >= 0; index--) {
      const isLast = index === node.children.length - 1;
      todo.push({
        node: node.children[index] as T,
        prefix: below + (isLast ? marks.last : marks.child),
        below: below + (isLast ? "   " : marks.through),
      });
    }
  }
  return lines;
}
