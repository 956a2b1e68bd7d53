import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { bundlePrelude, loadPrelude } from "./prelude.ts";

test("the prelude is one script, known by its hash, the same whenever it is made", async () => {
  const prelude = await loadPrelude();
  assert.equal(await loadPrelude(), prelude);
  assert.deepEqual(await bundlePrelude(), prelude);
  assert.equal(prelude.hash, createHash("sha256").update(prelude.text).digest("hex"));
  // A script, not a module: this throws if it has imports or exports.
  new Function(prelude.text);
  const { sources } = JSON.parse(prelude.sourceMap) as { sources: string[] };
  assert.ok(sources.includes("guest/prelude/index.ts"));
  for (const source of sources)
    assert.match(source, /^(guest|base|journal)\//, "the prelude is made from what may run inside the sandbox only");
});

test("the prelude keeps the names of its functions for stack traces", async () => {
  const { text } = await loadPrelude();
  assert.match(text, /function dispatch\(/);
});
