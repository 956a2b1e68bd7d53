import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { idempotencyKey, signal } from "./context.ts";
import { operation } from "./definition.ts";
import type { HostFunction } from "./definition.ts";
import { OperationAbortedError, OperationTimeoutError } from "./errors.ts";
import { harness, outcome, quiet, request } from "./harness.test.ts";

const add: HostFunction = async (a, b) => (a as number) + (b as number);
const boom: HostFunction = async () => {
  throw new RangeError("boom");
};
const never: HostFunction = () => new Promise(() => {});

function once(fn: () => Promise<unknown>): HostFunction {
  return operation({ mode: "at-most-once" }, fn) as HostFunction;
}

test("at-most-once: the function runs only after its start is on record", async () => {
  let calls = 0;
  const h = harness({ pay: once(async () => ++calls) });
  const token = h.start("pay");
  await quiet();
  assert.deepEqual(h.of(token), [{ token, kind: "begin" }]);
  assert.equal(calls, 0);
  h.runner.proceed(token);
  h.runner.proceed(token);
  await quiet();
  assert.equal(calls, 1);
  assert.equal(outcome(h.of(token)), 1);
});

test("at-most-once: what still queues has not begun", async () => {
  const h = harness({ pay: once(never as () => Promise<never>) }, { concurrency: 1 });
  h.start("pay");
  const second = h.start("pay");
  await quiet();
  assert.deepEqual(h.of(second), []);
  h.runner.abort("t1");
  await quiet();
  assert.deepEqual(h.of(second), [{ token: second, kind: "begin" }]);
});

test("at-least-once: a watched operation has its start put on record before it runs", async () => {
  const h = harness({ add });
  const token = h.start("add", [1, 2], { watched: true });
  await quiet();
  assert.deepEqual(h.of(token), [{ token, kind: "begin" }]);
  h.runner.proceed(token);
  await quiet();
  assert.equal(outcome(h.of(token).slice(1)), 3);
});

test("at-most-once: a thrown error is final", async () => {
  const h = harness({ pay: once(boom as () => Promise<never>) });
  const token = h.start("pay");
  await quiet();
  h.runner.proceed(token);
  await quiet();
  assert.throws(() => outcome(h.of(token)), { name: "RangeError", message: "boom" });
});

test("at-most-once: an interrupted attempt does not run, and its process learns that nobody knows", async () => {
  let calls = 0;
  const h = harness({ pay: once(async () => ++calls) });
  const token = h.start("pay", ["order-1", 99], { doubt: "fresh", idempotencyKey: "k-9" });
  await quiet();
  assert.equal(calls, 0);
  assert.throws(() => outcome(h.of(token)), {
    name: "UncertainOperationError",
    code: "OPERATION_UNCERTAIN",
    operation: "pay",
    idempotencyKey: "k-9",
    args: ["order-1", 99],
  });
});

test("at-most-once: arguments too large to be repeated are left out of the error, and nothing else is", async () => {
  const h = harness({ pay: once(async () => 1) });
  const large = ["x".repeat(1024 * 1024 - 100)];
  const token = h.start("pay", large, { doubt: "fresh", idempotencyKey: "k-9" });
  await quiet();
  assert.throws(() => outcome(h.of(token)), { operation: "pay", idempotencyKey: "k-9", args: undefined });
});

test("at-most-once: a timeout leaves it uncertain, with the timeout as cause", async () => {
  const pay = operation({ mode: "at-most-once", timeout: "5s" }, never as () => Promise<never>) as HostFunction;
  const h = harness({ pay });
  const token = h.start("pay");
  await quiet();
  h.runner.proceed(token);
  h.clock.advance(5000);
  await quiet();
  assert.throws(
    () => outcome(h.of(token)),
    (error: Error) =>
      error.name === "UncertainOperationError" && (error.cause as Error).name === "OperationTimeoutError",
  );
});

test("at-least-once: an interrupted attempt runs again", async () => {
  const h = harness({ add });
  const token = h.start("add", [1, 2], { doubt: "fresh" });
  await quiet();
  assert.equal(outcome(h.of(token)), 3);
});

test("a timeout aborts the signal, fails the attempt and frees its slot, though the function never settles", async () => {
  let seen: AbortSignal | undefined;
  const slow = operation({ timeout: "2s" }, async () => {
    seen = signal();
    return never();
  }) as HostFunction;
  const h = harness({ slow, add }, { concurrency: 1 });
  const token = h.start("slow");
  const next = h.start("add", [1, 1]);
  h.clock.advance(1999);
  await quiet();
  assert.deepEqual(h.of(token), []);
  h.clock.advance(1);
  await quiet();
  assert.ok(seen?.reason instanceof OperationTimeoutError);
  const [report] = h.of(token);
  assert.ok(report?.kind === "retry" && report.delayMs === 250);
  assert.match(report.error, /longer than its timeout of 2000 ms/);
  assert.equal(outcome(h.of(next)), 2);
});

