/** What a damaged store costs: the process whose rows are damaged, and nothing else. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { Engine } from "perdure/engine";
import type { KernelNotice, ProcessHandle } from "perdure/engine";
import type * as app from "../fixtures/adders/app.ts";

type App = typeof app;

const program = new URL("../fixtures/adders/app.ts", import.meta.url);
let folder = "";
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "perdure-damage-"));
});
after(() => rm(folder, { recursive: true, force: true }));

/** Flips one bit in the middle of `body` of each row found. */
function flip(store: string, table: string, where: string): void {
  const db = new DatabaseSync(store);
  const rows = db.prepare(`SELECT rowid AS id, body FROM ${table} WHERE ${where}`).all();
  for (const row of rows) {
    const body = row["body"] as Uint8Array;
    const middle = body.length >> 1;
    body[middle] = (body[middle] ?? 0) ^ 1;
    db.prepare(`UPDATE ${table} SET body = ? WHERE rowid = ?`).run(body, row["id"] ?? null);
  }
  db.close();
  assert.ok(rows.length > 0, "the row to be damaged is there");
}

function forgetSnapshots(store: string): void {
  const db = new DatabaseSync(store);
  db.exec("DELETE FROM snapshot");
  db.close();
}

const ofHurt = "process = (SELECT key FROM process WHERE pid = 'hurt')";

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 20_000; !(await condition());) {
    assert.ok(Date.now() < deadline, "it comes true within 20 s");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const turnsReach = (handle: ProcessHandle, turns: number) => until(async () => (await handle.status()).turns >= turns);

describe("a damaged store", () => {
  test("a damaged journal row stops its own process, which says so; the others go on, and it can be killed", async () => {
    const store = path.join(folder, "journal.db");
    {
      await using engine = await Engine.open<App>({ store, program });
      for (const id of ["hurt", "well"]) {
        const handle = await engine.start("default", [], { id });
        for (const number of [1, 2, 3]) {
          await handle.send(number);
          await turnsReach(handle, 1 + 2 * number);
        }
      }
    }
    // On a slow machine there may be a snapshot already, which would spare the reader the damaged turn.
    forgetSnapshots(store);
    flip(store, "journal", `turn = 2 AND ${ofHurt}`);
    const notices: KernelNotice[] = [];
    await using engine = await Engine.open<App>({ store, program, onNotice: (notice) => void notices.push(notice) });
    const hurt = engine.get<number>("hurt");
    const well = engine.get<number>("well");
    await hurt.send(0);
    await well.send(0);
    assert.equal(await well.result(), 6);
    await assert.rejects(hurt.result(), { code: "PROCESS_BROKEN", message: /"hurt".*Turn 2/s });
    assert.equal((await hurt.status()).state, "broken");
    assert.deepEqual(
      notices.map(({ kind, pid }) => [kind, pid]),
      [["broken", "hurt"]],
    );
    await hurt.kill();
    assert.equal((await hurt.status()).exit?.reason, "killed");
  });

  test("a damaged last turn is found when the store is opened for whatever the process waits for", async () => {
    const store = path.join(folder, "last.db");
    {
      await using engine = await Engine.open<App>({ store, program });
      await engine.start("default", [], { id: "hurt" });
      await engine.start("default", [], { id: "well" });
    }
    flip(store, "journal", ofHurt);
    await using engine = await Engine.open<App>({ store, program, onNotice: () => undefined });
    await engine.get("hurt").send(0);
    await assert.rejects(engine.get("hurt").result(), { code: "PROCESS_BROKEN" });
    await engine.get("well").send(0);
    assert.equal(await engine.get("well").result(), 0);
  });

  test("a damaged snapshot is passed over: the journal tells all", async () => {
    const store = path.join(folder, "snapshot.db");
    const rounds = 300_000;
    {
      await using engine = await Engine.open<App>({ store, program });
      const handle = await engine.start("worker", [], { id: "worker" });
      for (let i = 1; i <= 4; i++) {
        await handle.send(rounds);
        await turnsReach(handle, 1 + i);
      }
    }
    flip(store, "snapshot", "true");
    const notices: KernelNotice[] = [];
    await using engine = await Engine.open<App>({ store, program, onNotice: (notice) => void notices.push(notice) });
    await engine.get("worker").send(0);
    let expected = 1;
    for (let i = 0; i < 4 * rounds; i++) expected = (expected * 48_271) % 0x7fffffff;
    assert.equal(await engine.get("worker").result(), expected);
    assert.ok(notices.length > 0 && notices.every(({ kind }) => kind === "snapshot-damaged"));
  });
});
