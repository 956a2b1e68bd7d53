import assert from "node:assert/strict";
import { test } from "node:test";
import { storm } from "./storm.ts";

test("the books balance after a short storm", { timeout: 110_000 }, async () => {
  const { problems, nodes, ended } = await storm({ seed: 1, kills: 12, forMs: 20_000, progress: () => undefined });
  assert.deepEqual(problems, []);
  assert.ok(nodes.kills >= 3 && ended.length > 20, `${nodes.kills} kills, ${ended.length} transfers`);
});
