import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ExpectedEvent, PlainEvent } from "./format.ts";
import { compareEvents, compareOutcome } from "./match.ts";

const started = (who: string): PlainEvent => ({ ev: "started", who });
const ended = (who: string, reason: unknown = "shutdown"): PlainEvent => ({ ev: "terminated", who, reason });
const parallel = (...lanes: readonly ExpectedEvent[][]): ExpectedEvent => ({ ev: "parallel", lanes });

describe("events match", () => {
  test("in their order, whatever the order of keys", () => {
    const events = [started("a#1"), ended("a#1", { error: "boom" })];
    assert.equal(
      compareEvents(events, [events[0]!, { reason: { error: "boom" }, who: "a#1", ev: "terminated" }]),
      undefined,
    );
  });

  test("in any order between lanes, in their order within one", () => {
    const expected = [
      started("a#1"),
      parallel([ended("b#1"), ended("c#1")], [ended("d#1"), started("d#2")]),
      ended("e#1"),
    ];
    const actual = [started("a#1"), ended("d#1"), ended("b#1"), started("d#2"), ended("c#1"), ended("e#1")];
    assert.equal(compareEvents(expected, actual), undefined);
    const [first, second, ...others] = [ended("c#1"), ended("b#1"), ended("d#1"), started("d#2"), ended("e#1")];
    assert.match(compareEvents(expected, [started("a#1"), first, second, ...others]) ?? "", /got .*"c#1"/);
  });

  test("in lanes within lanes, and after empty ones", () => {
    const expected = [parallel([parallel([ended("a#1")], [ended("b#1")]), ended("s#1")], [started("s#2")], [])];
    for (const order of ["sba2", "2abs", "b2as", "bas2"]) {
      const events = { a: ended("a#1"), b: ended("b#1"), s: ended("s#1"), 2: started("s#2") };
      const actual = [...order].map((letter) => events[letter as keyof typeof events]);
      assert.equal(compareEvents(expected, actual) === undefined, order !== "sba2", order);
    }
    assert.equal(compareEvents([parallel([], [])], []), undefined);
  });

  test("only if none is missing, none is left over and reasons agree", () => {
    assert.equal(compareEvents([started("a#1")], []), 'missing {"ev":"started","who":"a#1"}');
    assert.equal(compareEvents([], [started("a#1")]), 'unexpected {"ev":"started","who":"a#1"}');
    assert.match(compareEvents([parallel([ended("a#1")], [ended("b#1")])], [ended("b#1")]) ?? "", /^missing .*a#1/);
    assert.match(compareEvents([ended("a#1")], [ended("a#1", "killed")]) ?? "", /^expected .*shutdown.*, got .*killed/);
  });
});

test("results, skipped actions and trees are compared too", () => {
  const outcome = { events: [], result: { ok: "a#1" }, tree: { root: [["a", 1]] as const } };
  assert.equal(compareOutcome(outcome, { ...outcome }), undefined);
  assert.match(compareOutcome(outcome, { ...outcome, result: { ok: "a#2" } }) ?? "", /^result: /);
  assert.match(compareOutcome(outcome, { events: [], tree: outcome.tree }) ?? "", /^result: .*got undefined/);
  assert.match(compareOutcome(outcome, { ...outcome, tree: {} }) ?? "", /^tree: /);
  assert.match(compareOutcome(outcome, { ...outcome, skipped: "not_running" }) ?? "", /^skipped: /);
  assert.match(compareOutcome(outcome, { ...outcome, results: [] }) ?? "", /^results: /);
});
