/** Processes that leave for another store, and those that come from one. */
import assert from "node:assert/strict";
import { edgeAddress } from "../../base/edge-key.ts";
import type { Store } from "../port.ts";
import { ownerRule } from "./fixture.ts";
import type { StoreSetup } from "./fixture.ts";
import {
  checkpoint,
  deadLetter,
  edge,
  exit,
  message,
  monitor,
  operation,
  process,
  snapshot,
  startMs,
  timer,
  turn,
} from "./samples.ts";

const atMs = startMs;
const enough = 1000;
const sha256 = "ab".repeat(32);
const exported = { file: "f1", sha256, serviceMs: 77, inboxSeq: 0 };

export function testExports(setup: StoreSetup): void {
  testDepartures(setup);
  testLate(setup);
  testArrivals(setup);
}

/** Process 1 with a row in every table, tied to process 2. Returns the seq of what waits for it. */
async function fill(store: Store): Promise<number> {
  const { inboxSeqs } = await store.commit({
    atMs,
    newProcesses: [process(1), process(2)],
    turns: [1, 2, 3].map((number) => ({ process: 1, turn: turn(number) })),
    operations: [operation(1, 1)],
    timers: [timer(1, 1)],
    inbox: [{ process: 1, input: message, atMs }],
    edges: [{ ...edge(1, "k"), state: "open" }],
    logs: [{ process: 1, turn: 1, atMs, level: "log", text: "one" }],
    links: [{ a: 1, b: 2 }],
    monitors: [monitor(1, 1, 2), monitor(2, 1, 1)],
    names: [{ name: "stock", process: 1 }],
    groups: [{ name: "all", process: 1 }],
    checkpoints: [checkpoint(1, 1)],
    restores: [{ process: 1, life: 2, turn: 3, from: 1 }],
    deadLetters: [deadLetter(1, "x"), deadLetter(2, "y"), deadLetter(1, "z")],
    snapshots: [snapshot(1, 3)],
  });
  await store.commit({ atMs, logs: [{ process: 2, turn: 1, atMs, level: "log", text: "the newest" }] });
  return inboxSeqs[0] as number;
}

function testDepartures(setup: StoreSetup): void {
  ownerRule(setup, "an exported process is gone for every reader, and what stays says where it is", async (store) => {
    const inboxSeq = await fill(store);
    const departures = [{ process: 1, exported: { ...exported, inboxSeq } }];
    await store.commit({ atMs: atMs + 5, departures });
    assert.equal(await store.findProcess("p1"), undefined);
    assert.equal(await store.getProcess(1), undefined);
    await assert.rejects(store.load(1), { code: "PROCESS_NOT_FOUND" });
    // In a shared store those who were tied to it are told.
    const { withInbox, ...others } = await store.recover();
    assert.deepEqual([others, withInbox.includes(1)], [{ operations: [], damaged: [] }, false]);
    assert.deepEqual(await store.dueTimers("wall", -Infinity, Infinity, enough), []);
    assert.deepEqual([await store.names(), await store.groups()], [[], []]);
    assert.deepEqual(await store.relations(2), { links: [], monitors: [] });
    assert.deepEqual([await store.turns(1, 1, enough), await store.lastTurn(1)], [[], 0]);
    assert.deepEqual(await store.logs(1, 0, enough), []);
    assert.deepEqual(
      (await store.deadLetters(undefined, 0, enough)).map((row) => row.process),
      [2],
    );
    const { pid, program, entry, argsDigest, startedAtMs } = process(1);
    const stays = {
      ...{ pid, process: 1, program, entry, argsDigest, startedAtMs, file: "f1", sha256, serviceMs: 77 },
      ...{ exportedAtMs: atMs + 5, late: [], letters: [1, 3] },
    };
    assert.deepEqual(await store.exported("p1"), stays);
    assert.deepEqual(await store.exported(1), stays);
    assert.deepEqual(await store.exports(enough), [stays]);
    assert.deepEqual([await store.exported("p2"), await store.exported(2)], [undefined, undefined]);
    assert.equal(await store.tombstone("p1"), undefined);
    assert.equal((await store.prune({ atMs, processes: [], rows: enough })).left, false);
    assert.deepEqual(await store.edges(1, "", enough), []);
  });

  ownerRule(
    setup,
    "nothing can be asked of an exported process, and its pid and key stay taken",
    async (store, fixture) => {
      await fill(store);
      await store.commit({ atMs, departures: [{ process: 1, exported }] });
      await assert.rejects(store.post("p1", message, atMs), (error: { code: string; message: string }) => {
        assert.equal(error.code, "PROCESS_EXPORTED");
        assert.match(error.message, /"p1" was exported .* as process file f1/);
        return true;
      });
      await assert.rejects(store.takeDeadLetter(2, "p1", atMs), { code: "PROCESS_EXPORTED" });
      const again = { atMs, newProcesses: [process(9, { pid: "p1" })] };
      await assert.rejects(store.commit(again), { code: "PROCESS_ID_CONFLICT" });
      await store.commit({ atMs, departures: [{ process: 2 }] });
      assert.equal(await store.exported("p2"), undefined);
      await store.release(atMs);
      await store.close();
      const next = await fixture.open();
      const { nextProcessKey } = await next.claim(atMs);
      assert.ok(nextProcessKey > 2, String(nextProcessKey));
    },
  );

  ownerRule(setup, "a process that is not there cannot leave", async (store) => {
    await fill(store);
    await assert.rejects(store.commit({ atMs, departures: [{ process: 7, exported }] }), { code: "PROCESS_NOT_FOUND" });
    await assert.rejects(store.commit({ atMs, exits: [{ process: 2, exit }], departures: [{ process: 7 }] }), {
      code: "PROCESS_NOT_FOUND",
    });
    assert.equal((await store.getProcess(2))?.state, "running");
  });
}

