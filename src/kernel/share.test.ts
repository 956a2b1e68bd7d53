import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { shareOf } from "./share.ts";

const scenario = fc.record({
  /** Who owns each shard: 0 is nobody; some have died since. */
  owners: fc.array(fc.nat(6), { minLength: 1, maxLength: 20 }),
  living: fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { minLength: 1 }),
  order: fc.infiniteStream(fc.nat()),
});

test("whoever owned what, the living come to equal shares of all, in few steps and for good", () => {
  fc.assert(
    fc.property(scenario, ({ owners, living, order }) => {
      // The shards of the dead are nobody's.
      const shards = owners.map((owner, shard) => ({ shard, owner: living.includes(owner) ? owner : 0 }));
      let given = 0;
      const step = (self: number): boolean => {
        const { wanted, givesUp } = shareOf(shards, living, self);
        for (const shard of wanted) {
          assert.equal(shards[shard]?.owner, 0);
          shards[shard] = { shard, owner: self };
        }
        if (!givesUp) return wanted.length > 0;
        given++;
        const last = shards.findLastIndex(({ owner }) => owner === self);
        shards[last] = { shard: last, owner: 0 };
        return true;
      };
      for (let steps = 0; steps < 200; steps++) step(living[(order.next().value ?? 0) % living.length] ?? 0);
      // Whom chance has left out has his turn.
      for (let round = 0; round < 40; round++) for (const self of living) step(self);
      const counts = living.map((self) => shards.filter(({ owner }) => owner === self).length);
      assert.equal(
        counts.reduce((sum, count) => sum + count, 0),
        shards.length,
      );
      assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, String(counts));
      assert.ok(given <= shards.length, `${given} were given up`);
      assert.ok(!living.some(step), "it goes on");
    }),
  );
});

test("a node that comes to those who have nothing to spare gets a share all the same", () => {
  // Four of sixteen each: the fifth is due three.
  const shards = Array.from({ length: 16 }, (_, shard) => ({ shard, owner: 1 + (shard % 4) }));
  assert.deepEqual(shareOf(shards, [1, 2, 3, 4, 5], 1), { wanted: [], givesUp: true });
  assert.deepEqual(shareOf(shards, [1, 2, 3, 4, 5], 5), { wanted: [], givesUp: false });
});
