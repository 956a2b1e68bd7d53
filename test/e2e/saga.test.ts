/** Sagas: compensations in reverse order, again and again until they work, through the death of nodes. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine } from "perdure/engine";
import type { LogEntry } from "perdure/engine";
import type * as app from "../fixtures/saga/app.ts";
import type { Shared } from "../fixtures/saga/host.ts";
import { storeFile } from "./support/engine.ts";
import { EngineProcess } from "./support/engine-process.ts";
import { eventually } from "./support/wait.ts";

const program = fileURLToPath(new URL("../fixtures/saga/app.ts", import.meta.url));
const world = globalThis as { sagaTest?: Shared };
const shared: Shared = (world.sagaTest ??= { deeds: [], failuresLeft: new Map() });
const logs: LogEntry[] = [];
const engine = await Engine.open<typeof app>({ store: "memory:", program, onLog: (log) => logs.push(log) });
after(() => engine.close());
beforeEach(() => {
  shared.deeds.length = 0;
  shared.failuresLeft.clear();
  logs.length = 0;
});

const warnings = (): string[] => logs.map(({ text }) => text.replace(/^A saga of \S+ /, ""));
const until = (deed: string): Promise<unknown> => eventually(deed, () => shared.deeds.includes(deed));

test("a saga whose body returns undoes nothing, and takes no more steps", async () => {
  const [result, step, add] = await (await engine.start("succeeds", [])).result();
  assert.deepEqual([result, step.code, add.code, shared.deeds], [["a", "b"], "SAGA_CLOSED", "SAGA_CLOSED", ["a", "b"]]);
});

test("one whose body throws is undone in reverse, and the error is thrown on", async () => {
  const { name, message } = await (await engine.start("comesToNothing", [])).result();
  assert.deepEqual([name, message], ["RangeError", "declined"]);
  assert.deepEqual(shared.deeds, ["a", "b", "c", "unc", "unb", "una"]);
  assert.deepEqual(warnings(), []);
});

test("a step that fails has nothing to undo", async () => {
  shared.failuresLeft.set("bad", 1);
  assert.equal((await (await engine.start("failsInAStep", [])).result()).message, "bad does not work yet");
  assert.deepEqual(shared.deeds, ["a", "una"]);
});

test("a compensation that fails is tried again until it works, before the next begins, and each failure is logged", async () => {
  shared.failuresLeft.set("unb", 4);
  assert.equal((await (await engine.start("comesToNothing", [])).result()).message, "declined");
  assert.deepEqual(shared.deeds, ["a", "b", "c", "unc", "unb", "una"]);
  assert.equal(warnings().length, 4);
  assert.match(
    warnings()[3] as string,
    /^tries again in \d+ ms: compensation 2 of 3 \(b\) failed at attempt 4: Error: unb does not work yet$/,
  );
});

for (const [how, retry, left] of [
  ["after maxAttempts", { maxAttempts: 3, initialDelay: 1 }, 7],
  ["at once without retries", false, 9],
] as const) {
  test(`a compensation is given up ${how}; the others run, and a SagaError tells of it`, async () => {
    shared.failuresLeft.set("unb", 10);
    assert.deepEqual(await (await engine.start("comesToNothing", [{ retry }])).result(), {
      name: "SagaError",
      code: "SAGA_INCOMPLETE",
      message:
        "1 compensation of a saga could not be carried out (compensation 2 of 3 (b)). What it was to undo stands.",
      cause: "declined",
      errors: ["unb does not work yet"],
    });
    assert.deepEqual(shared.deeds, ["a", "b", "c", "unc", "una"]);
    assert.equal(shared.failuresLeft.get("unb"), left);
  });
}

test("a NonRetryableError of a compensation is final; compensating twice is compensating once", async () => {
  const [error, same, late] = await (await engine.start("cannotBeUndone", [])).result();
  assert.deepEqual([error.name, error.cause, error.errors], ["SagaError", "no more", ["b cannot be undone"]]);
  assert.deepEqual([same, late.code], [true, "SAGA_CLOSED"]);
  assert.deepEqual(shared.deeds, ["a", "b", "c", "unc", "una"]);
});

test("steps that still run when the body throws are waited for, and undone", async () => {
  assert.equal((await (await engine.start("together", [])).result()).message, "quickly");
  assert.deepEqual(shared.deeds, ["quick", "slow", "unslow", "unquick"]);
});

test("a step with an unknown outcome is undone by `uncertain`, which gets the error", async () => {
  const seen = await (await engine.start("unknown", [true])).result();
  assert.deepEqual(seen, ["UncertainOperationError", ["UncertainOperationError", "string", [7]]]);
  assert.deepEqual(shared.deeds, ["a", "ununknown", "una"]);
});

test("without `uncertain` it is not undone, and a warning says so", async () => {
  const seen = await (await engine.start("unknown", [false])).result();
  assert.deepEqual(
    [seen, shared.deeds],
    [
      ["UncertainOperationError", []],
      ["a", "una"],
    ],
  );
  assert.match(warnings()[0] as string, /^cannot undo the step, of which nobody knows whether it happened: Uncertain/);
});

for (const [how, ...codes] of [
  ["slow", "CALL_TIMEOUT"],
  ["dies", "SERVER_GONE"],
  ["absent"],
  ["task", "TASK_FAILED"],
  ["signal", "TimeoutError"],
  ["saga", "SAGA_INCOMPLETE"],
] as const) {
  test(`a step whose partner never said what came of it (${how}) is ${codes.length === 0 ? "not begun" : "uncertain"}`, async () => {
    assert.deepEqual(await (await engine.start("unanswered", [how])).result(), codes);
  });
}

test("a cancel ends steps that a saga waits for before it compensates", async () => {
  const handle = await engine.start("slowStep", []);
  await eventually("the long step", async () => (await handle.status()).timers.length === 1);
  await handle.cancel("enough");
  await assert.rejects(handle.result(), { code: "PROCESS_FAILED" });
  assert.deepEqual(shared.deeds, ["a", "unlong", "una"]);
});

test("a wait is a number however often it grew, and of a predicate that throws the others do not suffer", async () => {
  const [overflows, asks] = await (await engine.start("oddRetries", [])).result();
  assert.equal(overflows.message, "no more");
  assert.deepEqual([asks.name, asks.errors, shared.deeds], ["SagaError", ["not yet"], ["a", "una"]]);
  assert.ok(warnings().some((text) => text.includes("its retry.nonRetryable threw")));
});

test("a cancel while a step runs leaves its outcome unknown", async () => {
  const handle = await engine.start("inTheStep", []);
  await until("b");
  await handle.cancel("changed my mind");
  await assert.rejects(handle.result(), { code: "PROCESS_CANCELLED" });
  assert.deepEqual(shared.deeds, ["a", "b", "unb after changed my mind", "una"]);
});

test("a cancel undoes what was done, with waits of its own, and the process ends as cancelled", async () => {
  const handle = await engine.start("waits", [""]);
  await until("a");
  // It has heard of it, too: otherwise it would not know whether "a" was done.
  await eventually("its wait", async () => (await handle.status()).timers.length === 1);
  await handle.cancel("changed my mind");
  await assert.rejects(handle.result(), { code: "PROCESS_CANCELLED" });
  assert.deepEqual(shared.deeds, ["a", "una", "unz", "finally"]);
});

for (const how of ["exit", "throw"] as const) {
  test(`${how} in the body undoes what was done`, async () => {
    await assert.rejects((await engine.start("waits", [how])).result(), { code: "PROCESS_FAILED" });
    assert.deepEqual(shared.deeds, ["a", "una", "unz", "finally"]);
  });
}

test("a cancel that comes while a saga compensates waits until that is done", async () => {
  const handle = await engine.start("interrupted", []);
  await until("begin");
  await handle.cancel("too late");
  await handle.send("go on");
  assert.deepEqual(await handle.result(), ["failed", true, "too late"]);
  assert.deepEqual(shared.deeds, ["begin", "una"]);
});

test("a server's method can be a saga", async () => {
  shared.failuresLeft.set("bad", 1);
  assert.equal(await (await engine.start("asksServer", [])).result(), "bad does not work yet");
  assert.deepEqual(shared.deeds, ["a", "una"]);
});

test("options that make no sense are refused", async () => {
  for (const [retry, expected] of [
    [{ maxAttempts: 0 }, /^ARGUMENT_INVALID: .*maxAttempts is 0\. It must be a whole number from 1/],
    [{ factor: 0.5 }, /^ARGUMENT_INVALID: .*factor is 0\.5/],
    [{ jitter: 2 }, /^ARGUMENT_INVALID: .*jitter is 2/],
    [{ initialDelay: "2s", maxDelay: "1s" }, /^ARGUMENT_INVALID: .*maxDelay is 1s\. It must be at least initialDelay/],
    [{ initialDelay: "soon" }, /^DURATION_INVALID/],
    [{ nonRetryable: true as never }, /^ARGUMENT_INVALID: .*nonRetryable is true/],
    [{ initialDelay: "1 hour" }, /^taken$/],
  ] as const) {
    assert.match(await (await engine.start("makes", [{ retry }])).result(), expected);
  }
});

test("compensations go on where they were after kill -9, while one of them fails and between them", async (t) => {
  const store = storeFile(t);
  const file = `${store}.deeds`;
  const deeds = (): string[] => readFileSync(file, "utf8").trimEnd().split("\n");
  writeFileSync(file, "");
  writeFileSync(`${file}.closed`, "unb");
  await using first = new EngineProcess({ store, program });
  await first.start("trip", "default", [file]);
  await eventually("the steps", () => deeds().includes("c"));
  await first.send("trip", "no");
  await eventually("two attempts", () => deeds().filter((deed) => deed === "not unb").length >= 2);
  await first.kill();
  const before = deeds();
  assert.deepEqual(before.slice(0, 4), ["a", "b", "c", "unc"]);
  await using second = new EngineProcess({ store, program });
  await eventually("another attempt", () => deeds().length >= before.length + 2);
  await second.kill();
  writeFileSync(`${file}.closed`, "");
  await using third = new EngineProcess({ store, program });
  await assert.rejects(third.result("trip"), { code: "PROCESS_FAILED", message: /declined/ });
  const done = deeds().filter((deed) => deed !== "not unb");
  assert.deepEqual(done, ["a", "b", "c", "unc", "unb", "una"]);
});
