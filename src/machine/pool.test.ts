import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { engine } from "./harness.test.ts";
import type { Image } from "./image.ts";
import { wasmPageBytes } from "./pages.ts";
import { Pool } from "./pool.ts";
import type { Resident } from "./pool.ts";

/** Where memory is compared and copied, and no guest runs to mind it. */
const markAt = 800_000;
/** The size of an instance nothing was loaded into: the smallest there is. */
const smallBytes = 18 * wasmPageBytes;
const largeBytes = 20 * wasmPageBytes;

function imageOf(sizeBytes: number): Image {
  const pointers = { runtime: 8, context: 8, stackPointer: 1_000_000, undefined: 8, scratch: 8, argv: 8, dispatch: 8 };
  return { key: String(sizeBytes), memory: Buffer.alloc(sizeBytes, 1), pointers, evaluated: true, bundle: "" };
}

const small = imageOf(smallBytes);
const large = imageOf(largeBytes);

function pool(instances: number, pageCacheBytes = 1e6): Pool {
  return new Pool(engine(), { instanceBytes: instances * smallBytes, pageCacheBytes });
}

/** What a turn does: it leaves a mark, and takes its time. */
function turn(subject: Pool, resident: Resident, mark: number, wasmPages = 0): void {
  resident.busy = true;
  resident.vm.bytes.writeUInt32LE(mark, markAt);
  if (wasmPages > 0) resident.vm.exports.memory.grow(wasmPages);
  resident.turn++;
  resident.costMicros += 1000;
  subject.rest(resident);
}

/** Residents are too large for a failed assertion to print. */
function holds(subject: Pool, ...keys: readonly number[]): boolean[] {
  return keys.map((key) => subject.peek(key) !== undefined);
}

/** Pages that a process differs from its image by, whatever it did. */
const bareBytes = 4096;

function markOf(resident: Resident | undefined): number | undefined {
  return resident?.vm.bytes.readUInt32LE(markAt);
}

test("an instance is used again only at exactly the same size, and holds nothing of the process before", () => {
  const subject = pool(10);
  const first = subject.create(1, small, 0);
  turn(subject, first, 99);
  subject.drop(1);
  assert.deepEqual(subject.use.free, [smallBytes]);
  assert.ok(subject.create(2, large, 0).vm !== first.vm);
  const third = subject.create(3, small, 0);
  assert.ok(third.vm === first.vm);
  assert.equal(markOf(third), 0x01010101);
});

test("an instance that grew is not used again", () => {
  const subject = pool(10);
  const grown = subject.create(1, small, 0);
  turn(subject, grown, 5, 2);
  assert.equal(subject.use.instanceBytes, largeBytes);
  subject.drop(1);
  assert.deepEqual(subject.use, { instanceBytes: 0, pageCacheBytes: 0, residents: 0, free: [] });
});

test("an instance in which a turn was cut off is not used again, and a later resident of the process stays", () => {
  const subject = pool(10);
  const first = subject.create(1, small, 0);
  first.busy = true;
  subject.drop(1);
  const second = subject.create(1, small, 0);
  assert.ok(second.vm !== first.vm);
  subject.ruin(first);
  assert.ok(subject.peek(1) === second);
  subject.ruin(second);
  assert.deepEqual(subject.use, { instanceBytes: 0, pageCacheBytes: 0, residents: 0, free: [] });
});

test("a process is found only as it was after the turn asked for, and not in mid-turn", () => {
  const subject = pool(10);
  const resident = subject.create(1, small, 4);
  assert.ok(subject.find(1, 3) === undefined);
  assert.ok(subject.find(1, 4) === resident);
  resident.busy = true;
  assert.ok(subject.find(1, 4) === undefined);
});

test("without room, the process used longest ago loses its instance; one in mid-turn never does", () => {
  const subject = pool(3);
  for (const key of [1, 2, 3]) turn(subject, subject.create(key, small, 0), key);
  subject.find(1, 1);
  const busy = subject.peek(2) as Resident;
  busy.busy = true;
  subject.create(4, small, 0);
  assert.deepEqual(holds(subject, 1, 2, 3, 4), [true, true, false, true]);
});

