/** A store that is moved to another place goes on there as if nothing had happened. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { abandonMigration } from "../migration/plan.ts";
import type { Mover } from "../migration/port.ts";
import { migrate } from "../migration/run.ts";
import type { MigrateReport } from "../migration/run.ts";
import type { ProcessRow, Store } from "../port.ts";
import type { StoreFixture } from "./fixture.ts";
import type { Movable } from "./places.ts";
import { observe } from "./model.ts";
import { runSteps, stepPlan } from "./property.ts";
import {
  checkpoint,
  deadLetter,
  edge,
  everyInput,
  exit,
  message,
  monitor,
  operation,
  process,
  program,
  snapshot,
  startMs,
  timer,
  turn,
} from "./samples.ts";

export type MovableFixture = StoreFixture & Movable;

/** Fresh stores of two kinds. */
export interface Ends {
  from(): Promise<MovableFixture>;
  to(): Promise<MovableFixture>;
}

const atMs = startMs;
/** Small, so that each table takes several. */
const batch = { rows: 3, bytes: 500 };

async function withEnds(ends: Ends, run: (from: MovableFixture, to: MovableFixture) => Promise<void>): Promise<void> {
  const from = await ends.from();
  const to = await ends.to();
  try {
    await run(from, to);
  } finally {
    await from.dispose();
    await to.dispose();
  }
}

function rule(ends: Ends, name: string, run: (from: MovableFixture, to: MovableFixture) => Promise<void>): void {
  test(name, () => withEnds(ends, run));
}

type Wrap = (mover: Mover, role: "source" | "target") => Mover;

async function move(
  from: MovableFixture,
  to: MovableFixture,
  { nowMs = atMs, wrap = (mover) => mover }: { readonly nowMs?: number; readonly wrap?: Wrap } = {},
): Promise<MigrateReport> {
  const [source, target] = [await from.mover(), await to.mover()];
  try {
    return await migrate(wrap(source, "source"), wrap(target, "target"), { id: `m${nowMs}`, nowMs, batch });
  } finally {
    await source.close();
    await target.close();
  }
}

async function owner(fixture: MovableFixture, nowMs: number = atMs): Promise<Store> {
  const store = await fixture.open();
  await store.claim(nowMs);
  return store;
}

async function leave(store: Store): Promise<void> {
  await store.release(atMs);
  await store.close();
}

export function testMigration(name: string, ends: Ends): void {
  describe(`a store that moves ${name}`, () => {
    testWhole(ends);
    testGoingOn(ends);
    testInterruptions(ends);
    testMarks(ends);
    testRefusals(ends);
  });
}

// -- all of it --------------------------------------------------------------------------------------------------

