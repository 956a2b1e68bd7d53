/** What is kept of finished processes, and how they are pruned. */
import assert from "node:assert/strict";
import type { ExitReason } from "../../journal/types.ts";
import type { ProcessExit, ProcessRow, Store } from "../port.ts";
import { maxTombstoneValueBytes } from "../port.ts";
import { ownerRule } from "./fixture.ts";
import type { StoreSetup } from "./fixture.ts";
import { checkpoint, deadLetter, edge, message, process, program, startMs, turn } from "./samples.ts";

const atMs = startMs;
const enough = 1000;

export function testRetention(setup: StoreSetup): void {
  testFinished(setup);
  testPrune(setup);
  testSlices(setup);
  testPassedOver(setup);
  testTombstones(setup);
  testDropping(setup);
  testPrograms(setup);
}

function ended(afterMs: number, reason: ExitReason = "normal"): ProcessExit {
  return { atMs: startMs + afterMs, reason, value: { text: `j${afterMs}` } };
}

/** Processes of these keys, each ended as many milliseconds after the start as its key says. */
async function finish(store: Store, keys: readonly number[], other: Partial<ProcessRow> = {}): Promise<void> {
  await store.commit({
    atMs,
    newProcesses: keys.map((key) => process(key, other)),
    turns: keys.flatMap((key) => [1, 2, 3].map((number) => ({ process: key, turn: turn(number) }))),
    logs: keys.map((key) => ({ process: key, turn: 1, atMs, level: "log", text: `said by ${key}` })),
    exits: keys.map((key) => ({ process: key, exit: ended(key) })),
  });
}

/** A line of somebody who lives: the newest of all is not deleted. */
async function sayOneMore(store: Store, key: number): Promise<void> {
  await store.commit({ atMs, logs: [{ process: key, turn: 1, atMs, level: "log", text: "the newest" }] });
}

function testFinished(setup: StoreSetup): void {
  ownerRule(setup, "finished processes are listed in the order of their ends, page after page", async (store) => {
    await store.commit({
      atMs,
      newProcesses: [1, 2, 3, 4, 5].map((key) => process(key)),
      exits: [
        { process: 4, exit: ended(1) },
        { process: 3, exit: ended(7, "error") },
        { process: 1, exit: ended(7) },
        { process: 5, exit: ended(9) },
      ],
    });
    const first = await store.finished(undefined, startMs + 8, 2);
    assert.deepEqual(first, [
      { key: 4, pid: "p4", atMs: startMs + 1, reason: "normal", held: false },
      { key: 1, pid: "p1", atMs: startMs + 7, reason: "normal", held: false },
    ]);
    const last = first.at(-1);
    assert.deepEqual(await store.finished(last, startMs + 8, 2), [
      { key: 3, pid: "p3", atMs: startMs + 7, reason: "error", held: false },
    ]);
    assert.deepEqual(await Promise.all([0, 1, 3, 4].map(async (count) => (await store.finishedBeyond(count))?.key)), [
      5,
      3,
      4,
      undefined,
    ]);
  });
}

function testPrune(setup: StoreSetup): void {
  ownerRule(setup, "a pruned process is gone for every reader, and others are as they were", async (store) => {
    await finish(store, [1, 2]);
    await sayOneMore(store, 2);
    const report = await store.prune({ atMs: atMs + 50, processes: [1], rows: enough });
    assert.deepEqual(report, { pruned: [1], rows: 4, left: false });
    assert.equal(await store.findProcess("p1"), undefined);
    assert.equal(await store.getProcess(1), undefined);
    assert.deepEqual(await store.turns(1, 1, enough), []);
    assert.equal(await store.lastTurn(1), 0);
    assert.deepEqual(await store.logs(1, 0, enough), []);
    assert.deepEqual(
      (await store.logs(undefined, 0, enough)).map(({ process: key }) => key),
      [2, 2],
    );
    assert.equal((await store.countProcesses()).exited, 1);
    assert.deepEqual(await store.finished(undefined, Infinity, enough), [
      { key: 2, pid: "p2", atMs: startMs + 2, reason: "normal", held: false },
    ]);
    assert.equal((await store.turns(2, 1, enough)).length, 3);
    await assert.rejects(store.load(1), { code: "PROCESS_NOT_FOUND" });
    assert.deepEqual((await store.prune({ atMs, processes: [1, 99], rows: enough })).pruned, []);
  });

  ownerRule(setup, "the key of a pruned process is never given again", async (store, fixture) => {
    await finish(store, [1, 2]);
    await store.prune({ atMs, processes: [1, 2], rows: enough });
    await store.release(atMs);
    await store.close();
    const next = await fixture.open();
    assert.ok((await next.claim(atMs)).nextProcessKey > 2);
  });

  ownerRule(setup, "pruning needs the lease", async (store, fixture) => {
    await finish(store, [1]);
    await fixture.usurp();
    const asked = { code: "STORE_FENCED" };
    await assert.rejects(store.prune({ atMs, processes: [1], rows: enough }), asked);
    await assert.rejects(store.pruneTombstones(atMs, undefined, enough), asked);
    await assert.rejects(store.prunePrograms(atMs, []), asked);
    assert.notEqual(await store.findProcess("p1"), undefined);
  });
}

