import assert from "node:assert/strict";
import { test } from "node:test";
import { branches } from "./branches.ts";

interface Node {
  readonly name: string;
  readonly children: readonly Node[];
}

const node = (name: string, ...children: Node[]): Node => ({ name, children });

function drawn(top: readonly Node[], isTerminal: boolean): string[] {
  return branches(top, { isTerminal }).map((branch) => branch.prefix + branch.node.name);
}

const forest = [node("a", node("b", node("c"), node("d")), node("e", node("f"))), node("g")];

test("a tree is drawn from the top down, each node before its children", () => {
  assert.deepEqual(drawn(forest, true), ["a", "├─ b", "│  ├─ c", "│  └─ d", "└─ e", "   └─ f", "g"]);
});

test("where there is no terminal it is drawn in ASCII", () => {
  assert.deepEqual(drawn(forest, false), ["a", "|- b", "|  |- c", "|  `- d", "`- e", "   `- f", "g"]);
});

test("a tree may be deeper than the stack", () => {
  let chain = node("leaf");
  for (let depth = 0; depth < 5_000; depth++) chain = node("inner", chain);
  const lines = branches([chain], { isTerminal: true });
  assert.equal(lines.length, 5_001);
  assert.equal(lines.at(-1)?.prefix, `${" ".repeat(3 * 4_999)}└─ `);
});