test("the timeout runs from the start of the function, not from its place in the queue", async () => {
  const slow = operation({ timeout: "2s", concurrency: 1 }, never as () => Promise<never>) as HostFunction;
  const h = harness({ slow });
  h.start("slow");
  const second = h.start("slow");
  h.clock.advance(2000);
  h.clock.advance(1999);
  await quiet();
  assert.deepEqual(h.of(second), []);
  h.clock.advance(1);
  await quiet();
  assert.equal(h.of(second).length, 1);
});

test("a result that comes after the timeout is dropped", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const slow = operation({ timeout: 10, retry: false }, () => promise) as HostFunction;
  const h = harness({ slow });
  const token = h.start("slow");
  h.clock.advance(10);
  resolve("too late");
  await quiet();
  assert.equal(h.of(token).length, 1);
  assert.throws(() => outcome(h.of(token)), {
    name: "OperationTimeoutError",
    code: "OPERATION_TIMEOUT",
    operation: "slow",
    timeoutMs: 10,
  });
});

test("an attempt that ends in time leaves no timer behind", async () => {
  const h = harness({ quick: operation({ timeout: "1h" }, async () => 1) as HostFunction });
  h.start("quick");
  await quiet();
  assert.equal(h.clock.pending, 0);
});

test("abort fires the signal of a running attempt, frees its slot and silences it", async () => {
  let seen: AbortSignal | undefined;
  const slow: HostFunction = async () => {
    seen = signal();
    return never();
  };
  const h = harness({ slow, add }, { concurrency: 1 });
  const token = h.start("slow");
  const next = h.start("add", [2, 3]);
  h.runner.abort(token);
  await quiet();
  assert.ok(seen?.reason instanceof OperationAbortedError);
  assert.deepEqual(h.of(token), []);
  assert.equal(outcome(h.of(next)), 5);
});

test("abort drops a queued attempt, one that begins, and one that is unknown", async () => {
  let calls = 0;
  const h = harness({ pay: once(async () => ++calls), slow: never, add: async () => ++calls }, { concurrency: 2 });
  h.start("slow");
  const pay = h.start("pay");
  const queued = h.start("add");
  h.runner.abort(queued);
  h.runner.abort(pay);
  h.runner.abort("no such token");
  h.runner.proceed(pay);
  await quiet();
  assert.equal(calls, 0);
  assert.deepEqual(h.of(queued), []);
  assert.deepEqual(h.runner.counts(), { active: 1, waiting: 0 });
});

test("an aborted attempt whose function never settles does not keep its request alive", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const held: unknown[] = [];
  const stuck: HostFunction = () => {
    const promise = never();
    held.push(promise);
    return promise;
  };
  const h = harness({ stuck });
  const start = (token: string): WeakRef<object> => {
    const made = request(token, "stuck", ["large"]);
    h.runner.start([made]);
    return new WeakRef(made);
  };
  const aborted = start("aborted");
  const running = start("running");
  h.runner.abort("aborted");
  await quiet();
  collect();
  assert.equal(held.length, 2);
  assert.equal(aborted.deref(), undefined);
  assert.notEqual(running.deref(), undefined, "while it runs it is needed");
});

test("abort listeners can ask which operation they belong to", async () => {
  const asked: string[] = [];
  const slow: HostFunction = () => {
    signal().addEventListener("abort", () => asked.push(idempotencyKey()));
    return never();
  };
  const h = harness({ slow });
  const token = h.start("slow");
  h.runner.abort(token);
  assert.deepEqual(asked, [`key-${token}`]);
});

test("a rejection after the abort is nobody's unhandled rejection", async (context) => {
  const unhandled = context.mock.fn();
  process.on("unhandledRejection", unhandled);
  const polite: HostFunction = () =>
    new Promise((_, reject) => signal().addEventListener("abort", () => reject(signal().reason as Error)));
  const h = harness({ polite });
  h.runner.abort(h.start("polite"));
  await quiet();
  process.off("unhandledRejection", unhandled);
  assert.equal(unhandled.mock.callCount(), 0);
  assert.deepEqual(h.reports(), []);
});

/** Whatever one asks it, it throws. */
const unlookable = (): object => {
  const refuse = (): never => {
    throw new Error("not you");
  };
  return new Proxy({}, { get: refuse, getPrototypeOf: refuse, ownKeys: refuse, has: refuse });
};

for (const [what, make] of [
  ["a thing that cannot be looked at", unlookable],
  ["an error with such a cause", () => new Error("outer", { cause: unlookable() })],
] as const) {
  test(`${what} fails the attempt that threw it, and nothing else`, async () => {
    const throwing = (): never => {
      throw make();
    };
    const h = harness({ throwing, once: operation({ retry: false }, throwing) });
    const [again, last] = [h.start("throwing", []), h.start("once", [])];
    await quiet();
    assert.equal(h.of(again).at(-1)?.kind, "retry");
    assert.throws(() => outcome(h.of(last)), /outer|cannot be described/);
  });
}
