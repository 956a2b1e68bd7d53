import assert from "node:assert/strict";
import { test } from "node:test";
import { operation } from "./definition.ts";
import type { HostFunction, OperationOptions } from "./definition.ts";
import { harness, outcome, quiet } from "./harness.test.ts";
import type { Harness } from "./harness.test.ts";

interface Flow extends Harness {
  /** First arguments of what runs, in the order they began. */
  readonly running: string[];
  /** All that began. */
  readonly begun: string[];
  end(name: string): Promise<void>;
}

/** An operation `work` with these options; what runs ends when the test says so. */
function flow(options: OperationOptions, concurrency = 100): Flow {
  const running = new Map<string, () => void>();
  const begun: string[] = [];
  const work = operation(options, async (name: string, customer?: string) => {
    begun.push(name);
    await new Promise<void>((resolve) => running.set(name, resolve));
    return customer ?? "";
  }) as HostFunction;
  const never: HostFunction = () => new Promise(() => {});
  return Object.assign(harness({ work, never }, { concurrency }), {
    begun,
    get running(): string[] {
      return [...running.keys()];
    },
    async end(name: string): Promise<void> {
      running.get(name)?.();
      running.delete(name);
      await quiet();
    },
  });
}

const byCustomer: OperationOptions = { key: (_name: string, customer: string) => customer };

test("with a key, one attempt for each key at a time, over all processes, first come, first served", async () => {
  const h = flow(byCustomer);
  h.start("work", ["a1", "anna"], { pid: "p1" });
  h.start("work", ["a2", "anna"], { pid: "p2" });
  h.start("work", ["a3", "anna"], { pid: "p1" });
  h.start("work", ["b1", "bert"], { pid: "p1" });
  await quiet();
  assert.deepEqual(h.begun, ["a1", "b1"]);
  await h.end("a1");
  await h.end("a2");
  assert.deepEqual(h.begun, ["a1", "b1", "a2", "a3"]);
});

test("concurrencyPerKey lets more of a key run, and concurrency bounds all keys together", async () => {
  const h = flow({ ...byCustomer, concurrencyPerKey: 2, concurrency: 3 });
  for (const name of ["a1", "a2", "a3"]) h.start("work", [name, "anna"]);
  for (const name of ["b1", "b2"]) h.start("work", [name, "bert"]);
  await quiet();
  assert.deepEqual(h.begun, ["a1", "a2", "b1"]);
  await h.end("b1");
  assert.deepEqual(h.begun.slice(3), ["b2"]);
  await h.end("a1");
  assert.deepEqual(h.begun.slice(4), ["a3"]);
});

test("without a key the calling processes take turns: 1,000 calls of one delay another's by one slot a round", async () => {
  const h = flow({ concurrency: 1 });
  for (let n = 0; n < 1000; n++) h.start("work", [`flood ${n}`], { pid: "greedy" });
  h.start("work", ["modest 0"], { pid: "modest" });
  h.start("work", ["modest 1"], { pid: "modest" });
  await quiet();
  const order = ["flood 0", "flood 1", "modest 0", "flood 2", "modest 1", "flood 3"];
  for (const name of order.slice(0, -1)) await h.end(name);
  assert.deepEqual(h.begun, order);
});

test("an attempt that waits has not begun, and aborting it frees its place at once", async () => {
  const h = flow({ ...byCustomer, mode: "at-most-once" });
  const first = h.start("work", ["a1", "anna"]);
  const second = h.start("work", ["a2", "anna"]);
  const third = h.start("work", ["a3", "anna"]);
  await quiet();
  assert.deepEqual([h.of(first).length, h.of(second), h.of(third)], [1, [], []]);
  h.runner.abort(second);
  assert.deepEqual(h.runner.counts(), { active: 1, waiting: 1 });
  h.runner.abort(first);
  await quiet();
  assert.deepEqual(h.of(third), [{ token: third, kind: "begin" }]);
});

