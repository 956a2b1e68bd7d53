import assert from "node:assert/strict";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { build, writeProject } from "../../test/support/project.ts";
import { buildProgram } from "./index.ts";

const files = {
  "app/index.ts": `
    import { b } from "../lib/b.ts"; import root, * as everything from "../index.ts"; import cjs from "cjs"; import { esm } from "esm";
    import { charge } from "./host.ts"; import * as lib from "../lib/index.ts"; import data from "../data.json";
    export default async () => [b, root, everything, cjs, esm, charge, lib, data, await import("../lib/lazy.ts")];`,
  "app/host.ts": `"use host"; export async function charge() {}`,
  "index.ts": `export default 5; export const other = 6;`,
  "data.json": `{ "a": 1 }`,
  "lib/b.ts": `import { name } from "./c.ts"; export const b = name; export default class {}`,
  "lib/c.ts": `export const name = "ünïcode"; export const b = 7;`,
  "lib/index.ts": `export { default } from "./b.ts"; export const b = 8;`,
  "lib/lazy.ts": `export default () => 9;`,
};
const packages = {
  "cjs/index.js": `exports.value = require("./part");`,
  "cjs/part.js": `module.exports = 1;`,
  "esm/package.json": `{ "type": "module", "main": "index.js", "dependencies": { "cjs": "*" } }`,
  "esm/index.js": `import cjs from "cjs"; export const esm = cjs.value;`,
};

/** The project with its packages in `node_modules` of the folder, of a parent, or linked from elsewhere as pnpm does. */
async function layout(t: TestContext, subfolder: string, store: "own" | "parent" | "linked"): Promise<string> {
  const folder = await writeProject(t, files, subfolder);
  const modules = path.join(store === "parent" ? path.dirname(folder) : folder, "node_modules");
  for (const [name, text] of Object.entries(packages)) {
    const file = store === "linked" ? path.join(folder, "..", "store", "node_modules", name) : path.join(modules, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  if (store === "linked") {
    await mkdir(modules);
    for (const name of ["cjs", "esm"])
      await symlink(path.join(folder, "..", "store", "node_modules", name), path.join(modules, name));
  }
  return path.join(folder, "app", "index.ts");
}

test("the same sources give the same program in any folder, from any working directory, wherever packages lie", async (t) => {
  const first = await build(await layout(t, "p", "own"));
  assert.doesNotMatch(first.bundle + first.sourceMap, new RegExp(tmpdir()));
  const cwd = process.cwd();
  t.after(() => process.chdir(cwd));
  for (const [subfolder, store] of [
    ["p", "own"],
    ["much/longer/name", "own"],
    ["app", "parent"],
    ["index/z", "linked"],
  ] as const) {
    const file = await layout(t, subfolder, store);
    process.chdir(subfolder === "app" ? path.dirname(file) : "/");
    const { file: _file, hostModules, ...program } = await build(file);
    const { file: _first, hostModules: firstHostModules, ...expected } = first;
    assert.deepEqual(program, expected);
    assert.deepEqual(
      hostModules.map((module) => module.path),
      firstHostModules.map((module) => module.path),
    );
  }
});

test("a program may be named by a relative path, and through a symbolic link", async (t) => {
  const file = await layout(t, "p", "own");
  const { hash } = await build(file);
  const cwd = process.cwd();
  t.after(() => process.chdir(cwd));
  process.chdir(path.dirname(path.dirname(file)));
  assert.deepEqual([(await build("app/index.ts")).hash, (await build("app/index.ts")).file], [hash, file]);
  await symlink(path.dirname(file), path.join(path.dirname(file), "..", "link"));
  assert.deepEqual([(await build("link/index.ts")).hash, (await build("link/index.ts")).file], [hash, file]);
});

test("the hash covers the sources, the prelude and the engine binary", async (t) => {
  const folder = await writeProject(t, { "a.ts": `export const f = () => 1;`, "b.ts": `export const f = () => 2;` });
  const hash = async (name: string, preludeHash: string, engineHash: string) =>
    (await buildProgram(path.join(folder, name), { preludeHash, engineHash })).hash;
  const hashes = [
    await hash("a.ts", "p", "e"),
    await hash("b.ts", "p", "e"),
    await hash("a.ts", "q", "e"),
    await hash("a.ts", "p", "f"),
    await hash("a.ts", "p\ne", ""),
  ];
  assert.equal(new Set(hashes).size, hashes.length);
  assert.equal(await hash("a.ts", "p", "e"), hashes[0]);
});

test("programs built at the same time do not mix", async (t) => {
  const folder = await writeProject(
    t,
    Object.fromEntries(
      [1, 2, 3, 4].map((n) => [`p${n}.ts`, `import { f } from "./host${n}.ts"; export const g${n} = () => f;`]),
    ),
  );
  for (const n of [1, 2, 3, 4])
    await writeFile(path.join(folder, `host${n}.ts`), `"use host"; export async function f() {}`);
  const programs = await Promise.all([1, 2, 3, 4].map((n) => build(path.join(folder, `p${n}.ts`))));
  assert.deepEqual(
    programs.map((program) => [program.entries, program.hostModules.map((module) => module.path)]),
    [1, 2, 3, 4].map((n) => [[`g${n}`], [`host${n}.ts`]]),
  );
});
