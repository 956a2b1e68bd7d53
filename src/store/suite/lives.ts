/** Processes that failed and go on: crashed ones, checkpoints, restores and dead letters. */
import assert from "node:assert/strict";
import { exitReasons } from "../../journal/types.ts";
import type { ProcessExit, Store } from "../port.ts";
import { ownerRule } from "./fixture.ts";
import type { StoreFixture, StoreSetup } from "./fixture.ts";
import { checkpoint, deadLetter, everyInput, exit, message, process, snapshot, startMs, turn } from "./samples.ts";

const atMs = startMs;
const failure: ProcessExit = {
  atMs: startMs + 7,
  reason: "error",
  value: { text: "v[]", chunks: [new Uint8Array(2)] },
};

export function testLives(setup: StoreSetup): void {
  testCrashed(setup);
  testTraps(setup);
  testCheckpoints(setup);
  testRestores(setup);
  testDeadLetters(setup);
  testTakingDeadLetters(setup);
}

function testCrashed(setup: StoreSetup): void {
  ownerRule(setup, "a crashed process shows the exit it will come to, and keeps all it has", async (store) => {
    await store.commit({
      atMs,
      newProcesses: [process(1, { held: true })],
      inbox: [{ process: 1, input: message, atMs }],
      snapshots: [snapshot(1, 1)],
    });
    await store.commit({ atMs, states: [{ process: 1, state: "crashed", problem: "", exit: failure }] });
    const { process: row, inbox, snapshots } = await store.load(1);
    assert.deepEqual(row, process(1, { held: true, state: "crashed", exit: failure }));
    assert.deepEqual([inbox.length, snapshots.length], [1, 1]);
  });

  for (const state of ["running", "paused", "broken"] as const) {
    ownerRule(setup, `the state ${state} clears the exit of a crashed process`, async (store) => {
      await store.commit({ atMs, newProcesses: [process(1)] });
      await store.commit({ atMs, states: [{ process: 1, state: "crashed", problem: "", exit: failure }] });
      await store.commit({ atMs, states: [{ process: 1, state, problem: "" }] });
      assert.deepEqual(await store.getProcess(1), process(1, { state }));
    });

    ownerRule(setup, `an exit given with the state ${state} is none`, async (store) => {
      await store.commit({ atMs, newProcesses: [process(1)] });
      await store.commit({ atMs, states: [{ process: 1, state, problem: "", exit: failure }] });
      assert.deepEqual(await store.getProcess(1), process(1, { state }));
    });
  }

  ownerRule(setup, "a crashed process that exits has the exit it was given then", async (store) => {
    await store.commit({ atMs, newProcesses: [process(1), process(2, { state: "crashed", exit: failure })] });
    await store.commit({ atMs, states: [{ process: 1, state: "crashed", problem: "", exit: failure }] });
    await store.commit({
      atMs,
      exits: [
        { process: 1, exit },
        { process: 2, exit: failure },
      ],
    });
    assert.deepEqual(await store.getProcess(1), process(1, { state: "exited", exit }));
    assert.deepEqual(await store.getProcess(2), process(2, { state: "exited", exit: failure }));
  });

  ownerRule(setup, "a process may end for any reason", async (store) => {
    const exits = exitReasons.map((reason, i) => ({ process: i + 1, exit: { ...exit, reason } }));
    await store.commit({ atMs, newProcesses: exitReasons.map((_, i) => process(i + 1)), exits });
    for (const { process: key, exit: ended } of exits) assert.deepEqual((await store.getProcess(key))?.exit, ended);
  });
}

function testTraps(setup: StoreSetup): void {
  ownerRule(setup, "trapping exits is switched on and off, and survives changes of the state", async (store) => {
    await store.commit({ atMs, newProcesses: [process(1), process(2)] });
    await store.commit({ atMs, traps: [{ process: 1, on: true }] });
    await store.commit({ atMs, states: [{ process: 1, state: "crashed", problem: "", exit: failure }] });
    assert.deepEqual(await store.getProcess(1), process(1, { trapsExits: true, state: "crashed", exit: failure }));
    await store.commit({ atMs, traps: [true, false].map((on) => ({ process: 1, on })) });
    assert.deepEqual(await store.getProcess(1), process(1, { state: "crashed", exit: failure }));
    assert.deepEqual(await store.getProcess(2), process(2));
  });

  for (const [what, batch] of [
    ["a trap", { atMs, traps: [{ process: 1, on: true }] }],
    ["a restore", { atMs, restores: [{ process: 1, life: 2, turn: 3, from: 1 }] }],
  ] as const) {
    ownerRule(setup, `${what} of nobody is PROCESS_NOT_FOUND, one after the exit PROCESS_EXITED`, async (store) => {
      await assert.rejects(store.commit(batch), { code: "PROCESS_NOT_FOUND" });
      await store.commit({ atMs, newProcesses: [process(1)], exits: [{ process: 1, exit }] });
      await assert.rejects(store.commit(batch), { code: "PROCESS_EXITED" });
      assert.deepEqual(await store.getProcess(1), process(1, { state: "exited", exit }));
      assert.deepEqual(await store.restores(1), []);
    });
  }
}

