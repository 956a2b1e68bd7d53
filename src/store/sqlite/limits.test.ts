/** The store's edges: a full disk, places that cannot be written, other programs' locks, and what rows cost. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, statSync } from "node:fs";
import { execPath, getuid } from "node:process";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import type { Store } from "../port.ts";
import { message, operation, process, program, snapshot, startMs, timer, turn } from "../suite/samples.ts";
import { Scratch, scratchTest } from "../suite/scratch.ts";

const atMs = startMs;

async function owner(scratch: Scratch, options = {}): Promise<Store> {
  const store = await scratch.open(options);
  await store.claim(atMs);
  await store.putProgram(program, []);
  return store;
}

async function sizeOf(scratch: Scratch, store: Store): Promise<number> {
  await store.release(atMs);
  await store.close();
  return statSync(scratch.path).size;
}

scratchTest(
  "a full store is STORE_FULL: the commit leaves nothing, what was there stays, and room heals it",
  async (scratch) => {
    const store = await owner(scratch, { maxSizeBytes: 400_000 });
    await store.commit({ atMs, newProcesses: [process(1)], turns: [{ process: 1, turn: turn(1) }] });
    const large = {
      atMs,
      turns: [{ process: 1, turn: turn(2) }],
      snapshots: [{ ...snapshot(1, 2), body: new Uint8Array(500_000) }],
    };
    await assert.rejects(store.commit(large), { code: "STORE_FULL", message: /everything committed is safe/ });
    assert.equal(await store.lastTurn(1), 1);
    await store.commit({ atMs, turns: [{ process: 1, turn: turn(2) }] });
    await store.close();
    const roomy = await scratch.open();
    await roomy.claim(atMs);
    assert.deepEqual(await roomy.turns(1, 1, 9), [turn(1), turn(2)]);
    await roomy.commit({ ...large, turns: [] });
    assert.equal((await roomy.load(1)).snapshots.length, 1);
  },
);

/** Fills a file system of its own to the brim; prints what happened as JSON. */
const fillDisk = (index: string, samples: string): string => `
  import { rmSync, writeFileSync } from "node:fs";
  import { openSqliteStore } from ${index};
  import { process, program, snapshot, startMs, turn } from ${samples};
  const path = "/mnt/store.db";
  const result = {};
  writeFileSync("/mnt/ballast", new Uint8Array(1 << 20));
  let store = await openSqliteStore(path);
  await store.claim(startMs);
  await store.putProgram(program, []);
  await store.commit({ atMs: startMs, newProcesses: [process(1)] });
  let last = 0;
  try {
    for (; last < 10_000; last++) {
      await store.commit({ atMs: startMs, turns: [{ process: 1, turn: turn(last + 1) }], snapshots: [{ ...snapshot(1, last + 1), body: new Uint8Array(30_000) }] });
    }
  } catch (error) {
    result.code = error.code;
  }
  result.kept = (await store.turns(1, 1, Infinity)).length === last && last > 0;
  await store.close();
  rmSync("/mnt/ballast");
  store = await openSqliteStore(path);
  await store.claim(startMs);
  await store.commit({ atMs: startMs, turns: [{ process: 1, turn: turn(last + 1) }] });
  result.healed = (await store.turns(1, 1, Infinity)).length === last + 1;
  console.log(JSON.stringify(result));`;

test("a full disk is STORE_FULL, and after room was made the store goes on with all it had", (t) => {
  const url = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href);
  const code = fillDisk(url("./index.ts"), url("../suite/samples.ts"));
  // A mount of its own that goes with the process.
  const shell = 'mount -t tmpfs -o size=4m tmpfs /mnt && exec "$0" --input-type=module --eval "$1"';
  const unshared = spawnSync("unshare", ["--mount", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]);
  if (unshared.status !== 0) return t.skip("needs the right to mount");
  const { stdout, stderr } = spawnSync("unshare", ["--mount", "sh", "-c", shell, execPath, code], {
    encoding: "utf8",
  });
  assert.deepEqual(JSON.parse(stdout || "null"), { code: "STORE_FULL", kept: true, healed: true }, stderr);
});

/** Opens stores as somebody without the rights to them; prints code and message of each refusal. */
const openPowerless = (index: string, paths: readonly string[]): string => `
  import { openSqliteStore } from ${index};
  if (process.getuid() === 0) process.setuid(65534);
  const refusals = [];
  for (const path of ${JSON.stringify(paths)}) {
    for (const mode of ["owner", "reader"]) {
      const error = await openSqliteStore(path, { mode }).then(() => undefined, (error) => error);
      refusals.push([error?.code, error?.message]);
    }
  }
  console.log(JSON.stringify(refusals));`;

