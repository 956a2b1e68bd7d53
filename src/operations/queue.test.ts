import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FakeClock } from "./harness.test.ts";
import { FairQueue } from "./queue.ts";
import type { LaneLimits, Ticket } from "./queue.ts";

interface Setup {
  readonly queue: FairQueue<string>;
  readonly clock: FakeClock;
  /** How often the queue said that time has passed for someone. */
  readonly wakes: () => number;
}

function setup(limit: number): Setup {
  const clock = new FakeClock();
  let wakes = 0;
  const queue = new FairQueue<string>(limit, clock, () => wakes++);
  return { queue, clock, wakes: () => wakes };
}

function takeAll(queue: FairQueue<string>): string[] {
  const taken: string[] = [];
  for (let item = queue.take(); item !== undefined; item = queue.take()) taken.push(item);
  return taken;
}

const free: LaneLimits = { concurrency: Infinity };
const oneEach: LaneLimits = { concurrency: Infinity, perRow: { concurrency: 1 } };

test("one row is first in, first out", () => {
  const { queue } = setup(10);
  const lane = queue.lane(free);
  for (const item of ["a", "b", "c"]) queue.push(lane, "p", item);
  assert.deepEqual(takeAll(queue), ["a", "b", "c"]);
});

test("lanes take turns: a flood of one operation delays another by one slot a round", () => {
  const { queue } = setup(6);
  const [flood, trickle] = [queue.lane(free), queue.lane(free)];
  for (let n = 1; n <= 100; n++) queue.push(flood, "p", `f${n}`);
  for (let n = 1; n <= 2; n++) queue.push(trickle, "p", `t${n}`);
  assert.deepEqual(takeAll(queue), ["f1", "t1", "f2", "t2", "f3", "f4"]);
});

test("rows of a lane take turns: a process that queues 10,000 calls delays another's by one slot a round", () => {
  const { queue } = setup(6);
  const lane = queue.lane(free);
  for (let n = 1; n <= 10_000; n++) queue.push(lane, "flood", `f${n}`);
  for (let n = 1; n <= 2; n++) queue.push(lane, "trickle", `t${n}`);
  assert.deepEqual(takeAll(queue), ["f1", "t1", "f2", "t2", "f3", "f4"]);
});

test("a lane at its limit does not stand in the way of others", () => {
  const { queue } = setup(10);
  const [narrow, wide] = [queue.lane({ concurrency: 1 }), queue.lane(free)];
  const first = queue.push(narrow, "p", "n1");
  queue.push(narrow, "p", "n2");
  for (let n = 1; n <= 3; n++) queue.push(wide, "p", `w${n}`);
  assert.deepEqual(takeAll(queue), ["n1", "w1", "w2", "w3"]);
  queue.remove(first);
  assert.deepEqual(takeAll(queue), ["n2"]);
});

test("a key at its limit does not stand in the way of others", () => {
  const { queue } = setup(10);
  const lane = queue.lane(oneEach);
  const first = queue.push(lane, "anna", "a1");
  queue.push(lane, "anna", "a2");
  queue.push(lane, "bert", "b1");
  assert.deepEqual(takeAll(queue), ["a1", "b1"]);
  queue.remove(first);
  assert.deepEqual(takeAll(queue), ["a2"]);
});

test("a waiting item that is removed is never taken, and removing twice frees one slot", () => {
  const { queue } = setup(1);
  const lane = queue.lane(free);
  const a = queue.push(lane, "p", "a");
  const b = queue.push(lane, "p", "b");
  queue.push(lane, "p", "c");
  assert.equal(queue.take(), "a");
  queue.remove(b);
  queue.remove(a);
  queue.remove(a);
  assert.equal(queue.active, 0);
  assert.deepEqual(takeAll(queue), ["c"]);
});

