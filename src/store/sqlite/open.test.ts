import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { mock } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  deadLetter,
  exit,
  message,
  monitor,
  operation,
  process,
  program,
  startMs,
  timer,
  turn,
} from "../suite/samples.ts";
import { scratchTest } from "../suite/scratch.ts";
import type { Scratch } from "../suite/scratch.ts";
import { applicationId } from "./schema.ts";

async function makeStore(scratch: Scratch): Promise<void> {
  const store = await scratch.open();
  await store.claim(startMs);
  await store.putProgram(program, []);
  await store.commit({
    atMs: startMs,
    newProcesses: [process(1)],
    turns: [{ process: 1, turn: turn(1) }],
    operations: [operation(1, 1)],
    timers: [timer(1, 1)],
    inbox: [{ process: 1, input: message, atMs: startMs }],
    logs: [{ process: 1, turn: 1, atMs: startMs, level: "info", text: "hi" }],
  });
  await store.release(startMs);
  await store.close();
}

scratchTest("a missing folder is STORE_NOT_FOUND and the message names both", async (scratch) => {
  const path = join(scratch.folder, "no", "store.db");
  await assert.rejects(scratch.open({}, path), { code: "STORE_NOT_FOUND", message: new RegExp(`${path}.*no folder`) });
});

scratchTest("a missing or empty file is STORE_NOT_FOUND for who may not create it", async (scratch) => {
  for (const options of [{ mode: "reader" }, { create: false }] as const) {
    await assert.rejects(scratch.open(options), { code: "STORE_NOT_FOUND", message: /there is no such file/ });
  }
  writeFileSync(scratch.path, "");
  await assert.rejects(scratch.open({ mode: "reader" }), { code: "STORE_NOT_FOUND", message: /the file is empty/ });
  new DatabaseSync(scratch.path).exec("PRAGMA journal_mode = WAL");
  await assert.rejects(scratch.open({ mode: "reader" }), { code: "STORE_NOT_FOUND", message: /the database is empty/ });
  assert.equal((await (await scratch.open()).claim(startMs)).incarnation, 1);
});

scratchTest("whoever creates the store at the same time is waited for", async (scratch) => {
  // What SQLite refuses at once, whatever its timeout: to make a log for a file that another connection is writing.
  const other = new DatabaseSync(scratch.path);
  other.exec("BEGIN IMMEDIATE");
  const opening = scratch.open();
  await sleep(50);
  other.exec("ROLLBACK");
  other.close();
  assert.equal((await (await opening).claim(startMs)).incarnation, 1);
});

scratchTest("a path that can be no file's is ARGUMENT_INVALID", async (scratch) => {
  await assert.rejects(scratch.open({}, ""), { code: "ARGUMENT_INVALID" });
  await assert.rejects(scratch.open({}, `${scratch.path}\0`), { code: "ARGUMENT_INVALID" });
});

scratchTest("a folder is STORE_UNREADABLE", async (scratch) => {
  mkdirSync(scratch.path);
  await assert.rejects(scratch.open(), { code: "STORE_UNREADABLE", message: /it is no file/ });
});

scratchTest("a file that is no database is STORE_UNREADABLE and stays as it is", async (scratch) => {
  for (const content of ["hello", "# notes\n".repeat(2000)]) {
    writeFileSync(scratch.path, content);
    await assert.rejects(scratch.open(), { code: "STORE_UNREADABLE", message: /not a Perdure store/ });
    assert.equal(readFileSync(scratch.path, "utf8"), content);
  }
});

