import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PerdureError } from "../base/errors.ts";
import { backoffMs } from "../base/retry.ts";
import { NonRetryableError, retryAfter } from "./errors.ts";
import { decide, retryPolicy } from "./retry.ts";
import type { RetryOptions } from "./retry.ts";

const boom = new Error("boom");
const middle = 0.5;

test("the default policy makes 5 attempts, with waits of 250 ms doubling", () => {
  const policy = retryPolicy();
  const waits = [1, 2, 3, 4].map((attempt) => decide(policy, attempt, boom, middle));
  assert.deepEqual(
    waits,
    [250, 500, 1000, 2000].map((delayMs) => ({ kind: "retry", delayMs })),
  );
  assert.deepEqual(decide(policy, 5, boom, middle), { kind: "give-up", error: boom, isFinal: false });
});

test("waits stop growing at maxDelay, 30 s by default", () => {
  assert.equal(backoffMs(retryPolicy({ maxAttempts: 100 }), 50, middle), 30_000);
  assert.equal(backoffMs(retryPolicy({ maxDelay: "1s" }), 50, middle), 1000);
  assert.equal(backoffMs(retryPolicy({ maxAttempts: Infinity }), 5000, middle), 30_000, "where factor ** n overflows");
});

test("a longer initialDelay raises the default maxDelay", () => {
  assert.equal(backoffMs(retryPolicy({ initialDelay: "1m" }), 3, middle), 60_000);
});

test("jitter spreads a wait evenly by half of itself to either side, 0.5 by default", () => {
  const policy = retryPolicy({ initialDelay: 1000 });
  assert.equal(backoffMs(policy, 1, 0), 750);
  assert.equal(backoffMs(policy, 1, 0.25), 875);
  assert.equal(backoffMs(policy, 1, 1 - 2 ** -32), 1250);
  const none = retryPolicy({ initialDelay: 1000, jitter: 0 });
  assert.equal(backoffMs(none, 1, 0), 1000);
  assert.equal(backoffMs(none, 1, 0.99), 1000);
});

const rows: {
  name: string;
  options: RetryOptions | false;
  attempt: number;
  error: unknown;
  wait: number | undefined;
}[] = [
  { name: "retry: false gives up after the first attempt", options: false, attempt: 1, error: boom, wait: undefined },
  {
    name: "maxAttempts 1 gives up after the first",
    options: { maxAttempts: 1 },
    attempt: 1,
    error: boom,
    wait: undefined,
  },
  { name: "maxAttempts 2 tries twice", options: { maxAttempts: 2 }, attempt: 1, error: boom, wait: 250 },
  {
    name: "maxAttempts 2 does not try three times",
    options: { maxAttempts: 2 },
    attempt: 2,
    error: boom,
    wait: undefined,
  },
  {
    name: "an attempt beyond a lowered maxAttempts gives up",
    options: { maxAttempts: 2 },
    attempt: 7,
    error: boom,
    wait: undefined,
  },
  {
    name: "maxAttempts Infinity never gives up",
    options: { maxAttempts: Infinity },
    attempt: 1e6,
    error: boom,
    wait: 30_000,
  },
  { name: "a thrown string is retried like an error", options: {}, attempt: 1, error: "oops", wait: 250 },
  { name: "a thrown undefined is retried like an error", options: {}, attempt: 1, error: undefined, wait: 250 },
  { name: "NonRetryableError is final", options: {}, attempt: 1, error: new NonRetryableError("no"), wait: undefined },
  {
    name: "NonRetryableError is final for a policy without end",
    options: { maxAttempts: Infinity },
    attempt: 1,
    error: new NonRetryableError("no"),
    wait: undefined,
  },
  {
    name: "nonRetryable says yes",
    options: { nonRetryable: (error) => error === boom },
    attempt: 1,
    error: boom,
    wait: undefined,
  },
  {
    name: "nonRetryable says no",
    options: { nonRetryable: (error) => error !== boom },
    attempt: 1,
    error: boom,
    wait: 250,
  },
  { name: "retryAfter replaces the backoff", options: {}, attempt: 1, error: retryAfter("10s"), wait: 10_000 },
  { name: "retryAfter passes maxDelay", options: {}, attempt: 1, error: retryAfter("1 day"), wait: 86_400_000 },
  { name: "retryAfter 0 retries at once", options: {}, attempt: 4, error: retryAfter(0), wait: 0 },
  {
    name: "retryAfter gives no further attempt",
    options: { maxAttempts: 3 },
    attempt: 3,
    error: retryAfter("1s"),
    wait: undefined,
  },
  {
    name: "retryAfter with retry: false is final",
    options: false,
    attempt: 1,
    error: retryAfter("1s"),
    wait: undefined,
  },
  {
    name: "nonRetryable judges a RetryAfterError too",
    options: { nonRetryable: () => true },
    attempt: 1,
    error: retryAfter("1s"),
    wait: undefined,
  },
  {
    name: "initialDelay 0 never waits",
    options: { initialDelay: 0, maxAttempts: Infinity },
    attempt: 5000,
    error: boom,
    wait: 0,
  },
  { name: "factor 1 keeps the wait", options: { factor: 1 }, attempt: 4, error: boom, wait: 250 },
];

