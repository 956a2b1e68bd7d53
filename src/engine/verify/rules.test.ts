import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { rules } from "./rules.ts";

test("the documentation lists every rule in its words, and no other", () => {
  const text = readFileSync(new URL("../../../docs/verifying.md", import.meta.url), "utf8");
  const rows = [...text.matchAll(/^\| `([a-z-]+)` *\| (.*?) *\|$/gm)].map(([, name, what]) => [name, what]);
  assert.deepEqual(Object.fromEntries(rows), rules);
});