function testSlices(setup: StoreSetup): void {
  ownerRule(setup, "turns and log lines go in slices, by whoever owns the store", async (store, fixture) => {
    await finish(store, [1, 2, 3]);
    await sayOneMore(store, 3);
    const first = await store.prune({ atMs, processes: [1, 2], rows: 5 });
    assert.deepEqual(first, { pruned: [1, 2], rows: 5, left: true });
    // What is left is nobody's.
    assert.deepEqual(await store.turns(2, 1, enough), []);
    assert.deepEqual(
      (await store.logs(undefined, 0, enough)).map(({ process: key }) => key),
      [3, 3],
    );
    await fixture.crash(store);
    const next = await fixture.open();
    await next.claim(atMs);
    assert.deepEqual(await next.prune({ atMs, processes: [], rows: 2 }), { pruned: [], rows: 2, left: true });
    assert.deepEqual(await next.prune({ atMs, processes: [], rows: enough }), { pruned: [], rows: 1, left: false });
    assert.equal((await next.turns(3, 1, enough)).length, 3);
  });

  ownerRule(setup, "the seq of a log line never comes again", async (store) => {
    await finish(store, [1, 2]);
    const last = (await store.logs(undefined, 0, enough)).at(-1)?.seq ?? 0;
    const report = await store.prune({ atMs, processes: [1, 2], rows: enough });
    assert.deepEqual([report.rows, report.left], [7, false]);
    await store.commit({
      atMs,
      newProcesses: [process(3)],
      logs: [{ process: 3, turn: 1, atMs, level: "log", text: "later" }],
    });
    const [later, ...more] = await store.logs(undefined, 0, enough);
    assert.deepEqual([later?.text, more.length], ["later", 0]);
    assert.ok((later?.seq ?? 0) > last);
    // The line that stood in for it goes now.
    assert.equal((await store.prune({ atMs, processes: [], rows: enough })).rows, 1);
  });
}

/** Tells beforehand what it will say. */
async function pruneAsListed(store: Store, processes: readonly number[]): Promise<readonly number[]> {
  const listed = await store.finished(undefined, Infinity, enough);
  const free = new Set(listed.flatMap(({ key, held }) => (held ? [] : [key])));
  const { pruned } = await store.prune({ atMs, processes, rows: enough });
  assert.deepEqual(
    pruned,
    processes.filter((key) => free.has(key)),
  );
  return pruned;
}

