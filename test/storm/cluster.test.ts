import assert from "node:assert/strict";
import { test } from "node:test";
import { skip } from "../support/postgres-place.ts";
import { storm } from "./storm.ts";

test(
  "the books balance after a short storm over three nodes and their database",
  { skip, timeout: 120_000 },
  async () => {
    const { problems, kills, ended } = await storm({
      seed: 2,
      kills: 10,
      crowd: 10,
      forMs: 18_000,
      patienceMs: 75_000,
      store: "postgres",
      nodes: 3,
      progress: () => undefined,
    });
    assert.deepEqual(problems, []);
    assert.ok(kills >= 2 && ended.length > 10, `${kills} kills, ${ended.length} transfers`);
  },
);