function testWhole(ends: Ends): void {
  test("holds the same, whatever had happened in it", async () => {
    const history = fc.record({
      steps: fc.array(stepPlan, { minLength: 5, maxLength: 25, size: "max" }),
      clean: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(history, ({ steps, clean }) =>
        withEnds(ends, async (from, to) => {
          const { store, observed } = await runSteps(from, steps);
          if (clean) await leave(store);
          else await from.crash(store);
          assert.equal((await move(from, to)).outcome, "complete");
          const there = await to.open();
          assert.equal((await there.claim(atMs)).cleanShutdown, clean);
          assert.deepEqual(await observe(there), observed);
        }),
      ),
      { numRuns: 8, endOnFailure: true },
    );
  });

  rule(
    ends,
    "holds what is left of processes that were pruned, exported and imported, and programs with their bytes",
    async (from, to) => {
      const store = await owner(from);
      await fill(store);
      await everything(store);
      const before = await rest(store);
      await leave(store);
      const report = await move(from, to);
      assert.equal(report.damaged, 0);
      assert.deepEqual(report.faults, []);
      assert.equal(report.compared.tombstone, 1);
      assert.equal(report.compared.exported, 1);
      assert.equal(report.compared.blob, 3);
      const there = await owner(to);
      assert.deepEqual(await rest(there), before);
      // What was being deleted goes on to be.
      await there.commit({ atMs, logs: [{ process: 1, turn: 1, atMs, level: "log", text: "the newest" }] });
      while ((await there.prune({ atMs, processes: [], rows: 5 })).left);
      const logs = await there.logs(undefined, 0, 1000);
      assert.deepEqual(new Set(logs.map((row) => row.process)), new Set([1]));
    },
  );
}

const blobs = [new Uint8Array([1, 2]), new Uint8Array(3000).fill(7), new Uint8Array()] as const;
const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const texts = ["", "a\u0000b", "é 漢 🙂", "\uf8fe"];

async function filled(fixture: MovableFixture): Promise<Store> {
  const store = await owner(fixture);
  await fill(store);
  return store;
}

/** Processes in all states, with a row in every table. */
async function fill(store: Store): Promise<void> {
  await store.putProgram(program, [
    { hash: hashOf(blobs[0]), bytes: blobs[0] },
    { hash: hashOf(blobs[1]), bytes: blobs[1] },
  ]);
  await store.putBlob(hashOf(blobs[2]), blobs[2]);
  const states: readonly ProcessRow["state"][] = ["running", "paused", "broken", "moving"];
  await store.commit({
    atMs,
    newProcesses: [
      process(1, { role: "supervisor", trapsExits: true }),
      ...states.map((state, i) =>
        process(i + 2, { state, problem: texts[i] ?? "", parent: "p1", label: `c${i}`, restarts: i }),
      ),
      process(6, { state: "crashed", held: true, exit: { ...exit, reason: "error" } }),
      ...[7, 8, 9].map((key) => process(key)),
    ],
    turns: [1, 2, 3].flatMap((number) => [1, 2, 7, 8].map((key) => ({ process: key, turn: turn(number) }))),
    operations: [
      operation(1, 1, { state: "quarantined", deaths: 5, lastError: texts[1] ?? "", startedAtMs: atMs }),
      operation(2, 1, { notBeforeMs: atMs + 0.25, attempt: 3 }),
    ],
    timers: [timer(1, 1, { clock: "service", dueMs: atMs + 0.5 }), timer(2, 2)],
    inbox: [...everyInput.map((input) => ({ process: 3, input, atMs })), { process: 1, input: message, atMs }],
    edges: texts.map((key) => ({ ...edge(1, `k${key}`), state: "open" as const })),
    edgeEnds: [{ process: 1, key: "k", digest: edge(1, "k").digest, state: "answered", answer: { text: "j1" } }],
    logs: texts.map((text) => ({ process: 1, turn: 1, atMs, level: "warn", text })),
    links: [2, 3].map((b) => ({ a: 1, b })),
    monitors: [monitor(1, 1, 2), monitor(2, 1, 1)],
    names: texts.map((name) => ({ name: `n${name}`, process: 1 })),
    groups: texts.map((name) => ({ name: `g${name}`, process: 2 })),
    checkpoints: [{ ...checkpoint(1, 1), ties: [2, 3] }],
    restores: [{ process: 2, life: 2, turn: 3, from: 1 }],
    deadLetters: [deadLetter(1, "x"), deadLetter(2, "y")],
    snapshots: [snapshot(1, 2), snapshot(1, 3), snapshot(2, 3)],
  });
}

async function everything(store: Store): Promise<void> {
  await store.commit({
    atMs,
    exits: [7, 9].map((key) => ({ process: key, exit })),
    logs: [7, 8, 7].map((key) => ({ process: key, turn: 1, atMs, level: "info", text: "left" })),
    inbox: [{ process: 8, input: message, atMs }],
  });
  const late = { file: "f1", sha256: "ab".repeat(32), serviceMs: 77, inboxSeq: 0 };
  await store.commit({ atMs, departures: [{ process: 8, exported: late }] });
  await store.commit({
    atMs,
    newProcesses: [process(10, { pid: "@import:f2", state: "moving" })],
  });
  await store.commit({ atMs, arrivals: [{ process: 10, pid: "arrived", state: "paused", files: ["f2", "f0"] }] });
  assert.deepEqual((await store.prune({ atMs, processes: [7], rows: 1 })).pruned, [7]);
}

/** What `observe` does not look at. */
async function rest(store: Store): Promise<unknown> {
  return {
    observed: await observe(store),
    programs: await store.programs(),
    blobs: await Promise.all([...blobs.map(hashOf), program.bundle].map((hash) => store.blob(hash))),
    tombstones: await Promise.all(["p7", "p8"].map((pid) => store.tombstone(pid))),
    exports: await store.exports(10),
    imports: await store.imports("arrived"),
    finished: await store.finished(undefined, Number.MAX_SAFE_INTEGER, 10),
    seqs: (await store.logs(undefined, 0, 1000)).map(({ seq }) => seq),
  };
}

// -- going on ---------------------------------------------------------------------------------------------------

function testGoingOn(ends: Ends): void {
  rule(ends, "gives keys and seqs on from those there were, and keeps its id", async (from, to) => {
    const store = await filled(from);
    const last = (await store.inbox(1)).at(-1)?.seq ?? 0;
    await store.commit({ atMs, inboxGone: [last], deadLettersGone: [2] });
    const logSeq = (await store.logs(undefined, 0, 1000)).at(-1)?.seq ?? 0;
    await leave(store);
    await move(from, to);
    const there = await to.open();
    assert.equal(there.id, store.id);
    const { nextProcessKey } = await there.claim(atMs);
    assert.ok(nextProcessKey > 9, String(nextProcessKey));
    const { inboxSeqs } = await there.commit({
      atMs,
      newProcesses: [process(nextProcessKey)],
      inbox: [{ process: 1, input: message, atMs }],
      deadLetters: [deadLetter(1, "z")],
      logs: [{ process: 1, turn: 3, atMs, level: "log", text: "more" }],
    });
    assert.ok((inboxSeqs[0] ?? 0) > last, `seq ${inboxSeqs[0]} after ${last}`);
    assert.deepEqual((await there.deadLetters(undefined, 2, 10)).length, 1);
    assert.deepEqual(
      (await there.logs(undefined, logSeq, 10)).map(({ text }) => text),
      ["more"],
    );
    assert.equal(await there.post("p1", message, atMs, { ...edge(1, "new"), state: "sent" }), true);
  });

  rule(ends, "has been without an owner since the last one stopped, not since it moved", async (from, to) => {
    const store = await owner(from);
    await store.putProgram(program, []);
    await store.renew(atMs + 1_000);
    await store.release(atMs + 2_000);
    await store.close();
    await move(from, to, { nowMs: atMs + 10_000 });
    const there = await to.open();
    assert.equal((await there.claim(atMs + 60_000)).downtimeMs, 58_000);
    // A second time, back to where it began: in another store.
    await there.release(atMs + 70_000);
    await there.close();
    await withEnds(ends, async (_, next) => {
      await move(to, next, { nowMs: atMs + 80_000 });
      assert.equal((await (await next.open()).claim(atMs + 100_000)).downtimeMs, 88_000);
    });
  });

  rule(ends, "is empty if it was, and can be used", async (from, to) => {
    await (await from.open()).close();
    assert.deepEqual((await move(from, to)).compared, {});
    const there = await owner(to);
    await there.putProgram(program, []);
    await there.commit({ atMs, newProcesses: [process(2 ** 33)] });
    assert.equal((await there.findProcess(process(2 ** 33).pid))?.key, 2 ** 33);
  });
}

// -- interruptions ----------------------------------------------------------------------------------------------

class Interrupted extends Error {}

const writes = ["begin", "fill", "settle", "complete"] as const;

/** Fails at the n-th write of the two, before it is done or after. */
function failing(n: number, isDone: boolean): { readonly wrap: Wrap; readonly count: () => number } {
  let count = 0;
  const wrap: Wrap = (mover) =>
    new Proxy(mover, {
      get(target, name: keyof Mover) {
        const value: unknown = target[name];
        if (typeof value !== "function") return value;
        const call = (...args: unknown[]): unknown => value.apply(target, args);
        if (!writes.some((write) => write === name)) return call;
        return async (...args: unknown[]) => {
          const isNow = ++count === n;
          if (isNow && !isDone) throw new Interrupted();
          const result: unknown = await call(...args);
          if (isNow) throw new Interrupted();
          return result;
        };
      },
    });
  return { wrap, count: () => count };
}

function testInterruptions(ends: Ends): void {
  test("goes on where it was, wherever it was interrupted, and both rest meanwhile", async () => {
    let total = 0;
    await withEnds(ends, async (from, to) => {
      await leave(await filled(from));
      const { wrap, count } = failing(Infinity, false);
      await move(from, to, { wrap });
      total = count();
    });
    const early = [1, 2, 3];
    for (const n of [...early, 20, 35, ...early.map((each) => total + 1 - each)]) {
      const both = n <= 2 || n >= total - 1;
      for (const isDone of both ? [false, true] : [n % 2 === 0]) await interrupted(ends, n, isDone, total);
    }
  });

  rule(ends, "says when it is complete that it is, and changes nothing any more", async (from, to) => {
    const store = await filled(from);
    await leave(store);
    await move(from, to);
    const there = await owner(to);
    await there.commit({ atMs, logs: [{ process: 1, turn: 3, atMs, level: "log", text: "more" }] });
    const before = await rest(there);
    assert.equal((await move(from, to)).outcome, "already");
    assert.deepEqual(await rest(there), before);
  });

  rule(ends, "is left to one of two commands at most, and the next one completes it", async (from, to) => {
    const store = await filled(from);
    const before = await rest(store);
    await leave(store);
    let second: Promise<MigrateReport> | undefined;
    const wrap: Wrap = (mover, role) =>
      new Proxy(mover, {
        get(target, name: keyof Mover) {
          const value: unknown = target[name];
          if (typeof value !== "function") return value;
          return async (...args: unknown[]) => {
            if (role === "target" && name === "settle") await (second ??= move(from, to)).catch(() => undefined);
            return (await value.apply(target, args)) as unknown;
          };
        },
      });
    const outcomes = [
      await outcomeOf(move(from, to, { wrap })),
      await outcomeOf(second ?? Promise.reject(new Interrupted())),
    ];
    // Where a store has a lock, the first one keeps it; else the second one takes it over.
    for (const outcome of outcomes) assert.match(outcome, /^(?:complete|STORE_FENCED|STORE_IN_USE)$/);
    assert.ok(outcomes.filter((outcome) => outcome === "complete").length <= 1, outcomes.join());
    await move(from, to);
    assert.deepEqual(await rest(await owner(to)), before);
  });
}

/** A migration whose n-th write of so many fails; and the next one. */
async function interrupted(ends: Ends, n: number, isDone: boolean, total: number): Promise<void> {
  await withEnds(ends, async (from, to) => {
    const store = await filled(from);
    const before = await rest(store);
    await leave(store);
    await assert.rejects(move(from, to, { wrap: failing(n, isDone).wrap }), Interrupted);
    if (n > 2 || (n === 2 && isDone)) await assert.rejects(owner(from), { code: "STORE_MOVED" });
    const { wrap, count } = failing(Infinity, false);
    const report = await move(from, to, { nowMs: atMs + 5, wrap });
    const isEnd = n === total && isDone;
    assert.equal(report.outcome, isEnd ? "already" : "complete");
    assert.equal(report.resumed, n > 2 && !isEnd);
    if (n > 10 && !isEnd) assert.ok(count() < total - 5, `${count()} of ${total} writes`);
    assert.deepEqual(await rest(await owner(to)), before);
  });
}

async function outcomeOf(moving: Promise<MigrateReport>): Promise<string> {
  return await moving.then(
    ({ outcome }) => outcome,
    (error: { readonly code?: string }) => error.code ?? String(error),
  );
}

// -- marks ------------------------------------------------------------------------------------------------------

function testMarks(ends: Ends): void {
  rule(ends, "cannot be used where it was, but read, also by those who had opened it before", async (from, to) => {
    const store = await filled(from);
    await leave(store);
    const [waiting, reader] = [await from.open(), await from.openReader()];
    const elsewhere = await to.open();
    await assert.rejects(move(from, to, { wrap: failing(5, true).wrap }), Interrupted);
    await assert.rejects(waiting.claim(atMs), { code: "STORE_MOVED", message: /is being moved .*--abandon/ });
    await assert.rejects(elsewhere.claim(atMs), { code: "STORE_INCOMPLETE", message: /Run the same command again/ });
    await move(from, to);
    await assert.rejects(waiting.claim(atMs), { code: "STORE_MOVED", message: /was moved to/ });
    await assert.rejects(reader.post("p1", message, atMs), { code: "STORE_MOVED" });
    const asked = { ...edge(1, "another"), state: "open" } as const;
    await assert.rejects(reader.post("p1", message, atMs, asked), { code: "STORE_MOVED" });
    await assert.rejects(reader.takeDeadLetter(1, undefined, atMs), { code: "STORE_MOVED" });
    assert.equal((await reader.findProcess("p1"))?.pid, "p1");
    assert.equal((await reader.turns(1, 1, 10)).length, 3);
    const target = await to.mover();
    assert.equal(await reader.movedTo(), target.place);
    assert.equal(await elsewhere.movedTo(), undefined);
    await elsewhere.claim(atMs);
  });
}

// -- refusals ---------------------------------------------------------------------------------------------------

function testRefusals(ends: Ends): void {
  rule(ends, "stays as long as an engine owns it, or where it is to go", async (from, to) => {
    const here = await owner(from);
    await assert.rejects(move(from, to), { code: "STORE_IN_USE" });
    await leave(here);
    const there = await owner(to);
    await assert.rejects(move(from, to), { code: "STORE_IN_USE" });
    await leave(there);
    // The refusals have left nothing behind.
    await leave(await owner(from));
    assert.equal((await move(from, to)).outcome, "complete");
  });

  rule(ends, "goes nowhere but into an empty one", async (from, to) => {
    const [here, there] = [await owner(from), await owner(to)];
    await here.putProgram(program, []);
    await there.putProgram(program, []);
    await leave(here);
    await leave(there);
    const refused = { code: "ARGUMENT_INVALID", message: /is not empty.*Nothing was changed/ };
    await assert.rejects(move(from, to), refused);
    await assert.rejects(move(from, from), { code: "ARGUMENT_INVALID", message: /the same store/ });
    await leave(await owner(from));
    await leave(await owner(to));
  });

  rule(ends, "that has begun to go somewhere goes nowhere else, and nothing else goes there", async (from, to) => {
    await leave(await owner(from));
    await assert.rejects(move(from, to, { wrap: failing(4, false).wrap }), Interrupted);
    await withEnds(ends, async (otherFrom, otherTo) => {
      await leave(await owner(otherFrom));
      await assert.rejects(move(from, otherTo), { code: "STORE_MOVED" });
      await assert.rejects(move(otherFrom, to), { code: "STORE_INCOMPLETE" });
      await assert.rejects(move(to, otherTo), { code: "STORE_INCOMPLETE" });
      assert.equal((await move(from, to)).outcome, "complete");
      await assert.rejects(move(from, otherTo), { code: "STORE_MOVED" });
      await assert.rejects(move(otherTo, from), { code: "STORE_MOVED" });
      assert.equal((await move(to, otherTo)).outcome, "complete");
    });
  });

  rule(ends, "can stay after all, until it has arrived", async (from, to) => {
    const store = await filled(from);
    const before = await rest(store);
    await leave(store);
    const abandon = async (): Promise<boolean> => {
      const [source, target] = [await from.mover(), await to.mover()];
      try {
        return await abandonMigration(source, target);
      } finally {
        await source.close();
        await target.close();
      }
    };
    assert.equal(await abandon(), false);
    for (const n of [2, 6, Infinity]) {
      const { wrap, count } = failing(n, true);
      const stopped: Wrap = (mover, role) =>
        n === Infinity && role === "target" ? withoutEnd(wrap(mover, role)) : wrap(mover, role);
      await assert.rejects(move(from, to, { wrap: stopped }), Interrupted, String(count()));
      assert.equal(await abandon(), true);
      const [here, there] = [await owner(from), await owner(to)];
      assert.deepEqual(await rest(here), before);
      assert.deepEqual(await there.programs(), []);
      await leave(here);
      await leave(there);
    }
    assert.equal((await move(from, to)).outcome, "complete");
    await assert.rejects(abandon(), { code: "STORE_MOVED" });
  });
}

/** The last word does not come. */
function withoutEnd(mover: Mover): Mover {
  return new Proxy(mover, {
    get(target, name: keyof Mover) {
      const value: unknown = target[name];
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        if (name === "complete") return Promise.reject(new Interrupted());
        return value.apply(target, args);
      };
    },
  });
}
