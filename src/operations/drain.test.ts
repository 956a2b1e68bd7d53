import assert from "node:assert/strict";
import { test } from "node:test";
import { signal } from "./context.ts";
import { operation } from "./definition.ts";
import type { HostFunction } from "./definition.ts";
import { harness, outcome, quiet } from "./harness.test.ts";

function deferred(): { readonly fn: HostFunction; settle(value: unknown): void; readonly signals: AbortSignal[] } {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const signals: AbortSignal[] = [];
  const fn: HostFunction = () => {
    signals.push(signal());
    return promise;
  };
  return { fn, settle: resolve, signals };
}

async function isSettled(promise: Promise<void>): Promise<boolean> {
  let settled = false;
  void promise.then(() => (settled = true));
  await quiet();
  return settled;
}

test("an idle runner drains at once and leaves no timer", async () => {
  const h = harness({});
  assert.equal(await isSettled(h.runner.drain(1000)), true);
  assert.equal(h.clock.pending, 0);
});

test("draining waits for what runs, drops what queues, and refuses what comes", async () => {
  const work = deferred();
  const h = harness({ work: work.fn }, { concurrency: 1 });
  const running = h.start("work");
  const queued = h.start("work");
  const drained = h.runner.drain(1000);
  const late = h.start("work");
  assert.equal(await isSettled(drained), false);
  work.settle("in time");
  await drained;
  assert.equal(outcome(h.of(running)), "in time", "the report is out when drain resolves");
  assert.deepEqual([...h.of(queued), ...h.of(late)], []);
  assert.equal(work.signals.length, 1);
  assert.equal(h.clock.pending, 0);
});

test("what has asked to begin may still begin and end while draining", async () => {
  const pay = operation({ mode: "at-most-once" }, async () => "paid") as HostFunction;
  const h = harness({ pay });
  const token = h.start("pay");
  const drained = h.runner.drain(1000);
  assert.equal(await isSettled(drained), false);
  h.runner.proceed(token);
  await drained;
  assert.equal(outcome(h.of(token)), "paid");
});

test("what has not ended in time is aborted without a report", async () => {
  const work = deferred();
  const h = harness({ work: work.fn });
  const token = h.start("work");
  const drained = h.runner.drain(1000);
  h.clock.advance(1000);
  await drained;
  assert.match(String(work.signals[0]?.reason), /shutting down/);
  work.settle("too late");
  await quiet();
  assert.deepEqual(h.of(token), []);
});

test("draining does not wait for an import, and a second drain is the first", async () => {
  const h = harness({}, { resolve: () => new Promise(() => {}) });
  h.start("a.ts#f");
  const first = h.runner.drain(1000);
  assert.equal(h.runner.drain(5), first);
  assert.equal(await isSettled(first), true);
});
