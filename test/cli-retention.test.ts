/** `prune`, `archive` and what the other commands say of pruned processes, invoked for real. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { DatabaseSync } from "node:sqlite";
import { quick, stoppedShop } from "./support/shop.ts";

describe("finished processes on the command line", quick, () => {
  test("prune removes them; result and show still tell how they ended, and run does not start them again", async (t) => {
    const shop = await stoppedShop(t);
    await shop.run("run", "app.ts", "hello", "world", "--id", "greeting");
    assert.deepEqual(await shop.json("prune", "--older-than", "1h", "--dry-run"), {
      dryRun: true,
      processes: 0,
      held: 0,
    });
    assert.deepEqual(await shop.json("prune", "--keep", "0", "--dry-run"), { dryRun: true, processes: 1, held: 0 });
    assert.deepEqual(await shop.json("prune", "--keep", "0"), {
      processes: 1,
      tombstones: 0,
      keys: 0,
      programs: 0,
      kept: [],
    });
    assert.deepEqual(
      (await shop.json<{ pid: string }[]>("ps", "--all")).map(({ pid }) => pid),
      ["order-7"],
    );
    assert.equal((await shop.run("result", "greeting")).stdout, "hello string world\n");
    assert.match(
      (await shop.run("show", "greeting")).stdout,
      /^greeting {2}normal\n[^]*pruned {4}its turns and logs are gone[^]*\nResult\n {2}hello string world\n/,
    );
    const { pruned, state, exit } = await shop.json("show", "greeting");
    assert.deepEqual([pruned, state, exit.value], [true, "exited", "hello string world"]);
    for (const command of ["history", "logs"]) {
      assert.equal((await shop.json(command, "greeting")).error.code, "PROCESS_PRUNED");
    }
    assert.equal((await shop.json("send", "greeting", "more")).error.code, "PROCESS_EXITED");
    const again = await shop.run("run", "app.ts", "hello", "world", "--id", "greeting");
    assert.deepEqual([again.code, again.stdout], [0, "hello string world\n"]);
    const other = await shop.json("run", "app.ts", "hello", "moon", "--id", "greeting");
    assert.equal(other.error.code, "PROCESS_ID_CONFLICT");
  });

  test("prune says what it needs to know, and leaves a running node's store to the node", async (t) => {
    const shop = await stoppedShop(t);
    const asked = await shop.run("prune");
    assert.equal(asked.code, 2);
    assert.match(asked.stderr, /Nothing says what is to be pruned/);
    const node = shop.start("resume");
    await node.printed("going on with");
    const refused = await shop.json("prune", "--older-than", "1d");
    assert.equal(refused.error.code, "STORE_IN_USE");
    assert.match(refused.error.message, /only the node can prune it/);
    assert.equal((await shop.run("prune", "--older-than", "1d", "--dry-run")).code, 0);
    node.kill("SIGINT");
    await node.ended;
  });

  test("prune does not tell the next node that the last one was stopped in good order", async (t) => {
    const shop = await stoppedShop(t);
    const isClean = (): unknown => {
      const db = new DatabaseSync(path.join(shop.folder, "perdure.db"), { readOnly: true });
      try {
        return db.prepare("SELECT clean FROM meta").get()?.["clean"];
      } finally {
        db.close();
      }
    };
    await shop.run("prune", "--older-than", "1d");
    assert.equal(isClean(), 1);
    const node = shop.start("resume");
    await node.printed("going on with");
    node.kill("SIGKILL");
    await node.ended;
    await shop.run("prune", "--older-than", "1d");
    assert.equal(isClean(), 0);
  });

  test("archive writes them to a file that it can list and print, and removes nothing", async (t) => {
    const shop = await stoppedShop(t);
    await shop.run("run", "app.ts", "add", "1", "2", "--id", "sum");
    await shop.run("run", "app.ts", "fail", "--id", "failed");
    const written = await shop.json("archive", "all.jsonl.gz");
    assert.deepEqual([path.basename(written.file), written.archived, written.failed], ["all.jsonl.gz", 2, []]);
    assert.ok(!existsSync(`${written.file}.part`));
    const list = await shop.run("archive", "all.jsonl.gz", "--list");
    assert.match(
      list.stdout,
      /^PID +ENDED WITH +ENTRY +ENDED +TURNS +LOGS\nsum +normal +add .* 1 +2\nfailed +error +fail .* 1 +0\n$/,
    );
    const lines = (await shop.run("archive", "all.jsonl.gz", "--cat", "sum")).stdout.trimEnd().split("\n");
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { kind: string }).kind),
      ["process", "turn", "log", "log", "end"],
    );
    assert.equal((await shop.json("archive", "all.jsonl.gz")).error.code, "ARCHIVE_FAILED");
    assert.equal((await shop.json("archive", "more.jsonl.gz", "order-7")).error.code, "ARGUMENT_INVALID");
    assert.ok(!existsSync(path.join(shop.folder, "more.jsonl.gz")));
    assert.equal((await shop.json("archive", "all.jsonl.gz", "--cat", "nobody")).error.code, "PROCESS_NOT_FOUND");
    assert.equal((await shop.json<unknown[]>("ps", "--all")).length, 3);
  });
});
