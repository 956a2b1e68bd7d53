import assert from "node:assert/strict";
import { test } from "node:test";
import { storm } from "./storm.ts";

test("the books balance after a short storm", { timeout: 120_000 }, async () => {
  const { problems, kills, ended } = await storm({
    seed: 1,
    kills: 8,
    forMs: 12_000,
    store: "sqlite",
    nodes: 1,
    progress: () => undefined,
  });
  assert.deepEqual(problems, []);
  assert.ok(kills >= 2 && ended.length > 10, `${kills} kills, ${ended.length} transfers`);
});