function testLate(setup: StoreSetup): void {
  ownerRule(
    setup,
    "what came after the file was written stays, with what it was asked under",
    async (store, fixture) => {
      const inboxSeq = await fill(store);
      await store.commit({ atMs, states: [{ process: 1, state: "moving", problem: "to f1" }] });
      const asked = { key: "k2", digest: "0".repeat(32), about: "x", state: "open" as const };
      const reader = await fixture.openReader();
      const keyed = { ...message, from: edgeAddress(asked) };
      await reader.post("p1", keyed, atMs + 1, asked);
      await store.commit({ atMs: atMs + 2, inbox: [{ process: 1, input: { kind: "pause" }, atMs: atMs + 2 }] });
      await reader.post("p1", message, atMs + 3);
      await store.commit({ atMs, departures: [{ process: 1, exported: { ...exported, inboxSeq } }] });
      assert.deepEqual((await reader.exported("p1"))?.late, [
        { input: keyed, atMs: atMs + 1, asked },
        { input: { kind: "pause" }, atMs: atMs + 2 },
        { input: message, atMs: atMs + 3 },
      ]);
      await reader.close();
    },
  );
}

function testArrivals(setup: StoreSetup): void {
  const arriving = process(3, { pid: "@import:f1", state: "moving", problem: "from f1" });

  ownerRule(setup, "a process arrives under its own pid, and its files are known for ever", async (store) => {
    await fill(store);
    await store.commit({ atMs, departures: [{ process: 1, exported }] });
    await store.commit({ atMs, newProcesses: [arriving], turns: [{ process: 3, turn: turn(1) }] });
    const arrival = { process: 3, pid: "p1", state: "paused" as const, files: ["f1", "f0"] };
    await store.commit({ atMs: atMs + 1, arrivals: [arrival] });
    assert.deepEqual(await store.findProcess("p1"), { ...arriving, pid: "p1", state: "paused", problem: "" });
    assert.equal(await store.findProcess("@import:f1"), undefined);
    assert.equal(await store.exported("p1"), undefined);
    assert.equal((await store.turns(3, 1, enough)).length, 1);
    const row = { pid: "p1", atMs: atMs + 1 };
    assert.deepEqual(await store.imported("f0"), { file: "f0", ...row });
    assert.deepEqual(await store.imports("p1"), [
      { file: "f0", ...row },
      { file: "f1", ...row },
    ]);
    assert.deepEqual([await store.imported("f2"), await store.imports("p2")], [undefined, []]);
    await store.commit({ atMs, departures: [{ process: 3 }] });
    assert.deepEqual(await store.imported("f1"), { file: "f1", ...row });
  });

  ownerRule(
    setup,
    "a pid that is taken, or was by one that is pruned, keeps a process from arriving",
    async (store) => {
      await fill(store);
      await store.commit({ atMs, newProcesses: [process(4, { pid: "p4" }), arriving] });
      await store.commit({ atMs, exits: [{ process: 4, exit }] });
      await store.prune({ atMs, processes: [4], rows: enough });
      for (const pid of ["p1", "p4"])
        await assert.rejects(store.commit({ atMs, arrivals: [{ process: 3, pid, state: "running", files: ["f1"] }] }), {
          code: "PROCESS_ID_CONFLICT",
        });
      for (const key of [1, 9])
        await assert.rejects(
          store.commit({ atMs, arrivals: [{ process: key, pid: "p9", state: "running", files: ["f1"] }] }),
          { code: "PROCESS_NOT_FOUND" },
        );
      assert.equal(await store.imported("f1"), undefined);
      assert.equal((await store.getProcess(3))?.pid, "@import:f1");
    },
  );
}