function testPassedOver(setup: StoreSetup): void {
  ownerRule(setup, "what lives is passed over, whatever its state", async (store) => {
    const states = ["running", "paused", "crashed", "broken", "moving"] as const;
    await store.commit({
      atMs,
      newProcesses: states.map((state, i) =>
        process(i + 1, { state, ...(state === "crashed" ? { exit: ended(1) } : {}) }),
      ),
      turns: [{ process: 1, turn: turn(1) }],
    });
    const report = await store.prune({ atMs, processes: [1, 2, 3, 4, 5], rows: enough });
    assert.deepEqual(report, { pruned: [], rows: 0, left: false });
    assert.equal((await store.listProcesses({ limit: 9 })).length, 5);
    assert.equal((await store.turns(1, 1, 9)).length, 1);
  });

  ownerRule(setup, "a process stays until somebody has decided about its dead letters", async (store) => {
    await finish(store, [1]);
    await store.commit({ atMs, deadLetters: [deadLetter(1, "poison")] });
    assert.deepEqual(await pruneAsListed(store, [1]), []);
    await store.takeDeadLetter(1, undefined, atMs);
    assert.deepEqual(await pruneAsListed(store, [1]), [1]);
  });

  ownerRule(setup, "a process stays while a living one may go back to a time when they were tied", async (store) => {
    await finish(store, [1, 2]);
    await store.commit({ atMs, newProcesses: [process(3)], checkpoints: [{ ...checkpoint(3, 1), ties: [1, 2] }] });
    assert.deepEqual(await pruneAsListed(store, [1, 2]), []);
    await store.commit({ atMs, checkpoints: [{ ...checkpoint(3, 2), ties: [2] }] });
    assert.deepEqual(await pruneAsListed(store, [1, 2]), [1]);
    await store.commit({ atMs, exits: [{ process: 3, exit: ended(3) }] });
    assert.deepEqual(await pruneAsListed(store, [2]), [2]);
  });

  ownerRule(setup, "a server stays while it is remembered what was asked of it under keys", async (store) => {
    await finish(store, [1], { role: "server" });
    await finish(store, [2]);
    await finish(store, [3], { role: "server", parent: "p9" });
    await store.commit({ atMs, edges: [1, 2, 3].map((key) => ({ ...edge(key, "once"), state: "sent" })) });
    assert.deepEqual(await pruneAsListed(store, [1, 2, 3]), [2, 3]);
    assert.equal(await store.pruneEdges(atMs + 1, enough), 1);
    assert.deepEqual(await pruneAsListed(store, [1]), [1]);
  });

  ownerRule(setup, "a process without a tombstone to come stays while one it has started does", async (store) => {
    await finish(store, [1]);
    await finish(store, [2], { parent: "p1" });
    await store.commit({ atMs, newProcesses: [process(3, { parent: "p2" })] });
    assert.deepEqual(await pruneAsListed(store, [1, 2]), [1]);
    await store.commit({ atMs, exits: [{ process: 3, exit: ended(3) }] });
    assert.deepEqual((await store.prune({ atMs, processes: [3, 2], rows: enough })).pruned, [3, 2]);
  });
}

function testTombstones(setup: StoreSetup): void {
  ownerRule(setup, "one that was started from outside leaves a tombstone, a child none", async (store) => {
    await finish(store, [1]);
    await finish(store, [2], { parent: "p1" });
    await store.prune({ atMs: atMs + 50, processes: [1, 2], rows: enough });
    assert.deepEqual(await store.tombstone("p1"), {
      pid: "p1",
      program: program.hash,
      entry: "order",
      argsDigest: "0a".repeat(32),
      startedAtMs: startMs + 1,
      prunedAtMs: atMs + 50,
      exit: ended(1),
      valueBytes: (await store.tombstone("p1"))?.valueBytes,
    });
    assert.equal(await store.tombstone("p2"), undefined);
    assert.equal(await store.tombstone("p3"), undefined);
  });

  ownerRule(setup, "a pid with a tombstone is taken, and takes no inputs", async (store) => {
    await finish(store, [1]);
    await store.prune({ atMs, processes: [1], rows: enough });
    const again = store.commit({ atMs, newProcesses: [process(2, { pid: "p1" })] });
    await assert.rejects(again, { code: "PROCESS_ID_CONFLICT" });
    await assert.rejects(store.post("p1", message, atMs), { code: "PROCESS_EXITED" });
    await assert.rejects(store.post("p7", message, atMs), { code: "PROCESS_NOT_FOUND" });
  });

  ownerRule(setup, "a value beyond 64 KiB is not kept with the tombstone, its size is", async (store) => {
    const texts = [`j"${"x".repeat(maxTombstoneValueBytes - 100)}"`, `j"${"x".repeat(maxTombstoneValueBytes)}"`];
    await store.commit({
      atMs,
      newProcesses: [process(1), process(2)],
      exits: texts.map((text, i) => ({ process: i + 1, exit: { ...ended(1), value: { text } } })),
    });
    await store.prune({ atMs, processes: [1, 2], rows: enough });
    const [kept, lost] = [await store.tombstone("p1"), await store.tombstone("p2")];
    assert.deepEqual(kept?.exit.value, { text: texts[0] });
    assert.equal(lost?.exit.value, undefined);
    assert.ok((lost?.valueBytes ?? 0) > maxTombstoneValueBytes);
  });
}

