import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as rules from "./structure/rules.ts";
import { repositoryFiles } from "./structure/sources.ts";

const files = repositoryFiles();

type Rule = (sources: typeof files) => string[];

function holds(rule: Rule): void {
  const complaints = rule(files);
  assert.equal(complaints.length, 0, `\n${complaints.join("\n")}\n`);
}

describe("the repository", () => {
  test("imports point down only, and siblings do not import each other", () => holds(rules.layering));
  test("has no cycle of imports", () => holds(rules.cycles));
  test("has no file of code beyond 500 lines", () => holds(rules.fileSizes));
  test("has no function beyond 70 lines", () => holds(rules.functionSizes));
  test("calls nothing in base, journal, kernel and guest that is not deterministic", () => holds(rules.bannedCallsIn));
  test("holds no absolute path and no registry's address", () => holds(rules.tracesOfMachines));
  test("has a lockfile without the addresses it was made with", () => holds(rules.lockfile));
});

describe("the rules find what they look for", () => {
  const find = (rule: Rule, path: string, text: string) => rule([{ path, text }]);
  // Put together here, or the rules would find them in this file.
  const home = ["", "home", "ann"].join("/");
  const host = ["registry", "example", "org"].join(".");
  const long = (lines: number) => "\n".repeat(lines);

  const found: readonly (readonly [Rule, path: string, text: string, line: number])[] = [
    [rules.layering, "src/kernel/a.ts", 'import { x } from "../engine/x.ts";', 1],
    [rules.layering, "src/kernel/deep/a.ts", '\nimport type {\n  X,\n} from "../../engine/x.ts";', 2],
    [rules.layering, "src/machine/a.ts", 'export * from "../store/port.ts";', 1],
    [rules.layering, "src/operations/a.ts", 'const x = await import("../program/x.ts");', 1],
    [rules.layering, "src/base/a.ts", 'import "../guest/api.ts";', 1],
    [rules.layering, "src/guest/a.ts", 'import { x } from "../journal/types.ts";', 1],
    [rules.layering, "src/guest/a.ts", 'import type { X } from "../kernel/ports.ts";', 1],
    [rules.layering, "src/elsewhere/a.ts", "", 1],
    [rules.cycles, "src/base/a.ts", '// itself\nimport type { A } from "./a.ts";', 2],
    [rules.fileSizes, "scripts/a.js", long(501), 501],
    [rules.functionSizes, "src/base/a.ts", `\nexport function f(x: number): void {${long(70)}}`, 2],
    [rules.functionSizes, "test/a.test.ts", `test("x", async () => {${long(70)}});`, 1],
    [rules.functionSizes, "src/base/a.ts", `class A {\n  private m(): void {${long(70)}}\n}`, 2],
    [rules.bannedCallsIn, "src/kernel/a.ts", "const x: number = 1;\nexport const y = Date.now();", 2],
    [rules.bannedCallsIn, "src/journal/a.ts", "export const now = Date.now;", 1],
    [rules.bannedCallsIn, "src/guest/a.ts", "export const y = Math.random();", 1],
    [rules.bannedCallsIn, "src/kernel/a.ts", "setTimeout(() => {}, 1);", 1],
    [rules.bannedCallsIn, "src/kernel/a.ts", "export const y = new Date();", 1],
    [rules.bannedCallsIn, "src/kernel/a.ts", 'import { readFileSync } from "node:fs";', 1],
    [rules.bannedCallsIn, "src/base/a.ts", 'import { createHash } from "node:crypto";', 1],
    [rules.tracesOfMachines, "docs/a.md", `see ${home}/x`, 1],
    [rules.tracesOfMachines, "a.json", "\n" + ["C:", "Users", "ann"].join("\\"), 2],
    [rules.tracesOfMachines, ".npmrc", `x=https://${host}/`, 1],
    [rules.lockfile, "package-lock.json", '{\n  "resolved": "x"}', 2],
  ];
  for (const [rule, path, text, line] of found) {
    test(`${rule.name} finds ${JSON.stringify(text.replaceAll(/\n{3,}/g, "…"))} in ${path}`, () => {
      const complaints = find(rule, path, text);
      assert.equal(complaints.length, 1);
      assert.ok(complaints[0]?.startsWith(`${path}:${line}: `), complaints[0]);
    });
  }

  const allowed: readonly (readonly [Rule, path: string, text: string])[] = [
    [rules.layering, "src/kernel/a.ts", 'import { x } from "../store/port.ts";\nimport { y } from "./y.ts";'],
    [rules.layering, "src/guest/a.ts", 'import type { X } from "../journal/types.ts";'],
    [rules.layering, "src/program/a.ts", 'import { x } from "../guest/api-names.ts";'],
    [rules.layering, "src/base/a.test.ts", 'import { x } from "../engine/x.ts";'],
    [rules.fileSizes, "src/base/a.ts", long(500)],
    [rules.functionSizes, "src/base/a.ts", `export const f = () => {${long(69)}};`],
    [rules.functionSizes, "src/base/a.test.ts", `describe("x", () => {${long(100)}});`],
    [rules.bannedCallsIn, "src/guest/a.ts", 'import { setTimeout } from "./timers.ts";\nsetTimeout(1);'],
    [rules.bannedCallsIn, "src/kernel/a.ts", "export const y = new Date(0);"],
    [rules.bannedCallsIn, "src/engine/a.ts", "export const y = Date.now();"],
    [rules.tracesOfMachines, "docs/a.md", "GET /v1/home/x and https://example.org/root/"],
  ];
  for (const [rule, path, text] of allowed) {
    test(`${rule.name} allows ${JSON.stringify(text.replaceAll(/\n{3,}/g, "…"))} in ${path}`, () => {
      assert.deepStrictEqual(find(rule, path, text), []);
    });
  }

  test("cycles finds a cycle of three, types included", () => {
    const [first, ...others] = rules.cycles([
      { path: "src/base/a.ts", text: 'import { b } from "./b.ts";' },
      { path: "src/base/b.ts", text: 'import type { C } from "./deep/c.ts";' },
      { path: "src/base/deep/c.ts", text: 'export { a } from "../a.ts";' },
    ]);
    assert.equal(others.length, 0);
    assert.match(first ?? "", /^src\/base\/deep\/c\.ts:1: .*a\.ts → .*b\.ts → .*c\.ts → .*a\.ts$/);
  });
});