test("a lane's rate: one token to begin with, then one an interval, by one timer that rings when there is one", () => {
  const { queue, clock, wakes } = setup(100);
  const lane = queue.lane({ concurrency: Infinity, rate: { intervalMs: 100, burst: 3 } });
  for (let n = 1; n <= 5; n++) queue.push(lane, `p${n}`, `${n}`);
  assert.deepEqual(takeAll(queue), ["1"]);
  clock.advance(99);
  assert.deepEqual([takeAll(queue), wakes(), clock.pending], [[], 0, 1]);
  clock.advance(1);
  assert.deepEqual([takeAll(queue), wakes(), clock.pending], [["2"], 1, 1]);
  clock.advance(250);
  assert.deepEqual([takeAll(queue), clock.pending], [["3", "4"], 1]);
  clock.advance(50);
  assert.deepEqual([takeAll(queue), clock.pending], [["5"], 0], "who is through needs no timer");
});

test("a rate for each key: what is out of tokens delays no other key, and all of them need one timer", () => {
  const { queue, clock } = setup(100);
  const rate = { intervalMs: 100, burst: 1 };
  const lane = queue.lane({ concurrency: Infinity, perRow: { concurrency: Infinity, rate } });
  for (const key of ["a", "b", "c"]) for (let n = 1; n <= 2; n++) queue.push(lane, key, `${key}${n}`);
  assert.deepEqual(takeAll(queue), ["a1", "b1", "c1"]);
  assert.equal(clock.pending, 1);
  clock.advance(40);
  queue.push(lane, "d", "d1");
  assert.deepEqual(takeAll(queue), ["d1"]);
  clock.advance(60);
  assert.deepEqual(takeAll(queue), ["a2", "b2", "c2"]);
});

test("no token is lost or won when the clock is set back", () => {
  const { queue, clock } = setup(100);
  const lane = queue.lane({ concurrency: Infinity, rate: { intervalMs: 100, burst: 1 } });
  for (let n = 1; n <= 3; n++) queue.push(lane, "p", `${n}`);
  assert.deepEqual(takeAll(queue), ["1"]);
  clock.advance(50);
  clock.set(-3_600_000);
  clock.advance(49);
  assert.deepEqual(takeAll(queue), []);
  clock.advance(1);
  assert.deepEqual(takeAll(queue), ["2"]);
  clock.advance(100);
  assert.deepEqual(takeAll(queue), ["3"]);
});

test("a key that nobody waits for is forgotten as soon as it owes nothing, by the lane's one timer", () => {
  const { queue, clock } = setup(1e6);
  const rate = { intervalMs: 100, burst: 5 };
  const rated = queue.lane({ concurrency: Infinity, perRow: { concurrency: 1, rate } });
  const plain = queue.lane(oneEach);
  clock.advance(10_000);
  for (let n = 0; n < 1000; n++) {
    const tickets = [queue.push(rated, `k${n}`, "x"), queue.push(plain, `k${n}`, "x")];
    assert.equal(takeAll(queue).length, 2);
    for (const ticket of tickets) queue.remove(ticket);
  }
  assert.deepEqual([rated.rows.size, plain.rows.size, clock.pending], [1000, 0, 1]);
  clock.advance(1500);
  assert.deepEqual([rated.rows.size, clock.pending], [0, 0]);
});

test("a key that is used again before it is forgotten still owes its tokens", () => {
  const { queue, clock } = setup(10);
  const lane = queue.lane({
    concurrency: Infinity,
    perRow: { concurrency: 1, rate: { intervalMs: 1000, burst: 1 } },
  });
  const first = queue.push(lane, "k", "1");
  assert.deepEqual(takeAll(queue), ["1"]);
  queue.remove(first);
  clock.advance(500);
  queue.push(lane, "k", "2");
  assert.deepEqual(takeAll(queue), []);
  clock.advance(500);
  assert.deepEqual(takeAll(queue), ["2"]);
});

