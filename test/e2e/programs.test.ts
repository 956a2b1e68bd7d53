/** Several programs, and several versions of one, in one store. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine } from "perdure/engine";

const root = fileURLToPath(new URL("../..", import.meta.url));
let folder = "";
before(async () => {
  await mkdir(path.join(root, ".perdure"), { recursive: true });
  folder = await mkdtemp(path.join(root, ".perdure", "programs-"));
});
after(() => rm(folder, { recursive: true, force: true }));

/** A program that calls its host module before and after a message; `version` shows in both. */
async function write(name: string, version: string, host: string): Promise<string> {
  const target = path.join(folder, name);
  await mkdir(target, { recursive: true });
  await writeFile(
    path.join(target, "app.ts"),
    `import { receive } from "perdure"; import { who } from "./host.ts";
     export default async function main(): Promise<string[]> {
       const before = await who(); await receive(); return ["${version}", before, await who()];
     }`,
  );
  const text = `"use host";\nexport async function who(): Promise<string> { return "${host}"; }\n`;
  await writeFile(path.join(target, "host.ts"), text);
  return path.join(target, "app.ts");
}

async function startOne(store: string, program: string, id: string): Promise<void> {
  await using engine = await Engine.open({ store, program });
  const handle = await engine.start("default", [], { id });
  while ((await handle.status()).turns < 2) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe("programs in a store", () => {
  test("a process runs the program it was started with, though the source has changed since", async () => {
    const store = path.join(folder, "versions.db");
    await startOne(store, await write("versions", "first", "host"), "p");
    await using engine = await Engine.open({ store, program: await write("versions", "second", "host") });
    await engine.get("p").send(null);
    assert.deepEqual(await engine.get("p").result(), ["first", "host", "host"]);
    const other = await engine.start("default", []);
    await other.send(null);
    assert.deepEqual(await other.result(), ["second", "host", "host"]);
  });

  test("a process of another program in the store finds the functions beside its own program", async () => {
    const store = path.join(folder, "two.db");
    await startOne(store, await write("a", "a", "a's"), "a");
    await using engine = await Engine.open({ store, program: await write("b", "b", "b's") });
    await engine.get("a").send(null);
    assert.deepEqual(await engine.get("a").result(), ["a", "a's", "a's"]);
  });

  test("a deployment that has moved serves the processes of its old place", async () => {
    const store = path.join(folder, "moved.db");
    await startOne(store, await write("old-place", "moved", "there"), "p");
    await rename(path.join(folder, "old-place"), path.join(folder, "away"));
    await using engine = await Engine.open({ store, program: await write("new-place", "new", "here") });
    await engine.get("p").send(null);
    assert.deepEqual(await engine.get("p").result(), ["moved", "there", "here"]);
  });

  test("a process goes on though its source is gone, without any program, as far as it needs no host function", async () => {
    const store = path.join(folder, "gone.db");
    await startOne(store, await write("gone", "gone", "old"), "p");
    await rm(path.join(folder, "gone"), { recursive: true });
    await using engine = await Engine.open({ store, onNotice: () => undefined });
    const handle = engine.get("p");
    await handle.send(null);
    const deadline = Date.now() + 10_000;
    while ((await handle.status()).operations[0]?.state !== "unavailable") {
      assert.ok(Date.now() < deadline, "it gets as far as its next operation, which waits visibly");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });
});
