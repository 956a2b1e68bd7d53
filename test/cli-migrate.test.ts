/** `perdure migrate`, invoked for real. */
import assert from "node:assert/strict";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { openSqliteMover } from "../src/store/sqlite/index.ts";
import { quick, stoppedShop } from "./support/shop.ts";

describe("perdure migrate", quick, () => {
  test("moves a store, says what it has compared and what it has left, and says so again", async (t) => {
    const shop = await stoppedShop(t);
    const [from, to] = ["perdure.db", "new.db"].map((name) => path.join(shop.folder, name));
    const db = new DatabaseSync(from ?? "");
    db.exec("CREATE TABLE orders (id TEXT); CREATE TABLE stock (id TEXT)");
    db.close();
    const moved = await shop.run("migrate", "--from", "sqlite:perdure.db", "--to", "new.db");
    assert.equal(moved.code, 0, moved.stderr);
    const [first, second, third, fourth] = moved.stdout.split("\n");
    assert.ok(first?.startsWith(`✓ ${from} was moved to ${to}: `), first);
    assert.match(first ?? "", /: \d+ rows, [\d.]+ MiB, in .*\d m?s\.$/);
    assert.match(
      second ?? "",
      /^ {2}Every row was compared: blobs \d+, programs 1, processes 1, turns 2, .*log lines \d/,
    );
    assert.match(third ?? "", /^ {2}The target was looked through/);
    assert.equal(fourth, `  These tables are your own, not Perdure's, and stayed in ${from}: orders, stock.`);
    assert.equal(moved.stderr, "1 process goes on with: perdure resume --store new.db\n".replace("new.db", to ?? ""));
    const again = await shop.json("migrate", "--from", "perdure.db", "--to", "new.db");
    assert.deepEqual([again.outcome, again.rows], ["already", 0]);
    // Where it was it can be read, and does nothing any more.
    const shown = await shop.run("ps");
    assert.match(shown.stdout, /order-7 +running/);
    assert.equal(shown.stderr, `This store was moved, or is being moved, to ${to}. Nothing runs here.\n`);
    for (const words of [["send", "order-7", "1"], ["resume"], ["run", "app.ts"], ["prune", "--keep", "1"]]) {
      const refused = await shop.run(...words);
      assert.match(refused.stderr, /STORE_MOVED: .*was moved to .*Open that one/, words.join(" "));
    }
    const done = await shop.run("send", "order-7", '{"approved": true}', "--store", "new.db");
    assert.equal(done.code, 0, done.stderr);
    const resumed = await shop.run("resume", "--store", "new.db");
    assert.match(resumed.stderr, /process order-7 ended normally/);
  });

  test("is refused beside a running node, without a target, and on what is no store", async (t) => {
    const shop = await stoppedShop(t);
    const node = shop.start("resume");
    await node.printed("going on with 1");
    assert.match((await shop.run("migrate", "--to", "new.db")).stderr, /STORE_IN_USE: .*perdure\.db is owned by/);
    node.kill("SIGKILL");
    await node.ended;
    const refusals: readonly (readonly [string[], RegExp])[] = [
      [[], /--to is missing/],
      [["--to", "memory:"], /--to is "memory:"/],
      [["--from", "memory:", "--to", "new.db"], /--from is "memory:"/],
      [["--from", "absent.db", "--to", "new.db"], /STORE_NOT_FOUND/],
      [["--from", "app.ts", "--to", "new.db"], /STORE_UNREADABLE/],
      [["--to", "sqlite:perdure.db"], /the same store/],
    ];
    for (const [words, why] of refusals)
      assert.match((await shop.run("migrate", ...words)).stderr, why, words.join(" "));
    assert.equal((await shop.run("migrate", "--to", "new.db")).code, 0);
  });

  test("--abandon goes back to where the store was", async (t) => {
    const shop = await stoppedShop(t);
    const words = ["migrate", "--to", "new.db", "--abandon"];
    const none = await shop.run(...words);
    assert.match(none.stderr, /STORE_NOT_FOUND/);
    // As an interrupted one leaves it.
    const place = path.join(shop.folder, "new.db");
    const mark = { id: "m", state: "under-way", store: "s", atMs: 0, progress: "" } as const;
    const target = await openSqliteMover(place);
    const source = await openSqliteMover(path.join(shop.folder, "perdure.db"));
    await target.begin({ ...mark, role: "target", place: source.place }, 0, true);
    await source.begin({ ...mark, role: "source", place: target.place }, 0);
    await target.close();
    await source.close();
    assert.match((await shop.run("ps", "--store", "new.db")).stderr, /STORE_INCOMPLETE: .*Run the same command again/);
    assert.match((await shop.run("resume")).stderr, /STORE_MOVED: .*is being moved to .*--abandon/);
    assert.match((await shop.run(...words)).stderr, /given up\. .*perdure\.db can be used again/);
    assert.match((await shop.run(...words)).stderr, /Nothing was changed/);
    assert.match((await shop.run("send", "order-7", "1")).stderr, /Message sent/);
  });
});