test("who waits for a token and is removed leaves nothing behind, and a closed queue no timer", () => {
  const { queue, clock } = setup(10);
  const lane = queue.lane({
    concurrency: Infinity,
    perRow: { concurrency: Infinity, rate: { intervalMs: 100, burst: 1 } },
  });
  const [first, second] = [queue.push(lane, "k", "1"), queue.push(lane, "k", "2")];
  assert.deepEqual(takeAll(queue), ["1"]);
  queue.remove(second);
  queue.remove(first);
  clock.advance(2000);
  assert.deepEqual([lane.rows.size, clock.pending, queue.waiting], [0, 0, 0]);
  queue.push(lane, "k", "3");
  queue.push(lane, "k", "4");
  assert.deepEqual(takeAll(queue), ["3"]);
  queue.close();
  assert.equal(clock.pending, 0);
});

// -- any order of anything -------------------------------------------------------------------------------------

interface Step {
  readonly kind: "push" | "take" | "remove" | "pass" | "set back";
  readonly lane: number;
  readonly row: number;
  readonly pick: number;
}

const laneCount = 3;
const rowCount = 3;

const steps = fc.array(
  fc.record<Step>({
    kind: fc.constantFrom("push", "push", "push", "take", "take", "take", "remove", "remove", "pass", "set back"),
    lane: fc.nat(laneCount - 1),
    row: fc.nat(rowCount - 1),
    pick: fc.nat(1000),
  }),
  { maxLength: 250, size: "max" },
);

const limits = fc.record({
  concurrency: fc.constantFrom(1, 2, 3, Infinity),
  rate: fc.option(fc.record({ intervalMs: fc.integer({ min: 1, max: 50 }), burst: fc.integer({ min: 1, max: 4 }) }), {
    nil: undefined,
  }),
});

const lanes = fc.array(
  fc.tuple(limits, limits).map(([whole, perRow]): LaneLimits => ({ ...whole, perRow })),
  { minLength: laneCount, maxLength: laneCount },
);

/** A plain token bucket, counted in milliseconds, and how many hold a slot. */
class Counter {
  readonly limits: LaneLimits;
  active = 0;
  levelMs: number;
  /** For as long as it could be served: how many others of its kind were. */
  passedOver = 0;

  constructor(limits: LaneLimits) {
    this.limits = limits;
    this.levelMs = limits.rate?.intervalMs ?? 0;
  }

  get isFree(): boolean {
    const { rate, concurrency } = this.limits;
    return this.active < concurrency && (rate === undefined || this.levelMs >= rate.intervalMs);
  }

  pass(byMs: number): void {
    const { rate } = this.limits;
    if (rate !== undefined) this.levelMs = Math.min(this.levelMs + byMs, rate.burst * rate.intervalMs);
  }

  take(): void {
    this.active++;
    this.levelMs -= this.limits.rate?.intervalMs ?? 0;
  }
}

class Model {
  readonly limit: number;
  /** The clock is set back now and then: what time had passed unseen is lost, and tokens come later. */
  readonly isSet: boolean;
  readonly lanes: Counter[];
  readonly rows: Counter[][];
  readonly waiting: number[][][];

  constructor(limit: number, lanes: readonly LaneLimits[], isSet: boolean) {
    this.limit = limit;
    this.isSet = isSet;
    this.lanes = lanes.map((each) => new Counter(each));
    this.rows = lanes.map(({ perRow = free }) => Array.from({ length: rowCount }, () => new Counter(perRow)));
    this.waiting = lanes.map(() => Array.from({ length: rowCount }, () => []));
  }

  canServeRow(lane: number, row: number): boolean {
    return this.waiting[lane]![row]!.length > 0 && this.rows[lane]![row]!.isFree;
  }

  canServe(lane: number): boolean {
    return this.lanes[lane]!.isFree && this.rows[lane]!.some((_, row) => this.canServeRow(lane, row));
  }

  get active(): number {
    return this.lanes.reduce((sum, { active }) => sum + active, 0);
  }