test("an evicted process comes back from its kept pages, with its memory and its size", () => {
  const subject = pool(2);
  turn(subject, subject.create(1, small, 0), 71, 1);
  subject.create(2, large, 0);
  assert.deepEqual(holds(subject, 1, 2), [false, true]);
  assert.ok(subject.use.pageCacheBytes > 0);
  const back = subject.find(1, 1);
  assert.deepEqual(
    [markOf(back), back?.vm.sizeBytes, back?.turn, back?.costMicros],
    [71, smallBytes + wasmPageBytes, 1, 1000],
  );
  assert.equal(subject.use.pageCacheBytes, 0);
});

test("kept pages of another turn than the one asked for are thrown away", () => {
  const subject = pool(1);
  turn(subject, subject.create(1, small, 0), 71);
  subject.create(2, small, 0);
  assert.ok(subject.find(1, 2) === undefined);
  assert.equal(subject.use.pageCacheBytes, 0);
});

test("pages of a process that is quickly rebuilt are not kept", () => {
  const subject = pool(1);
  const cheap = subject.create(1, small, 0);
  turn(subject, cheap, 71);
  cheap.costMicros = 10;
  subject.create(2, small, 0);
  assert.equal(subject.use.pageCacheBytes, 0);
});

test("the page cache forgets the oldest first, and never holds more than its limit", () => {
  const limitBytes = 3 * (4096 + bareBytes);
  const subject = pool(1, limitBytes);
  for (const key of [1, 2, 3, 4, 5]) {
    turn(subject, subject.create(key, small, 0), key);
    assert.ok(subject.use.pageCacheBytes <= limitBytes);
  }
  subject.create(6, small, 0);
  const found = [1, 2, 3, 4, 5].filter((key) => subject.find(key, 1) !== undefined);
  assert.deepEqual(found, [3, 4, 5]);
});

test("pages that are more than the whole cache do not push out the others", () => {
  const subject = pool(2, 3 * 4096);
  turn(subject, subject.create(1, small, 0), 1);
  const wide = subject.create(2, small, 0);
  wide.vm.bytes.fill(7, markAt, markAt + 10 * 4096);
  turn(subject, wide, 2);
  subject.create(3, small, 0);
  subject.create(4, small, 0);
  assert.equal(subject.use.pageCacheBytes, 4096 + bareBytes);
  assert.equal(markOf(subject.find(1, 1)), 1);
});

test("unused instances of another size make room before a process loses its own", () => {
  const subject = pool(3);
  subject.create(1, small, 0);
  subject.create(2, small, 0);
  subject.drop(2);
  subject.create(3, large, 0);
  assert.deepEqual(holds(subject, 1, 3), [true, true]);
  assert.deepEqual(subject.use.free, []);
});

test("what an instance grows by counts, and is made room for at the expense of others", () => {
  const subject = pool(4);
  for (const key of [1, 2, 3]) turn(subject, subject.create(key, small, 0), key);
  turn(subject, subject.peek(3) as Resident, 33, 40);
  assert.deepEqual(holds(subject, 1, 2, 3), [false, false, true]);
  assert.equal(subject.use.instanceBytes, smallBytes + 40 * wasmPageBytes);
  assert.deepEqual([markOf(subject.find(1, 1)), markOf(subject.find(2, 1))], [1, 2]);
});

test("an image smaller than an empty instance is the host's failure, and changes nothing", () => {
  const subject = pool(2);
  assert.throws(() => subject.create(1, imageOf(wasmPageBytes), 0), { code: "ENGINE_FAILED" });
  assert.deepEqual(subject.use, { instanceBytes: 0, pageCacheBytes: 0, residents: 0, free: [] });
});

interface Step {
  readonly what: "create" | "find" | "begin" | "rest" | "drop" | "ruin";
  readonly key: number;
  readonly large: boolean;
  readonly growth: number;
}

const keys = [1, 2, 3, 4, 5];
const limits = { instanceBytes: 3 * smallBytes, pageCacheBytes: 5 * 4096 };

