import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { test } from "node:test";
import { PerdureError } from "../base/errors.ts";
import { encodeValue } from "../base/value.ts";
import { attempt, idempotencyKey, operationContext, signal } from "./context.ts";
import type { HostFunction } from "./definition.ts";
import { NonRetryableError, retryAfter } from "./errors.ts";
import { harness, outcome, quiet, request } from "./harness.test.ts";

const add: HostFunction = async (a, b) => (a as number) + (b as number);
const boom: HostFunction = async () => {
  throw new RangeError("boom");
};

test("an async function's result is reported once", async () => {
  const h = harness({ add });
  const token = h.start("add", [20, 22]);
  await quiet();
  assert.equal(h.of(token).length, 1);
  assert.equal(outcome(h.of(token)), 42);
  assert.deepEqual(h.runner.counts(), { active: 0, waiting: 0 });
});

test("a synchronous function and a thenable are accepted like a promise", async () => {
  const h = harness({
    sync: (n) => (n as number) * 2,
    // oxlint-disable-next-line unicorn/no-thenable -- what some promise libraries still return
    thenable: () => ({ then: (resolve: (value: string) => void) => resolve("late") }),
    throws: () => {
      throw new NonRetryableError("sync");
    },
  });
  const tokens = [h.start("sync", [4]), h.start("thenable"), h.start("throws")] as const;
  await quiet();
  assert.equal(outcome(h.of(tokens[0])), 8);
  assert.equal(outcome(h.of(tokens[1])), "late");
  assert.throws(() => outcome(h.of(tokens[2])), /sync/);
});

test("the function sees its attempt: key, number, name, program, pid", async () => {
  const see: HostFunction = async () => {
    await nextTurn();
    return { key: idempotencyKey(), ...operationContext(), aborted: signal().aborted, again: attempt() };
  };
  const h = harness({ see });
  const token = h.start("see", [], { attempt: 3, number: 9, pid: "p-1", program: "abc", idempotencyKey: "k" });
  await quiet();
  assert.deepEqual(outcome(h.of(token)), {
    key: "k",
    attempt: 3,
    number: 9,
    name: "see",
    pid: "p-1",
    program: "abc",
    aborted: false,
    again: 3,
  });
});

test("a thrown error is retried by the policy, and described for people", async () => {
  const h = harness({ boom });
  const tokens = [1, 2, 3, 4].map((n) => h.start("boom", [], { attempt: n }));
  await quiet();
  assert.deepEqual(
    tokens.map((token) => h.of(token)),
    [250, 500, 1000, 2000].map((delayMs, index) => [
      { token: tokens[index], kind: "retry", delayMs, error: "RangeError: boom" },
    ]),
  );
});

test("the last attempt's error reaches the process with name, message, fields and cause", async () => {
  const fail: HostFunction = async () => {
    throw Object.assign(new TypeError("bad", { cause: new Error("root") }), { status: 503 });
  };
  const h = harness({ fail });
  const token = h.start("fail", [], { attempt: 5 });
  await quiet();
  assert.throws(
    () => outcome(h.of(token)),
    (error: TypeError & { status: number }) =>
      error.name === "TypeError" &&
      error.message === "bad" &&
      error.status === 503 &&
      (error.cause as Error).message === "root",
  );
});

test("an error that holds what cannot cross still arrives with name and message", async () => {
  const fail: HostFunction = async () => {
    throw Object.assign(new NonRetryableError("has a function"), { config: { retry: () => 1 }, token: Symbol("s") });
  };
  const h = harness({ fail });
  const token = h.start("fail");
  await quiet();
  assert.throws(() => outcome(h.of(token)), /has a function/);
});

test("retryAfter sets the delay of the retry", async () => {
  const busy: HostFunction = async () => {
    throw retryAfter("7s", new Error("429"));
  };
  const h = harness({ busy });
  const token = h.start("busy");
  await quiet();
  assert.deepEqual(h.of(token), [
    { token, kind: "retry", delayMs: 7000, error: "RetryAfterError: 429 — caused by Error: 429" },
  ]);
});

