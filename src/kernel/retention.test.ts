import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PerdureError } from "../base/errors.ts";
import type { ProcessKey, PruneRequest, Store } from "../store/port.ts";
import { createMemoryStore } from "../store/memory/index.ts";
import type { Fault, MemoryStore, StoreCall } from "../store/memory/index.ts";
import {
  checkpoint,
  deadLetter,
  message,
  operation,
  process,
  program,
  startMs,
  timer,
  turn,
} from "../store/suite/samples.ts";
import { keepForever } from "./keep.ts";
import type { KeepPolicy } from "./keep.ts";
import { Retention } from "./retention.ts";
import type { Archive, RetentionPorts } from "./retention.ts";

const atMs = startMs;
const nowMs = startMs + 1_000_000;
const all: KeepPolicy = { ...keepForever, ageMs: 1, failuresMs: 1 };

function ended(key: ProcessKey) {
  return { process: key, exit: { atMs: startMs + key, reason: "normal" as const, value: { text: `j${key}` } } };
}

/** Two hundred finished processes, one of them long, among some that live and are tied to each other and to these. */
async function fill(store: Store): Promise<void> {
  await store.claim(atMs);
  await store.putProgram({ ...program, hash: "old", createdAtMs: 0 }, []);
  await store.putProgram(program, []);
  const finished = Array.from({ length: 200 }, (_, i) => 100 + i);
  const living = [1, 2, 3, 4];
  await store.commit({
    atMs,
    newProcesses: [...living, ...finished].map((key) =>
      process(key, { program: key === 150 ? "old" : program.hash, parent: key % 3 === 0 ? `p${key - 1}` : "" }),
    ),
    turns: [...living, ...finished].flatMap((key) =>
      Array.from({ length: key === 120 ? 700 : 3 }, (_, i) => ({ process: key, turn: turn(i + 1) })),
    ),
    logs: [...finished, ...living].map((key) => ({ process: key, turn: 1, atMs, level: "log", text: `by ${key}` })),
    operations: [operation(1, 1)],
    timers: [timer(2, 1)],
    inbox: [{ process: 3, input: message, atMs }],
    links: [{ a: 1, b: 2 }],
    monitors: [{ watcher: 3, number: 1, target: 4 }],
    names: [{ name: "one", process: 1 }],
    groups: [{ name: "some", process: 4 }],
    checkpoints: [{ ...checkpoint(2, 1), ties: [160] }],
    states: [{ process: 4, state: "paused", problem: "" }],
    deadLetters: [deadLetter(1, "of a living one"), deadLetter(170, "of a finished one")],
  });
  await store.commit({ atMs, exits: finished.map(ended) });
}

/** Those that stay: what a person, or a living process, still needs of them. */
const needed = [160, 170];

async function living(store: Store): Promise<unknown> {
  const keys = [1, 2, 3, 4];
  return {
    loads: await Promise.all(keys.map((key) => store.load(key))),
    turns: await Promise.all(keys.map((key) => store.turns(key, 1, 9))),
    logs: await Promise.all(keys.map((key) => store.logs(key, 0, 9))),
    names: await store.names(),
    groups: await store.groups(),
    letters: await store.deadLetters(undefined, 0, 9),
  };
}

async function finishedKeys(store: Store): Promise<number[]> {
  return (await store.finished(undefined, Infinity, 1000)).map(({ key }) => key);
}

function retention(store: Store, other: Partial<RetentionPorts> = {}): Retention {
  return new Retention({
    store,
    policy: all,
    archive: undefined,
    deployed: () => [],
    busy: () => false,
    writable: () => Promise.resolve(),
    kept: (pid, why) => assert.fail(`${pid}: ${why}`),
    ...other,
  });
}

/** The nth call of those that follow ends as `fault` says. */
function failingAt(store: MemoryStore, nth: number, fault: Fault): { handle: MemoryStore; calls: StoreCall[] } {
  const calls: StoreCall[] = [];
  const handle = store.open({ decide: (call) => (calls.push(call) === nth ? fault : undefined) });
  return { handle, calls };
}

