import assert from "node:assert/strict";
import { test } from "node:test";
import { now } from "../../prelude/intrinsics.ts";
import { nextDelayMs } from "./backoff.ts";
import type { CheckedBackoff } from "./check.ts";
import { newChild } from "./child.ts";
import type { Child } from "./child.ts";

function childWith(backoff: CheckedBackoff | undefined): Child {
  const spec = {
    id: "a",
    entry: "a",
    args: [],
    type: "worker",
    acknowledges: false,
    restart: "permanent",
    shutdown: 5000,
    significant: false,
    recover: "fresh",
    backoff,
    needs: undefined,
  } as const;
  return { ...newChild(spec, "pid"), restartedAtMs: now() };
}

test("without a backoff a restart does not wait", () => {
  assert.equal(nextDelayMs(childWith(undefined), true), 0);
});

test("waits grow by the factor up to the cap, whether the process ended or its start failed", () => {
  const child = childWith({ delayMs: 1000, factor: 3, capMs: 10_000, jitter: 0 });
  assert.deepEqual(
    [true, false, false, true, true].map((ran) => nextDelayMs(child, ran)),
    [1000, 3000, 9000, 10_000, 10_000],
  );
});

test("waits begin anew once the process has run for longer than the cap", () => {
  const child = childWith({ delayMs: 1000, factor: 2, capMs: 10_000, jitter: 0 });
  for (let i = 0; i < 3; i++) nextDelayMs(child, true);
  child.restartedAtMs -= 10_001;
  assert.deepEqual([nextDelayMs(child, false), nextDelayMs(child, true)], [8000, 1000]);
});

test("jitter shortens each wait by a random part of it up to the one given", () => {
  const waits = Array.from({ length: 100 }, () =>
    nextDelayMs(childWith({ delayMs: 1000, factor: 2, capMs: 1000, jitter: 0.25 }), true),
  );
  assert.ok(waits.every((each) => each > 750 && each <= 1000));
  assert.ok(new Set(waits).size > 90);
});
