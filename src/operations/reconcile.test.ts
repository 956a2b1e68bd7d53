import assert from "node:assert/strict";
import { test } from "node:test";
import type { OperationReport } from "../kernel/ports.ts";
import { attempt, idempotencyKey, signal } from "./context.ts";
import { operation } from "./definition.ts";
import type { HostFunction, OperationOptions } from "./definition.ts";
import { NonRetryableError, OperationTimeoutError } from "./errors.ts";
import { harness, outcome, quiet } from "./harness.test.ts";
import type { Harness } from "./harness.test.ts";

interface Parts {
  readonly pay?: (...args: unknown[]) => Promise<unknown>;
  readonly reconcile?: (...args: unknown[]) => Promise<unknown>;
  readonly options?: OperationOptions;
}

/** An operation `pay` with a timeout of 10 s, and what was called of it, in order. */
function setup({ pay, reconcile, options }: Parts): Harness & { readonly calls: unknown[][] } {
  const calls: unknown[][] = [];
  const asked = async (...args: unknown[]): Promise<unknown> => {
    calls.push(["reconcile", ...args]);
    return reconcile === undefined ? { done: false } : await reconcile(...args);
  };
  const paid = async (...args: unknown[]): Promise<unknown> => {
    calls.push(["pay", ...args]);
    return await (pay?.(...args) ?? "paid");
  };
  const made = operation({ timeout: "10s", ...options, reconcile: asked as never }, paid) as HostFunction;
  return { ...harness({ pay: made }), calls };
}

function never(): Promise<never> {
  return new Promise(() => {});
}

/** The kernel answers whatever asks for its start to be put on record. */
async function proceed(h: Harness, token: string): Promise<void> {
  await quiet();
  h.runner.proceed(token);
  await quiet();
}

function kinds(reports: readonly OperationReport[]): string[] {
  return reports.map(({ kind }) => kind);
}

test("an operation with reconcile begins like any that is at-most-once, and asks nobody when it goes well", async () => {
  const h = setup({});
  const token = h.start("pay", ["order-1"]);
  await proceed(h, token);
  assert.deepEqual(kinds(h.of(token)), ["begin", "done"]);
  assert.equal(outcome(h.of(token)), "paid");
  assert.deepEqual(h.calls, [["pay", "order-1"]]);
  assert.equal(h.clock.pending, 0);
});

test("a start that is on record rests for the timeout first, for calls of it may be under way", async () => {
  const h = setup({});
  const token = h.start("pay", [], { doubt: "fresh" });
  await quiet();
  assert.deepEqual(h.of(token), [{ token, kind: "rest", doubtMs: 10_000 }]);
  assert.deepEqual(h.calls, []);
});

test("reconcile gets the key and the arguments, and what it found is the result", async () => {
  const h = setup({ reconcile: async () => ({ done: true, value: { receipt: 7 } }) });
  const token = h.start("pay", ["order-1", 99], { doubt: "rested", idempotencyKey: "k-7" });
  await quiet();
  assert.deepEqual(outcome(h.of(token)), { receipt: 7 });
  assert.deepEqual(h.calls, [["reconcile", "k-7", "order-1", 99]]);
  assert.equal(h.clock.pending, 0);
});

test("what did not happen runs again, after a new start was put on record", async () => {
  const h = setup({});
  const token = h.start("pay", ["order-1"], { doubt: "rested", idempotencyKey: "k-7" });
  await quiet();
  assert.deepEqual(h.of(token), [{ token, kind: "begin" }]);
  assert.deepEqual(h.calls, [["reconcile", "k-7", "order-1"]]);
  await proceed(h, token);
  assert.equal(outcome(h.of(token)), "paid");
  assert.deepEqual(h.calls.at(-1), ["pay", "order-1"]);
});

test("one that is watched has the ask put on record too", async () => {
  const h = setup({});
  const token = h.start("pay", [], { doubt: "rested", watched: true });
  await quiet();
  assert.deepEqual([kinds(h.of(token)), h.calls], [["begin"], []]);
  await proceed(h, token);
  assert.deepEqual([kinds(h.of(token)), h.calls.length], [["begin", "begin"], 1]);
  await proceed(h, token);
  assert.equal(outcome(h.of(token)), "paid");
});

test("a thrown error leaves it in doubt: another attempt comes, with the start still on record", async () => {
  const h = setup({ pay: async () => Promise.reject(new Error("reset by peer")) });
  const token = h.start("pay");
  await proceed(h, token);
  assert.deepEqual(h.of(token).at(-1), {
    token,
    kind: "retry",
    delayMs: 250,
    error: "Error: reset by peer",
    doubtMs: 10_000,
  });
});

test("a passed timeout leaves it in doubt, and the signal aborts", async () => {
  let seen: AbortSignal | undefined;
  const h = setup({
    pay: () => {
      seen = signal();
      return never();
    },
  });
  const token = h.start("pay");
  await proceed(h, token);
  h.clock.advance(10_000);
  await quiet();
  assert.partialDeepStrictEqual(h.of(token).at(-1), { kind: "retry", doubtMs: 10_000 });
  assert.ok(seen?.reason instanceof OperationTimeoutError);
});

test("the timeout counts from when the start was to be put on record: what waited too long for that does not run, and is in no doubt", async () => {
  const h = setup({});
  const token = h.start("pay");
  await quiet();
  h.clock.advance(10_000);
  await proceed(h, token);
  assert.deepEqual(h.calls, []);
  const last = h.of(token).at(-1);
  assert.ok(last?.kind === "retry" && last.doubtMs === undefined);
});

