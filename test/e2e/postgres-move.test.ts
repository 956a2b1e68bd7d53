/** Processes that move between a SQLite file and a PostgreSQL database, by the command line and by the engine. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Engine } from "perdure/engine";
import { Shop } from "../support/cli.ts";
import { byHand, skip } from "../support/postgres-place.ts";
import { commonPostgres } from "../support/postgres.ts";

const app = `
import { receive } from "perdure";
export default async function waits(id: string) {
  console.log("begun " + id);
  const first = await receive();
  console.log("heard " + first);
  return [id, first, await receive()];
}
`;

interface Place {
  readonly shop: Shop;
  /** Of a store that is not there yet. */
  readonly url: string;
  at(name: string): string;
}

/** Processes of these ids in `perdure.db`, each of which has heard "one", with no node. */
async function place(t: TestContext, ids: readonly string[]): Promise<Place> {
  const server = await commonPostgres();
  const schema = `test_${randomUUID().replaceAll("-", "")}`;
  t.after(() => byHand(server.url, `DROP SCHEMA IF EXISTS "${schema}" CASCADE`));
  const shop = await Shop.open(t, { "app.ts": app });
  const at = (name: string): string => path.join(shop.folder, name);
  const heard = new Set<string>();
  const all = Promise.withResolvers<void>();
  const engine = await Engine.open({
    store: at("perdure.db"),
    program: at("app.ts"),
    onLog: ({ pid, text }) => {
      if (text === "heard one") heard.add(pid);
      if (heard.size === ids.length) all.resolve();
    },
  });
  for (const id of ids) await (await engine.start("default", [id], { id })).send("one");
  await all.promise;
  await engine.close();
  return { shop, url: `${server.url}?schema=${schema}&lease=3s`, at };
}

const silent = { onLog: () => undefined, onNotice: () => undefined };

test("by the command line, from SQLite to PostgreSQL and back", { skip }, async (t) => {
  const { shop, url } = await place(t, ["one", "two"]);
  const pg = ["--store", url] as const;
  const ok = async (...words: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await shop.run(...words);
    assert.equal(code, 0, `${words.join(" ")}: ${stderr}`);
    assert.doesNotMatch(stdout + stderr, /test's|test%27s|a%20test/);
    return stdout.trim();
  };
  const refused = async (code: string, ...words: readonly string[]): Promise<string> => {
    const { stdout, stderr } = await shop.run(...words);
    assert.match(stderr, new RegExp(`\\b${code}\\b`), words.join(" "));
    assert.doesNotMatch(stdout + stderr, /test's|test%27s|a%20test/);
    return stderr;
  };
  for (const id of ["one", "two"]) {
    await ok("export", id, "-o", `${id}.perdure`);
    // The first one makes the store.
    assert.equal(await ok("import", `${id}.perdure`, ...pg), id);
  }
  await refused("IMPORT_REFUSED", "import", "one.perdure", ...pg);
  await ok("send", "one", "two", ...pg);
  const node = shop.start("resume", ...pg);
  await node.printed("process one ended normally");
  assert.deepEqual((await shop.json("result", "one", ...pg)).value, ["one", "one", "two"]);
  // Beside the node.
  await refused("IMPORT_REFUSED", "import", "one.perdure", ...pg);
  await ok("export", "two", "-o", "back.perdure", ...pg);
  await node.ended;
  await refused("PROCESS_EXPORTED", "send", "two", "x", ...pg);
  assert.match((await shop.run("ps", ...pg)).stderr, /two was exported at .*, as process file/);
  assert.equal(await ok("import", "back.perdure"), "two");
  await ok("send", "two", "end");
  await ok("resume");
  assert.deepEqual((await shop.json("result", "two")).value, ["two", "one", "end"]);
  await ok("verify", ...pg);
});

test(
  "what is exported to standard output lies in the current folder until it is known to be safe",
  { skip },
  async (t) => {
    const { shop, url, at } = await place(t, ["one"]);
    await shop.run("export", "one", "-o", "one.perdure");
    assert.equal((await shop.run("import", "one.perdure", "--store", url)).code, 0);
    const { code, stderr } = await shop.run("export", "one", "--store", url);
    assert.equal(code, 0, stderr);
    const [copy = ""] = readdirSync(shop.folder).filter((name) => /^[0-9a-z]{20}\.perdure$/.test(name));
    assert.ok(stderr.includes(`a copy stays at ${copy}`), stderr);
    assert.ok(existsSync(at(copy)) && readFileSync(at(copy)).length > 0);
    // The same command again finds it there.
    assert.equal((await shop.run("export", "one", "--store", url)).code, 0);
    assert.equal((await shop.run("import", copy, "--store", "other.db")).stdout.trim(), "one");
  },
);

test(
  "by engines that run on both, a process goes to PostgreSQL and back, and comes to its end",
  { skip },
  async (t) => {
    const { url, at } = await place(t, ["one"]);
    await using file = await Engine.open({ store: at("perdure.db"), ...silent });
    await using database = await Engine.open({ store: url, ...silent });
    const away = assert.rejects(file.get("one").result(), { code: "PROCESS_EXPORTED" });
    const there = await database.import(file.export("one"));
    await away;
    assert.equal((await there.status()).state, "running");
    await assert.rejects(file.get("one").send("lost"), { code: "PROCESS_EXPORTED" });
    await there.pause();
    await there.send("two");
    const back = await file.import(database.export("one"));
    await assert.rejects(database.get("one").send("lost"), { code: "PROCESS_EXPORTED" });
    assert.equal((await back.status()).state, "paused");
    await back.resume();
    assert.deepEqual(await back.result(), ["one", "one", "two"]);
  },
);
