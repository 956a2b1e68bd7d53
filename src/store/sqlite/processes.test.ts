/** Several operating system processes on one store, and what is left when they are killed. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { execPath } from "node:process";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { message, process, program, startMs, turn } from "../suite/samples.ts";
import { scratchTest } from "../suite/scratch.ts";
import { openSqliteStore } from "./index.ts";

interface Child {
  readonly child: ChildProcess;
  /** The next line it prints; undefined at its end. */
  line(): Promise<string | undefined>;
  kill(): Promise<void>;
}

/** Runs `code` in another process; it has `openSqliteStore`, `path`, `say` and the samples. */
function run(t: TestContext, path: string, code: string): Child {
  const url = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href);
  const source = `
    import { writeSync } from "node:fs";
    import { openSqliteStore } from ${url("./index.ts")};
    import { message, process as processRow, program, snapshot, startMs, turn } from ${url("../suite/samples.ts")};
    const path = ${JSON.stringify(path)};
    const say = (line) => {
      for (;;) {
        try {
          return writeSync(1, line + "\\n");
        } catch (error) {
          // The pipe does not block: while it is full, try again.
          if (error.code !== "EAGAIN") throw error;
        }
      }
    };
    ${code}`;
  const child = spawn(execPath, ["--input-type=module", "--eval", source], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const exited = once(child, "exit");
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
  };
  t.after(kill);
  return {
    child,
    kill,
    line: async () => (await lines.next()).value,
  };
}

const claimAndWait = `
  const store = await openSqliteStore(path);
  await store.claim(startMs);
  say("claimed");
  process.stdin.resume();`;

scratchTest(
  "a store owned by another OS process is STORE_IN_USE with that process's id, until it is killed",
  async (scratch, t) => {
    const owner = run(t, scratch.path, claimAndWait);
    assert.equal(await owner.line(), "claimed");
    const store = await scratch.open();
    await assert.rejects(store.claim(startMs), (error: Error & { code: string; details: Record<string, unknown> }) => {
      assert.equal(error.code, "STORE_IN_USE");
      assert.equal(error.details["ownerPid"], owner.child.pid);
      assert.match(error.message, new RegExp(`${scratch.path}.*process ${owner.child.pid} on `));
      return true;
    });
    await owner.kill();
    const lease = await store.claim(startMs);
    assert.deepEqual([lease.incarnation, lease.cleanShutdown], [2, false]);
  },
);

scratchTest("another OS process is refused, and what it posts is noticed", async (scratch, t) => {
  const store = await scratch.open();
  await store.claim(startMs);
  await store.putProgram(program, []);
  await store.commit({ atMs: startMs, newProcesses: [process(1)] });
  await store.changedByOthers();
  const other = run(
    t,
    scratch.path,
    `const store = await openSqliteStore(path);
     say(await store.claim(startMs).catch((error) => error.code));
     const reader = await openSqliteStore(path, { mode: "reader" });
     for (let i = 0; i < 3; i++) await reader.post("p1", message, startMs + i);
     say("posted");`,
  );
  assert.equal(await other.line(), "STORE_IN_USE");
  assert.equal(await other.line(), "posted");
  assert.equal(await store.changedByOthers(), true);
  assert.deepEqual(
    (await store.inboxAfter(0, 10)).map((row) => [row.input, row.atMs]),
    [0, 1, 2].map((i) => [message, startMs + i]),
  );
  await other.kill();
});

/** Each commit holds two turns of each of 20 processes, a row of the log and a snapshot. */
const commitForEver = `
  const store = await openSqliteStore(path);
  await store.claim(startMs);
  await store.putProgram(program, []);
  const keys = Array.from({ length: 20 }, (_, i) => i + 1);
  await store.commit({ atMs: startMs, newProcesses: keys.map((key) => processRow(key)) });
  for (let last = 0; ; last += 2) {
    await store.commit({
      atMs: startMs,
      turns: keys.flatMap((key) => [last + 1, last + 2].map((number) => ({ process: key, turn: turn(number) }))),
      logs: [{ process: 1, turn: last + 1, atMs: startMs, level: "info", text: String(last + 2) }],
      snapshots: [{ ...snapshot(1, last + 2), body: new Uint8Array(20_000).fill(last) }],
    });
    say(String(last + 2));
  }`;

for (const commits of [1, 10, 150]) {
  scratchTest(
    `an owner killed after ${commits} reported commits has lost none of them and left no half`,
    async (scratch, t) => {
      const owner = run(t, scratch.path, commitForEver);
      let reported = 0;
      for (let i = 0; i < commits; i++) reported = Number(await owner.line());
      await owner.kill();
      // What it had printed before it died was committed too.
      for (let line = await owner.line(); line !== undefined; line = await owner.line()) reported = Number(line);
      assert.ok(reported >= commits * 2);

      const store = await scratch.open();
      assert.equal((await store.claim(startMs)).cleanShutdown, false);
      const last = await store.lastTurn(1);
      assert.ok(last >= reported && last <= reported + 2 && last % 2 === 0, `${last} turns, ${reported} reported`);
      for (let key = 1; key <= 20; key++) {
        const turns = await store.turns(key, 1, Infinity);
        assert.equal(turns.length, last);
        assert.deepEqual(turns.at(-1), turn(last));
      }
      assert.equal((await store.logs(1, 0, Infinity)).at(-1)?.text, String(last));
      assert.deepEqual(
        (await store.load(1)).snapshots.map((row) => row.turn),
        [last, last - 2].filter((number) => number > 0),
      );
      await store.commit({ atMs: startMs, turns: [{ process: 1, turn: turn(last + 1) }] });
      assert.deepEqual(scratch.byHand("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
    },
  );
}

scratchTest(
  "posts of an OS process killed among them are whole, and the owner goes on beside them",
  async (scratch, t) => {
    const store = await scratch.open();
    await store.claim(startMs);
    await store.putProgram(program, []);
    await store.commit({ atMs: startMs, newProcesses: [process(1)] });
    const poster = run(
      t,
      scratch.path,
      `const reader = await openSqliteStore(path, { mode: "reader" });
     for (let i = 1; ; i++) { await reader.post("p1", message, startMs); say(String(i)); }`,
    );
    let posted = 0;
    for (let number = 1; number <= 40; number++) {
      posted = Number(await poster.line());
      await store.commit({ atMs: startMs, turns: [{ process: 1, turn: turn(number) }] });
    }
    await poster.kill();
    for (let line = await poster.line(); line !== undefined; line = await poster.line()) posted = Number(line);
    const rows = await store.inboxAfter(0, Infinity);
    assert.ok(rows.length === posted || rows.length === posted + 1, `${rows.length} rows, ${posted} reported`);
    assert.ok(rows.every((row) => row.process === 1));
    assert.deepEqual(rows[0]?.input, message);
    assert.equal(await store.lastTurn(1), 40);
  },
);

scratchTest(
  "a claimed store stays claimed when nobody refers to it any more and the garbage collector comes",
  async (scratch) => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    await (await openSqliteStore(scratch.path)).claim(startMs);
    for (let i = 0; i < 5; i++) {
      collect();
      await setImmediate();
    }
    await assert.rejects((await scratch.open()).claim(startMs), { code: "STORE_IN_USE" });
  },
);