function testDropping(setup: StoreSetup): void {
  ownerRule(setup, "tombstones are dropped by the age of the end, newest first, a page at a time", async (store) => {
    await finish(store, [1, 2, 3, 4]);
    await store.prune({ atMs, processes: [1, 2, 3, 4], rows: enough });
    const { dropped, next } = await store.pruneTombstones(startMs + 3, undefined, 2);
    assert.deepEqual([dropped, next], [2, { atMs: startMs + 2, pid: "p2" }]);
    assert.deepEqual(await store.pruneTombstones(startMs + 3, next, 2), { dropped: 1, next: undefined });
    const left = await Promise.all([1, 2, 3, 4].map((key) => store.tombstone(`p${key}`)));
    assert.deepEqual(
      left.map((stone) => stone?.pid),
      [undefined, undefined, undefined, "p4"],
    );
    // Its pid may be given again.
    await store.commit({ atMs, newProcesses: [process(5, { pid: "p1" })] });
  });

  ownerRule(setup, "of processes that follow each other no tombstone goes before its next", async (store) => {
    await finish(store, [1], { pid: "cart" });
    await finish(store, [2], { pid: "cart~2" });
    await store.commit({ atMs, newProcesses: [process(3, { pid: "cart~3" })] });
    await store.prune({ atMs, processes: [1, 2], rows: enough });
    assert.equal((await store.pruneTombstones(Infinity, undefined, enough)).dropped, 0);
    await store.commit({ atMs, exits: [{ process: 3, exit: ended(3) }] });
    await store.prune({ atMs, processes: [3], rows: enough });
    assert.equal((await store.pruneTombstones(Infinity, undefined, enough)).dropped, 3);
  });

  ownerRule(setup, "a tombstone stays while a process that it has started does", async (store) => {
    await finish(store, [1]);
    await store.commit({ atMs, newProcesses: [process(2, { parent: "p1" })] });
    await store.prune({ atMs, processes: [1], rows: enough });
    assert.equal((await store.pruneTombstones(Infinity, undefined, enough)).dropped, 0);
    assert.equal((await store.tombstone("p1"))?.pid, "p1");
  });
}

function testPrograms(setup: StoreSetup): void {
  ownerRule(
    setup,
    "programs nobody refers to go with what they consist of, but for the newest of a file and those to keep",
    async (store) => {
      const version = (number: number, other: object = {}) => ({
        ...program,
        hash: `v${number}`,
        bundle: `bundle ${number}`,
        createdAtMs: startMs + number,
        ...other,
      });
      const bytes = new Uint8Array([1]);
      const blobs = (number: number) => [`bundle ${number}`, program.prelude].map((hash) => ({ hash, bytes }));
      for (const number of [1, 2, 3, 4, 5]) await store.putProgram(version(number), blobs(number));
      await store.putProgram(version(6, { file: "/srv/other.ts" }), blobs(6));
      await store.putBlob("image", bytes);
      await store.commit({ atMs, newProcesses: [process(1, { program: "v2" })] });
      assert.equal(await store.prunePrograms(startMs, []), 1);
      assert.equal(await store.prunePrograms(startMs + 4, ["v3"]), 2);
      assert.deepEqual(
        (await store.programs()).map(({ hash }) => hash),
        ["v6", "v5", "v3", "v2"],
      );
      const there = await Promise.all(
        ["bundle 1", "bundle 2", "bundle 3", "bundle 4", program.prelude, "image"].map((hash) => store.blob(hash)),
      );
      assert.deepEqual(
        there.map((blob) => blob !== undefined),
        [false, true, true, false, true, false],
      );
      await store.commit({ atMs, exits: [{ process: 1, exit: ended(1) }] });
      await store.prune({ atMs, processes: [1], rows: enough });
      assert.equal(await store.prunePrograms(Infinity, []), 2);
      const fresh = store.commit({ atMs, newProcesses: [process(2, { program: "v2" })] });
      await assert.rejects(fresh, { code: "STORE_FAILED" });
    },
  );
}
