/** An older copy in the place of a store is noticed, and nothing else is taken for one. */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { migrate } from "../migration/run.ts";
import { message, process, program, startMs } from "../suite/samples.ts";
import { scratchTest } from "../suite/scratch.ts";
import type { Scratch } from "../suite/scratch.ts";
import { openSqliteMover } from "./index.ts";
import { seenPath } from "./seen.ts";

const restored = { code: "STORE_RESTORED", message: /older than it has been.*perdure accept-restored/ };

/** A store that goes on after a copy of it was made, in one tenure. Returns the copy. */
async function outlive(scratch: Scratch): Promise<string> {
  const store = await scratch.open();
  await store.claim(startMs);
  await store.putProgram(program, []);
  const copy = join(scratch.folder, "copy.db");
  scratch.byHand("VACUUM INTO ?", copy);
  await store.commit({ atMs: startMs, newProcesses: [process(1)] });
  await store.renew(startMs + 1);
  await store.release(startMs + 2);
  await store.close();
  return copy;
}

function putBack(scratch: Scratch, copy: string): void {
  for (const suffix of ["-wal", "-shm"]) rmSync(scratch.path + suffix, { force: true });
  copyFileSync(copy, scratch.path);
}

scratchTest("an older copy is not claimed, but read, until somebody accepts it", async (scratch) => {
  putBack(scratch, await outlive(scratch));
  const before: Buffer[] = [];
  for (let time = 0; time < 2; time++) {
    const store = await scratch.open();
    await assert.rejects(store.claim(startMs), restored);
    await store.close();
    before.push(readFileSync(scratch.path));
  }
  assert.deepEqual(before[1], before[0]);
  const reader = await scratch.open({ mode: "reader" });
  assert.equal(await reader.findProcess("p1"), undefined);
  await reader.close();
  const accepted = await scratch.open({ acceptRestored: true });
  await accepted.claim(startMs);
  await accepted.release(startMs);
  await accepted.close();
  await (await scratch.open()).claim(startMs);
});

scratchTest("a tenure that went on after the copy is enough, without a release", async (scratch) => {
  const store = await scratch.open();
  await store.claim(startMs);
  const copy = join(scratch.folder, "copy.db");
  scratch.byHand("VACUUM INTO ?", copy);
  await store.renew(startMs + 1);
  // As after kill -9: nothing is released.
  await store.close();
  putBack(scratch, copy);
  await assert.rejects((await scratch.open()).claim(startMs), restored);
});

scratchTest(
  "a store that was left by a crash, or moved, or whose memory is lost or spoiled, is claimed",
  async (scratch) => {
    const store = await scratch.open();
    await store.claim(startMs);
    await store.putProgram(program, []);
    await store.renew(startMs + 1);
    await store.commit({
      atMs: startMs + 2,
      newProcesses: [process(1)],
      inbox: [{ process: 1, input: message, atMs: startMs }],
    });
    await store.close();
    for (const spoil of [
      () => undefined,
      () => rmSync(seenPath(scratch.path)),
      () => writeFileSync(seenPath(scratch.path), "\0\0\0\0"),
      () => writeFileSync(seenPath(scratch.path), "another-store 1000000\n"),
      () => {
        rmSync(seenPath(scratch.path));
        mkdirSync(seenPath(scratch.path));
      },
    ]) {
      spoil();
      const next = await scratch.open();
      await next.claim(startMs);
      await next.close();
    }
  },
);

async function moveAway(from: string, to: string): Promise<void> {
  const [source, target] = [await openSqliteMover(from, { create: false }), await openSqliteMover(to)];
  try {
    await migrate(source, target, { id: from, nowMs: startMs });
  } finally {
    await source.close();
    await target.close();
  }
}

scratchTest("a copy from before a store was moved is not claimed in its place, nor moved", async (scratch) => {
  const store = await scratch.open();
  await store.claim(startMs);
  await store.release(startMs);
  await store.close();
  const copy = join(scratch.folder, "copy.db");
  scratch.byHand("VACUUM INTO ?", copy);
  await moveAway(scratch.path, join(scratch.folder, "there.db"));
  putBack(scratch, copy);
  await assert.rejects((await scratch.open()).claim(startMs), restored);
  await assert.rejects(moveAway(scratch.path, join(scratch.folder, "elsewhere.db")), restored);
});

scratchTest("a store that comes back to where it had been is not taken for an older copy", async (scratch) => {
  const there = join(scratch.folder, "there.db");
  const store = await scratch.open();
  await store.claim(startMs);
  await store.renew(startMs);
  await store.release(startMs);
  await store.close();
  await moveAway(scratch.path, there);
  for (const suffix of ["", "-wal", "-shm"]) rmSync(scratch.path + suffix, { force: true });
  await moveAway(there, scratch.path);
  await (await scratch.open()).claim(startMs);
});
