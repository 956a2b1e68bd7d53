import assert from "node:assert/strict";
import { test } from "node:test";
import { isPerdureError } from "../base/errors.ts";
import { AttemptScope, attempt, idempotencyKey, operationContext, runInScope, signal } from "./context.ts";
import { operation, settingsOf } from "./definition.ts";
import type { HostFunction, OperationOptions, Reconciled } from "./definition.ts";
import { describeError } from "./errors.ts";

const work = async (): Promise<void> => {};

test("an operation called directly just calls its function, `this` included", async () => {
  const shop = {
    rate: 2,
    price: operation({ timeout: "1s" }, async function (this: { rate: number }, cents: number) {
      return cents * this.rate;
    }),
  };
  assert.equal(await shop.price(21), 42);
});

test("an operation keeps the name, the arity and the type of its function", async () => {
  const ship = operation({}, async function ship(id: string, count: number) {
    return `${id}×${count}`;
  });
  const result: string = await ship("a", 1);
  assert.equal(result, "a×1");
  assert.equal(ship.name, "ship");
  assert.equal(ship.length, 2);
});

test("a transactional operation has the function's type without the transaction, and called directly it says where to call it", async () => {
  const deposit = operation({ mode: "transactional" }, function deposit(tx, account: string, cents: number) {
    return tx.run("UPDATE account SET cents = cents + ? WHERE id = ?", cents, account).changes;
  });
  const typed: (account: string, cents: number) => Promise<number> = deposit;
  assert.deepEqual([typed.name, typed.length], ["deposit", 2]);
  await assert.rejects(typed("a", 1), {
    code: "OPERATION_OUTSIDE",
    message: /"deposit" was called directly.*from a program/,
  });
});

test("one function can be two operations with options of their own", () => {
  const once = operation({ mode: "at-most-once" }, work);
  const often = operation({}, work);
  assert.equal(settingsOf(once).mode, "at-most-once");
  assert.equal(settingsOf(often).mode, "at-least-once");
  assert.equal(settingsOf(work as HostFunction).mode, "at-least-once");
});

test("defaults: at-least-once, 5 attempts, no timeout, no limit, no second name", () => {
  const { retry, ...rest } = settingsOf(operation({}, work) as HostFunction);
  assert.deepEqual(rest, {
    name: undefined,
    mode: "at-least-once",
    timeoutMs: undefined,
    reconcile: undefined,
    concurrency: Infinity,
    rate: undefined,
    key: undefined,
    concurrencyPerKey: Infinity,
    ratePerKey: undefined,
  });
  assert.deepEqual(retry, {
    maxAttempts: 5,
    initialDelayMs: 250,
    factor: 2,
    maxDelayMs: 30_000,
    jitter: 0.5,
    nonRetryable: undefined,
  });
});

test("an at-most-once operation has one attempt", () => {
  assert.equal(settingsOf(operation({ mode: "at-most-once" }, work) as HostFunction).retry.maxAttempts, 1);
  assert.equal(
    settingsOf(operation({ mode: "at-most-once", retry: false }, work) as HostFunction).retry.maxAttempts,
    1,
  );
});

test("an operation with reconcile is at-most-once and retried all the same", () => {
  const reconcile = async (): Promise<Reconciled<void>> => ({ done: false });
  for (const mode of [{}, { mode: "at-most-once" }] as const) {
    const settings = settingsOf(operation({ ...mode, timeout: "1s", reconcile }, work) as HostFunction);
    assert.deepEqual([settings.mode, settings.retry.maxAttempts], ["at-most-once", 5]);
  }
  const retry = { maxAttempts: 3 };
  assert.equal(settingsOf(operation({ timeout: "1s", reconcile, retry }, work) as HostFunction).retry.maxAttempts, 3);
});

test("with a key, one attempt for each key at a time is the default", () => {
  const key = (): string => "k";
  assert.equal(settingsOf(operation({ key }, work) as HostFunction).concurrencyPerKey, 1);
  assert.equal(settingsOf(operation({ key, concurrencyPerKey: 3 }, work) as HostFunction).concurrencyPerKey, 3);
});

test("key gets the function's arguments and gives a string: the types say so", () => {
  const pay = async (card: string, cents: number): Promise<string> => `${card}${cents}`;
  operation({ key: (card, cents) => card + cents.toFixed() }, pay);
  // @ts-expect-error A number is no key.
  operation({ key: (_card, cents) => cents }, pay);
});

test("reconcile takes the key and the function's arguments, and gives its result: the types say so", () => {
  const pay = async (_card: string, cents: number): Promise<string> => `${cents}`;
  operation(
    {
      timeout: "1s",
      reconcile: async (key, card, cents) => ({ done: true, value: `${key}${card}${cents.toFixed()}` }),
    },
    pay,
  );
  // @ts-expect-error The value is none that the function gives.
  operation({ timeout: "1s", reconcile: async () => ({ done: true, value: 1 }) }, pay);
  // @ts-expect-error The first argument is a string.
  operation({ timeout: "1s", reconcile: async (_key, card: number) => ({ done: card === 1 }) }, pay);
});

