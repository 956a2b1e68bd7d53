import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../base/ports.ts";
import { encodeValue } from "../base/value.ts";
import type { OperationRow } from "../store/port.ts";
import { operation, process, startMs } from "../store/suite/samples.ts";
import { Attempts, quarantineDeaths } from "./attempts.ts";
import type { AttemptsPorts } from "./attempts.ts";
import { Stage } from "./batch.ts";
import { newLive } from "./live.ts";
import type { PendingOperation } from "./live.ts";
import type { OperationReport, OperationRequest } from "./ports.ts";

/** Wall time, and time that passes: the first can be set. */
class TwoClocks implements Clock {
  wallMs = startMs;
  #timers: { leftMs: number; readonly fn: () => void }[] = [];

  nowMs(): number {
    return this.wallMs;
  }

  after(delayMs: number, fn: () => void): () => void {
    const timer = { leftMs: delayMs, fn };
    this.#timers.push(timer);
    return () => (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  pass(byMs: number): void {
    this.wallMs += byMs;
    for (const timer of this.#timers) timer.leftMs -= byMs;
    const due = this.#timers.filter(({ leftMs }) => leftMs <= 0);
    this.#timers = this.#timers.filter(({ leftMs }) => leftMs > 0);
    for (const { fn } of due) fn();
  }
}

/** One operation of one process, over nodes that come and go. */
class World {
  readonly clock = new TwoClocks();
  readonly requests: OperationRequest[] = [];
  readonly proceeded: string[] = [];
  /** Inbox rows of results that nobody wants. */
  readonly unwanted: number[] = [];
  /** A turn that gives the operation up is staged. */
  takeBack!: () => void;
  row: OperationRow;
  #attempts!: Attempts;
  #stage = new Stage();
  #incarnation = 0;

  constructor(row: Partial<OperationRow> = {}) {
    this.row = operation(1, 1, row);
    this.reopen();
  }

  /** A node opens the store, after one that did not close it unless this is the first. */
  reopen(): void {
    this.#stage = new Stage();
    const live = newLive(process(1));
    const pending: PendingOperation = { row: this.row, inherited: true, token: undefined, settled: false };
    live.operations.set(1, pending);
    this.takeBack = () => void live.operations.delete(1);
    const staged = (): Stage => this.#stage;
    this.#attempts = new Attempts({
      runner: {
        start: (requests) => this.requests.push(...requests),
        proceed: (token) => this.proceeded.push(token),
        transact: () => undefined,
        abort: () => undefined,
      },
      clock: this.clock,
      committer: {
        get stage() {
          return staged();
        },
      } as AttemptsPorts["committer"],
      events: { notice: () => undefined } as unknown as AttemptsPorts["events"],
      lease: { incarnation: ++this.#incarnation },
      mayRun: () => true,
      settled: () => undefined,
      unwanted: (seq) => this.unwanted.push(seq),
      failed: (error) => assert.fail(error),
    });
    this.#attempts.recover(live, pending, this.#incarnation > 1);
  }

  /** Another node, which finds these operations after a crash. Resolves with the numbers of those it dispatched, in order. */
  async takeUp(rows: readonly Partial<OperationRow>[]): Promise<number[]> {
    this.reopen();
    await this.commit();
    const live = newLive(process(1));
    for (const [index, row] of rows.entries()) {
      const number = index + 1;
      const pending = { row: operation(1, number, row), inherited: true, token: undefined, settled: false };
      live.operations.set(number, pending);
      this.#attempts.recover(live, pending, true);
    }
    this.requests.length = 0;
    await this.commit();
    return this.requests.map((request) => request.number);
  }

  /** Another node, to which the process was going when its node died. Resolves with how often it was dispatched by each of two commits. */
  async arrive(): Promise<number[]> {
    this.reopen();
    await this.commit();
    const live = newLive(process(1));
    const pending = { row: operation(1, 1, {}), inherited: true, token: undefined, settled: false };
    live.operations.set(1, pending);
    this.requests.length = 0;
    this.#attempts.resume(live);
    const underway = this.#stage;
    this.#stage = new Stage();
    this.#attempts.recover(live, pending, true);
    for (const effect of underway.effects) effect();
    await Promise.resolve();
    const first = this.requests.length;
    await this.commit();
    return [first, this.requests.length];
  }

  async commit(): Promise<void> {
    const stage = this.#stage;
    this.#stage = new Stage();
    this.row = stage.operations.at(-1) ?? this.row;
    for (const effect of stage.effects) effect();
    await Promise.resolve();
  }

  async last(): Promise<OperationRequest> {
    await this.commit();
    return this.requests.at(-1) ?? assert.fail("nothing was dispatched");
  }

  async report(report: DistributiveOmit<OperationReport, "token">): Promise<void> {
    const { token } = await this.last();
    this.#attempts.report([{ ...report, token }]);
    await this.commit();
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

test("a start is put on record with its time before the attempt may proceed", async () => {
  const world = new World();
  assert.equal((await world.last()).doubt, "none");
  world.clock.pass(5);
  await world.report({ kind: "begin" });
  assert.deepEqual([world.row.startedAtMs, world.row.notBeforeMs], [startMs + 5, 0]);
  assert.deepEqual(world.proceeded, [world.requests[0]?.token]);
});

test("an attempt in no doubt takes its start off the record", async () => {
  const world = new World();
  await world.report({ kind: "begin" });
  await world.report({ kind: "retry", delayMs: 100, error: "no" });
  assert.deepEqual([world.row.startedAtMs, world.row.attempt], [0, 2]);
  world.clock.pass(100);
  assert.equal((await world.last()).doubt, "none");
});

test("what a transaction has left does not stay if the operation was given up meanwhile", async () => {
  const world = new World();
  await world.last();
  world.takeBack();
  await world.report({ kind: "done", ok: true, value: encodeValue(1), seq: 7 });
  assert.deepEqual(world.unwanted, [7]);
});

test("one in doubt leaves it there, and the next comes when both the delay and the doubt have passed", async () => {
  for (const [delayMs, waitMs] of [
    [100, 9_000],
    [60_000, 60_000],
  ] as const) {
    const world = new World();
    await world.report({ kind: "begin" });
    world.clock.pass(1_000);
    await world.report({ kind: "retry", delayMs, doubtMs: 10_000, error: "no" });
    assert.deepEqual([world.row.startedAtMs, world.row.attempt], [startMs, 2]);
    world.clock.pass(waitMs - 1);
    await world.commit();
    assert.equal(world.requests.length, 1);
    world.clock.pass(1);
    assert.deepEqual([(await world.last()).doubt, world.requests.length], ["rested", 2]);
  }
});

test("after a crash a start on record is fresh; when it has rested since then it is not, and its attempt is the same", async () => {
  const world = new World();
  await world.report({ kind: "begin" });
  world.clock.pass(4_000);
  world.reopen();
  assert.equal((await world.last()).doubt, "fresh");
  await world.report({ kind: "rest", doubtMs: 10_000 });
  assert.deepEqual([world.row.attempt, world.row.notBeforeMs], [1, startMs + 10_000]);
  world.clock.pass(6_000);
  assert.equal((await world.last()).doubt, "rested");
  world.reopen();
  assert.equal((await world.last()).doubt, "rested", "the rest is over, whoever asks");
  await world.report({ kind: "begin" });
  world.reopen();
  assert.equal((await world.last()).doubt, "fresh", "a new start is a new doubt");
});

test("node deaths while it rests, or queues after it has, do not count; those while it runs do", async () => {
  const world = new World();
  await world.report({ kind: "begin" });
  world.reopen();
  await world.report({ kind: "rest", doubtMs: 10_000 });
  assert.equal(world.row.deaths, 1);
  for (let death = 0; death < quarantineDeaths; death++) world.reopen();
  world.clock.pass(10_000);
  for (let death = 0; death < quarantineDeaths; death++) world.reopen();
  await world.commit();
  assert.deepEqual([world.row.state, world.row.deaths], ["pending", 1]);
  assert.equal((await world.last()).watched, true);
  for (let death = world.row.deaths; death < quarantineDeaths; death++) {
    await world.report({ kind: "begin" });
    world.reopen();
    await world.commit();
  }
  assert.equal(world.row.state, "quarantined");
});

test("a node takes up what it finds in the order it is given, whether or not a death has to be put on record first", async () => {
  const world = new World();
  const numbers = await world.takeUp([
    { deaths: 0 },
    { deaths: 1 },
    { deaths: 0 },
    { deaths: 1, startedAtMs: startMs },
  ]);
  assert.deepEqual(numbers, [1, 2, 3, 4]);
});

test("what arrives, and is found to have been running at its node's death, begins when that is on record", async () => {
  const world = new World();
  assert.deepEqual(await world.arrive(), [0, 1]);
  assert.deepEqual([world.row.deaths, world.requests[0]?.watched], [1, true]);
});

test("a clock that is set forward ends the wait for another attempt, but no wait for calls that may be under way", async () => {
  for (const [doubtMs, ...dispatched] of [
    [undefined, 2],
    [120_000, 1, 2],
  ] as const) {
    const world = new World();
    await world.report({ kind: "begin" });
    await world.report({ kind: "retry", delayMs: 120_000, error: "no", ...(doubtMs === undefined ? {} : { doubtMs }) });
    world.clock.wallMs += 3_600_000;
    for (const count of dispatched) {
      world.clock.pass(60_000);
      await world.commit();
      assert.equal(world.requests.length, count);
    }
  }
});

test("a clock that was set back makes a rest no longer than it was meant to be", async () => {
  const world = new World();
  await world.report({ kind: "begin" });
  world.clock.wallMs -= 3_600_000;
  world.reopen();
  await world.report({ kind: "rest", doubtMs: 10_000 });
  world.clock.pass(9_999);
  await world.commit();
  assert.equal(world.requests.length, 2);
  world.clock.wallMs -= 3_600_000;
  world.reopen();
  world.clock.pass(10_000);
  assert.equal((await world.last()).doubt, "rested");
});

test("a clock that was set forward while it ran, and back again, makes the wait no longer than it was meant to be", async () => {
  const world = new World();
  await world.report({ kind: "begin" });
  world.clock.wallMs += 7_200_000;
  await world.report({ kind: "retry", delayMs: 100, doubtMs: 10_000, error: "no" });
  world.clock.wallMs -= 7_200_000;
  world.reopen();
  world.clock.pass(10_100);
  assert.deepEqual([(await world.last()).doubt, world.requests.length], ["rested", 2]);
});
