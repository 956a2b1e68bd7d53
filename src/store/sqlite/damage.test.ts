import assert from "node:assert/strict";
import { copyFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { isPerdureError } from "../../base/errors.ts";
import type { Turn } from "../../journal/types.ts";
import type { ProcessLoad, Store } from "../port.ts";
import {
  checkpoint,
  deadLetter,
  edge,
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
} from "../suite/samples.ts";
import { Scratch, scratchTest } from "../suite/scratch.ts";

const turnCount = 60;

/** Three processes with turns; the first has a row of everything, the second an operation too, the third has exited. */
async function makeStore(scratch: Scratch): Promise<void> {
  const store = await scratch.open();
  await store.claim(startMs);
  await store.putProgram(program, [{ hash: program.bundle, bytes: new Uint8Array(5000).fill(1) }]);
  await store.commit({ atMs: startMs, newProcesses: [process(1), process(2), process(3)] });
  for (let number = 1; number <= turnCount; number++) {
    await store.commit({ atMs: startMs, turns: [1, 2, 3].map((key) => ({ process: key, turn: turn(number) })) });
  }
  await store.commit({
    atMs: startMs,
    operations: [operation(1, 1), operation(2, 1)],
    timers: [timer(1, 1)],
    inbox: [{ process: 1, input: message, atMs: startMs }],
    links: [{ a: 1, b: 2 }],
    monitors: [monitor(1, 1, 2)],
    names: [{ name: "bank", process: 1 }],
    groups: [{ name: "tills", process: 1 }],
    checkpoints: [checkpoint(1, 4)],
    restores: [{ process: 1, life: 2, turn: 3, from: 1 }],
    deadLetters: [deadLetter(1, "poison")],
    exits: [{ process: 3, exit }],
    snapshots: [snapshot(1, 5)],
  });
  await store.release(startMs);
  await store.close();
}

const flippedJournal: Readonly<Record<string, string>> = {
  "a changed byte":
    "UPDATE journal SET body = CAST(substr(body, 1, 20) || x'2a' || substr(body, 22) AS BLOB) WHERE process = 2 AND turn = 7",
  "a body cut short": "UPDATE journal SET body = substr(body, 1, 9) WHERE process = 2 AND turn = 7",
  "another process's row":
    "UPDATE journal SET (crc, body) = (SELECT crc, body FROM journal WHERE process = 1 AND turn = 7) WHERE process = 2 AND turn = 7",
  "another turn's row":
    "UPDATE journal SET (crc, body) = (SELECT crc, body FROM journal WHERE process = 2 AND turn = 8) WHERE process = 2 AND turn = 7",
  "a missing row": "DELETE FROM journal WHERE process = 2 AND turn = 7",
};

for (const [what, sql] of Object.entries(flippedJournal)) {
  scratchTest(`${what} in the journal is JOURNAL_CORRUPT of that process and turn alone`, async (scratch) => {
    await makeStore(scratch);
    scratch.byHand(sql);
    const store = await scratch.open();
    await store.claim(startMs);
    await assert.rejects(store.turns(2, 1, 100), (error: unknown) => {
      assert.ok(isPerdureError(error, "JOURNAL_CORRUPT"));
      assert.match(error.message, /Turn 7 of process p2/);
      assert.partialDeepStrictEqual(error.details, { pid: "p2", process: 2, turn: 7, path: scratch.path });
      return true;
    });
    assert.equal((await store.turns(2, 1, 6)).length, 6);
    assert.equal((await store.turns(2, 8, 100)).length, turnCount - 7);
    assert.equal((await store.turns(1, 1, 100)).length, turnCount);
    assert.equal((await store.load(1)).lastTurn, turnCount);
  });
}

scratchTest("a damaged last turn is found by load, before anything is built on it", async (scratch) => {
  await makeStore(scratch);
  scratch.byHand("UPDATE journal SET crc = crc + 1 WHERE process = 2 AND turn = ?", turnCount);
  const store = await scratch.open();
  await assert.rejects(store.load(2), { code: "JOURNAL_CORRUPT" });
  assert.equal((await store.load(1)).lastTurn, turnCount);
});

scratchTest(
  "a damaged input or operation is JOURNAL_CORRUPT of its process, and recovery names it",
  async (scratch) => {
    await makeStore(scratch);
    scratch.byHand("UPDATE operation SET args = CAST(args || 'x' AS BLOB) WHERE process = 2");
    scratch.byHand("UPDATE inbox SET input = CAST(input || 'x' AS BLOB) WHERE process = 1");
    const store = await scratch.open();
    const { operations, damaged } = await store.recover();
    assert.deepEqual(operations, [operation(1, 1)]);
    assert.deepEqual(
      damaged.map((row) => row.process),
      [2],
    );
    assert.match(damaged[0]?.problem ?? "", /Operation 1 of process p2/);
    await assert.rejects(store.load(2), { code: "JOURNAL_CORRUPT" });
    await assert.rejects(store.inboxAfter(0, 10), {
      code: "JOURNAL_CORRUPT",
      message: /Waiting input 1 of process p1/,
    });
  },
);

for (const change of ["name = 'other.ts#pay'", "options = '{}'", "started_at_ms = 0", "number = 2"]) {
  scratchTest(`what an operation is, and whether it was begun, cannot change unseen: ${change}`, async (scratch) => {
    const store = await scratch.open();
    await store.claim(startMs);
    await store.putProgram(program, [{ hash: program.bundle, bytes: new Uint8Array(1) }]);
    const operations = [operation(1, 1, { startedAtMs: startMs })];
    await store.commit({ atMs: startMs, newProcesses: [process(1)], operations });
    assert.deepEqual(await store.operations(1), operations);
    await store.close();
    scratch.byHand(`UPDATE operation SET ${change}`);
    await assert.rejects((await scratch.open()).operations(1), { code: "JOURNAL_CORRUPT" });
  });
}

const flippedEdges: Readonly<Record<string, string>> = {
  "a changed answer": "UPDATE edge SET answer = CAST(answer || 'x' AS BLOB) WHERE key = 'paid'",
  "another key's answer":
    "UPDATE edge SET (crc, answer) = (SELECT crc, answer FROM edge WHERE key = 'sent') WHERE key = 'paid'",
  "a state that nobody gave it": "UPDATE edge SET state = 'open', answer = NULL WHERE key = 'paid'",
  "another process": "UPDATE edge SET process = 2 WHERE key = 'paid'",
};

for (const [what, sql] of Object.entries(flippedEdges)) {
  scratchTest(`${what} of a call with a key is JOURNAL_CORRUPT, and other keys are not affected`, async (scratch) => {
    await makeStore(scratch);
    const before = await scratch.open();
    await before.claim(startMs);
    const paid = edge(1, "paid");
    const { process: key, digest } = paid;
    const edgeEnds = [{ process: key, key: "paid", digest, state: "answered", answer: { text: "j1" } } as const];
    const edges = [paid, edge(1, "sent")].map((row) => ({ ...row, state: "open" }) as const);
    await before.commit({ atMs: startMs, edges, edgeEnds });
    await before.close();
    scratch.byHand(sql);
    const store = await scratch.open();
    const process = what === "another process" ? 2 : 1;
    await assert.rejects(store.edge(process, "paid"), (error: unknown) => {
      assert.ok(isPerdureError(error, "JOURNAL_CORRUPT"));
      assert.match(error.message, /asked under the key "paid" of process p\d/);
      return true;
    });
    assert.deepEqual(await store.edge(1, "sent"), edge(1, "sent"));
  });
}

const flippedLives: Readonly<Record<string, string>> = {
  "The checkpoint after turn 4": "UPDATE checkpoint SET body = CAST(body || 'x' AS BLOB)",
  "The checkpoint after turn 5": "UPDATE checkpoint SET turn = 5",
  "The restore at turn 3": "UPDATE restore SET from_turn = 2",
};

for (const [what, sql] of Object.entries(flippedLives)) {
  scratchTest(`a change to it is found when it is loaded: ${what} (${sql})`, async (scratch) => {
    await makeStore(scratch);
    scratch.byHand(sql);
    const store = await scratch.open();
    await assert.rejects(store.load(1), { code: "JOURNAL_CORRUPT", message: new RegExp(`^${what} of process p1`) });
    assert.equal((await store.load(2)).lastTurn, turnCount);
  });
}

scratchTest("a damaged dead letter is JOURNAL_CORRUPT, and can be told by its seq and removed", async (scratch) => {
  await makeStore(scratch);
  scratch.byHand("UPDATE dead_letter SET input = CAST(input || 'x' AS BLOB)");
  const store = await scratch.open();
  await store.claim(startMs);
  const damaged = { code: "JOURNAL_CORRUPT", message: /^Dead letter 1 of process p1/ };
  await assert.rejects(store.deadLetters(undefined, 0, 9), damaged);
  await assert.rejects(store.deadLetters(1, 0, 9), damaged);
  assert.deepEqual(await store.deadLetters(2, 0, 9), []);
  assert.equal((await store.load(1)).lastTurn, turnCount);
  await store.commit({ atMs: startMs, deadLettersGone: [1] });
  assert.deepEqual(await store.deadLetters(undefined, 0, 9), []);
});

scratchTest("a truncated store is STORE_CORRUPT, and the message says how to rescue it", async (scratch) => {
  await makeStore(scratch);
  const whole = readFileSync(scratch.path);
  for (const length of [whole.length - 4096, whole.length - 100, 8192, 4096, 1000, 50, 0]) {
    truncateSync(scratch.path, length);
    await assert.rejects(scratch.open(), { code: "STORE_CORRUPT", message: /restore a backup/ }, `cut to ${length}`);
    writeFileSync(scratch.path, whole);
  }
});

scratchTest("a store whose first page was overwritten is STORE_CORRUPT, not somebody else's file", async (scratch) => {
  await makeStore(scratch);
  const whole = readFileSync(scratch.path);
  writeFileSync(scratch.path, whole.fill(0x5a, 0, 4096));
  await assert.rejects(scratch.open(), { code: "STORE_CORRUPT" });
});

scratchTest("a header of an unknown format is STORE_CORRUPT, whichever of its two bytes it is", async (scratch) => {
  await makeStore(scratch);
  const whole = readFileSync(scratch.path);
  for (const at of [18, 19]) {
    for (const format of [0, 3, 130]) {
      writeFileSync(scratch.path, Buffer.concat([whole.subarray(0, at), Buffer.of(format), whole.subarray(at + 1)]));
      await assert.rejects(scratch.open(), { code: "STORE_CORRUPT", message: /restore a backup/ });
    }
  }
});

scratchTest("a page of garbage is STORE_CORRUPT when it is read", async (scratch) => {
  await makeStore(scratch);
  const whole = readFileSync(scratch.path);
  const root = scratch.byHand("SELECT rootpage FROM sqlite_schema WHERE name = 'timer'")[0]?.["rootpage"] as number;
  writeFileSync(scratch.path, whole.fill(0x5a, (root - 1) * 4096, root * 4096));
  const store = await scratch.open();
  await assert.rejects(store.timers(1), { code: "STORE_CORRUPT", message: new RegExp(scratch.path) });
  assert.equal((await store.turns(1, 1, 100)).length, turnCount);
});

test("a flipped bit anywhere never yields a wrong turn or argument, nor an error outside the catalogue", async () => {
  const scratch = new Scratch();
  try {
    await makeStore(scratch);
    const whole = readFileSync(scratch.path);
    const copy = join(scratch.folder, "flipped.db");
    copyFileSync(`${scratch.path}-lock`, `${copy}-lock`);
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length * 8 - 1), async (bit) => {
        const flipped = Buffer.from(whole);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        for (const rest of ["-wal", "-shm", "-seen"]) rmSync(`${copy}${rest}`, { force: true });
        writeFileSync(copy, flipped);
        await readAll(() => scratch.open({}, copy));
      }),
      { numRuns: 100 },
    );
  } finally {
    await scratch.dispose();
  }
});

