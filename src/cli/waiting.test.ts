import assert from "node:assert/strict";
import { test } from "node:test";
import type { OperationView } from "../engine/views.ts";
import { describeWaiting } from "./waiting.ts";
import type { Waiting } from "./waiting.ts";

const nowMs = 100_000;
const none: Waiting = { state: "running", lacks: "", turns: 1, operations: [], timers: [], inbox: [] };
const charge: OperationView = {
  number: 1,
  name: "warehouse.ts#charge",
  state: "pending",
  attempt: 1,
  notBeforeMs: 0,
  startedAtMs: 0,
  lastError: "",
};

function waiting(part: Partial<Waiting>, nodeRuns = true): string {
  return describeWaiting({ ...none, ...part }, { nowMs, nodeRuns });
}

test("a process that waits for nothing on record waits for a message", () => {
  assert.equal(waiting({}), "a message");
});

test("an operation is named, with its attempt from the second on and the time of the next one", () => {
  assert.equal(waiting({ operations: [charge] }), "charge");
  assert.equal(waiting({ operations: [{ ...charge, attempt: 2 }] }), "charge (attempt 2)");
  assert.equal(
    waiting({ operations: [{ ...charge, attempt: 3, notBeforeMs: nowMs + 5000 }] }),
    "charge (attempt 3 in 5s)",
  );
  assert.equal(waiting({ operations: [{ ...charge, state: "unavailable" }] }), "charge (no such host function)");
  assert.equal(waiting({ operations: [{ ...charge, state: "quarantined" }] }), "charge (quarantined)");
});

test("of several things two are named", () => {
  const operations = [1, 2, 3, 4].map((number) => ({ ...charge, number, name: `x#op${number}` }));
  assert.equal(waiting({ operations }), "op1, op2 and 2 more");
});

test("of timers the first one counts; a service timer guards a wait for a message", () => {
  const timer = { number: 1, dueMs: nowMs + 65_000, clock: "wall" } as const;
  assert.equal(waiting({ timers: [timer] }), "a timer, due in 1m 5s");
  assert.equal(
    waiting({ timers: [timer, { ...timer, number: 2, dueMs: nowMs + 1000 }] }),
    "the first of 2 timers, due in 1s",
  );
  assert.equal(waiting({ timers: [{ ...timer, clock: "service" }] }), "a message, with a timeout");
  assert.equal(waiting({ timers: [{ ...timer, dueMs: nowMs }] }), "a timer, due now");
  assert.equal(waiting({ timers: [{ ...timer, dueMs: nowMs - 120_000 }] }, false), "a timer, due for 2m");
});

test("a process with inputs to take waits for its turn, or for a node", () => {
  assert.equal(waiting({ turns: 0 }), "");
  assert.equal(waiting({ turns: 0 }, false), "a node, with 1 input to take");
  const inbox = [1, 2].map(() => ({ kind: "message", atMs: 0 }) as const);
  assert.equal(waiting({ inbox, operations: [charge] }), "");
  assert.equal(waiting({ inbox }, false), "a node, with 2 inputs to take");
});
