import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PerdureError } from "../base/errors.ts";
import type { QueryAnswer } from "../kernel/queries.ts";
import type { ProcessExit } from "../store/port.ts";
import { Calls } from "./calls.ts";
import type { CallOutcome, CallRequest } from "./calls.ts";

const body = { text: "call" };
const answer = { text: "answer" };
const exit: ProcessExit = { atMs: 1, reason: "error", value: { text: "u" } };

/** Calls on a kernel that says when a message is durable, and on a clock that is wound by hand. */
function setUp() {
  const sent: { to: string; durable(): void; refused(error: Error): void }[] = [];
  const queries: { to: string; method: string; answered(answer: QueryAnswer): void; refused(error: Error): void }[] =
    [];
  const timers: { readonly delayMs: number; ring(): void; stopped: boolean }[] = [];
  const calls = new Calls({
    clock: {
      nowMs: () => 0,
      after: (delayMs, ring) => {
        const timer = { delayMs, ring, stopped: false };
        timers.push(timer);
        return () => (timer.stopped = true);
      },
    },
    locate: (to) => (to === "stock" ? "p1" : to),
    send: (to) => new Promise((durable, refused) => sent.push({ to, durable, refused })),
    keyed: () => assert.fail("no key"),
    query: (to, { method }) => new Promise((answered, refused) => queries.push({ to, method, answered, refused })),
  });
  let number = 0;
  const call = (to = "p1", timeoutMs: number | undefined = 5000) => {
    const request: CallRequest = { to, replyTo: `@x.${++number}`, body, timeoutMs };
    return { replyTo: request.replyTo, outcome: calls.call(request), sent: sent.at(-1), timer: timers.at(-1) };
  };
  const read = () => {
    const replyTo = `@x.${++number}`;
    const outcome = calls.call({ to: "stock", replyTo, body, timeoutMs: 70, method: "count" });
    return { replyTo, outcome, query: queries.at(-1), timer: timers.at(-1) };
  };
  return { calls, call, read, sent, timers };
}

async function isPending(promise: Promise<CallOutcome>): Promise<boolean> {
  return (await Promise.race([promise, Promise.resolve("pending")])) === "pending";
}

describe("a call", () => {
  test("goes to whom the name stands for, and is settled by the answer to its own address", async () => {
    const { calls, call } = setUp();
    const [one, two] = [call("stock"), call("stock")];
    assert.equal(one.sent?.to, "p1");
    one.sent?.durable();
    two.sent?.durable();
    calls.answered({ to: two.replyTo, from: "p1", body: answer });
    assert.deepEqual(await two.outcome, { kind: "answered", pid: "p1", body: answer });
    assert.ok(await isPending(one.outcome));
    calls.answered({ to: "@y.1", from: "p1", body: answer });
    calls.answered({ to: one.replyTo, from: "p1", body });
    assert.deepEqual(await one.outcome, { kind: "answered", pid: "p1", body });
    assert.deepEqual([one.timer?.stopped, two.timer?.stopped], [true, true]);
  });

  test("that never reached its process is told so, whatever was heard of its end", async () => {
    const { calls, call } = setUp();
    for (const code of ["PROCESS_NOT_FOUND", "PROCESS_EXITED"] as const) {
      const { outcome, sent } = call();
      calls.exited("p1", exit);
      sent?.refused(new PerdureError(code, "gone"));
      assert.deepEqual(await outcome, { kind: "absent" });
    }
  });

  test("whose process ends or breaks hears of it, and others do not", async () => {
    const { calls, call } = setUp();
    const [one, two, other] = [call(), call(), call("p2")];
    for (const each of [one, two, other]) each.sent?.durable();
    calls.exited("p1", exit);
    assert.deepEqual(await one.outcome, { kind: "exited", pid: "p1", exit });
    assert.deepEqual(await two.outcome, { kind: "exited", pid: "p1", exit });
    calls.broke("p2", "diverged");
    assert.deepEqual(await other.outcome, { kind: "broken", problem: "diverged" });
  });

  test("that was answered before the end has its answer", async () => {
    const { calls, call } = setUp();
    const { outcome, sent, replyTo } = call();
    calls.answered({ to: replyTo, from: "p1", body: answer });
    calls.exited("p1", exit);
    sent?.durable();
    assert.deepEqual(await outcome, { kind: "answered", pid: "p1", body: answer });
  });

  test("ends after its timeout, or never without one", async () => {
    const { calls, call, timers } = setUp();
    const { outcome, sent, timer, replyTo } = call("p1", 70);
    sent?.durable();
    assert.equal(timer?.delayMs, 70);
    timer?.ring();
    assert.deepEqual(await outcome, { kind: "timeout" });
    calls.answered({ to: replyTo, from: "p1", body: answer });
    const patient = new Calls({
      clock: { nowMs: () => 0, after: () => assert.fail("no timer") },
      locate: (to) => to,
      send: () => Promise.resolve(),
      query: () => assert.fail("no query"),
      keyed: () => assert.fail("no key"),
    });
    const waits = patient.call({ to: "p1", replyTo: "@x.1", body, timeoutMs: undefined });
    assert.ok(await isPending(waits));
    patient.answered({ to: "@x.1", from: "p1", body: answer });
    assert.equal((await waits).kind, "answered");
    assert.equal(timers.length, 1);
  });

  test("that the engine cannot send fails as sending does", async () => {
    const { call } = setUp();
    const { outcome, sent } = call();
    sent?.refused(new PerdureError("ENGINE_CLOSED", "closed"));
    await assert.rejects(outcome, { code: "ENGINE_CLOSED" });
  });
});

describe("a call of what may be a read-only method", () => {
  test("asks whom the name stands for without a message, and passes the answer on", async () => {
    const { read, sent } = setUp();
    const { outcome, query, timer } = read();
    assert.deepEqual([query?.to, query?.method], ["p1", "count"]);
    query?.answered({ kind: "answered", body: answer });
    assert.deepEqual(await outcome, { kind: "answered", pid: "p1", body: answer });
    assert.equal(timer?.stopped, true);
    assert.equal(sent.length, 0);
  });

  test("waits for the answer to the message, if it came to that", async () => {
    const { calls, read, sent } = setUp();
    const { outcome, query, replyTo } = read();
    query?.answered({ kind: "sent" });
    await new Promise(setImmediate);
    assert.ok(await isPending(outcome));
    assert.equal(sent.length, 0);
    calls.answered({ to: replyTo, from: "p1", body: answer });
    assert.equal((await outcome).kind, "answered");
  });

  test("says what a method did that must not, and what limit it met", async () => {
    const { read, sent } = setUp();
    const [one, two] = [read(), read()];
    one.query?.answered({ kind: "forbidden", detail: "it printed something" });
    two.query?.answered({ kind: "fatal", reason: "out_of_fuel", detail: "long" });
    assert.deepEqual(await one.outcome, { kind: "forbidden", detail: "it printed something" });
    assert.deepEqual(await two.outcome, { kind: "failed", reason: "out_of_fuel", detail: "long" });
    assert.equal(sent.length, 0);
  });

  test("is absent if its process has exited, and ends with its timeout, whatever comes afterwards", async () => {
    const { read, sent } = setUp();
    const [gone, late] = [read(), read()];
    gone.query?.refused(new PerdureError("PROCESS_EXITED", "gone"));
    assert.deepEqual(await gone.outcome, { kind: "absent" });
    late.timer?.ring();
    assert.deepEqual(await late.outcome, { kind: "timeout" });
    late.query?.answered({ kind: "sent" });
    await new Promise(setImmediate);
    assert.equal(sent.length, 0);
  });
});