test("what waited a while for its start to be on record has only the rest of its timeout to run", async () => {
  const h = setup({ pay: never });
  const token = h.start("pay");
  await quiet();
  h.clock.advance(6000);
  await proceed(h, token);
  h.clock.advance(3999);
  await quiet();
  assert.deepEqual(kinds(h.of(token)), ["begin"]);
  h.clock.advance(1);
  await quiet();
  assert.deepEqual(kinds(h.of(token)), ["begin", "retry"]);
});

test("a NonRetryableError of the function is final: it says itself that it failed", async () => {
  const h = setup({ pay: async () => Promise.reject(new NonRetryableError("card declined")) });
  const token = h.start("pay");
  await proceed(h, token);
  assert.throws(() => outcome(h.of(token)), { name: "NonRetryableError", message: "card declined" });
});

test("a nonRetryable policy that calls a passed timeout final leaves it uncertain all the same", async () => {
  const h = setup({ pay: never, options: { retry: { nonRetryable: () => true } } });
  const token = h.start("pay");
  await proceed(h, token);
  h.clock.advance(10_000);
  await quiet();
  assert.throws(() => outcome(h.of(token)), { name: "UncertainOperationError" });
});

test("when attempts are exhausted nobody knows: the process gets an UncertainOperationError with what was thrown", async () => {
  class Reset extends Error {}
  const h = setup({ pay: async () => Promise.reject(new Reset("by peer")) });
  const token = h.start("pay", ["order-1"], { attempt: 5, idempotencyKey: "k-9" });
  await proceed(h, token);
  assert.throws(
    () => outcome(h.of(token)),
    (error: Error & Record<string, unknown>) => {
      assert.deepEqual([error.name, error["idempotencyKey"]], ["UncertainOperationError", "k-9"]);
      assert.deepEqual(error["args"], ["order-1"]);
      assert.match(error.message, /ended with Reset: by peer/);
      assert.deepEqual([(error.cause as Error).name, (error.cause as Error).message], ["Reset", "by peer"]);
      return true;
    },
  );
});

test("reconcile that throws is asked again by the retry policy, and the start stays on record", async () => {
  const h = setup({ reconcile: () => Promise.reject(new Error("no answer")) });
  const token = h.start("pay", [], { doubt: "rested", attempt: 2 });
  await quiet();
  assert.deepEqual(h.of(token), [{ token, kind: "retry", delayMs: 500, error: "Error: no answer", doubtMs: 10_000 }]);
  const last = h.start("pay", [], { doubt: "rested", attempt: 5 });
  await quiet();
  assert.throws(() => outcome(h.of(last)), { name: "UncertainOperationError" });
});

test("reconcile that throws a NonRetryableError cannot find out: uncertain, with that as the cause", async () => {
  const h = setup({ reconcile: () => Promise.reject(new NonRetryableError("they keep no record")) });
  const token = h.start("pay", [], { doubt: "rested" });
  await quiet();
  assert.throws(
    () => outcome(h.of(token)),
    (error: Error) =>
      error.name === "UncertainOperationError" && (error.cause as Error).message === "they keep no record",
  );
});

for (const [what, answer] of Object.entries({
  nothing: undefined,
  "a text for a truth": { done: "false" },
  "a bare truth": true,
})) {
  test(`reconcile that answers ${what} is broken: uncertain, and the cause says what it must return`, async () => {
    const h = setup({ reconcile: () => Promise.resolve(answer) });
    const token = h.start("pay", [], { doubt: "rested" });
    await quiet();
    assert.throws(
      () => outcome(h.of(token)),
      (error: Error) =>
        error.name === "UncertainOperationError" && /\{ done: true, value \}/.test((error.cause as Error).message),
    );
  });
}

test("the timeout holds for the ask, and anew for the run after it", async () => {
  let answer: (value: unknown) => void = () => {};
  const h = setup({ reconcile: () => new Promise((resolve) => (answer = resolve)), pay: never });
  const slow = h.start("pay", [], { doubt: "rested" });
  await quiet();
  h.clock.advance(9000);
  answer({ done: false });
  await proceed(h, slow);
  h.clock.advance(9999);
  await quiet();
  assert.deepEqual(kinds(h.of(slow)), ["begin"]);
  h.clock.advance(1);
  await quiet();
  assert.deepEqual(kinds(h.of(slow)), ["begin", "retry"]);
  const stuck = h.start("pay", [], { doubt: "rested" });
  await quiet();
  h.clock.advance(10_000);
  answer({ done: true, value: "too late" });
  await quiet();
  assert.partialDeepStrictEqual(h.of(stuck), [{ kind: "retry", doubtMs: 10_000 }]);
});

test("idempotencyKey(), attempt() and signal() work inside reconcile", async () => {
  const seen: unknown[] = [];
  const h = setup({
    reconcile: () => {
      seen.push(idempotencyKey(), attempt(), signal().aborted);
      signal().addEventListener("abort", () => seen.push((signal().reason as Error).name));
      return never();
    },
  });
  const token = h.start("pay", [], { doubt: "rested", attempt: 3, idempotencyKey: "k-3" });
  await quiet();
  h.runner.abort(token);
  assert.deepEqual(seen, ["k-3", 3, false, "OperationAbortedError"]);
  assert.equal(h.clock.pending, 0);
});

test("a node that winds up lets an ask end, and begins nothing after it", async () => {
  let answer: (value: unknown) => void = () => {};
  const h = setup({ reconcile: () => new Promise((resolve) => (answer = resolve)) });
  const token = h.start("pay", [], { doubt: "rested" });
  await quiet();
  const drained = h.runner.drain(60_000);
  answer({ done: false });
  await drained;
  assert.deepEqual(h.of(token), []);
  assert.deepEqual(h.calls, [["reconcile", `key-${token}`]]);
});
