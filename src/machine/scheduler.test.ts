import assert from "node:assert/strict";
import { test } from "node:test";
import { Scheduler } from "./scheduler.ts";
import type { Slices } from "./scheduler.ts";

const fuelInterrupts = 1000;

function scheduler(sliceInterrupts = 10): Scheduler {
  return new Scheduler({ sliceInterrupts, fuelInterrupts });
}

/** A turn that needs so many interrupts, and counts those it got. */
function spinner(interrupts: number): {
  turn: (slices: Slices) => Promise<void>;
  readonly state: { used: number; ended: boolean };
} {
  const state = { used: 0, ended: false };
  const turn = async (slices: Slices): Promise<void> => {
    while (state.used < interrupts) {
      state.used++;
      await slices.interrupt();
    }
    state.ended = true;
  };
  return { turn, state };
}

async function stepUntil(subject: Scheduler, reached: () => boolean, maxSteps: number): Promise<number> {
  for (let steps = 0; steps <= maxSteps; steps++) {
    if (reached()) return steps;
    await subject.step();
  }
  return assert.fail(`not reached within ${maxSteps} steps`);
}

test("a turn that needs no interrupt ends in one step, and the scheduler is idle", async () => {
  const subject = scheduler();
  const { turn, state } = spinner(0);
  subject.add(turn);
  assert.equal(subject.idle, false);
  assert.equal(await subject.step(), false);
  assert.deepEqual([state.ended, subject.idle], [true, true]);
});

test("a step without anything to do suspends nothing", async () => {
  assert.equal(await scheduler().step(), false);
});

test("turns run in the order they were added", async () => {
  const subject = scheduler();
  const order: number[] = [];
  for (const number of [1, 2, 3]) subject.add(async () => void order.push(number));
  while (!subject.idle) await subject.step();
  assert.deepEqual(order, [1, 2, 3]);
});

test("a slice is so many interrupts, and a suspended turn goes on where it was", async () => {
  const subject = scheduler(10);
  const { turn, state } = spinner(25);
  subject.add(turn);
  for (const used of [10, 20]) {
    assert.equal(await subject.step(), true);
    assert.equal(state.used, used);
  }
  assert.equal(await subject.step(), false);
  assert.deepEqual([state.used, state.ended], [25, true]);
});

test("a fresh turn goes before one that used up its slice", async () => {
  const subject = scheduler();
  const slow = spinner(100);
  subject.add(slow.turn);
  await subject.step();
  const fresh = spinner(1);
  subject.add(fresh.turn);
  await subject.step();
  assert.deepEqual([fresh.state.ended, slow.state.used], [true, 10]);
});

test("a spinning turn gets its slice at least every 16 turns, however many fresh ones there are", async () => {
  const subject = scheduler();
  const slow = spinner(1000);
  subject.add(slow.turn);
  await subject.step();
  for (let slice = 2; slice <= 6; slice++) {
    for (let turn = 0; turn < 20; turn++) subject.add(spinner(0).turn);
    const steps = await stepUntil(subject, () => slow.state.used === slice * 10, 17);
    // Its own step comes right after the sixteenth of the others.
    assert.ok(steps >= 16, `${steps}`);
  }
});

test("two spinning turns take slices in turn", async () => {
  const subject = scheduler();
  const [a, b] = [spinner(50), spinner(50)];
  subject.add(a.turn);
  subject.add(b.turn);
  for (let step = 0; step < 8; step++) {
    await subject.step();
    assert.ok(Math.abs(a.state.used - b.state.used) <= 10);
  }
  await stepUntil(subject, () => a.state.ended && b.state.ended, 4);
});

test("a turn out of fuel is stopped, never goes on, and leaves the scheduler free", async () => {
  const subject = scheduler();
  let [went, stopped] = [0, ""];
  subject.add((slices) => {
    return new Promise((resolve) => {
      const spin = async (): Promise<void> => {
        for (; ; went++) {
          await slices.interrupt((reason) => {
            stopped = reason;
            resolve();
          });
        }
      };
      void spin();
    });
  });
  await stepUntil(subject, () => subject.idle, fuelInterrupts);
  assert.deepEqual([went, stopped], [fuelInterrupts, "out_of_fuel"]);
  const next = spinner(0);
  subject.add(next.turn);
  await subject.step();
  assert.deepEqual([next.state.ended, went], [true, fuelInterrupts]);
});

test("without a stop, fuel is not counted", async () => {
  const subject = scheduler();
  const { turn, state } = spinner(3 * fuelInterrupts);
  subject.add(turn);
  await stepUntil(subject, () => state.ended, fuelInterrupts);
});

test("a turn that is refused its suspension and ends at once does not hold up the others", async () => {
  const subject = scheduler(1);
  subject.add(async (slices) => {
    // As the engine does when the host is on the guest's stack: it asks for a pause and takes none.
    void slices.interrupt();
  });
  assert.equal(await subject.step(), true);
  const next = spinner(0);
  subject.add(next.turn);
  await stepUntil(subject, () => subject.idle && next.state.ended, 3);
});
