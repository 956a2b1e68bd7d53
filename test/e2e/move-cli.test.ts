/** `perdure export` and `perdure import`, beside a node and without, and killed at any moment. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { createReadStream, existsSync, readdirSync, readFileSync, renameSync, truncateSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { Engine, isPerdureError } from "perdure/engine";
import { readProcessFile } from "../../src/engine/files/read.ts";
import { openSqliteStore } from "../../src/store/sqlite/index.ts";
import { Shop } from "../support/cli.ts";

const app = `
import { receive } from "perdure";
export default async function waits(id: string) {
  console.log("begun " + id);
  return [id, await receive()];
}
`;

const bin = fileURLToPath(new URL("../../bin/perdure.js", import.meta.url));

/** A shop whose store holds processes of these ids, with no node. */
async function shopWith(t: TestContext, ids: readonly string[]): Promise<Shop> {
  const shop = await Shop.open(t, { "app.ts": app });
  const at = (name: string): string => path.join(shop.folder, name);
  const engine = await Engine.open({ store: at("perdure.db"), program: at("app.ts"), onLog: () => undefined });
  for (const id of ids) await engine.start("default", [id], { id });
  await engine.close();
  return shop;
}

async function stateIn(shop: Shop, store: string, pid: string): Promise<string> {
  const file = path.join(shop.folder, store);
  if (!existsSync(file)) return "absent";
  const reader = await openSqliteStore(file, { mode: "reader" });
  try {
    const row = await reader.findProcess(pid);
    return row?.state ?? ((await reader.exported(pid)) === undefined ? "absent" : "exported");
  } finally {
    await reader.close();
  }
}

async function isSealed(file: string): Promise<boolean> {
  if (!existsSync(file)) return false;
  try {
    for await (const _ of readProcessFile(createReadStream(file)));
    return true;
  } catch (error) {
    if (isPerdureError(error)) return false;
    throw error;
  }
}

test("a process is exported and imported without a node, and says where it is", async (t) => {
  const shop = await shopWith(t, ["one"]);
  const { code, stdout, stderr } = await shop.run("export", "one", "-o", "one.perdure");
  assert.deepEqual([code, stdout], [0, ""], stderr);
  assert.match(stderr, /Process one has left the store, as process file [0-9a-z]{20} \(one\.perdure\)/);
  for (const words of [
    ["show", "one"],
    ["send", "one", "x"],
    ["result", "one"],
    ["history", "one"],
    ["kill", "one"],
  ]) {
    const ended = await shop.run(...words);
    assert.deepEqual([ended.code, ended.stderr.includes("PROCESS_EXPORTED")], [1, true], words.join(" "));
  }
  assert.match((await shop.run("ps")).stderr, /one was exported at .*, as process file/);
  const imported = await shop.run("import", "one.perdure", "--store", "other.db");
  assert.deepEqual([imported.code, imported.stdout.trim()], [0, "one"], imported.stderr);
  const again = await shop.run("import", "one.perdure", "--store", "other.db");
  assert.deepEqual([again.code, again.stderr.includes("IMPORT_REFUSED")], [1, true]);
  assert.equal(await stateIn(shop, "other.db", "one"), "running");
  assert.equal((await shop.run("verify", "--store", "other.db")).code, 0);
  assert.equal((await shop.run("verify")).code, 0);
  await shop.run("import", "one.perdure", "--store", "third.db", "--paused", "--no-verify");
  assert.equal(await stateIn(shop, "third.db", "one"), "paused");
  await shop.run("send", "one", "hello", "--store", "other.db");
  await shop.run("resume", "--store", "other.db");
  assert.deepEqual((await shop.json("result", "one", "--store", "other.db")).value, ["one", "hello"]);
});

test("beside nodes a process leaves one and is taken up by the other", async (t) => {
  const shop = await shopWith(t, ["one", "two", "stays"]);
  const source = shop.start("resume");
  await source.printed("going on with 3 unfinished processes");
  const { code, stderr } = await shop.run("export", "one", "-o", "one.perdure");
  assert.equal(code, 0, stderr);
  assert.equal((await shop.run("export", "two", "-o", "two.perdure")).code, 0);
  assert.equal(await stateIn(shop, "perdure.db", "stays"), "running");
  source.kill("SIGTERM");
  await source.ended;
  await shop.run("import", "one.perdure", "--store", "other.db");
  const target = shop.start("resume", "--store", "other.db");
  await target.printed("going on with 1 unfinished process");
  const imported = await shop.run("import", "two.perdure", "--store", "other.db");
  assert.deepEqual([imported.code, imported.stdout.trim()], [0, "two"], imported.stderr);
  const again = await shop.run("import", "two.perdure", "--store", "other.db");
  assert.deepEqual([again.code, again.stderr.includes("IMPORT_REFUSED")], [1, true], again.stderr);
  await shop.run("send", "two", "b", "--store", "other.db");
  await target.printed("process two ended normally");
  assert.deepEqual((await shop.json("result", "two", "--store", "other.db")).value, ["two", "b"]);
});

