/** A store that is moved to another place goes on there as if nothing had happened. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { isPerdureError } from "../../base/errors.ts";
import type { Mover } from "../migration/port.ts";
import type { MigrateReport } from "../migration/run.ts";
import {
  atMs,
  everything,
  failing,
  fill,
  filled,
  Interrupted,
  leave,
  move,
  owner,
  rest,
  rule,
  withEnds,
} from "./ends.ts";
import type { Ends, Wrap } from "./ends.ts";
import { testMarks, testRefusals } from "./migration-refusals.ts";
import { observe } from "./model.ts";
import { runSteps, stepPlan } from "./property.ts";
import { deadLetter, edge, message, process, program } from "./samples.ts";

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
      { numRuns: 5, endOnFailure: true },
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
    (error: unknown) => (isPerdureError(error) ? error.code : String(error)),
  );
}
