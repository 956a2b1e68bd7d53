import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ownCases } from "./suite.ts";

const folder = mkdtempSync(path.join(tmpdir(), "perdure-conformance-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function conformance(...args: readonly string[]): {
  readonly status: number | null;
  readonly lines: readonly string[];
} {
  const main = fileURLToPath(new URL("main.ts", import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: "utf8" });
  return { status, lines: `${stdout}${stderr}`.trimEnd().split("\n") };
}

test("a folder of cases is counted, and a case that fails is told in one line with both traces", () => {
  const right = "order--one_for_all-middle.json";
  const text = readFileSync(path.join(ownCases, right), "utf8");
  copyFileSync(path.join(ownCases, right), path.join(folder, "right.json"));
  assert.deepEqual(conformance(folder), { status: 0, lines: ["1 passed, 0 failed"] });

  writeFileSync(path.join(folder, "wrong.json"), text.replaceAll('"one_for_all"', '"one_for_one"'));
  writeFileSync(path.join(folder, "broken.json"), "{");
  const { status, lines } = conformance(folder);
  assert.equal(status, 1);
  assert.equal(lines.at(-1), "1 passed, 2 failed");
  assert.match(lines.find((line) => line.startsWith("broken: ")) ?? "", /JSON/);
  const line = lines.find((each) => each.startsWith("wrong: ")) ?? "";
  assert.match(
    line,
    /^wrong: step \d+ expected \{"events":\[.*\],"tree":\{.*\}\} actual \{"events":\[.*\],"tree":\{.*\}\}$/,
  );
});

test("a folder without cases, and a number that is none, are errors", () => {
  const empty = mkdtempSync(path.join(folder, "empty-"));
  const { status, lines } = conformance(empty);
  assert.equal(status, 1);
  assert.match(lines[0] ?? "", /holds no case file/);
  assert.match(conformance("--random", "many").lines.at(-1) ?? "", /--random takes a number, not "many"/);
});