function testCheckpoints(setup: StoreSetup): void {
  ownerRule(setup, "the newest checkpoint of each process is kept, byte by byte", async (store) => {
    await store.commit({ atMs, newProcesses: [process(1), process(2)] });
    assert.equal((await store.load(1)).checkpoint, undefined);
    await store.commit({ atMs, checkpoints: [checkpoint(1, 9), checkpoint(2, 4)] });
    await store.commit({ atMs, checkpoints: [checkpoint(1, 12), { process: 1, turn: 11, body: new Uint8Array(0) }] });
    assert.deepEqual((await store.load(1)).checkpoint, { turn: 11, body: new Uint8Array(0) });
    assert.deepEqual((await store.load(2)).checkpoint, { turn: 4, body: checkpoint(2, 4).body });
  });

  ownerRule(setup, "the newest snapshot that leads to the checkpoint is kept beside the two newest", async (store) => {
    const newProcesses = [process(1), process(2)];
    await store.commit({ atMs, newProcesses, checkpoints: [checkpoint(1, 5)], snapshots: [snapshot(1, 2)] });
    for (const number of [4, 6, 7, 8])
      await store.commit({ atMs, snapshots: [snapshot(1, number), snapshot(2, number)] });
    const kept = async (key: number): Promise<number[]> => (await store.load(key)).snapshots.map((row) => row.turn);
    assert.deepEqual(
      [await kept(1), await kept(2)],
      [
        [8, 7, 4],
        [8, 7],
      ],
    );
    await store.commit({ atMs, checkpoints: [checkpoint(1, 7)], snapshots: [snapshot(1, 9)] });
    assert.deepEqual(await kept(1), [9, 8, 7]);
  });

  ownerRule(setup, "an exit removes its process's checkpoint alone", async (store) => {
    await store.commit({
      atMs,
      newProcesses: [process(1), process(2)],
      checkpoints: [checkpoint(1, 1), checkpoint(2, 1)],
    });
    await store.commit({ atMs, exits: [{ process: 1, exit }] });
    assert.equal((await store.load(1)).checkpoint, undefined);
    assert.equal((await store.load(2)).checkpoint?.turn, 1);
  });
}

function testRestores(setup: StoreSetup): void {
  ownerRule(
    setup,
    "a restore begins a life, and is listed in the order of the turns, also after the exit",
    async (store) => {
      await store.commit({ atMs, newProcesses: [process(1), process(2)] });
      await store.commit({ atMs, restores: [{ process: 1, life: 2, turn: 5, from: 2 }] });
      await store.commit({ atMs, restores: [{ process: 2, life: 2, turn: 3, from: 0 }] });
      await store.commit({ atMs, restores: [{ process: 1, life: 3, turn: 12, from: 7 }] });
      const restores = [
        { turn: 5, from: 2 },
        { turn: 12, from: 7 },
      ];
      const load = await store.load(1);
      assert.deepEqual([load.process, load.restores], [process(1, { life: 3 }), restores]);
      assert.deepEqual(await store.restores(1), restores);
      await store.commit({ atMs, exits: [{ process: 1, exit }] });
      assert.deepEqual((await store.load(1)).restores, restores);
      assert.deepEqual(await store.restores(2), [{ turn: 3, from: 0 }]);
      assert.deepEqual(await store.restores(3), []);
    },
  );

  ownerRule(
    setup,
    "a restore removes the snapshots of the turns that it forgets, not those at its ends",
    async (store) => {
      await store.commit({ atMs, newProcesses: [1, 2, 3].map((key) => process(key)) });
      const kept = async (key: number, turns: readonly number[], from: number): Promise<number[]> => {
        await store.commit({ atMs, snapshots: turns.map((number) => snapshot(key, number)) });
        await store.commit({ atMs, restores: [{ process: key, life: 2, turn: 9, from }] });
        return (await store.load(key)).snapshots.map((row) => row.turn);
      };
      assert.deepEqual(await kept(1, [4, 5], 4), [4]);
      assert.deepEqual(await kept(2, [4, 9], 3), [9]);
      assert.deepEqual(await kept(3, [7, 8], 6), []);
      assert.equal((await store.load(1)).snapshots.length, 1);
    },
  );

  ownerRule(setup, "the journal keeps the turns that a restore forgets", async (store) => {
    const turns = [1, 2, 3].map((number) => ({ process: 1, turn: turn(number) }));
    await store.commit({ atMs, newProcesses: [process(1)], turns });
    const restored = turn(4, { inputs: everyInput.filter(({ kind }) => kind === "restore") });
    await store.commit({
      atMs,
      turns: [{ process: 1, turn: restored }],
      restores: [{ process: 1, life: 2, turn: 4, from: 1 }],
    });
    assert.deepEqual(await store.turns(1, 1, 9), [turn(1), turn(2), turn(3), restored]);
  });
}