test("a result that cannot cross is a final failure that names the operation", async () => {
  const h = harness({ leak: async () => ({ close: () => 1 }), huge: async () => "x".repeat(64 * 1024 * 1024) });
  const leak = h.start("leak");
  const huge = h.start("huge");
  await quiet();
  assert.throws(() => outcome(h.of(leak)), {
    code: "VALUE_NOT_CLONEABLE",
    message: /^The result of operation "leak" cannot cross/,
  });
  assert.throws(() => outcome(h.of(huge)), { code: "VALUE_TOO_LARGE", message: /"huge"/ });
});

test("arguments that do not decode are a final failure", async () => {
  const h = harness({ add });
  const damaged = h.start("add", [], { args: { text: "\u0000 damaged" } });
  const noList = h.start("add", [], { args: encodeValue("no list") });
  await quiet();
  assert.throws(() => outcome(h.of(damaged)), { code: "VALUE_CORRUPT" });
  assert.throws(() => outcome(h.of(noList)), { code: "VALUE_CORRUPT" });
  assert.equal(h.runner.counts().active, 0);
});

test("a function that is not there is unavailable, by name", async () => {
  const h = harness({});
  const token = h.start("shop.ts#buy");
  await quiet();
  const [report] = h.of(token);
  assert.ok(report?.kind === "unavailable");
  assert.match(report.error, /"shop.ts#buy"/);
});

for (const [how, resolve] of [
  ["throws", () => assert.fail(new PerdureError("OPERATION_UNAVAILABLE", "looked in a.ts"))],
  ["rejects", () => Promise.reject(new PerdureError("OPERATION_UNAVAILABLE", "looked in a.ts"))],
] as const) {
  test(`a resolver that ${how} makes the operation unavailable, with its message`, async () => {
    const h = harness({}, { resolve });
    const token = h.start("a.ts#f");
    await quiet();
    assert.deepEqual(h.of(token), [{ token, kind: "unavailable", error: "looked in a.ts" }]);
  });
}

test("attempts that wait for an import start in the order they came, and the import is asked for once", async () => {
  const order: unknown[] = [];
  const { promise, resolve } = Promise.withResolvers<HostFunction>();
  let asked = 0;
  const h = harness({}, { resolve: () => (asked++, promise) });
  for (let n = 1; n <= 5; n++) h.start("a.ts#f", [n]);
  h.runner.abort("t3");
  assert.deepEqual(h.runner.counts(), { active: 0, waiting: 4 });
  resolve(async (n) => order.push(n));
  await quiet();
  assert.deepEqual(order, [1, 2, 4, 5]);
  assert.equal(asked, 1);
  assert.deepEqual(h.of("t3"), []);
});

test("a token that is running already is not started twice", async () => {
  let calls = 0;
  const h = harness({ count: async () => ++calls });
  h.runner.start([request("same", "count", []), request("same", "count", [])]);
  await quiet();
  assert.equal(calls, 1);
  assert.equal(h.of("same").length, 1);
});

test("an error whose class set no name arrives with the name of its class, causes too", async () => {
  class CardDeclined extends Error {}
  class BankDown extends TypeError {}
  const fail: HostFunction = async () => {
    throw new CardDeclined("no", { cause: new BankDown("down") });
  };
  const h = harness({ fail });
  const retried = h.start("fail");
  const token = h.start("fail", [], { attempt: 5 });
  await quiet();
  assert.match(JSON.stringify(h.of(retried)), /CardDeclined: no — caused by BankDown: down/);
  assert.throws(
    () => outcome(h.of(token)),
    (error: Error) => error.name === "CardDeclined" && (error.cause as Error).name === "BankDown",
  );
});

test("perdure: names are built in; an unknown one is unavailable", async () => {
  const h = harness({ "perdure:nothing": add });
  const token = h.start("perdure:nothing");
  await quiet();
  assert.match(JSON.stringify(h.of(token)), /unavailable.*no such built-in operation.*perdure:nothing/);
});

for (const options of ["", "{}", "{", '{"mode":"maybe"}', "null"]) {
  test(`perdure:fetch without a mode is refused, not guessed: ${JSON.stringify(options)}`, async () => {
    const h = harness({});
    const token = h.start("perdure:fetch", [{}], { options });
    await quiet();
    assert.throws(() => outcome(h.of(token)), { code: "ARGUMENT_INVALID" });
  });
}