/** A pool beside what must be in it. */
class Trial {
  readonly pool = new Pool(engine(), limits);
  /** The mark and the turn of each process there is. */
  readonly known = new Map<number, { mark: number; turn: number }>();
  #marks = 0;

  run({ what, key, large: isLarge, growth }: Step): void {
    const resident = this.pool.peek(key);
    const known = this.known.get(key);
    if (what === "create" && resident?.busy !== true) {
      const made = this.pool.create(key, isLarge ? large : small, 0);
      this.known.set(key, { mark: markOf(made) as number, turn: 0 });
    } else if (what === "find" && known !== undefined && resident?.busy !== true) {
      const found = this.pool.find(key, known.turn);
      if (found === undefined) this.known.delete(key);
      else assert.deepEqual({ mark: markOf(found), turn: found.turn }, known);
    } else if (what === "begin" && resident !== undefined) {
      resident.busy = true;
    } else if (what === "rest" && resident !== undefined) {
      turn(this.pool, resident, ++this.#marks, growth);
      this.known.set(key, { mark: this.#marks, turn: resident.turn });
    } else if (what === "drop" || what === "ruin") {
      if (what === "drop") this.pool.drop(key);
      else if (resident !== undefined) this.pool.ruin(resident);
      if (what === "drop" || resident !== undefined) this.known.delete(key);
    }
  }

  check(): void {
    const { use } = this.pool;
    const residents = keys.flatMap((key) => this.pool.peek(key) ?? []);
    const idle = residents.filter((resident) => !resident.busy);
    const total = [...residents.map(({ countedBytes }) => countedBytes), ...use.free].reduce(
      (sum, size) => sum + size,
      0,
    );
    assert.equal(use.instanceBytes, total);
    assert.equal(use.residents, residents.length);
    for (const resident of idle) assert.equal(resident.countedBytes, resident.vm.sizeBytes);
    // Beyond its limit, the pool holds only what must not be evicted: turns under way, and the process used last.
    if (use.instanceBytes > limits.instanceBytes) assert.ok(use.free.length === 0 && idle.length <= 1);
    assert.ok(use.pageCacheBytes >= 0 && use.pageCacheBytes <= limits.pageCacheBytes);
  }
}

test("whatever happens in whatever order, bytes are counted right and each process finds its own memory", () => {
  const step: fc.Arbitrary<Step> = fc.record({
    what: fc.constantFrom("create", "create", "find", "find", "begin", "rest", "rest", "drop", "ruin"),
    key: fc.constantFrom(...keys),
    large: fc.boolean(),
    growth: fc.constantFrom(0, 0, 0, 1, 5),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const trial = new Trial();
      for (const one of steps) {
        trial.run(one);
        trial.check();
      }
      for (const key of keys) trial.pool.drop(key);
      const { instanceBytes, pageCacheBytes, residents, free } = trial.pool.use;
      assert.deepEqual([pageCacheBytes, residents], [0, 0]);
      assert.equal(
        free.reduce((sum, size) => sum + size, 0),
        instanceBytes,
      );
    }),
    { numRuns: 40 },
  );
});

test("where a process has begun, the memory of the next is filled ahead: with the same image, and for a new one only", () => {
  const subject = pool(10);
  subject.prepare();
  assert.equal(subject.use.instanceBytes, 0, "nobody has begun");
  turn(subject, subject.create(1, small, 0), 99);
  subject.prepare();
  subject.prepare();
  assert.equal(subject.use.instanceBytes, 2 * smallBytes);
  // From a snapshot, a process begins with something else.
  const delta = { sizeBytes: smallBytes, pages: new Uint32Array(0), contents: Buffer.alloc(0) };
  subject.create(2, small, 3, delta);
  assert.equal(subject.use.instanceBytes, 3 * smallBytes);
  assert.equal(markOf(subject.create(3, small, 0)), 0x01010101);
  assert.equal(subject.use.instanceBytes, 3 * smallBytes);
  subject.prepare();
  subject.create(4, large, 0);
  assert.deepEqual(subject.use.free, [smallBytes], "what was filled with another image waits for reuse");
});
