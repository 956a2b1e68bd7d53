/** Commits: all or nothing, in order, and what each part does. */
import assert from "node:assert/strict";
import type { CommitBatch, Store } from "../port.ts";
import { ownerRule } from "./fixture.ts";
import type { StoreSetup } from "./fixture.ts";
import {
  checkpoint,
  deadLetter,
  everyInput,
  exit,
  log,
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

export function testCommits(setup: StoreSetup): void {
  testAtomicity(setup);
  testContents(setup);
  testUpserts(setup);
  testStates(setup);
  testSnapshots(setup);
}

/** One process with a row of everything. */
const everything: CommitBatch = {
  atMs,
  newProcesses: [process(1)],
  turns: [{ process: 1, turn: turn(1) }],
  operations: [operation(1, 1)],
  timers: [timer(1, 1)],
  inbox: [{ process: 1, input: message, atMs }],
  logs: [log(1, 1, "hello")],
  snapshots: [snapshot(1, 1)],
};

async function all(store: Store): Promise<unknown> {
  return [
    await store.listProcesses({ limit: 100 }),
    await store.load(1),
    await store.turns(1, 1, 100),
    await store.logs(undefined, 0, 100),
    await store.names(),
    await store.groups(),
    await store.deadLetters(undefined, 0, 100),
    await store.recover(),
  ];
}

const refusals: Readonly<Record<string, readonly [string, CommitBatch]>> = {
  "a pid that exists": ["PROCESS_ID_CONFLICT", { atMs, newProcesses: [process(5, { pid: "p1" })] }],
  "a pid twice": ["PROCESS_ID_CONFLICT", { atMs, newProcesses: [process(5), process(6, { pid: "p5" })] }],
  "a process key that exists": ["STORE_FENCED", { atMs, newProcesses: [process(1, { pid: "other" })] }],
  "a program that is not there": ["STORE_FAILED", { atMs, newProcesses: [process(5, { program: "f0" })] }],
  "a digest that is not hexadecimal": ["ARGUMENT_INVALID", { atMs, newProcesses: [process(5, { argsDigest: "0X" })] }],
  "a turn that exists": ["STORE_FENCED", { atMs, turns: [{ process: 1, turn: turn(1) }] }],
  "a turn after a gap": ["STORE_FAILED", { atMs, turns: [{ process: 1, turn: turn(3) }] }],
  "a turn of no process": ["PROCESS_NOT_FOUND", { atMs, turns: [{ process: 9, turn: turn(1) }] }],
  "a state of no process": ["PROCESS_NOT_FOUND", { atMs, states: [{ process: 9, state: "paused", problem: "" }] }],
  "an exit of no process": ["PROCESS_NOT_FOUND", { atMs, exits: [{ process: 9, exit }] }],
  "a second exit": ["PROCESS_EXITED", { atMs, exits: [{ process: 2, exit }] }],
  "a name of another process": ["STORE_FENCED", { atMs, names: [{ name: "taken", process: 1 }] }],
  "a trap after the exit": ["PROCESS_EXITED", { atMs, traps: [{ process: 2, on: true }] }],
  "a restore of no process": ["PROCESS_NOT_FOUND", { atMs, restores: [{ process: 9, life: 2, turn: 2, from: 1 }] }],
  "a state after the exit": ["PROCESS_EXITED", { atMs, states: [{ process: 2, state: "running", problem: "" }] }],
};

function testRefusals(setup: StoreSetup): void {
  for (const [what, [code, refused]] of Object.entries(refusals)) {
    ownerRule(setup, `a commit with ${what} is refused with ${code}, and nothing of it is kept`, async (store) => {
      await store.commit({ ...everything, newProcesses: [1, 2, 4].map((key) => process(key)) });
      await store.commit({ atMs, names: [{ name: "taken", process: 4 }] });
      await store.commit({ atMs, exits: [{ process: 2, exit }] });
      const before = await all(store);
      const batch: CommitBatch = {
        atMs,
        newProcesses: [process(3), ...(refused.newProcesses ?? [])],
        turns: refused.turns ?? [{ process: 1, turn: turn(2) }],
        operations: [operation(1, 1, { attempt: 2 }), operation(1, 2)],
        timers: [timer(1, 2)],
        timersGone: [{ process: 1, number: 1 }],
        inbox: [{ process: 1, input: message, atMs }],
        logs: [log(1, 2, "lost")],
        states: [{ process: 1, state: "crashed", problem: "", exit }, ...(refused.states ?? [])],
        traps: [{ process: 1, on: true }, ...(refused.traps ?? [])],
        links: [{ a: 1, b: 4 }],
        monitors: [monitor(1, 1, 4)],
        names: [{ name: "lost", process: 1 }, ...(refused.names ?? [])],
        groups: [{ name: "lost", process: 1 }],
        checkpoints: [checkpoint(1, 1)],
        restores: [{ process: 1, life: 2, turn: 2, from: 0 }, ...(refused.restores ?? [])],
        deadLetters: [deadLetter(1, "lost")],
        exits: refused.exits ?? [],
      };
      await assert.rejects(store.commit(batch), { code });
      assert.deepEqual(await all(store), before);
      await store.commit({ atMs, turns: [{ process: 1, turn: turn(2) }] });
      assert.equal(await store.lastTurn(1), 2);
    });
  }
}

function testAtomicity(setup: StoreSetup): void {
  testRefusals(setup);

  ownerRule(setup, "what was committed is there after a crash", async (store, { crash, open }) => {
    await store.commit(everything);
    const before = await all(store);
    await crash(store);
    const next = await open();
    await next.claim(atMs);
    assert.deepEqual(await all(next), before);
  });

  ownerRule(setup, "commits apply in the order of the calls, without waiting for one another", async (store) => {
    await store.commit(everything);
    const numbers = Array.from({ length: 20 }, (_, i) => i + 2);
    await Promise.all(numbers.map((number) => store.commit({ atMs, turns: [{ process: 1, turn: turn(number) }] })));
    assert.deepEqual(
      await store.turns(1, 2, 20),
      numbers.map((number) => turn(number)),
    );
  });

  ownerRule(setup, "a commit that fails does not hold up the ones behind it", async (store) => {
    await store.commit(everything);
    const results = await Promise.allSettled([
      store.commit({ atMs, turns: [{ process: 1, turn: turn(1) }] }),
      store.commit({ atMs, turns: [{ process: 1, turn: turn(2) }] }),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ["rejected", "fulfilled"],
    );
  });

  ownerRule(setup, "an empty commit is a commit", async (store) => {
    assert.deepEqual(await store.commit({ atMs }), { inboxSeqs: [], superseded: [] });
  });
}

function testContents(setup: StoreSetup): void {
  ownerRule(setup, "a turn comes back as it was: every kind of input and command", async (store) => {
    const written = turn(1, {
      inputs: everyInput,
      commands: [
        { kind: "send", target: "", digest: "ffffffffffffffff" },
        { kind: "exit", target: "é", digest: "0000000000000000" },
      ],
    });
    await store.commit({ atMs, newProcesses: [process(1)], turns: [{ process: 1, turn: written }] });
    assert.deepEqual(await store.turns(1, 1, 1), [written]);
  });

  ownerRule(setup, "every field of a row comes back as it was", async (store) => {
    const chunks = [new Uint8Array([1, 2, 3])];
    const rows = {
      process: process(1, {
        pid: "é 'quoted' \"pid\"",
        entry: "a.ts#b",
        state: "broken",
        problem: "why\nso",
        parent: 'the "parent"',
        label: "é",
        role: "server",
        restarts: 3,
        needs: "gpu",
        held: true,
        trapsExits: true,
        life: 1,
      }),
      operation: operation(1, 4, {
        args: { text: "v[]", chunks },
        options: '{"a":"b"}',
        state: "quarantined",
        attempt: 3,
        notBeforeMs: startMs + 0.25,
        startedAtMs: startMs + 7,
        deaths: 5,
        lastError: "Error: no\n  at line 1",
      }),
      timer: timer(1, 2, { clock: "service", dueMs: startMs + 1e15 + 0.5 }),
      log: { ...log(1, 1, "a\u0000b 🙂"), level: "error" as const },
    };
    await store.commit({
      atMs,
      newProcesses: [rows.process],
      operations: [rows.operation],
      timers: [rows.timer, timer(1, 3, { dueMs: 1e300 }), timer(1, 4, { dueMs: -1 })],
      logs: [rows.log],
    });
    const load = await store.load(1);
    assert.deepEqual(load.process, rows.process);
    assert.deepEqual(load.operations, [rows.operation]);
    assert.deepEqual(load.timers, [rows.timer, timer(1, 3, { dueMs: 1e300 }), timer(1, 4, { dueMs: -1 })]);
    assert.deepEqual(await store.logs(1, 0, 1), [{ seq: 1, ...rows.log }]);
  });

  ownerRule(setup, "values of megabytes come back as they were", async (store) => {
    const value = { text: `j"${"é".repeat(1 << 20)}"`, chunks: [new Uint8Array(3 << 20).fill(9)] };
    const large = turn(1, { inputs: [{ kind: "result", operation: 1, ok: true, value }] });
    await store.commit({
      atMs,
      newProcesses: [process(1)],
      turns: [{ process: 1, turn: large }],
      operations: [operation(1, 1, { args: value })],
    });
    assert.deepEqual(await store.turns(1, 1, 1), [large]);
    assert.deepEqual((await store.operations(1))[0]?.args, value);
  });
}

function testUpserts(setup: StoreSetup): void {
  ownerRule(setup, "an operation or a timer that exists is replaced whole", async (store) => {
    await store.commit({ atMs, newProcesses: [process(1)], operations: [operation(1, 1)], timers: [timer(1, 1)] });
    const changed = operation(1, 1, {
      name: "other",
      attempt: 2,
      startedAtMs: startMs,
      lastError: "no",
      args: { text: "u" },
    });
    const moved = timer(1, 1, { clock: "service", dueMs: 5 });
    await store.commit({ atMs, operations: [changed], timers: [moved] });
    await store.commit({ atMs, operations: [changed], timers: [moved] });
    assert.deepEqual(await store.operations(1), [changed]);
    assert.deepEqual(await store.timers(1), [moved]);
    assert.deepEqual(await store.dueTimers("wall", 0, Infinity, 10), []);
    assert.deepEqual(await store.dueTimers("service", 0, Infinity, 10), [moved]);
  });

  ownerRule(setup, "removing what is not there does nothing", async (store) => {
    await store.commit(everything);
    const before = await all(store);
    const gone = [
      { process: 1, number: 99 },
      { process: 99, number: 1 },
    ];
    await store.commit({ atMs, operationsGone: gone, timersGone: gone, inboxGone: [99] });
    assert.deepEqual(await all(store), before);
  });

  ownerRule(
    setup,
    "what one commit both puts and removes is gone afterwards, but an inbox row put is kept",
    async (store) => {
      await store.commit({
        atMs,
        newProcesses: [process(1)],
        operations: [operation(1, 1), operation(1, 2)],
        operationsGone: [{ process: 1, number: 1 }],
        timers: [timer(1, 1), timer(1, 2)],
        timersGone: [{ process: 1, number: 1 }],
        inboxGone: [1, 2],
        inbox: [{ process: 1, input: message, atMs }],
      });
      const { operations, timers, inbox } = await store.load(1);
      assert.deepEqual(
        [operations.map((row) => row.number), timers.map((row) => row.number), inbox.length],
        [[2], [2], 1],
      );
    },
  );
}

function testStates(setup: StoreSetup): void {
  ownerRule(setup, "a state and its problem change together", async (store) => {
    await store.commit({ atMs, newProcesses: [process(1)] });
    await store.commit({ atMs, states: [{ process: 1, state: "broken", problem: "diverged" }] });
    assert.deepEqual(await store.getProcess(1), process(1, { state: "broken", problem: "diverged" }));
    await store.commit({ atMs, states: [{ process: 1, state: "running", problem: "" }] });
    assert.deepEqual(await store.getProcess(1), process(1));
  });

  ownerRule(
    setup,
    "an exit removes operations, timers, inbox and snapshots of its process alone; journal and log stay",
    async (store) => {
      const of = (key: number): Omit<CommitBatch, "atMs"> => ({
        newProcesses: [process(key)],
        turns: [{ process: key, turn: turn(1) }],
        operations: [operation(key, 1)],
        timers: [timer(key, 1), timer(key, 2, { clock: "service" })],
        inbox: [{ process: key, input: message, atMs }],
        logs: [log(key, 1, "said")],
        snapshots: [snapshot(key, 1)],
      });
      await store.commit({ atMs, ...of(1) });
      await store.commit({ atMs, ...of(2) });
      const other = await store.load(2);
      const ended = { ...exit, reason: "error" as const, value: { text: "v[]", chunks: [new Uint8Array(2)] } };
      await store.commit({ atMs, exits: [{ process: 1, exit: ended }] });
      assert.deepEqual(await store.load(1), {
        process: process(1, { state: "exited", exit: ended }),
        snapshots: [],
        operations: [],
        timers: [],
        inbox: [],
        links: [],
        monitors: [],
        watchers: [],
        checkpoint: undefined,
        restores: [],
        lastTurn: 1,
        lastTimeMs: turn(1).timeMs,
      });
      assert.deepEqual(await store.turns(1, 1, 9), [turn(1)]);
      assert.equal((await store.logs(1, 0, 9)).length, 1);
      assert.deepEqual(await store.load(2), other);
    },
  );

  ownerRule(setup, "an exit also removes what its own commit put before it", async (store) => {
    await store.commit({ ...everything, exits: [{ process: 1, exit }], snapshots: [] });
    const { operations, timers, inbox, snapshots, process: row } = await store.load(1);
    assert.deepEqual([operations, timers, inbox, snapshots, row.exit], [[], [], [], [], exit]);
    assert.deepEqual(await store.recover(), { operations: [], withInbox: [], damaged: [] });
  });
}

function testSnapshots(setup: StoreSetup): void {
  ownerRule(setup, "the two newest snapshots of each process are kept, newest first", async (store) => {
    await store.commit({ atMs, newProcesses: [process(1), process(2)], snapshots: [snapshot(2, 1)] });
    const kept: number[][] = [];
    for (const number of [3, 5, 8, 13]) {
      await store.commit({ atMs, snapshots: [snapshot(1, number)] });
      kept.push((await store.load(1)).snapshots.map((row) => row.turn));
    }
    assert.deepEqual(kept, [[3], [5, 3], [8, 5], [13, 8]]);
    assert.deepEqual((await store.load(1)).snapshots[0], { turn: 13, body: snapshot(1, 13).body });
    assert.equal((await store.load(2)).snapshots.length, 1);
  });

  ownerRule(setup, "newest goes by turn, not by time of writing, and the same turn again replaces", async (store) => {
    await store.commit({
      atMs,
      newProcesses: [process(1)],
      snapshots: [snapshot(1, 9), snapshot(1, 4), snapshot(1, 6)],
    });
    await store.commit({ atMs, snapshots: [snapshot(1, 9, 77)] });
    assert.deepEqual((await store.load(1)).snapshots, [
      { turn: 9, body: snapshot(1, 9, 77).body },
      { turn: 6, body: snapshot(1, 6).body },
    ]);
  });
}
