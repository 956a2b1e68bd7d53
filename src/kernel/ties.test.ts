import assert from "node:assert/strict";
import { test } from "node:test";
import { process, startMs } from "../store/suite/samples.ts";
import { Stage } from "./batch.ts";
import type { Committer } from "./batch.ts";
import { awayLive, newLive, queueInput } from "./live.ts";
import { crashOf, problemOf, signalInput, Ties } from "./ties.ts";
import type { Crash } from "./ties.ts";

test("a crashed process's row says what made it fail, what was set aside, and who had asked for that", () => {
  const crashes: readonly Crash[] = [
    { culprit: "timer", aside: undefined, sender: "" },
    { culprit: "message", aside: 0, sender: "" },
    { culprit: "result", aside: 3_000_000_017, sender: "" },
    { culprit: "message", aside: 0, sender: "@key:0123, asked for at @somebody\nelse" },
  ];
  for (const crash of crashes) assert.deepEqual(crashOf({ problem: problemOf(crash) }), crash);
});

for (const isHere of [true, false]) {
  test(`a child that waits for a word which will not come is let go, ${isHere ? "here" : "on its node"}`, () => {
    const stage = new Stage();
    const row = process(2, { parent: "p1", state: "crashed" });
    const child = isHere ? newLive(row) : awayLive(row);
    const abandoned: unknown[] = [];
    const unexpected = (): never => assert.fail("not expected here");
    const ties = new Ties({
      committer: { stage } as Committer,
      shared: true,
      cut: unexpected,
      held: unexpected,
      find: () => child,
      deliver: unexpected,
      abandon: (live) => void abandoned.push(live),
    });
    const parent = newLive(process(1));
    const told = signalInput(child.row.pid, { reason: "error", value: { text: "u" } }, true, "message");
    const queued = queueInput(told, startMs, undefined, 7);
    ties.refuse(parent, queued);
    assert.deepEqual([abandoned, stage.away.refused], isHere ? [[child], []] : [[], [7]]);
    assert.deepEqual(stage.consumed, isHere ? [queued] : []);
    // Brought back before that is durable, it would be told again.
    assert.deepEqual([queued.consumed, parent.pins], [true, 1]);
    for (const effect of stage.effects) effect();
    assert.equal(parent.pins, 0);
  });
}