describe("pruning", () => {
  test("takes all that is due, all that is left of it, and nothing else", async () => {
    const store = createMemoryStore();
    await fill(store);
    const before = await living(store);
    const { processes, programs } = await retention(store).sweep(nowMs);
    assert.deepEqual([processes, programs], [198, 1]);
    assert.deepEqual(await finishedKeys(store), needed);
    assert.deepEqual(await living(store), before);
    assert.equal((await store.prune({ atMs, processes: [], rows: 10_000 })).rows, 0);
    assert.deepEqual((await store.tombstone("p100"))?.exit, ended(100).exit);
  });

  for (const fault of ["crash-before", "crash-after"] as const) {
    test(`a ${fault === "crash-before" ? "crash before" : "crash after"} any call harms nothing that lives, and the next owner goes on`, async () => {
      let crashes = 0;
      for (let nth = 2; ; nth++) {
        const first = createMemoryStore();
        await fill(first);
        const before = await living(first);
        first.crash();
        const { handle, calls } = failingAt(first, nth, fault);
        await handle.claim(nowMs);
        const swept = retention(handle).sweep(nowMs);
        // A call of a handle that has died never comes back.
        const died = new Promise<"died">((resolve) => void setImmediate(() => setImmediate(() => resolve("died"))));
        const outcome = await Promise.race([swept, died]);
        const next = handle.crash({ decide: () => undefined });
        await next.claim(nowMs);
        assert.deepEqual(await living(next), before, `after call ${nth}, ${calls.at(-1)}`);
        await retention(next).sweep(nowMs);
        assert.deepEqual(await finishedKeys(next), needed);
        assert.deepEqual(await living(next), before);
        assert.deepEqual((await next.tombstone("p100"))?.exit, ended(100).exit);
        assert.equal((await next.prune({ atMs, processes: [], rows: 10_000 })).rows, 0);
        if (outcome !== "died") break;
        crashes++;
      }
      assert.ok(crashes > 10, `${crashes} crashes`);
    });
  }

  test("what the last owner left is deleted even if everything is kept from now on", async () => {
    const store = createMemoryStore();
    await fill(store);
    await store.prune({ atMs, processes: [120], rows: 100 });
    const kept = retention(store, { policy: keepForever });
    for (let tick = 0; tick < 9; tick++) await kept.tick(nowMs + tick * 20);
    assert.deepEqual(await store.prune({ atMs, processes: [], rows: 10_000 }), { pruned: [], rows: 0, left: false });
    assert.equal((await finishedKeys(store)).length, 199);
  });
});

