import assert from "node:assert/strict";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isStoreOwned, openSqliteStore } from "./index.ts";

test("a store is owned from its claim to its release, and however its owner ends", async (t) => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "perdure-owned-")));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "store.db");
  const store = await openSqliteStore(path);
  assert.equal(isStoreOwned(path), false);
  await store.claim(1000);
  // Looking again and again neither frees the lock nor takes it.
  for (let look = 0; look < 3; look++) assert.equal(isStoreOwned(path), true);
  await store.commit({ atMs: 1001 });
  await store.release(1002);
  assert.equal(isStoreOwned(path), false);
  await store.claim(1003);
  assert.equal(isStoreOwned(path), true);
  await store.close();
  assert.equal(isStoreOwned(path), false);
});
