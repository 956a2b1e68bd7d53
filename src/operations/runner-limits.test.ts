import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { test } from "node:test";
import { isPerdureError } from "../base/errors.ts";
import { idempotencyKey } from "./context.ts";
import { operation } from "./definition.ts";
import type { HostFunction } from "./definition.ts";
import { harness, outcome, quiet, request } from "./harness.test.ts";

const add: HostFunction = async (a, b) => (a as number) + (b as number);
const never: HostFunction = () => new Promise(() => {});

test("attempts that run at once do not see one another's context", async () => {
  const see: HostFunction = async () => {
    await nextTurn();
    return idempotencyKey();
  };
  const h = harness({ see });
  const tokens = Array.from({ length: 20 }, () => h.start("see"));
  await quiet();
  for (const token of tokens) assert.equal(outcome(h.of(token)), `key-${token}`);
});

test("at most `concurrency` attempts run at once on the node, 100 by default", () => {
  const h = harness({ never });
  for (let n = 0; n < 150; n++) h.start("never");
  assert.deepEqual(h.runner.counts(), { active: 100, waiting: 50 });
});

test("an operation's own limit counts all its names together", () => {
  const f = operation({ concurrency: 2 }, never as () => Promise<never>) as HostFunction;
  const h = harness({ "old.ts#f": f, "new.ts#f": f, never });
  for (const name of ["old.ts#f", "new.ts#f", "old.ts#f", "new.ts#f", "never"]) h.start(name);
  assert.deepEqual(h.runner.counts(), { active: 3, waiting: 2 });
});

test("a malformed concurrency is refused", () => {
  for (const concurrency of [0, 1.5, NaN]) {
    assert.throws(
      () => harness({}, { concurrency }),
      (error) => isPerdureError(error, "ARGUMENT_INVALID"),
    );
  }
});

test("synchronous functions do not pile up on one another's stack", async () => {
  const depths: number[] = [];
  const measure: HostFunction = () => {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = Infinity;
    depths.push(new Error().stack?.split("\n").length ?? 0);
    Error.stackTraceLimit = limit;
  };
  const { promise, resolve } = Promise.withResolvers<void>();
  const h = harness({ first: () => promise, measure }, { concurrency: 1 });
  h.start("first");
  for (let n = 0; n < 20; n++) h.start("measure");
  resolve();
  await quiet();
  assert.equal(depths.length, 20);
  assert.equal(depths.at(-1), depths[0]);
});

test("a result leaves before the event loop turns, with what else is done by then", async () => {
  const h = harness({ add });
  // Asked for first, so it comes before any turn the runner asks for.
  const turned = nextTurn();
  h.start("add", [1, 1]);
  h.start("add", [1, 2]);
  await turned;
  assert.deepEqual(
    h.batches.map((batch) => batch.length),
    [2],
  );
});

test("a kernel that answers every report at once cannot keep the event loop from turning", async () => {
  let count = 0;
  const answering = harness(
    { add },
    { report: () => void (count < 10_000 && answering.runner.start([request(`n${++count}`, "add", [1, 1])])) },
  );
  answering.runner.start([request("n0", "add", [1, 1])]);
  await nextTurn();
  await nextTurn();
  assert.ok(count < 100, `the loop turned after ${count} answers`);
});

test("a long row of trivial operations lets the event loop turn in between, and all are run", async () => {
  let done = 0;
  const h = harness({ count: () => ++done });
  h.runner.start(Array.from({ length: 5000 }, (_, n) => request(`r${n}`, "count", [])));
  const seen: number[] = [];
  while (done < 5000) {
    seen.push(done);
    await nextTurn();
  }
  assert.ok(seen.length >= 8, `turns: ${seen.join(" ")}`);
  await quiet();
  assert.equal(h.reports().length, 5000);
});