test("rate: so many starts in a time and not one more, however fast they end; then no timer is left", async () => {
  const h = flow({ rate: { limit: 10, per: "1s" } });
  for (let n = 0; n < 4; n++) h.start("work", [`${n}`], { pid: `p${n}` });
  await quiet();
  for (let n = 0; n < 4; n++) {
    assert.equal(h.begun.length, n + 1);
    await h.end(`${n}`);
    h.clock.advance(99);
    await quiet();
    assert.equal(h.begun.length, n + 1);
    h.clock.advance(1);
    await quiet();
  }
  assert.equal(h.clock.pending, 0);
});

test("a node that has just begun has one start, not a burst; later a quiet time gives one", async () => {
  const rate = { limit: 10, per: "1s", burst: 5 } as const;
  const early = flow({ rate });
  for (let n = 0; n < 10; n++) early.start("work", [`${n}`]);
  await quiet();
  assert.equal(early.begun.length, 1);
  const late = flow({ rate });
  late.clock.advance(60_000);
  for (let n = 0; n < 10; n++) late.start("work", [`${n}`]);
  await quiet();
  assert.equal(late.begun.length, 5);
  late.clock.advance(200);
  await quiet();
  assert.equal(late.begun.length, 7);
});

test("ratePerKey: a customer that is out of starts delays no other", async () => {
  const h = flow({ ...byCustomer, concurrencyPerKey: Infinity, ratePerKey: { limit: 1, per: "1m" } });
  for (let n = 1; n <= 3; n++) h.start("work", [`a${n}`, "anna"]);
  h.start("work", ["b1", "bert"]);
  await quiet();
  assert.deepEqual(h.begun, ["a1", "b1"]);
  h.clock.advance(60_000);
  await quiet();
  assert.deepEqual(h.begun, ["a1", "b1", "a2"]);
});

test("the timeout does not count while an attempt waits for its turn", async () => {
  const h = flow({ timeout: "1s", rate: { limit: 1, per: "10s" } });
  h.start("work", ["1"]);
  const waits = h.start("work", ["2"]);
  await quiet();
  h.clock.advance(9_000);
  await quiet();
  assert.deepEqual(h.of(waits), []);
});

test("asking what became of a start waits its turn, and takes a start of the rate; the run after it takes none", async () => {
  const h = flow({ rate: { limit: 1, per: "10s" }, timeout: "1s", reconcile: async () => ({ done: false }) });
  h.start("work", ["1"], { doubt: "rested" });
  const second = h.start("work", ["2"], { doubt: "rested" });
  await quiet();
  h.runner.proceed("t1");
  await quiet();
  assert.deepEqual([h.begun, h.of(second)], [["1"], []]);
  h.clock.advance(10_000);
  await quiet();
  assert.deepEqual(h.of(second), [{ token: second, kind: "begin" }]);
});

for (const [what, key, message] of [
  ["throws", () => JSON.parse("no"), /must return a string for every call, and threw SyntaxError/],
  ["is none", () => 7, /and returned a value of type number/],
  ["is a promise", async () => "anna", /and returned a promise/],
] as const) {
  test(`a key that ${what} fails the operation before it begins, and says what to mend`, async () => {
    const h = flow({ key: key as () => string });
    const token = h.start("work", ["a1", "anna"]);
    await quiet();
    assert.deepEqual(h.begun, []);
    assert.throws(() => outcome(h.of(token)), { code: "OPERATION_FAILED", message });
  });
}

test("a node that winds up leaves no timer of what waits for its turn", async () => {
  const h = flow({ rate: { limit: 1, per: "1h" } });
  h.start("work", ["1"]);
  h.start("work", ["2"]);
  await quiet();
  assert.equal(h.clock.pending, 1);
  const drained = h.runner.drain(1000);
  await h.end("1");
  await drained;
  assert.equal(h.clock.pending, 0);
});
