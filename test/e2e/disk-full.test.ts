/** A disk that really is full: a small file system of its own, where this user may mount one. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { inspectStore } from "./support/inspection.ts";
import { place } from "./support/place.ts";
import { receiptOf } from "./support/witness.ts";

const megabyte = 2 ** 20;

/** A folder that holds `sizeBytes`; undefined where this user may not mount. */
function smallDisk(t: TestContext, sizeBytes: number): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), "perdure-disk-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes}`, "tmpfs", folder], { stdio: "ignore" });
  } catch {
    rmSync(folder, { recursive: true });
    return undefined;
  }
  t.after(() => {
    execFileSync("umount", ["--lazy", folder]);
    rmSync(folder, { recursive: true });
  });
  return folder;
}

test("a full disk stops the engine with STORE_FULL; when there is space again everything goes on", async (t) => {
  const folder = smallDisk(t, 32 * megabyte);
  if (folder === undefined) return t.skip("this user may not mount a file system");
  const { store, witness, node } = await place(t, join(folder, "data"));
  const ballast = join(folder, "ballast");
  writeFileSync(ballast, Buffer.alloc(20 * megabyte));

  const rounds = 40;
  const first = await node();
  await first.start("hoard", "hoard", [rounds, megabyte / 2]);
  const failure = await first.failure;
  assert.equal(failure.code, "STORE_FULL");
  assert.match(failure.message, /disk is full/);
  await assert.rejects(first.result("hoard"), { code: "STORE_FULL" });
  await assert.rejects(first.start("another", "brief", [1]), { code: "STORE_FULL" });
  assert.equal((await first.close()).code, 0);
  const full = (await inspectStore(store, ["hoard"])).get("hoard");
  assert.ok((full?.turns.length ?? 0) > 1, "nothing was committed before the disk was full");

  rmSync(ballast);
  execFileSync("mount", ["-o", `remount,size=${128 * megabyte}`, folder]);
  const second = await node();
  const sum = Array.from({ length: rounds }, (_, round) => receiptOf(`hoard ${round}`)).reduce((a, b) => a + b);
  assert.equal(await second.result("hoard"), sum);
  assert.deepEqual(witness.complaints, []);
  assert.deepEqual(
    witness.effectsOf("hoard").map(({ step }) => step),
    Array.from({ length: rounds }, (_, round) => `hoard ${round}`),
  );
  const found = (await inspectStore(store, ["hoard"])).get("hoard");
  assert.deepEqual(found?.turns.slice(0, full?.turns.length), full?.turns);
  assert.deepEqual(
    found?.logs.map(({ text }) => text.split(" ")[0]),
    Array.from({ length: rounds }, (_, round) => String(round)),
  );
});
