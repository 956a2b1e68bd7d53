import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ShardRow } from "../store/port.ts";
import { shareOf } from "./shares.ts";

/** Nodes that look one after the other, each in its turn, for as long as anything changes. Answers how many each has. */
function settle(owners: number[], nodes: readonly number[]): readonly number[] {
  for (let still = 0, rounds = 0; still < 2 * nodes.length; rounds++) {
    assert.ok(rounds < 100 * owners.length, "shards go to and fro");
    const node = nodes[rounds % nodes.length] ?? 0;
    const shards = owners.map((owner, shard): ShardRow => ({ shard, owner }));
    const owned = owners.filter((owner) => owner === node).length;
    const { take, giveUp } = shareOf(shards, nodes, owned, { yields: true });
    still = take > 0 || giveUp ? 0 : still + 1;
    for (let taken = 0; taken < take; taken++) owners[owners.indexOf(0)] = node;
    if (giveUp) owners[owners.lastIndexOf(node)] = 0;
  }
  assert.ok(!owners.includes(0));
  return nodes.map((node) => owners.filter((owner) => owner === node).length);
}

test("whoever joins or dies, in the end no node has two shards more than another, and none is nobody's", () => {
  const begin = fc.tuple(
    fc.array(fc.nat({ max: 9 }), { minLength: 1, maxLength: 24 }),
    fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
  );
  fc.assert(
    fc.property(begin, ([owners, nodes]) => {
      const alive = owners.map((owner) => (nodes.includes(owner) ? owner : 0));
      const counts = settle(alive, nodes);
      assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, counts.join());
    }),
  );
});

test("a fifth node gets shards of sixteen, though nobody has more than a fifth rounded up", () => {
  const owners = Array.from({ length: 16 }, (_, index) => 1 + (index % 4));
  assert.ok((settle(owners, [1, 2, 3, 4, 5])[4] ?? 0) >= 3);
});

test("what those who have too few do not take, others take in the end", () => {
  const shards = [1, 1, 1, 0].map((owner, shard): ShardRow => ({ shard, owner }));
  assert.deepEqual(shareOf(shards, [1, 2, 3], 3, { yields: true }), { take: 0, giveUp: true });
  const fair = [1, 1, 2, 0, 3].map((owner, shard): ShardRow => ({ shard, owner }));
  assert.equal(shareOf(fair, [1, 2, 3, 4], 1, { yields: true }).take, 0);
  assert.equal(shareOf(fair, [1, 2, 3, 4], 1, { yields: false }).take, 1);
});