  taken(lane: number, row: number): void {
    const others = {
      lanes: this.lanes.map((_, at) => this.canServe(at)),
      rows: this.rows[lane]!.map((_, at) => this.canServeRow(lane, at)),
    };
    this.waiting[lane]![row]!.shift();
    this.lanes[lane]!.take();
    this.rows[lane]![row]!.take();
    if (this.isSet) return;
    for (const [at, counter] of this.lanes.entries()) {
      counter.passedOver = at !== lane && others.lanes[at] === true ? counter.passedOver + 1 : 0;
      assert.ok(counter.passedOver < laneCount, "no lane is passed over twice by all others");
    }
    for (const [at, counter] of this.rows[lane]!.entries()) {
      counter.passedOver = at !== row && others.rows[at] === true ? counter.passedOver + 1 : 0;
      assert.ok(counter.passedOver < rowCount, "no row is passed over twice by all others of its lane");
    }
  }

  /** Whoever cannot be served, for whatever reason, loses his turn. */
  settle(): void {
    for (const [lane, counter] of this.lanes.entries()) {
      if (!this.canServe(lane)) counter.passedOver = 0;
      for (const [row, each] of this.rows[lane]!.entries()) if (!this.canServeRow(lane, row)) each.passedOver = 0;
    }
  }

  pass(byMs: number): void {
    for (const counter of [...this.lanes, ...this.rows.flat()]) counter.pass(byMs);
  }
}

interface Placed {
  readonly ticket: Ticket<number>;
  readonly lane: number;
  readonly row: number;
  state: "waiting" | "active" | "gone";
}

test("under any order of pushes, takes, removals and time: limits hold, rows keep their order, all take turns, and no slot or token is left unused", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), lanes, steps, fc.boolean(), (limit, laneLimits, list, isSet) => {
      const clock = new FakeClock();
      const queue = new FairQueue<number>(limit, clock, () => undefined);
      const made = laneLimits.map((each) => queue.lane(each));
      const model = new Model(limit, laneLimits, isSet);
      const placed: Placed[] = [];
      for (const { kind, lane, row, pick } of list) {
        if (kind === "push") {
          model.waiting[lane]![row]!.push(placed.length);
          const ticket = queue.push(made[lane]!, `row ${row}`, placed.length);
          placed.push({ ticket, lane, row, state: "waiting" });
        } else if (kind === "remove" && placed.length > 0) remove(placed[pick % placed.length]!, placed, queue, model);
        else if (kind === "take") take(placed, queue, model);
        else if (kind === "pass") {
          clock.advance(pick % 120);
          model.pass(pick % 120);
        } else if (kind === "set back" && isSet) clock.set(-pick);
        model.settle();
        assert.equal(queue.active, model.active);
        assert.equal(queue.waiting, model.waiting.flat(2).length);
        assert.ok(clock.pending <= laneCount, "one timer at most for a lane");
      }
      clock.advance(1e6);
      for (const each of placed) queue.remove(each.ticket);
      clock.advance(10_000);
      assert.deepEqual([made.map(({ rows }) => rows.size), clock.pending], [made.map(() => 0), 0], "all is forgotten");
    }),
    { numRuns: 300 },
  );
});

function take(placed: readonly Placed[], queue: FairQueue<number>, model: Model): void {
  const canServe = model.lanes.some((_, lane) => model.canServe(lane)) && model.active < model.limit;
  const item = queue.take();
  if (!model.isSet) assert.equal(item !== undefined, canServe, "someone is served if, and only if, he may be");
  if (item === undefined) return;
  const found = placed[item] ?? assert.fail();
  assert.equal(model.waiting[found.lane]![found.row]![0], item, "first in, first out");
  assert.ok(model.canServe(found.lane) && model.canServeRow(found.lane, found.row), "limits hold");
  model.taken(found.lane, found.row);
  found.state = "active";
}

function remove(one: Placed, placed: readonly Placed[], queue: FairQueue<number>, model: Model): void {
  queue.remove(one.ticket);
  const line = model.waiting[one.lane]![one.row]!;
  if (one.state === "waiting") line.splice(line.indexOf(placed.indexOf(one)), 1);
  else if (one.state === "active") {
    model.lanes[one.lane]!.active--;
    model.rows[one.lane]![one.row]!.active--;
  }
  one.state = "gone";
}