for (const { name, options, attempt, error, wait } of rows) {
  test(`retry: ${name}`, () => {
    const decision = decide(retryPolicy(options), attempt, error, middle);
    assert.equal(decision.kind, wait === undefined ? "give-up" : "retry");
    if (decision.kind === "retry") assert.equal(decision.delayMs, wait);
    else assert.equal(decision.error, error);
  });
}

test("a nonRetryable function that throws ends the operation, and its fault and the original error are both seen", () => {
  const policy = retryPolicy({
    nonRetryable: () => {
      throw new RangeError("bad predicate");
    },
  });
  const decision = decide(policy, 1, boom, middle);
  assert.ok(decision.kind === "give-up" && decision.error instanceof PerdureError);
  assert.match(decision.error.message, /bad predicate/);
  assert.equal(decision.error.cause, boom);
});

test("a subclass of NonRetryableError is final, whatever name it gives itself", () => {
  class CardDeclined extends NonRetryableError {
    constructor() {
      super("declined");
      this.name = "CardDeclined";
    }
  }
  const error = new CardDeclined();
  assert.equal(error.name, "CardDeclined");
  assert.deepEqual(decide(retryPolicy(), 1, error, middle), { kind: "give-up", error, isFinal: true });
});

test("an error that the policy calls final is final at the last attempt too", () => {
  const policy = retryPolicy({ maxAttempts: 2, nonRetryable: (error) => error === boom });
  for (const attempt of [1, 2]) {
    assert.deepEqual(decide(policy, attempt, boom, middle), { kind: "give-up", error: boom, isFinal: true });
  }
  const other = new Error("other");
  assert.deepEqual(decide(policy, 2, other, middle), { kind: "give-up", error: other, isFinal: false });
});

test("every wait is a whole number within jitter of the capped exponential, for any policy", () => {
  const policies = fc.record({
    maxAttempts: fc.constant(Infinity),
    initialDelay: fc.integer({ min: 0, max: 100_000 }),
    factor: fc.double({ min: 1, max: 100, noNaN: true }),
    maxDelay: fc.integer({ min: 100_000, max: 1e9 }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  const attempts = fc.integer({ min: 1, max: 10_000 });
  const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(policies, attempts, unit, (options, attempt, random) => {
      const decision = decide(retryPolicy(options), attempt, boom, random);
      assert.ok(decision.kind === "retry");
      const { initialDelay, factor, maxDelay, jitter } = options;
      let expected = initialDelay;
      for (let n = 1; n < attempt && expected < maxDelay && expected > 0 && factor > 1; n++) expected *= factor;
      expected = Math.min(expected, maxDelay);
      assert.ok(Number.isSafeInteger(decision.delayMs));
      const slack = 1 + expected * 1e-9;
      assert.ok(decision.delayMs >= expected * (1 - jitter / 2) - slack);
      assert.ok(decision.delayMs <= expected * (1 + jitter / 2) + slack);
    }),
    { numRuns: 300 },
  );
});

const bad: [string, unknown, RegExp][] = [
  ["maxAttempts 0", { maxAttempts: 0 }, /retry\.maxAttempts is 0/],
  ["maxAttempts 2.5", { maxAttempts: 2.5 }, /retry\.maxAttempts is 2\.5/],
  ["maxAttempts as text", { maxAttempts: "3" }, /retry\.maxAttempts is "3"/],
  ["factor below 1", { factor: 0.5 }, /retry\.factor is 0\.5/],
  ["factor NaN", { factor: NaN }, /retry\.factor is NaN/],
  ["jitter above 1", { jitter: 2 }, /retry\.jitter is 2/],
  ["initialDelay unreadable", { initialDelay: "soon" }, /"soon"/],
  ["maxDelay below initialDelay", { initialDelay: "10s", maxDelay: "1s" }, /retry\.maxDelay is "1s"/],
  ["nonRetryable no function", { nonRetryable: true }, /retry\.nonRetryable is true/],
  ["an unknown option", { attempts: 3 }, /retry has no option "attempts"/],
  ["true", true, /retry is true/],
  ["null", null, /retry is null/],
];

for (const [name, options, message] of bad) {
  test(`a retry policy is refused for ${name}`, () => {
    assert.throws(
      () => retryPolicy(options as RetryOptions),
      (error) => error instanceof PerdureError && message.test(error.message),
    );
  });
}
