/** Stores that another release of Perdure has had: what this one runs it runs, and the rest it leaves alone and says so. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine } from "perdure/engine";
import type { KernelNotice } from "perdure/engine";
import { turnProtocolMark } from "../../src/machine/protocol.ts";
import { verifyStore } from "../../src/engine/verify/verify.ts";
import { openSqliteStore } from "../../src/store/sqlite/index.ts";
import type * as app from "../fixtures/standby/app.ts";
import { storeFile } from "./support/engine.ts";
import { eventually } from "./support/wait.ts";

const program = fileURLToPath(new URL("../fixtures/standby/app.ts", import.meta.url));

function edit(store: string, work: (db: DatabaseSync) => void): void {
  const db = new DatabaseSync(store);
  try {
    work(db);
  } finally {
    db.close();
  }
}

/** A store with a process that has counted one message. */
async function counted(t: TestContext): Promise<string> {
  const store = storeFile(t);
  await using engine = await Engine.open<typeof app>({ store, program });
  const counter = await engine.start("counter", [], { id: "c" });
  await counter.send("count");
  await eventually("the count", async () => (await counter.status()).turns === 2);
  return store;
}

function put(db: DatabaseSync, text: string): string {
  const hash = createHash("sha256").update(text).digest("hex");
  db.prepare("INSERT INTO blob (hash, bytes) VALUES (?, ?)").run(hash, Buffer.from(text));
  return hash;
}

/** As another release's program would be: each answers what undoes it, and how a node names the difference. */
const foreign: Readonly<Record<string, (db: DatabaseSync) => { readonly undo: string; readonly why: RegExp }>> = {
  "another engine binary": (db) => {
    const { engine } = db.prepare("SELECT engine FROM program").get() as { engine: string };
    const hash = put(db, "another engine");
    db.exec(`UPDATE program SET engine = '${hash}'`);
    const why = new RegExp(`they run on another engine binary \\(${hash.slice(0, 12)}\\)`);
    return { undo: `UPDATE program SET engine = '${engine}'`, why };
  },
  "another turn protocol": (db) => {
    const { prelude } = db.prepare("SELECT prelude FROM program").get() as { prelude: string };
    const { bytes } = db.prepare("SELECT bytes FROM blob WHERE hash = ?").get(prelude) as { bytes: Uint8Array };
    const text = Buffer.from(bytes).toString("utf8");
    assert.ok(text.includes(turnProtocolMark(1)));
    const hash = put(db, text.replace(turnProtocolMark(1), turnProtocolMark(7)));
    db.exec(`UPDATE program SET prelude = '${hash}'`);
    return { undo: `UPDATE program SET prelude = '${prelude}'`, why: /they speak turn protocol 7/ };
  },
};

for (const [what, alter] of Object.entries(foreign)) {
  describe(`a process that is pinned to ${what}`, () => {
    test("is left alone by a node, which says so once; it goes on where it was with a node of its release", async (t) => {
      const store = await counted(t);
      let difference = { undo: "", why: /^$/ };
      edit(store, (db) => (difference = alter(db)));
      const notices: KernelNotice[] = [];
      {
        await using engine = await Engine.open({ store, onNotice: (notice) => notices.push(notice) });
        const counter = engine.get("c");
        await counter.send("count");
        await counter.send("count");
        await eventually("the inbox", async () => (await counter.status()).inbox.length === 2);
        const { state, problem, turns } = await counter.status();
        assert.deepEqual([state, problem, turns], ["running", "", 2]);
      }
      assert.deepEqual(
        notices.map(({ kind, pid }) => [kind, pid]),
        [["left-alone", "c"]],
      );
      assert.match(notices[0]?.message ?? "", difference.why);
      assert.match(notices[0]?.message ?? "", /Start a node of the release that it was started with\.$/);
      edit(store, (db) => db.exec(difference.undo));
      await using engine = await Engine.open({ store });
      await engine.get("c").send("end");
      assert.equal(await engine.get("c").result(), 3);
    });

    test("does not keep this release's programs from running, and can be killed", async (t) => {
      const store = await counted(t);
      edit(store, alter);
      // The same file, deployed by this release, has another hash.
      edit(store, (db) => db.exec("UPDATE program SET hash = 'f' || substr(hash, 2), file = file"));
      await using engine = await Engine.open<typeof app>({ store, program, onNotice: () => undefined });
      assert.equal(await (await engine.start("add", [1, 2])).result(), 3);
      await engine.get("c").kill();
      await assert.rejects(engine.get("c").result(), { code: "PROCESS_KILLED" });
    });

    test("is not replayed by verify, which says why", async (t) => {
      const store = await counted(t);
      let difference = { undo: "", why: /^$/ };
      edit(store, (db) => (difference = alter(db)));
      const reader = await openSqliteStore(store, { mode: "reader" });
      t.after(() => reader.close());
      const report = await verifyStore(reader, {});
      const reasons = Object.keys(report.notReplayed);
      assert.equal(reasons.length, 1);
      assert.match(reasons[0] ?? "", difference.why);
    });
  });
}

describe("a store whose schema a newer release has changed", () => {
  const bump = (db: DatabaseSync): void => db.exec("PRAGMA user_version = 99; UPDATE meta SET schema_version = 99");

  test("is STORE_NEWER for whoever opens it, and nothing in it is touched", async (t) => {
    const store = await counted(t);
    edit(store, bump);
    await assert.rejects(Engine.open({ store }), { code: "STORE_NEWER", message: /schema 99, this one knows \d+/ });
    await assert.rejects(openSqliteStore(store, { mode: "reader" }), { code: "STORE_NEWER" });
  });

  test("ends a node of this release that stood by meanwhile, when it is its turn", async (t) => {
    const store = await counted(t);
    const failed = Promise.withResolvers<Error>();
    const owner = await Engine.open({ store, standby: true });
    await using standby = await Engine.open({
      store,
      standby: true,
      onNode: () => undefined,
      onFailure: failed.resolve,
    });
    assert.equal(standby.node.state, "standing-by");
    edit(store, bump);
    await owner.close();
    assert.equal(((await failed.promise) as Error & { code: string }).code, "STORE_NEWER");
    const { isLive, state, message } = await standby.health();
    assert.deepEqual([isLive, state], [false, "stopped"]);
    assert.match(message, /a newer release wrote it/);
  });
});