async function readAll(open: () => Promise<Store>): Promise<void> {
  const opened = await tolerant(open);
  if (opened === undefined) return;
  await tolerant(() => opened.claim(startMs));
  for (const key of [1, 2, 3]) {
    checkTurns(await tolerant(() => opened.turns(key, 1, 100)));
    checkLives(await tolerant(() => opened.load(key)));
    await tolerant(() => opened.relations(key));
  }
  for (const letter of (await tolerant(() => opened.deadLetters(undefined, 0, 9))) ?? []) {
    assert.deepEqual(letter.input, deadLetter(1, "poison").input);
  }
  await tolerant(() => opened.names());
  await tolerant(() => opened.groups());
  const recovery = await tolerant(() => opened.recover());
  for (const row of recovery?.operations ?? []) assert.deepEqual(row.args, operation(row.process, row.number).args);
  await tolerant(() => opened.listProcesses({ limit: 10 }));
  await tolerant(() => opened.countProcesses());
  await tolerant(() => opened.dueTimers("wall", 0, Infinity, 10));
  await opened.close();
}

/** A flipped bit in an index can hide rows at the end; those that are shown are right and without gaps. */
function checkTurns(turns: readonly Turn[] = []): void {
  for (const [i, shown] of turns.entries()) assert.deepEqual(shown, turn(i + 1));
}

function checkLives(load: ProcessLoad | undefined): void {
  if (load === undefined) return;
  if (load.checkpoint !== undefined) assert.deepEqual(load.checkpoint, { turn: 4, body: checkpoint(1, 4).body });
  for (const row of load.restores) assert.deepEqual(row, { turn: 3, from: 1 });
}

/** Undefined if the store refused, in its own words. */
async function tolerant<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    assert.ok(isPerdureError(error), String(error));
    const codes = ["STORE_CORRUPT", "JOURNAL_CORRUPT", "STORE_UNREADABLE", "STORE_NEWER", "PROCESS_NOT_FOUND"];
    assert.ok(codes.includes(error.code), `${error.code}: ${error.message}`);
    return undefined;
  }
}
