/** Reading: by name and number, lists with filters and pages, journal, log, programs and blobs. */
import assert from "node:assert/strict";
import type { ProcessFilter, Store } from "../port.ts";
import { ownerRule } from "./fixture.ts";
import type { StoreSetup } from "./fixture.ts";
import { exit, log, process, program, startMs, turn } from "./samples.ts";

const atMs = startMs;

export function testReads(setup: StoreSetup): void {
  testFinding(setup);
  testLists(setup);
  testJournal(setup);
  testLogs(setup);
  testPrograms(setup);
  testHandles(setup);
}

const other = { ...program, hash: "a".repeat(64), createdAtMs: startMs - 5 };

/**
 * 1 running, 2 paused, 3 failed, 4 broken, 5 done, 6 running, 7 crashed; odd ones run `other`, from 4 on the entry is `refund`.
 * 1 spawned 2, 3 and 6, of which 2 and 6 are servers and 3 and 6 are called `till`.
 */
async function putProcesses(store: Store): Promise<void> {
  await store.putProgram(other, []);
  const rows = [1, 2, 3, 4, 5, 6, 7].map((key) =>
    process(key, {
      program: key % 2 === 1 ? other.hash : program.hash,
      entry: key >= 4 ? "refund" : "order",
      state: key === 2 ? "paused" : "running",
      parent: [2, 3, 6].includes(key) ? "p1" : "",
      label: [3, 6].includes(key) ? "till" : "",
      role: [2, 6].includes(key) ? "server" : "",
    }),
  );
  await store.commit({ atMs, newProcesses: rows });
  await store.commit({
    atMs,
    states: [
      { process: 4, state: "broken", problem: "diverged" },
      { process: 7, state: "crashed", problem: "", exit: { ...exit, reason: "trap" } },
    ],
    exits: [
      { process: 3, exit: { ...exit, reason: "error" } },
      { process: 5, exit },
    ],
  });
}

function testFinding(setup: StoreSetup): void {
  ownerRule(setup, "a process is found by pid and by key, and nobody by others", async (store) => {
    await store.commit({ atMs, newProcesses: [process(1), process(2, { pid: "P1" })] });
    assert.deepEqual(await store.findProcess("p1"), process(1));
    assert.deepEqual(await store.findProcess("P1"), process(2, { pid: "P1" }));
    assert.deepEqual(await store.getProcess(1), process(1));
    assert.equal(await store.findProcess("p"), undefined);
    assert.equal(await store.findProcess(""), undefined);
    assert.equal(await store.getProcess(3), undefined);
  });

  ownerRule(setup, "counts are by state, with zeros", async (store) => {
    assert.deepEqual(await store.countProcesses(), {
      running: 0,
      paused: 0,
      crashed: 0,
      broken: 0,
      moving: 0,
      exited: 0,
    });
    await putProcesses(store);
    assert.deepEqual(await store.countProcesses(), {
      running: 2,
      paused: 1,
      crashed: 1,
      broken: 1,
      moving: 0,
      exited: 2,
    });
  });
}

function testLists(setup: StoreSetup): void {
  const filters: readonly (readonly [Omit<ProcessFilter, "limit">, readonly number[]])[] = [
    [{}, [7, 6, 5, 4, 3, 2, 1]],
    [{ states: ["running"] }, [6, 1]],
    [{ states: ["paused", "broken"] }, [4, 2]],
    [{ states: ["exited"] }, [5, 3]],
    [{ states: [] }, []],
    [{ states: ["crashed"] }, [7]],
    [{ reasons: ["trap"] }, [7]],
    [{ reasons: ["trap"], states: ["exited"] }, []],
    [{ parent: "p1" }, [6, 3, 2]],
    [{ parent: "" }, [7, 5, 4, 1]],
    [{ parent: "p2" }, []],
    [{ label: "till" }, [6, 3]],
    [{ label: "Till" }, []],
    [{ role: "server" }, [6, 2]],
    [{ role: "" }, [7, 5, 4, 3, 1]],
    [{ parent: "p1", label: "till", role: "server", before: 7 }, [6]],
    [{ parent: "p1", before: 6 }, [3, 2]],
    [{ reasons: ["error"] }, [3]],
    [{ reasons: ["error", "normal"] }, [5, 3]],
    [{ reasons: ["killed"] }, []],
    [{ entry: "refund" }, [7, 6, 5, 4]],
    [{ entry: "REFUND" }, []],
    [{ program: other.hash }, [7, 5, 3, 1]],
    [{ program: "nothing" }, []],
    [{ before: 4 }, [3, 2, 1]],
    [{ before: 4, states: ["running", "exited"], entry: "order", program: other.hash, reasons: ["error"] }, [3]],
  ];
  ownerRule(setup, "lists hold what the filter says, newest first", async (store) => {
    await putProcesses(store);
    for (const [filter, keys] of filters) {
      const rows = await store.listProcesses({ ...filter, limit: 100 });
      assert.deepEqual(
        rows.map((row) => row.key),
        keys,
        JSON.stringify(filter),
      );
    }
  });

  ownerRule(setup, "pages of a list follow one another by the last key, under a filter too", async (store) => {
    await putProcesses(store);
    const pages: number[][] = [];
    for (let before = Infinity; ;) {
      const rows = await store.listProcesses({ limit: 2, before, states: ["running", "exited"] });
      if (rows.length === 0) break;
      pages.push(rows.map((row) => row.key));
      before = rows.at(-1)?.key ?? 0;
    }
    assert.deepEqual(pages, [
      [6, 5],
      [3, 1],
    ]);
    assert.deepEqual(await store.listProcesses({ limit: 0 }), []);
  });
}