/** The store, whose `call` meets damage whenever `isDamaged` says so. */
function damaged<Call extends "prune" | "finished">(
  store: MemoryStore,
  call: Call,
  isDamaged: (...args: Parameters<Store[Call]>) => boolean,
): Store {
  const real = store[call].bind(store) as (...args: Parameters<Store[Call]>) => unknown;
  const damage = new PerdureError("STORE_CORRUPT", "A page is damaged.");
  const answer = (...args: Parameters<Store[Call]>): unknown =>
    isDamaged(...args) ? Promise.reject(damage) : real(...args);
  return new Proxy<Store>(store, {
    get: (target, name) => {
      if (name === call) return answer;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

describe("damage that pruning meets does not stop the node:", () => {
  test("what is left of pruned processes stays until the next owner, others are pruned all the same", async () => {
    const store = createMemoryStore();
    await fill(store);
    const kept: string[] = [];
    const isDamaged = ({ processes, rows }: PruneRequest): boolean => processes.length === 0 && rows > 0;
    const handle = damaged(store, "prune", isDamaged);
    const { processes } = await retention(handle, { kept: (pid, why) => kept.push(pid + why) }).sweep(nowMs);
    assert.equal(processes, 198);
    assert.deepEqual(kept, ["A page is damaged."]);
    await retention(store).sweep(nowMs);
    assert.equal((await store.prune({ atMs, processes: [], rows: 10_000 })).rows, 0);
  });

  test("where finished processes cannot be listed, the rest of a sweep is done, again and again", async () => {
    const store = createMemoryStore();
    await fill(store);
    await retention(store, { policy: { ...all, tombstonesMs: Infinity } }).sweep(nowMs);
    const kept: string[] = [];
    const stuck = retention(
      damaged(store, "finished", () => true),
      { policy: { ...all, tombstonesMs: 1 }, kept: (pid, why) => kept.push(pid + why) },
    );
    for (let tick = 0; tick < 500; tick++) await stuck.tick(nowMs + tick * 20);
    assert.equal(await store.tombstone("p100"), undefined);
    assert.deepEqual(kept, ["A page is damaged."]);
  });
});

describe("the pace of pruning", () => {
  async function ticksUntilDone(busy: boolean): Promise<number> {
    const store = createMemoryStore();
    await fill(store);
    const slow = retention(store, { busy: () => busy });
    for (let tick = 1; ; tick++) {
      await slow.tick(nowMs + tick * 20);
      if ((await finishedKeys(store)).length === needed.length) return tick;
    }
  }

  test("is a step a tick, and a fifth of that while the kernel is busy", async () => {
    const [idle, busy] = [await ticksUntilDone(false), await ticksUntilDone(true)];
    assert.ok(idle > 3 && idle < 20, `${idle} ticks`);
    assert.ok(busy > 4 * idle && busy < 6 * idle, `${busy} ticks, ${idle} when idle`);
  });

  test("rests between two sweeps", async () => {
    const store = createMemoryStore();
    const calls: StoreCall[] = [];
    const handle = store.open({ decide: (call) => void calls.push(call) });
    await handle.claim(atMs);
    const resting = retention(handle, { policy: { ...keepForever, ageMs: 86_400_000 } });
    for (let tick = 0; tick < 1_000; tick++) await resting.tick(nowMs + tick * 20);
    assert.equal(calls.filter((call) => call === "finished").length, 2);
  });

  test("stops for good", async () => {
    const store = createMemoryStore();
    await fill(store);
    const stopped = retention(store);
    stopped.stop();
    await stopped.tick(nowMs);
    assert.equal((await finishedKeys(store)).length, 200);
  });
});

describe("an archive", () => {
  test("has every process before it is pruned; those it cannot take stay, and are complained of once", async () => {
    const store = createMemoryStore();
    await fill(store);
    const archived = new Set<number>();
    const archive: Archive = async (rows) => {
      for (const { key } of rows) {
        assert.notEqual(await store.getProcess(key), undefined);
        if (key !== 130) archived.add(key);
      }
      return rows.some(({ key }) => key === 130) ? [{ key: 130, reason: "a bad row" }] : [];
    };
    const kept: string[] = [];
    await retention(store, { archive, kept: (pid, why) => kept.push(`${pid}: ${why}`) }).sweep(nowMs);
    assert.deepEqual(await finishedKeys(store), [130, ...needed]);
    assert.deepEqual(kept, ["p130: a bad row"]);
    assert.equal(archived.size, 197);
  });

  test("that is out of order keeps everything, says so once, and is tried again", async () => {
    const store = createMemoryStore();
    await fill(store);
    let isFull = true;
    const archive: Archive = () => (isFull ? Promise.reject(new Error("no space")) : Promise.resolve([]));
    const kept: string[] = [];
    const waiting = retention(store, { archive, kept: (pid, why) => kept.push(`${pid}: ${why}`) });
    for (let tick = 0; tick < 1000; tick++) await waiting.tick(nowMs + tick * 20);
    assert.equal((await finishedKeys(store)).length, 200);
    assert.deepEqual(kept, ["p100: no space"]);
    isFull = false;
    for (let tick = 1000; tick < 2000; tick++) await waiting.tick(nowMs + tick * 20);
    assert.deepEqual(await finishedKeys(store), needed);
  });

  test("prunes nothing once it has been stopped meanwhile", async () => {
    const store = createMemoryStore();
    await fill(store);
    const stopped: Retention = retention(store, {
      archive: () => {
        stopped.stop();
        return Promise.resolve([]);
      },
    });
    for (let tick = 0; tick < 9; tick++) await stopped.tick(nowMs + tick * 20);
    assert.equal((await finishedKeys(store)).length, 200);
  });
});

test("tombstones go when their time has come", async () => {
  const store = createMemoryStore();
  await fill(store);
  await retention(store, { policy: { ...all, tombstonesMs: 2_000_000 } }).sweep(nowMs);
  assert.notEqual(await store.tombstone("p100"), undefined);
  const { tombstones } = await retention(store, { policy: { ...all, tombstonesMs: 1000 } }).sweep(nowMs);
  assert.ok(tombstones > 100);
  assert.equal(await store.tombstone("p100"), undefined);
});