const bad: [string, unknown, RegExp][] = [
  [
    "an unknown mode",
    { mode: "exactly-once" },
    /mode is "exactly-once"; it must be "at-least-once" or "at-most-once" or "transactional"/,
  ],
  [
    "retries of a transactional operation",
    { mode: "transactional", retry: {} },
    /left out when mode is "transactional"/,
  ],
  ["an endless timeout of one", { mode: "transactional", timeout: 0 }, /timeout is 0/],
  ["reconcile for one", { mode: "transactional", reconcile: work, timeout: "1s" }, /left out when mode/],
  [
    "an unknown option",
    { timeoutMs: 5 },
    /has no option "timeoutMs"\. Options are name, mode, retry, timeout, reconcile, concurrency/,
  ],
  ["a function in place of options", work, /is a function; it must be an object/],
  ["no options", undefined, /is undefined; it must be an object/],
  ["retries of an at-most-once operation", { mode: "at-most-once", retry: { maxAttempts: 2 } }, /never runs twice/],
  ["a timeout of zero", { timeout: 0 }, /timeout is 0/],
  ["an unreadable timeout", { timeout: "ages" }, /"ages"/],
  ["a reconcile that is no function", { timeout: "1s", reconcile: true }, /reconcile is true; it must be a function/],
  ["reconcile without a timeout", { reconcile: work }, /timeout is undefined; it must be given with `reconcile`/],
  [
    "reconcile of an at-least-once operation",
    { timeout: "1s", mode: "at-least-once", reconcile: work },
    /mode is "at-least-once"; it must be "at-most-once" or left out with `reconcile`/,
  ],
  ["a concurrency of zero", { concurrency: 0 }, /concurrency is 0/],
  ["a key that is no function", { key: "customer" }, /key is "customer"; it must be a function/],
  [
    "a limit for each key without a key",
    { concurrencyPerKey: 2 },
    /concurrencyPerKey is 2; it must be left out without `key`/,
  ],
  [
    "a rate for each key without a key",
    { ratePerKey: { limit: 1, per: 1 } },
    /ratePerKey is an object; it must be left out/,
  ],
  ["a concurrency of none for each key", { key: String, concurrencyPerKey: 0 }, /concurrencyPerKey is 0/],
  ["a rate of nothing", { rate: { limit: 0, per: "1s" } }, /rate\.limit is 0/],
  [
    "a rate for each key that is misspelt",
    { key: String, ratePerKey: { limits: 1 } },
    /ratePerKey has no option "limits"/,
  ],
  ["a broken concurrency", { concurrency: 1.5 }, /concurrency is 1\.5/],
  ["an empty name", { name: "" }, /name is ""/],
  ["a name of two lines", { name: "a\nb" }, /one line of text/],
  ["a reserved name", { name: "perdure:fetch" }, /perdure:/],
];

for (const [name, options, message] of bad) {
  test(`operation() refuses ${name}`, () => {
    assert.throws(
      () => operation(options as OperationOptions, work),
      (error) =>
        (isPerdureError(error, "ARGUMENT_INVALID") || isPerdureError(error, "DURATION_INVALID")) &&
        message.test(error.message),
    );
  });
}

test("operation() refuses what is no function", () => {
  assert.throws(
    () => operation({}, "work" as unknown as typeof work),
    (error) => isPerdureError(error, "ARGUMENT_INVALID") && /"work"/.test(error.message),
  );
});

const context = { pid: "order-7", program: "abc", number: 3, name: "shop.ts#buy", attempt: 2 };

test("inside an operation, context functions answer across awaits", async () => {
  const scope = new AttemptScope(context, "k-1");
  const seen = await runInScope(scope, async () => {
    await new Promise((resolve) => setImmediate(resolve));
    return [idempotencyKey(), attempt(), operationContext(), signal().aborted];
  }, []);
  assert.deepEqual(seen, ["k-1", 2, context, false]);
});

for (const [name, ask] of Object.entries({ idempotencyKey, attempt, signal, operationContext })) {
  test(`${name}() outside an operation is OPERATION_OUTSIDE`, () => {
    assert.throws(ask, (error) => isPerdureError(error, "OPERATION_OUTSIDE") && error.message.startsWith(`${name}()`));
  });
}

test("a signal first asked for after the abort is aborted already, with the first reason", () => {
  const scope = new AttemptScope(context, "k");
  const reason = new Error("first");
  scope.abort(reason);
  scope.abort(new Error("second"));
  assert.equal(scope.signal.aborted, true);
  assert.equal(scope.signal.reason, reason);
});

test("an error is described with its causes, and at most 2,000 characters of them", () => {
  const error = new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED") });
  assert.equal(describeError(error), "TypeError: fetch failed — caused by Error: connect ECONNREFUSED");
  assert.equal(describeError("oops"), 'thrown: "oops"');
  assert.equal(describeError(undefined), "thrown: undefined");
  assert.equal(describeError(new Error("x".repeat(5000))).length, 2000);
  assert.equal(describeError(Object.create(null)), "an error that cannot be described");
  const circular = new Error("round");
  circular.cause = circular;
  assert.match(describeError(circular), /^Error: round — caused by Error: round/);
});
