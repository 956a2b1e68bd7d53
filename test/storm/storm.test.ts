import assert from "node:assert/strict";
import { test } from "node:test";
import { storm } from "./storm.ts";

test("the books balance after a short storm", { timeout: 120_000 }, async () => {
  const { problems, nodes, ended } = await storm({ seed: 1, kills: 8, forMs: 12_000, progress: () => undefined });
  assert.deepEqual(problems, []);
  assert.ok(nodes.kills >= 2 && ended.length > 10, `${nodes.kills} kills, ${ended.length} transfers`);
});
