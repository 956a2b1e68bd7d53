/** What an engine finds when it opens a store, and the timers it fetches page by page. */
import assert from "node:assert/strict";
import type { TimerClock } from "../../journal/types.ts";
import type { Store, TimerRow } from "../port.ts";
import { ownerRule } from "./fixture.ts";
import type { StoreSetup } from "./fixture.ts";
import { checkpoint, exit, message, monitor, operation, process, snapshot, startMs, timer, turn } from "./samples.ts";

const atMs = startMs;

export function testRecovery(setup: StoreSetup): void {
  testRecover(setup);
  testLoad(setup);
  testTimers(setup);
}

function testRecover(setup: StoreSetup): void {
  ownerRule(
    setup,
    "recover lists all operations by process and number, and whose inbox is not empty",
    async (store) => {
      const operations = [
        operation(1, 2),
        operation(1, 10, { state: "unavailable" }),
        operation(2, 1, { state: "quarantined", deaths: 5 }),
        operation(10, 1),
      ];
      await store.commit({
        atMs,
        newProcesses: [process(1), process(2), process(3), process(10)],
        operations: operations.toReversed(),
        inbox: [10, 3, 10].map((process) => ({ process, input: message, atMs })),
        timers: [timer(2, 1)],
      });
      assert.deepEqual(await store.recover(), { operations, withInbox: [3, 10], damaged: [] });
    },
  );

  ownerRule(setup, "recover finds thousands of operations", async (store) => {
    const operations = Array.from({ length: 2500 }, (_, i) => operation((i % 5) + 1, Math.floor(i / 5) + 1));
    await store.commit({ atMs, newProcesses: [1, 2, 3, 4, 5].map((key) => process(key)), operations });
    const found = (await store.recover()).operations;
    const expected = operations.toSorted((a, b) => a.process - b.process || a.number - b.number);
    assert.deepEqual(found, expected);
  });
}

function testLoad(setup: StoreSetup): void {
  ownerRule(setup, "load gives all that brings a process to life, lists in their order", async (store) => {
    await store.commit({
      atMs,
      newProcesses: [process(1), process(2)],
      turns: [1, 2, 3].map((number) => ({ process: 1, turn: turn(number) })),
      operations: [operation(1, 10), operation(1, 9), operation(2, 1)],
      timers: [timer(1, 11), timer(1, 2), timer(2, 1)],
      snapshots: [snapshot(1, 2), snapshot(1, 3)],
      links: [{ a: 1, b: 2 }],
      monitors: [monitor(1, 1, 2), monitor(2, 1, 1)],
      checkpoints: [checkpoint(1, 2)],
      restores: [{ process: 1, life: 2, turn: 3, from: 2 }],
    });
    const load = await store.load(1);
    assert.deepEqual(load, {
      process: process(1, { life: 2 }),
      snapshots: [3, 2].map((number) => ({ turn: number, body: snapshot(1, number).body })),
      operations: [operation(1, 9), operation(1, 10)],
      timers: [timer(1, 2), timer(1, 11)],
      inbox: [],
      links: [2],
      monitors: [monitor(1, 1, 2)],
      watchers: [monitor(2, 1, 1)],
      checkpoint: { turn: 2, body: checkpoint(1, 2).body },
      restores: [{ turn: 3, from: 2 }],
      lastTurn: 3,
      lastTimeMs: turn(3).timeMs,
    });
  });

  ownerRule(
    setup,
    "load of a process without a turn says 0, of no process PROCESS_NOT_FOUND, of an exited one its exit",
    async (store) => {
      await store.commit({ atMs, newProcesses: [process(1), process(2)], exits: [{ process: 2, exit }] });
      const { lastTurn, lastTimeMs } = await store.load(1);
      assert.deepEqual([lastTurn, lastTimeMs], [0, 0]);
      assert.deepEqual((await store.load(2)).process.exit, exit);
      await assert.rejects(store.load(3), { code: "PROCESS_NOT_FOUND" });
    },
  );
}

async function pagesOf(store: Store, clock: TimerClock, untilMs: number, limit: number): Promise<TimerRow[][]> {
  const pages: TimerRow[][] = [];
  for (let afterMs = -Infinity; ;) {
    const page = await store.dueTimers(clock, afterMs, untilMs, limit);
    if (page.length === 0) return pages;
    pages.push(page);
    afterMs = page.at(-1)?.dueMs ?? Infinity;
  }
}

function testTimers(setup: StoreSetup): void {
  for (const clock of ["wall", "service"] as const) {
    const other = clock === "wall" ? "service" : "wall";

    ownerRule(
      setup,
      `due timers of the ${clock} clock come earliest first, after one bound and up to the other`,
      async (store) => {
        const dues = [30, 10, 20.5, 40].map((dueMs, i) => timer(i + 1, 1, { clock, dueMs }));
        const newProcesses = dues.map((row) => process(row.process));
        await store.commit({ atMs, newProcesses, timers: [...dues, timer(1, 2, { clock: other, dueMs: 15 })] });
        const between = async (afterMs: number, untilMs: number): Promise<number[]> =>
          (await store.dueTimers(clock, afterMs, untilMs, 10)).map((row) => row.dueMs);
        assert.deepEqual(await between(0, 100), [10, 20.5, 30, 40]);
        assert.deepEqual(await between(10, 30), [20.5, 30]);
        assert.deepEqual(await between(-Infinity, Infinity), [10, 20.5, 30, 40]);
        assert.deepEqual(await between(40, 100), []);
      },
    );

    ownerRule(
      setup,
      `pages of the ${clock} clock never split timers of one due time, and together hold each once`,
      async (store) => {
        const dues = [5, 5, 5, 6, 7, 7, 8, 8, 8, 8, 9];
        const timers = dues.map((dueMs, i) => timer((i % 3) + 1, i + 1, { clock, dueMs }));
        await store.commit({ atMs, newProcesses: [1, 2, 3].map((key) => process(key)), timers });
        const pages = async (limit: number): Promise<number[][]> =>
          (await pagesOf(store, clock, Infinity, limit)).map((page) => page.map((row) => row.dueMs));
        assert.deepEqual(await pages(1), [[5, 5, 5], [6], [7, 7], [8, 8, 8, 8], [9]]);
        assert.deepEqual(await pages(2), [[5, 5, 5], [6, 7, 7], [8, 8, 8, 8], [9]]);
        assert.deepEqual(await pages(4), [[5, 5, 5, 6], [7, 7, 8, 8, 8, 8], [9]]);
        assert.deepEqual(await pages(100), [dues]);
        const all = (await pagesOf(store, clock, Infinity, 2)).flat();
        const expected = timers.toSorted((a, b) => a.dueMs - b.dueMs || a.process - b.process || a.number - b.number);
        assert.deepEqual(all, expected);
      },
    );
  }

  ownerRule(setup, "a timer that was cleared is not due", async (store) => {
    await store.commit({ atMs, newProcesses: [process(1)], timers: [timer(1, 1), timer(1, 2)] });
    await store.commit({ atMs, timersGone: [{ process: 1, number: 1 }] });
    assert.deepEqual(await store.dueTimers("wall", 0, Infinity, 10), [timer(1, 2)]);
  });
}
