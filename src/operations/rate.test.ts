import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Bucket, readRate } from "./rate.ts";
import type { RateOptions } from "./rate.ts";

test("a rate is so many in so much time; the default burst is what falls into 10 ms, at least one", () => {
  assert.deepEqual(readRate("rate", { limit: 6, per: "1 minute" }), { intervalMs: 10_000, burst: 1 });
  assert.deepEqual(readRate("rate", { limit: 6, per: "1 minute", burst: 3 }), { intervalMs: 10_000, burst: 3 });
  assert.deepEqual(readRate("rate", { limit: 0.5, per: 1000 }), { intervalMs: 2000, burst: 1 });
  assert.deepEqual(readRate("rate", { limit: 5000, per: "1s" }), { intervalMs: 0.2, burst: 50 });
});

const bad: [string, unknown, RegExp][] = [
  ["no limit", { per: "1s" }, /rate\.limit is undefined/],
  ["a limit of zero", { limit: 0, per: "1s" }, /rate\.limit is 0/],
  ["a limit without end", { limit: Infinity, per: "1s" }, /rate\.limit is Infinity/],
  ["no time", { limit: 1 }, /rate\.per is undefined; it must be a duration/],
  ["a time of zero", { limit: 1, per: 0 }, /rate\.per is 0; it must be longer than zero/],
  ["half a burst", { limit: 1, per: 1, burst: 1.5 }, /rate\.burst is 1\.5/],
  ["no burst at all", { limit: 1, per: 1, burst: 0 }, /rate\.burst is 0/],
  ["an unknown option", { limit: 1, per: 1, each: "key" }, /rate has no option "each"/],
  ["a number", 5, /rate is 5; it must be an object/],
];

for (const [name, options, message] of bad) {
  test(`readRate refuses ${name}`, () => {
    assert.throws(() => readRate("rate", options as RateOptions), { code: "ARGUMENT_INVALID", message });
  });
}

const rates = fc.record({
  limit: fc.integer({ min: 1, max: 50 }),
  per: fc.integer({ min: 1, max: 2000 }),
  burst: fc.integer({ min: 1, max: 10 }),
});

/** Takes whenever it may, at these moments; returns when it did. */
function takeAll(bucket: Bucket, momentsMs: readonly number[]): number[] {
  return momentsMs.filter((nowMs) => {
    if (bucket.readyAtMs() > nowMs) return false;
    bucket.take(nowMs);
    return true;
  });
}

const moments = fc.array(fc.nat(3000), { maxLength: 150, size: "max" }).map((all) => all.toSorted((a, b) => a - b));

test("in any stretch of time there are at most burst starts, and limit more for each per of it", () => {
  fc.assert(
    fc.property(rates, moments, (options, momentsMs) => {
      const rate = readRate("rate", options);
      const taken = takeAll(new Bucket(rate), momentsMs);
      for (let from = 0; from < taken.length; from++) {
        for (let to = from; to < taken.length; to++) {
          const elapsedMs = taken[to]! - taken[from]!;
          assert.ok(to - from + 1 <= rate.burst + elapsedMs / rate.intervalMs + 1e-6);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("over a restart it is one more", () => {
  fc.assert(
    fc.property(rates, moments, fc.nat(3000), (options, momentsMs, restartMs) => {
      const rate = readRate("rate", options);
      const before = takeAll(
        new Bucket(rate),
        momentsMs.filter((ms) => ms < restartMs),
      );
      const again = momentsMs.filter((ms) => ms >= restartMs).map((ms) => ms - restartMs);
      const after = takeAll(new Bucket(rate), again).map((ms) => ms + restartMs);
      const taken = [...before, ...after];
      for (const [from, fromMs] of taken.entries()) {
        const elapsedMs = taken.at(-1)! - fromMs;
        assert.ok(taken.length - from <= rate.burst + elapsedMs / rate.intervalMs + 1 + 1e-6);
      }
    }),
    { numRuns: 300 },
  );
});

test("it gives what it may: who takes as soon as he can gets limit in each per, and a burst after a rest", () => {
  const bucket = new Bucket(readRate("rate", { limit: 10, per: 1000, burst: 4 }));
  const everyMs = Array.from({ length: 1001 }, (_, ms) => ms);
  assert.deepEqual(
    takeAll(bucket, everyMs),
    [0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000],
    "a bucket begins with one token",
  );
  assert.equal(bucket.isFull(1399), false);
  assert.equal(bucket.isFull(1400), true);
  assert.equal(takeAll(bucket, Array(10).fill(1400)).length, 4);
});

test("a bucket that is full is as good as a new one, so it can be forgotten", () => {
  fc.assert(
    fc.property(rates, moments, fc.nat(3000), moments, (options, firstMs, restMs, thenMs) => {
      const rate = readRate("rate", options);
      const kept = new Bucket(rate);
      takeAll(kept, firstMs);
      const nowMs = (firstMs.at(-1) ?? 0) + restMs;
      assert.ok(kept.isFull((firstMs.at(-1) ?? 0) + Bucket.refillMs(rate) + 1e-6));
      fc.pre(kept.isFull(nowMs));
      const later = thenMs.map((ms) => nowMs + ms);
      assert.deepEqual(takeAll(new Bucket(rate), later), takeAll(kept, later));
    }),
    { numRuns: 300 },
  );
});