scratchTest("another program's database is STORE_UNREADABLE and stays as it is", async (scratch) => {
  scratch.byHand("CREATE TABLE process (key INTEGER PRIMARY KEY)");
  const before = readFileSync(scratch.path);
  await assert.rejects(scratch.open(), { code: "STORE_UNREADABLE", message: /another program's database/ });
  assert.deepEqual(readFileSync(scratch.path), before);
});

scratchTest("a store of a newer release is STORE_NEWER and stays as it is", async (scratch) => {
  await makeStore(scratch);
  scratch.byHand("PRAGMA user_version = 2");
  const before = readFileSync(scratch.path);
  await assert.rejects(scratch.open(), { code: "STORE_NEWER", message: /schema 2, this one knows 1/ });
  assert.deepEqual(readFileSync(scratch.path), before);
});

scratchTest("a store carries its application id and schema version in the file's header", async (scratch) => {
  await makeStore(scratch);
  const header = readFileSync(scratch.path);
  assert.equal(header.readUInt32BE(68), applicationId);
  assert.equal(header.readUInt32BE(60), 1);
});

scratchTest("every path to a file leads to the same lock", async (scratch) => {
  await makeStore(scratch);
  const link = join(scratch.folder, "link.db");
  symlinkSync(scratch.path, link);
  await (await scratch.open()).claim(startMs);
  await assert.rejects((await scratch.open({}, link)).claim(startMs), { code: "STORE_IN_USE" });
});

scratchTest("a reader may not write, except for posting", async (scratch) => {
  await makeStore(scratch);
  const reader = await scratch.open({ mode: "reader" });
  const refused = { code: "ARGUMENT_INVALID", message: /mode "reader"/ };
  await assert.rejects(reader.claim(startMs), refused);
  await assert.rejects(reader.renew(startMs), refused);
  await assert.rejects(reader.release(startMs), refused);
  await assert.rejects(reader.commit({ atMs: startMs }), refused);
  await assert.rejects(reader.putProgram(program, []), refused);
  await assert.rejects(reader.putBlob("x", new Uint8Array(1)), refused);
  await reader.post("p1", message, startMs);
});

scratchTest("the views of relations and dead letters show pids", async (scratch) => {
  const store = await scratch.open();
  await store.claim(startMs);
  await store.putProgram(program, []);
  const child = process(2, { parent: "p1", label: "till", role: "server", restarts: 3 });
  await store.commit({
    atMs: startMs,
    newProcesses: [process(1), child],
    states: [{ process: 2, state: "crashed", problem: "", exit: { ...exit, reason: "trap" } }],
    links: [{ a: 2, b: 1 }],
    monitors: [monitor(2, 7, 1)],
    names: [{ name: "bank", process: 1 }],
    groups: [{ name: "tills", process: 2 }],
    deadLetters: [deadLetter(2, "poison")],
  });
  assert.partialDeepStrictEqual(scratch.byHand("SELECT * FROM v_process ORDER BY key"), [
    { pid: "p1", parent: null, label: "", role: "", restarts: 0 },
    {
      ...{ pid: "p2", parent: "p1", label: "till", role: "server", restarts: 3 },
      ...{ state: "crashed", exited_at: null, exit_reason: "trap" },
    },
  ]);
  assert.deepEqual(scratch.byHand("SELECT * FROM v_link"), [{ pid: "p1", linked_to: "p2" }]);
  assert.deepEqual(scratch.byHand("SELECT * FROM v_monitor"), [{ pid: "p2", number: 7, watches: "p1" }]);
  assert.deepEqual(scratch.byHand("SELECT * FROM v_name"), [{ name: "bank", pid: "p1" }]);
  assert.deepEqual(scratch.byHand("SELECT * FROM v_group"), [{ name: "tills", pid: "p2" }]);
  assert.partialDeepStrictEqual(scratch.byHand("SELECT * FROM v_dead_letter"), [
    { seq: 1, pid: "p2", at: "2025-06-15 15:06:40.000", reason: "error" },
  ]);
});

scratchTest("the views show pids and readable times", async (scratch) => {
  await makeStore(scratch);
  const at = "2025-06-15 15:06:40";
  assert.partialDeepStrictEqual(scratch.byHand("SELECT * FROM v_process")[0], {
    pid: "p1",
    program: "/srv/app.ts",
    turns: 1,
    inbox: 1,
  });
  assert.partialDeepStrictEqual(scratch.byHand("SELECT * FROM v_turn")[0], { pid: "p1", turn: 1, at: `${at}.010` });
  assert.partialDeepStrictEqual(scratch.byHand("SELECT * FROM v_operation")[0], {
    pid: "p1",
    created_at: `${at}.001`,
    not_before: null,
  });
  assert.partialDeepStrictEqual(scratch.byHand("SELECT * FROM v_timer")[0], {
    pid: "p1",
    clock: "wall",
    due_at: "2025-06-15 15:06:41.000",
  });
  assert.partialDeepStrictEqual(scratch.byHand("SELECT * FROM v_inbox")[0], { pid: "p1", at: `${at}.000` });
  assert.partialDeepStrictEqual(scratch.byHand("SELECT * FROM v_log")[0], {
    pid: "p1",
    turn: 1,
    level: "info",
    text: "hi",
  });
});

scratchTest("an owner's commits are synced to the disk, newly made store or old one", async (scratch) => {
  for (const round of ["new", "old"]) {
    const prepare = mock.method(DatabaseSync.prototype, "prepare");
    const store = await scratch.open();
    const db = prepare.mock.calls.at(-1)?.this as DatabaseSync;
    prepare.mock.restore();
    const setting = (name: string): unknown => Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0];
    assert.equal(setting("synchronous"), 2, `${round}: FULL`);
    assert.equal(setting("journal_mode"), "wal", round);
    assert.equal(setting("fullfsync"), 1, round);
    assert.equal(setting("checkpoint_fullfsync"), 1, round);
    await store.close();
  }
});
