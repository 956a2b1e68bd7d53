import assert from "node:assert/strict";
import { test } from "node:test";
import { process, startMs } from "../store/suite/samples.ts";
import { Shards } from "./shards.ts";
import type { ShardsPorts } from "./shards.ts";

test("a process that has come here goes on when all is where it belongs that was written before", async () => {
  const done: string[] = [];
  const [committed, caughtUp] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const shards = new Shards({
    sharing: undefined,
    clock: { nowMs: () => startMs, after: () => () => undefined },
    committed: () => committed.promise.then(() => void done.push("committed")),
    caughtUp: () => caughtUp.promise.then(() => void done.push("caught up")),
    // By its key: it may have been forgotten meanwhile, and be another one in memory.
    ready: (key) => void done.push(`ready ${key}`),
  } as Partial<ShardsPorts> as ShardsPorts);
  const { row, other } = { row: process(7), other: process(8) };
  const arrived = shards.arrived(row.key);
  assert.deepEqual([shards.newcomer(row) === undefined, shards.newcomer(other)], [false, undefined]);
  caughtUp.resolve();
  await new Promise(setImmediate);
  assert.deepEqual(done, []);
  committed.resolve();
  await arrived;
  assert.deepEqual(done, ["committed", "caught up", "ready 7"]);
  assert.equal(shards.newcomer(row), undefined);
});
