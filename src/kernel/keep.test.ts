import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { failureReasons } from "../journal/types.ts";
import type { FinishedRow } from "../store/port.ts";
import { isDue, keepForever, latestDueMs } from "./keep.ts";
import type { KeepPolicy } from "./keep.ts";

const nowMs = 1_000;
const ended = fc.uniqueArray(
  fc.record({
    atMs: fc.integer({ min: 0, max: nowMs }),
    key: fc.integer({ min: 1, max: 1000 }),
    reason: fc.constantFrom("normal" as const, "error" as const, "killed" as const),
  }),
  { selector: ({ key }) => key, maxLength: 30 },
);
const limit = (most: number) => fc.oneof(fc.integer({ min: 0, max: most }), fc.constant(Infinity));
const policies = fc
  .record({ ageMs: limit(nowMs), failuresMs: limit(nowMs), count: limit(35) })
  .map((policy): KeepPolicy => ({ ...keepForever, ...policy }));

/** What a user would say: the newest so many, and of those the young ones. */
function keptBy({ ageMs, failuresMs, count }: KeepPolicy, rows: readonly Row[]): Row[] {
  const newestFirst = rows.toSorted((a, b) => b.atMs - a.atMs || b.key - a.key);
  return newestFirst
    .slice(0, count)
    .filter(({ atMs, reason }) => nowMs - atMs < (failureReasons.includes(reason) ? failuresMs : ageMs));
}

type Row = Omit<FinishedRow, "held" | "pid">;

describe("what is kept", () => {
  test("is the newest by count, and of them what is young enough by age or, if it failed, by its own age", () => {
    fc.assert(
      fc.property(policies, ended, (policy, rows) => {
        const newestFirst = rows.toSorted((a, b) => b.atMs - a.atMs || b.key - a.key);
        const beyond = policy.count < Infinity ? newestFirst[policy.count] : undefined;
        const due = rows.filter((row) => isDue({ ...row, pid: "" }, policy, beyond, nowMs));
        const kept = rows.filter((row) => !due.includes(row));
        assert.deepEqual(new Set(kept), new Set(keptBy(policy, rows)));
        for (const { atMs } of due) assert.ok(atMs <= latestDueMs(policy, beyond, nowMs));
      }),
    );
  });

  test("is everything, for ever, unless something else is said", () => {
    const old: FinishedRow = { key: 1, pid: "p1", atMs: -1e15, reason: "error", held: false };
    assert.equal(isDue(old, keepForever, undefined, nowMs), false);
  });

  test("a process goes at the very end of its time, and not before", () => {
    const policy = { ...keepForever, ageMs: 10, failuresMs: 20 };
    const at = (atMs: number, reason: "normal" | "error") =>
      isDue({ key: 1, pid: "p1", atMs, reason }, policy, undefined, nowMs);
    assert.deepEqual(
      [at(990, "normal"), at(991, "normal"), at(980, "error"), at(981, "error")],
      [true, false, true, false],
    );
  });
});