async function seqsOf(store: Store): Promise<number[]> {
  return (await store.deadLetters(undefined, 0, 100)).map(({ seq }) => seq);
}

function testDeadLetters(setup: StoreSetup): void {
  ownerRule(
    setup,
    "dead letters come as they were, in order, of one process or of all, page by page",
    async (store) => {
      await store.commit({ atMs, newProcesses: [process(1), process(2)] });
      const letters = [
        ...everyInput.map((input, i) => ({ ...deadLetter(1, ""), input, atMs: atMs + i, reason: "trap" as const })),
        { ...deadLetter(2, "other"), reason: "exit" as const, value: failure.value },
      ];
      await store.commit({ atMs, deadLetters: letters });
      const all = await store.deadLetters(undefined, 0, 100);
      assert.deepEqual(
        all,
        letters.map((row, i) => ({ seq: all[i]?.seq, ...row })),
      );
      assert.deepEqual(await store.deadLetters(1, 0, 100), all.slice(0, -1));
      assert.deepEqual(await store.deadLetters(2, 0, 100), all.slice(-1));
      assert.deepEqual(await store.deadLetters(1, all[1]?.seq ?? 0, 2), all.slice(2, 4));
      assert.deepEqual(await store.deadLetters(undefined, all.at(-1)?.seq ?? 0, 9), []);
      assert.deepEqual(await store.deadLetters(undefined, 0, 0), []);
      assert.deepEqual(await store.deadLetters(9, 0, 9), []);
    },
  );

  ownerRule(setup, "dead letters outlive their process, until they are removed by seq", async (store, fixture) => {
    await store.commit({ atMs, newProcesses: [process(1)], deadLetters: [deadLetter(1, "a"), deadLetter(1, "b")] });
    await store.commit({ atMs, deadLetters: [deadLetter(1, "c")], exits: [{ process: 1, exit }] });
    const [first = 0, second = 0, third = 0] = await seqsOf(store);
    await store.commit({ atMs, deadLettersGone: [second, 99] });
    assert.deepEqual(await seqsOf(store), [first, third]);
    await fixture.crash(store);
    assert.deepEqual(await seqsOf(await fixture.open()), [first, third]);
  });

  ownerRule(setup, "a dead letter's seq never comes twice", async (store) => {
    await store.commit({ atMs, newProcesses: [process(1)], deadLetters: [deadLetter(1, "a")] });
    const [first = 0] = await seqsOf(store);
    await store.commit({ atMs, deadLettersGone: [first] });
    await store.commit({ atMs, deadLetters: [deadLetter(1, "b")] });
    const [second = 0] = await seqsOf(store);
    assert.ok(first > 0 && second > first, `${first} ${second}`);
  });
}

function testTakingDeadLetters(setup: StoreSetup): void {
  for (const [what, read] of [
    ["the owner", (store: Store) => Promise.resolve(store)],
    ["a reader beside it", (_: Store, { openReader }: StoreFixture) => openReader()],
  ] as const) {
    ownerRule(setup, `${what} takes a dead letter away, and posts it to whom it is told`, async (store, fixture) => {
      const reader = await read(store, fixture);
      const deadLetters = [deadLetter(1, "a"), deadLetter(1, "b")];
      await store.commit({ atMs, newProcesses: [process(1), process(2)], deadLetters });
      const [first = 0, second = 0] = await seqsOf(store);
      assert.deepEqual(await reader.takeDeadLetter(first, "p2", atMs + 1), true);
      assert.deepEqual(await reader.takeDeadLetter(first, "p2", atMs + 1), false);
      const posted = (await store.inboxAfter(0, 9)).map(({ process: key, input, atMs: at }) => ({ key, input, at }));
      assert.deepEqual(posted, [{ key: 2, input: deadLetters[0]?.input, at: atMs + 1 }]);
      assert.deepEqual(await seqsOf(store), [second]);
      assert.equal(await reader.takeDeadLetter(second, undefined, atMs), true);
      assert.deepEqual([await seqsOf(store), (await store.inboxAfter(0, 9)).length], [[], 1]);
    });
  }

  ownerRule(setup, "a dead letter that cannot be posted stays where it is", async (store, { openReader }) => {
    const deadLetters = [deadLetter(1, "a")];
    await store.commit({ atMs, newProcesses: [process(1)], deadLetters, exits: [{ process: 1, exit }] });
    const [seq = 0] = await seqsOf(store);
    const reader = await openReader();
    await assert.rejects(reader.takeDeadLetter(seq, "p1", atMs), { code: "PROCESS_EXITED" });
    await assert.rejects(reader.takeDeadLetter(seq, "nobody", atMs), { code: "PROCESS_NOT_FOUND" });
    assert.deepEqual(await seqsOf(store), [seq]);
  });
}
