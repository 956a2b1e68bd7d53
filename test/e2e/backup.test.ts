/** docs/deploying.md on backups, tried: copies that are made beside a running node are stores, and what a restored one knows. */
import assert from "node:assert/strict";
import { renameSync, rmSync } from "node:fs";
import { backup, DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine } from "perdure/engine";
import { verifyStore } from "../../src/engine/verify/verify.ts";
import { openSqliteStore } from "../../src/store/sqlite/index.ts";
import type * as app from "../fixtures/standby/app.ts";
import { Shop } from "../support/cli.ts";
import { storeFile } from "./support/engine.ts";
import { eventually } from "./support/wait.ts";

const program = fileURLToPath(new URL("../fixtures/standby/app.ts", import.meta.url));

const ways: Readonly<Record<string, (from: string, to: string) => Promise<void>>> = {
  "VACUUM INTO": async (from, to) => {
    const db = new DatabaseSync(from);
    db.prepare("VACUUM INTO ?").run(to);
    db.close();
  },
  "the online backup": async (from, to) => {
    const db = new DatabaseSync(from);
    await backup(db, to);
    db.close();
  },
};

for (const [way, copy] of Object.entries(ways)) {
  describe(`a copy by ${way}, made while the node runs and messages come in`, () => {
    test("is whole, holds what was acknowledged before, and goes on by itself", async (t) => {
      const [store, copied] = [storeFile(t), storeFile(t)];
      await using engine = await Engine.open<typeof app>({ store, program });
      const counter = await engine.start("counter", [], { id: "c" });
      for (let sent = 0; sent < 20; sent++) await counter.send("count");
      let isOver = false;
      const sending = (async () => {
        let sent = 20;
        for (; !isOver; sent++) await counter.send("count");
        return sent;
      })();
      await copy(store, copied);
      isOver = true;
      const sent = await sending;
      // The original has not noticed.
      await counter.send("end");
      assert.equal(await counter.result(), sent);
      const reader = await openSqliteStore(copied, { mode: "reader" });
      const report = await verifyStore(reader, {});
      assert.deepEqual([report.findings, report.notReplayed], [[], {}]);
      await reader.close();
      await using restored = await Engine.open<typeof app>({ store: copied, program });
      await restored.get("c").send("end");
      const counted = (await restored.get("c").result()) as number;
      assert.ok(counted >= 20 && counted <= sent, `${counted} of ${sent}`);
    });
  });
}

test("a restored store begins when somebody says so, and does again what it does not know of", async (t) => {
  const [store, copied] = [storeFile(t), storeFile(t)];
  const first = await Engine.open<typeof app>({ store, program });
  await first.start("counter", [], { id: "before" });
  await ways["VACUUM INTO"]?.(store, copied);
  const sum = await first.start("add", [1, 2], { id: "after" });
  assert.equal(sum.created, true);
  assert.equal(await sum.result(), 3);
  await first.close();
  for (const suffix of ["", "-wal", "-shm"]) rmSync(store + suffix, { force: true });
  renameSync(copied, store);
  await assert.rejects(Engine.open({ store, program }), { code: "STORE_RESTORED", message: /accept-restored/ });
  const shop = await Shop.open(t, {});
  const shown = await shop.json("ps", "--store", store);
  assert.deepEqual(
    shown.map(({ pid }: { pid: string }) => pid),
    ["before"],
  );
  const { stderr, code } = await shop.run("accept-restored", "--store", store);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /1 process goes on from where the copy was made/);
  await using restored = await Engine.open<typeof app>({ store, program });
  await eventually("the process from before", async () => (await restored.get("before").status()).state === "running");
  const again = await restored.start("add", [1, 2], { id: "after" });
  assert.equal(again.created, true);
});
