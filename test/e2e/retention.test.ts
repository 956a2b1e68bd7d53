/** What becomes of finished processes, with real engines: pruned, archived, and never started a second time. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine, readArchive } from "perdure/engine";
import type { ArchivedProcess, EngineOptions } from "perdure/engine";
import { openSqliteStore } from "../../src/store/sqlite/index.ts";
import { EngineProcess } from "./support/engine-process.ts";
import { open, storeFile } from "./support/engine.ts";
import type { Opened } from "./support/engine.ts";
import { eventually } from "./support/wait.ts";

const nothing = { keep: { count: 0 } } satisfies EngineOptions;

async function pruned({ engine }: Pick<Opened, "engine">, pid: string): Promise<void> {
  await eventually(`${pid} is pruned`, async () => (await engine.get(pid).status()).pruned === true);
}

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), "perdure-retention-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function archivedIn(folder: string): Promise<Map<string, ArchivedProcess>> {
  const found = new Map<string, ArchivedProcess>();
  for (const file of readdirSync(folder)) {
    for await (const each of readArchive(path.join(folder, file))) found.set(each.pid, each);
  }
  return found;
}

describe("a pruned process", { concurrency: 3 }, () => {
  test("is not started again: the same start finds its end, another one is refused", async (t) => {
    const opened = await open(t, nothing);
    const { engine } = opened;
    const first = await engine.start("add", [2, 3], { id: "sum" });
    assert.equal(await first.result(), 5);
    await pruned(opened, "sum");
    assert.deepEqual(await engine.list(), []);
    const again = await engine.start("add", [2, 3], { id: "sum" });
    assert.deepEqual([again.created, await again.result()], [false, 5]);
    await assert.rejects(engine.start("add", [2, 4], { id: "sum" }), { code: "PROCESS_ID_CONFLICT" });
    await assert.rejects(engine.start("default", ["x"], { id: "sum" }), { code: "PROCESS_ID_CONFLICT" });
  });

  test("says how it ended, that the rest is gone, and takes no message", async (t) => {
    const opened = await open(t, nothing);
    const { engine } = opened;
    const handle = await engine.start("fails", [], { id: "failed" });
    await assert.rejects(handle.result(), { code: "PROCESS_FAILED" });
    await pruned(opened, "failed");
    const { state, exit, turns } = await handle.status();
    assert.deepEqual([state, exit?.reason, turns], ["exited", "error", 0]);
    await assert.rejects(handle.result(), (error: Error & { code?: string }) => {
      assert.deepEqual([error.code, (error.cause as Error).message], ["PROCESS_FAILED", "the order failed"]);
      assert.match((error.cause as Error).stack ?? "", /app\.ts:\d+/);
      return true;
    });
    await assert.rejects(handle.history(), { code: "PROCESS_PRUNED" });
    await assert.rejects(handle.send("more"), { code: "PROCESS_EXITED" });
    await assert.rejects(handle.kill(), { code: "PROCESS_EXITED" });
    await assert.rejects(engine.get("nobody").send("more"), { code: "PROCESS_NOT_FOUND" });
  });

  test("with a large result says that this was not kept", async (t) => {
    const opened = await open(t, nothing);
    const handle = await opened.engine.start("default", ["x".repeat(70_000)], { id: "large" });
    await pruned(opened, "large");
    await assert.rejects(handle.result(), { code: "PROCESS_PRUNED" });
    assert.equal((await opened.engine.start("default", ["x".repeat(70_000)], { id: "large" })).created, false);
  });

  test("that served a key is followed by the next one, never by itself", async (t) => {
    // As the README does it.
    // oxlint-disable-next-line typescript/consistent-type-imports
    const engine = await Engine.open<typeof import("../fixtures/servers/app.ts")>({
      store: "memory:",
      program: new URL("../fixtures/servers/app.ts", import.meta.url),
      closeTimeoutMs: 200,
      ...nothing,
    });
    t.after(() => engine.close());
    const cart = engine.at("Cart", "ann");
    const pids: string[] = [];
    for (let generation = 1; generation <= 3; generation++) {
      assert.equal(await cart.add("tea"), 1);
      const pid = await cart.pid();
      pids.push(pid);
      await cart.leave();
      await eventually(`${pid} is pruned`, async () => (await engine.get(pid).status()).pruned === true);
    }
    assert.deepEqual(pids, ["Cart:ann", "Cart:ann~2", "Cart:ann~3"]);
    assert.equal(await engine.at("Cart", "ann").add("cup"), 1);
  });

  test("and forgotten does not leave a key with two servers, however old a reference to it is", async (t) => {
    const store = storeFile(t);
    const openShop = (options: EngineOptions) =>
      // oxlint-disable-next-line typescript/consistent-type-imports
      Engine.open<typeof import("../fixtures/servers/app.ts")>({
        store,
        program: new URL("../fixtures/servers/app.ts", import.meta.url),
        closeTimeoutMs: 200,
        ...nothing,
        ...options,
      });
    const first = await openShop({});
    for (const pid of ["Cart:ann", "Cart:ann~2"]) {
      assert.deepEqual(await first.at("Clerk", "one").add("tea"), [1, pid]);
      await first.at("Cart", "ann").leave();
      await eventually(`${pid} is pruned`, async () => (await first.get(pid).status()).pruned === true);
    }
    await first.close();
    const engine = await openShop({ tombstones: "1ms" });
    t.after(() => engine.close());
    const isForgotten = () =>
      engine
        .get("Cart:ann")
        .status()
        .then(
          () => false,
          (error: { code?: string }) => error.code === "PROCESS_NOT_FOUND",
        );
    await eventually("the key's tombstones are dropped", isForgotten);
    assert.equal(await engine.at("Cart", "ann").add("cup"), 1);
    assert.deepEqual(await engine.at("Clerk", "one").add("tea"), [2, "Cart:ann"]);
  });

  test("whose timers were still to come disturbs nobody when they do", async (t) => {
    const opened = await open(t, nothing);
    const { engine } = opened;
    const handle = await engine.start("naps", [400], { id: "napping" });
    await handle.kill();
    await pruned(opened, "napping");
    assert.ok(Number(await (await engine.start("naps", [500])).result()) >= 500);
    assert.equal(engine.failure, undefined);
  });
});

describe("a node that archives", () => {
  test("writes down everything of a process before it is pruned", async (t) => {
    const archive = path.join(folderFor(t), "made", "by the node");
    const opened = await open(t, { ...nothing, archive });
    const { engine, notices } = opened;
    const talking = await engine.start("talks", [], { id: "talking" });
    await talking.result();
    await (await engine.start("synchronous", [], { id: "values" })).result();
    await Promise.all(["talking", "values"].map((pid) => pruned(opened, pid)));
    await engine.close();
    const found = await archivedIn(archive);
    const { turns, logs, exit, file, entry } = found.get("talking") as ArchivedProcess;
    assert.deepEqual([entry, exit.reason, path.basename(file)], ["talks", "normal", "app.ts"]);
    assert.deepEqual(turns[0]?.inputs[0]?.kind, "start");
    assert.deepEqual(
      logs.map(({ level }) => level),
      ["log", "warn", "error", "debug", "info"],
    );
    assert.match(found.get("values")?.exit.value.text ?? "", /^v/);
    assert.deepEqual(notices, []);
  });

  test("prunes nothing while it cannot write, and says so", async (t) => {
    const archive = path.join(folderFor(t), "in the way");
    writeFileSync(archive, "a file");
    const { engine, notices } = await open(t, { ...nothing, archive });
    await (await engine.start("add", [1, 1], { id: "kept" })).result();
    await eventually("it says so", () => notices.length > 0);
    assert.deepEqual([notices[0]?.kind, notices[0]?.pid], ["not-pruned", "kept"]);
    assert.match(notices[0]?.message ?? "", /Cannot write the archive/);
    assert.equal((await engine.get("kept").status()).pruned, undefined);
  });
});

describe("a store with hundreds of finished processes", () => {
  const program = fileURLToPath(new URL("../fixtures/engine/app.ts", import.meta.url));
  const pids = Array.from({ length: 300 }, (_, i) => `sum-${i}`);

  test("shrinks, whatever moment the node is killed in, and repeated starts still find every end", async (t) => {
    const store = storeFile(t);
    const archive = folderFor(t);
    const filler = new EngineProcess({ store, program });
    await Promise.all(pids.map(async (pid, i) => await filler.start(pid, "add", [i, 1])));
    await Promise.all(pids.map((pid) => filler.result(pid)));
    await filler.close();
    let left = pids.length;
    let kills = 0;
    for (; left > 0 && kills < 20; kills++) {
      const node = new EngineProcess({ store, program, archive, ...nothing });
      await node.opened;
      await new Promise((resolve) => void setTimeout(resolve, 30 + 60 * kills));
      await node.kill();
      const reader = await openSqliteStore(store, { mode: "reader" });
      left = (await reader.countProcesses()).exited;
      await reader.close();
    }
    assert.ok(kills > 1, "it was not killed in mid-pruning");
    assert.equal(left, 0);
    const last = new EngineProcess({ store, program, archive, ...nothing });
    t.after(() => last[Symbol.asyncDispose]());
    for (const [i, pid] of pids.entries()) {
      assert.equal(await last.start(pid, "add", [i, 1]), false);
      assert.equal(await last.result(pid), i + 1);
    }
    await last.close();
    const reader = await openSqliteStore(store, { mode: "owner" });
    await reader.claim(Date.now());
    // What was left of the last ones went as well.
    assert.ok((await reader.prune({ atMs: 0, processes: [], rows: 1000 })).rows <= 1);
    await reader.close();
    const found = new Set<string>();
    for (const file of readdirSync(archive)) {
      try {
        for await (const { pid } of readArchive(path.join(archive, file))) found.add(pid);
      } catch (error) {
        // Cut off by a kill: what is missing had not been pruned.
        assert.equal((error as { code?: string }).code, "ARCHIVE_DAMAGED");
      }
    }
    assert.deepEqual(found, new Set(pids));
  });
});