test("on standard output comes the whole file; of what goes into a pipe a copy stays", async (t) => {
  const shop = await shopWith(t, ["one", "two"]);
  const shell = (line: string) =>
    spawnSync("bash", ["-c", line], { cwd: shop.folder, encoding: "utf8", env: { ...process.env, P: bin } });
  const redirected = shell('node "$P" export one > one.perdure');
  assert.equal(redirected.status, 0, redirected.stderr);
  assert.ok(await isSealed(path.join(shop.folder, "one.perdure")));
  const copies = () => readdirSync(shop.folder).filter((name) => /^perdure\.db-[0-9a-z]{20}\.perdure/.test(name));
  assert.deepEqual(copies(), []);
  const piped = shell('node "$P" export two | node "$P" import - --store other.db');
  assert.deepEqual([piped.status, piped.stdout.trim()], [0, "two"], piped.stderr);
  assert.equal(copies().length, 1);
  assert.match(piped.stderr, /a copy stays at perdure\.db-/);
});

test("an export that was interrupted after its process had left is completed by the same command", async (t) => {
  const shop = await shopWith(t, ["one"]);
  const file = path.join(shop.folder, "one.perdure");
  await shop.run("export", "one", "-o", "one.perdure");
  const whole = readFileSync(file);
  renameSync(file, `${file}.part`);
  for (const cut of [1, 60]) {
    truncateSync(`${file}.part`, whole.length - cut);
    const refused = await shop.run("import", "one.perdure.part", "--store", "other.db");
    assert.deepEqual([refused.code, /FILE_(?:UNSEALED|DAMAGED)/.test(refused.stderr)], [1, true], refused.stderr);
    const { code, stderr } = await shop.run("export", "one", "-o", "one.perdure");
    assert.equal(code, 0, stderr);
    assert.ok(await isSealed(file));
    renameSync(file, `${file}.part`);
  }
  truncateSync(`${file}.part`, 1_000);
  const lost = await shop.run("export", "one", "-o", "one.perdure");
  assert.deepEqual([lost.code, lost.stderr.includes("FILE_DAMAGED")], [1, true], lost.stderr);
});

/** Kills `perdure …` after a while: anywhere in its life. */
async function killed(shop: Shop, afterMs: number, ...words: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [bin, ...words], { cwd: shop.folder, stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("close", resolve));
  await sleep(afterMs);
  child.kill("SIGKILL");
  await ended;
}

test("a file that is not there is told in one line, whether it would be replayed or not", async (t) => {
  const shop = await shopWith(t, []);
  for (const more of [[], ["--no-verify"]]) {
    const { code, stderr } = await shop.run("import", "nothere.perdure", "--store", "other.db", ...more);
    assert.equal(code, 1);
    assert.match(stderr, /^perdure: FILE_FAILED: Cannot read the process file: ENOENT: [^\n]*\n$/);
  }
});

test("kill -9 at any moment of an export or an import loses no process, and leaves none twice", async (t) => {
  // Each takes some seconds, and a loaded machine several times as long: PERDURE_KILLS for more of them.
  const rounds = Number(process.env["PERDURE_KILLS"] ?? 4);
  const ids = Array.from({ length: rounds }, (_, index) => `p${index}`);
  const shop = await shopWith(t, [...ids, "measured"]);
  const timed = async (...words: readonly string[]): Promise<number> => {
    const sinceMs = performance.now();
    assert.equal((await shop.run(...words)).code, 0);
    return performance.now() - sinceMs;
  };
  const exportMs = await timed("export", "measured", "-o", "measured.perdure");
  const importMs = await timed("import", "measured.perdure", "--store", "other.db");
  const seen = { export: new Set<string>(), import: new Set<string>() };
  for (const id of ids) {
    const file = `${id}.perdure`;
    const at = [0.4 + randomInt(600) / 1000, 0.4 + randomInt(600) / 1000] as const;
    await killed(shop, exportMs * at[0], "export", id, "-o", file);
    const state = await stateIn(shop, "perdure.db", id);
    seen.export.add(`${state}, ${(await isSealed(path.join(shop.folder, file))) ? "sealed" : "not"}`);
    if (state !== "exported")
      assert.ok(!(await isSealed(path.join(shop.folder, file))), `${id} is ${state}, at ${at[0]}`);
    const again = await shop.run("export", id, "-o", file);
    assert.equal(again.code, 0, `${id}, ${state}, killed at ${at[0]}: ${again.stderr}`);
    assert.equal(await stateIn(shop, "perdure.db", id), "exported");
    await killed(shop, importMs * at[1], "import", file, "--store", "other.db");
    const there = await stateIn(shop, "other.db", id);
    seen.import.add(there);
    const { code, stderr } = await shop.run("import", file, "--store", "other.db");
    if (there === "absent") assert.equal(code, 0, `${id}, killed at ${at[1]}: ${stderr}`);
    else assert.ok(stderr.includes("IMPORT_REFUSED"), stderr);
  }
  t.diagnostic(
    `found after kills of exports: ${[...seen.export].join("; ")}; of imports: ${[...seen.import].join("; ")}`,
  );
  const found = await shop.json<{ pid: string; state: string }[]>("ps", "--all", "--store", "other.db");
  assert.deepEqual(
    found.map(({ pid, state }) => `${pid} ${state}`).sort(),
    [...ids, "measured"].map((id) => `${id} running`).sort(),
  );
  assert.deepEqual(await shop.json("ps", "--all"), []);
  for (const store of ["perdure.db", "other.db"]) assert.equal((await shop.run("verify", "--store", store)).code, 0);
});
