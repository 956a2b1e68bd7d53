import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FairQueue } from "./queue.ts";
import type { Ticket } from "./queue.ts";

function takeAll(queue: FairQueue<string>): string[] {
  const taken: string[] = [];
  for (let item = queue.take(); item !== undefined; item = queue.take()) taken.push(item);
  return taken;
}

test("one lane is first in, first out", () => {
  const queue = new FairQueue<string>(10);
  const lane = queue.lane(Infinity);
  for (const item of ["a", "b", "c"]) queue.push(lane, item);
  assert.deepEqual(takeAll(queue), ["a", "b", "c"]);
});

test("lanes take turns: a flood of one delays another by one slot a round", () => {
  const queue = new FairQueue<string>(6);
  const [flood, trickle] = [queue.lane(Infinity), queue.lane(Infinity)];
  for (let n = 1; n <= 100; n++) queue.push(flood, `f${n}`);
  for (let n = 1; n <= 2; n++) queue.push(trickle, `t${n}`);
  assert.deepEqual(takeAll(queue), ["f1", "t1", "f2", "t2", "f3", "f4"]);
});

test("a lane at its limit does not stand in the way of others", () => {
  const queue = new FairQueue<string>(10);
  const [narrow, wide] = [queue.lane(1), queue.lane(Infinity)];
  const first = queue.push(narrow, "n1");
  queue.push(narrow, "n2");
  for (let n = 1; n <= 3; n++) queue.push(wide, `w${n}`);
  assert.deepEqual(takeAll(queue), ["n1", "w1", "w2", "w3"]);
  queue.remove(first);
  assert.deepEqual(takeAll(queue), ["n2"]);
});

test("a waiting item that is removed is never taken, and removing twice frees one slot", () => {
  const queue = new FairQueue<string>(1);
  const lane = queue.lane(Infinity);
  const a = queue.push(lane, "a");
  const b = queue.push(lane, "b");
  queue.push(lane, "c");
  assert.equal(queue.take(), "a");
  queue.remove(b);
  queue.remove(a);
  queue.remove(a);
  assert.equal(queue.active, 0);
  assert.deepEqual(takeAll(queue), ["c"]);
});

interface Step {
  readonly kind: "push" | "take" | "remove";
  readonly lane: number;
  readonly pick: number;
}

test("under any order of pushes, takes and removals, limits hold, lanes keep their order and no slot is left unused", () => {
  const steps = fc.array(
    fc.record<Step>({
      kind: fc.constantFrom("push", "push", "take", "take", "remove"),
      lane: fc.nat(3),
      pick: fc.nat(1000),
    }),
    { maxLength: 200 },
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 4, maxLength: 4 }),
      steps,
      checkSteps,
    ),
    { numRuns: 300 },
  );
});

/** Runs the steps beside a model made of plain arrays. */
function checkSteps(limit: number, laneLimits: number[], steps: Step[]): void {
  const queue = new FairQueue<number>(limit);
  const lanes = laneLimits.map((laneLimit) => queue.lane(laneLimit));
  const waiting: number[][] = laneLimits.map(() => []);
  const active: number[][] = laneLimits.map(() => []);
  const tickets: Ticket<number>[] = [];
  /** For each lane that could be served, how many others were since. */
  const passedOver = laneLimits.map(() => 0);
  const servable = (lane: number): boolean =>
    (waiting[lane]?.length ?? 0) > 0 && (active[lane]?.length ?? 0) < (laneLimits[lane] ?? 0);
  for (const step of steps) {
    if (step.kind === "push") {
      waiting[step.lane]?.push(tickets.length);
      tickets.push(queue.push(lanes[step.lane] ?? assert.fail(), tickets.length));
    } else if (step.kind === "remove" && tickets.length > 0) {
      const id = step.pick % tickets.length;
      queue.remove(tickets[id] ?? assert.fail());
      for (const list of [...waiting, ...active]) if (list.includes(id)) list.splice(list.indexOf(id), 1);
    } else if (step.kind === "take") {
      const canServe = laneLimits.map((_, lane) => servable(lane));
      const item = queue.take();
      if (item === undefined) {
        assert.ok(
          active.flat().length === limit || !canServe.includes(true),
          "a slot was free and someone could have had it",
        );
      } else {
        const lane = waiting.findIndex((list) => list[0] === item);
        assert.ok(lane >= 0 && canServe[lane], "the head of a lane below its limit");
        waiting[lane]?.shift();
        active[lane]?.push(item);
        for (let other = 0; other < lanes.length; other++) {
          passedOver[other] = other === lane || !servable(other) ? 0 : (passedOver[other] ?? 0) + 1;
          assert.ok((passedOver[other] ?? 0) < lanes.length, "no lane is passed over twice by all others");
        }
      }
    }
    assert.ok(queue.active <= limit);
    assert.equal(queue.active, active.flat().length);
    assert.equal(queue.waiting, waiting.flat().length);
    for (const [lane, list] of active.entries()) assert.ok(list.length <= (laneLimits[lane] ?? 0));
  }
}