test("places without the needed rights are refused to owners and readers alike, naming the path", async (t) => {
  if (getuid === undefined) return t.skip("the platform has no users");
  const cases: readonly (readonly [folderMode: number, fileMode: number, code: string])[] = [
    [0o555, 0o666, "STORE_READ_ONLY"],
    [0o777, 0o444, "STORE_READ_ONLY"],
    [0o777, 0o000, "STORE_UNREADABLE"],
  ];
  const scratches = cases.map(() => new Scratch());
  try {
    for (const [i, [folderMode, fileMode]] of cases.entries()) {
      const scratch = scratches[i] as Scratch;
      await sizeOf(scratch, await owner(scratch));
      chmodSync(scratch.path, fileMode);
      chmodSync(scratch.folder, folderMode);
    }
    const index = JSON.stringify(new URL("./index.ts", import.meta.url).href);
    const source = openPowerless(
      index,
      scratches.map(({ path }) => path),
    );
    const { stdout, stderr } = spawnSync(execPath, ["--input-type=module", "--eval", source], { encoding: "utf8" });
    const refusals = JSON.parse(stdout || "[]") as [string, string][];
    assert.deepEqual(
      refusals.map(([code]) => code),
      cases.flatMap(([, , code]) => [code, code]),
      stderr,
    );
    for (const [i, [, message]] of refusals.entries())
      assert.ok(message.includes(scratches[i >> 1]?.path ?? "?"), message);
  } finally {
    for (const scratch of scratches) {
      chmodSync(scratch.folder, 0o700);
      await scratch.dispose();
    }
  }
});

scratchTest(
  "a write that another program's transaction blocks too long fails with what to do, and leaves nothing",
  async (scratch) => {
    const store = await owner(scratch, { busyTimeoutMs: 20 });
    await store.commit({ atMs, newProcesses: [process(1)] });
    const shell = new DatabaseSync(scratch.path);
    shell.exec("BEGIN IMMEDIATE");
    const blocked = { code: "STORE_FAILED", message: /kept it locked too long.*try again/ };
    await assert.rejects(store.commit({ atMs, turns: [{ process: 1, turn: turn(1) }] }), blocked);
    await assert.rejects(store.post("p1", message, atMs), blocked);
    assert.equal(await store.lastTurn(1), 0);
    shell.exec("ROLLBACK");
    shell.close();
    await store.commit({ atMs, turns: [{ process: 1, turn: turn(1) }] });
  },
);

scratchTest("a reader holds nothing between its reads, so that the write-ahead log starts over", async (scratch) => {
  const store = await owner(scratch);
  await store.commit({ atMs, newProcesses: [process(1)], turns: [{ process: 1, turn: turn(1) }] });
  const reader = await scratch.open({ mode: "reader" });
  await reader.turns(1, 1, 10);
  await reader.listProcesses({ limit: 10 });
  await store.commit({ atMs, turns: [{ process: 1, turn: turn(2) }] });
  assert.deepEqual(scratch.byHand("PRAGMA wal_checkpoint(TRUNCATE)"), [{ busy: 0, log: 0, checkpointed: 0 }]);
  assert.equal((await reader.turns(1, 1, 10)).length, 2);
});

scratchTest("a step costs at most 150 bytes beyond its payload", async (scratch) => {
  const stepCount = 10_000;
  const keys = Array.from({ length: 100 }, (_, i) => i + 1);
  const store = await owner(scratch);
  await store.commit({
    atMs,
    newProcesses: keys.map((key) => process(key)),
    operations: keys.map((key) => operation(key, 1)),
  });
  const before = await sizeOf(scratch, store);
  const again = await scratch.open();
  await again.claim(atMs);
  for (let number = 1; number <= stepCount / keys.length; number++) {
    await again.commit({
      atMs,
      turns: keys.map((key) => ({ process: key, turn: turn(number) })),
      operations: keys.map((key) => operation(key, number + 1)),
      operationsGone: keys.map((key) => ({ process: key, number })),
    });
  }
  const bytes = ((await sizeOf(scratch, again)) - before) / stepCount;
  assert.ok(bytes <= 150, `${bytes} bytes a step`);
});

scratchTest("a sleeping process costs at most 1 KiB", async (scratch) => {
  const before = await sizeOf(scratch, await owner(scratch));
  const keys = Array.from({ length: 5000 }, (_, i) => i + 1);
  const store = await scratch.open();
  await store.claim(atMs);
  await store.commit({
    atMs,
    newProcesses: keys.map((key) => process(key, { pid: `01J8Z3K5V9N2QXT7R4M6W0${String(key).padStart(4, "0")}` })),
    turns: keys.map((key) => ({
      process: key,
      turn: turn(1, {
        inputs: [{ kind: "start", entry: "order", args: { text: `j["${key}"]` }, seed: new Uint8Array(32), env: {} }],
        commands: [{ kind: "timer", target: "1", digest: "00112233445566ff" }],
      }),
    })),
    timers: keys.map((key) => timer(key, 1)),
  });
  const bytes = ((await sizeOf(scratch, store)) - before) / keys.length;
  assert.ok(bytes <= 1024, `${bytes} bytes a process`);
});