function testJournal(setup: StoreSetup): void {
  ownerRule(setup, "turns come in order from any of them, at most as many as asked", async (store) => {
    const numbers = Array.from({ length: 1200 }, (_, i) => i + 1);
    await store.commit({
      atMs,
      newProcesses: [process(1), process(2)],
      turns: numbers.flatMap((number) => [
        { process: 1, turn: turn(number) },
        { process: 2, turn: turn(number, { commands: [] }) },
      ]),
    });
    const read = async (from: number, limit: number): Promise<number[]> =>
      (await store.turns(1, from, limit)).map(({ number }) => number);
    assert.deepEqual(await read(1, Infinity), numbers);
    assert.deepEqual(await read(0, 2), [1, 2]);
    assert.deepEqual(await read(700, 2), [700, 701]);
    assert.deepEqual(await read(1200, 10), [1200]);
    assert.deepEqual(await read(1201, 10), []);
    assert.deepEqual(await read(1, 0), []);
    assert.deepEqual(await store.turns(3, 1, 10), []);
    assert.equal(await store.lastTurn(1), 1200);
    assert.equal(await store.lastTurn(3), 0);
  });
}

function testLogs(setup: StoreSetup): void {
  ownerRule(
    setup,
    "log rows come in the order of their commit, of one process or of all, after a seq",
    async (store) => {
      await store.commit({ atMs, newProcesses: [process(1), process(2)], logs: [log(1, 1, "a"), log(2, 1, "b")] });
      await store.commit({ atMs, logs: [log(1, 2, "c"), log(1, 2, ""), log(2, 2, "d")] });
      const all = await store.logs(undefined, 0, 10);
      assert.deepEqual(
        all.map((row) => row.text),
        ["a", "b", "c", "", "d"],
      );
      assert.deepEqual(
        all.map((row) => row.seq),
        all.map((row) => row.seq).toSorted((a, b) => a - b),
      );
      assert.deepEqual(await store.logs(undefined, all[1]?.seq ?? 0, 2), all.slice(2, 4));
      assert.deepEqual(
        (await store.logs(1, 0, 10)).map((row) => row.text),
        ["a", "c", ""],
      );
      assert.deepEqual(await store.logs(1, all[2]?.seq ?? 0, 10), [all[3]]);
      assert.deepEqual(await store.logs(3, 0, 10), []);
      assert.deepEqual(await store.logs(undefined, 0, 0), []);
    },
  );
}

function testPrograms(setup: StoreSetup): void {
  ownerRule(setup, "a program and its blobs come back as they were, and others are not there", async (store) => {
    const bytes = new Uint8Array([0, 1, 255]);
    await store.putProgram(other, [
      { hash: "x", bytes },
      { hash: "empty", bytes: new Uint8Array(0) },
    ]);
    await store.putBlob("y", bytes);
    assert.deepEqual(await store.program(other.hash), other);
    assert.deepEqual(await store.blob("x"), bytes);
    assert.deepEqual(await store.blob("y"), bytes);
    assert.deepEqual(await store.blob("empty"), new Uint8Array(0));
    assert.equal(await store.program("x"), undefined);
    assert.equal(await store.blob("z"), undefined);
  });

  ownerRule(setup, "programs are listed newest first, and one that is put again counts as new", async (store) => {
    await store.putProgram(other, []);
    const hashes = async (): Promise<string[]> => (await store.programs()).map((row) => row.hash);
    assert.deepEqual(await hashes(), [program.hash, other.hash]);
    await store.commit({ atMs, newProcesses: [process(1, { program: other.hash })] });
    await store.putProgram({ ...other, file: "/moved.ts", createdAtMs: startMs + 5 }, []);
    assert.deepEqual(await hashes(), [other.hash, program.hash]);
    assert.equal((await store.program(other.hash))?.file, "/moved.ts");
    assert.equal((await store.getProcess(1))?.program, other.hash);
  });

  ownerRule(setup, "a blob put again takes the new bytes, so that a damaged one can be mended", async (store) => {
    await store.putBlob("x", new Uint8Array([1]));
    await store.putBlob("x", new Uint8Array([2, 2]));
    assert.deepEqual(await store.blob("x"), new Uint8Array([2, 2]));
  });
}

function testHandles(setup: StoreSetup): void {
  ownerRule(setup, "a reader sees every commit that has resolved", async (store, { openReader }) => {
    const reader = await openReader();
    await store.commit({ atMs, newProcesses: [process(1)], turns: [{ process: 1, turn: turn(1) }] });
    assert.deepEqual(await reader.findProcess("p1"), process(1));
    await store.commit({ atMs, turns: [{ process: 1, turn: turn(2) }] });
    assert.equal(await reader.lastTurn(1), 2);
    assert.deepEqual(await reader.programs(), [program]);
  });

  ownerRule(setup, "a closed handle refuses every call and may be closed again", async (store) => {
    await store.close();
    await store.close();
    await assert.rejects(store.lastTurn(1), { code: "STORE_FAILED" });
    await assert.rejects(store.commit({ atMs }), { code: "STORE_FAILED" });
  });
}
