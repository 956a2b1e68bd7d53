import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAgo, formatDuration, formatIn, formatRoughly, formatTime, formatTimeExactly } from "./time.ts";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

test("a duration shows its two largest units", () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, "0s"],
    [999, "0s"],
    [-5, "0s"],
    [1000, "1s"],
    [59_999, "59s"],
    [minute, "1m"],
    [minute + 5 * second, "1m 5s"],
    [hour + 5 * second, "1h"],
    [hour + 5 * minute + 5 * second, "1h 5m"],
    [3 * day + 4 * hour + minute, "3d 4h"],
    [400 * day, "400d"],
  ];
  for (const [ms, text] of cases) assert.equal(formatDuration(ms), text, `${ms} ms`);
  assert.equal(formatRoughly(hour + 5 * minute), "1h");
});

test("what was is so long ago, and what comes is due in so long", () => {
  assert.equal(formatAgo(0, 5 * minute + 3 * second), "5m ago");
  assert.equal(formatAgo(0, 999), "just now");
  assert.equal(formatAgo(1000, 0), "just now");
  assert.equal(formatIn(90 * second, 0), "in 1m 30s");
  assert.equal(formatIn(10, 0), "in 1s");
  assert.equal(formatIn(0, 0), "due");
  assert.equal(formatIn(0, 5), "due");
});

test("a time is local, to the second or the millisecond", () => {
  const atMs = new Date(2026, 2, 1, 4, 5, 9, 7).getTime();
  assert.equal(formatTime(atMs), "2026-03-01 04:05:09");
  assert.equal(formatTimeExactly(atMs), "2026-03-01 04:05:09.007");
  assert.equal(formatTime(Number.NaN), "NaN");
});
