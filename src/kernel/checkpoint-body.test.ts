import assert from "node:assert/strict";
import { test } from "node:test";
import { isPerdureError } from "../base/errors.ts";
import { decodeCheckpoint, encodeCheckpoint } from "./checkpoint-body.ts";
import type { CheckpointBody } from "./checkpoint-body.ts";

const body: CheckpointBody = {
  operations: [1, 2],
  timers: [{ number: 3, clock: "service", dueMs: 1.5 }],
  links: [4],
  monitors: [[5, 6]],
  watchers: [[7, 8]],
  trapsExits: true,
  ends: [
    ["down", "p1", 9, ""],
    ["exit", "p2", 0, "0123456789abcdef"],
  ],
};

test("what was encoded is decoded", () => {
  assert.deepEqual(decodeCheckpoint(encodeCheckpoint(body)), body);
});

test("anything else is JOURNAL_CORRUPT and says which part of it is wrong", () => {
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [null, /it is no object/],
    [{ ...body, operations: ["1"] }, /its operations are not such/],
    [{ ...body, timers: [{ number: 3, clock: "sun", dueMs: 1 }] }, /its timers/],
    [{ ...body, timers: [null] }, /its timers/],
    [{ ...body, links: [-1] }, /its links/],
    [{ ...body, monitors: [[1]] }, /its monitors/],
    [{ ...body, watchers: {} }, /its watchers/],
    [{ ...body, trapsExits: 1 }, /its trapsExits/],
    [{ ...body, ends: [["up", "p1", 1, ""]] }, /its ends/],
    [{ ...body, ends: [["exit", "p1", 0]] }, /its ends/],
  ];
  for (const [value, message] of cases) {
    assert.throws(
      () => decodeCheckpoint(new TextEncoder().encode(JSON.stringify(value))),
      (error) => isPerdureError(error, "JOURNAL_CORRUPT") && message.test(error.message),
    );
  }
  assert.throws(
    () => decodeCheckpoint(new Uint8Array([0x7b, 0xff])),
    (error) => isPerdureError(error, "JOURNAL_CORRUPT") && /it is not JSON/.test(error.message),
  );
});
