import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { buildProject, evaluate } from "../../test/support/project.ts";

test("a program exports the namespaces of the user's modules by path, entry first", async (t) => {
  const program = await buildProject(t, {
    "src/app.ts": `
      import { area } from "./lib/deep/area.ts";
      import { unit } from "../shared/unit.ts";
      import { pi } from "pi";
      export default async function main(r: number) { return area(r) + unit; }
      export const twice = async (r: number) => 2 * (await main(r)) + (pi - pi);`,
    "src/lib/deep/area.ts": `import { pi } from "pi"; export function area(r: number) { return pi * r * r; }`,
    "shared/unit.ts": `export const unit: string = "m2";`,
    "node_modules/pi/package.json": `{ "name": "pi", "type": "module", "main": "index.js" }`,
    "node_modules/pi/index.js": `export const pi = 3;`,
  });
  assert.deepEqual(program.modules, ["app.ts", "lib/deep/area.ts", "../shared/unit.ts"]);
  assert.deepEqual(program.entries, ["default", "twice", "lib/deep/area.ts#area"]);
  assert.equal(path.basename(program.file), "app.ts");
  assert.deepEqual(program.hostModules, []);
  assert.match(program.hash, /^[0-9a-f]{64}$/);

  const modules = await evaluate(t, program);
  assert.deepEqual(Object.keys(modules), program.modules);
  assert.equal(await modules["app.ts"]?.["default"](2), "12m2");
  assert.equal(modules["lib/deep/area.ts"]?.["area"](1), 3);
});

test("the bundle begins by taking the bridge to the prelude out of the globals", async (t) => {
  const program = await buildProject(t, { "app.ts": `export const visible = () => "__perdure" in globalThis;` });
  assert.ok(program.bundle.startsWith("const __perdure = globalThis.__perdure; delete globalThis.__perdure;"));
  assert.equal((await evaluate(t, program))["app.ts"]?.["visible"](), false);
});

test("a program may declare the bundle's own names itself", async (t) => {
  const program = await buildProject(t, {
    "app.ts": `
      import { sleep as nap } from "perdure";
      export const __perdure = 1; export const modules = { a: __perdure };
      const perdure_sleep = 2, sleep = 3; export const all = () => [__perdure, modules.a, perdure_sleep, sleep, nap];`,
  });
  assert.deepEqual((await evaluate(t, program))["app.ts"]?.["all"](), [1, 1, 2, 3, "sleep"]);
  assert.deepEqual(program.entries, ["all"]);
});

test("imports from perdure are members of the prelude's API", async (t) => {
  const program = await buildProject(t, {
    "app.ts": `
      import * as everything from "perdure";
      import { receive as get, TimeoutError } from "perdure";
      export default () => [get, TimeoutError, everything.self];`,
  });
  assert.deepEqual((await evaluate(t, program, { self: 7 }))["app.ts"]?.["default"](), ["receive", "TimeoutError", 7]);
});

test("modules may use top-level await", async (t) => {
  const program = await buildProject(t, {
    "app.ts": `import { value } from "./slow.ts"; export const result = await Promise.resolve(value + 1);`,
    "slow.ts": `export const value = await new Promise<number>((resolve) => setTimeout(resolve, 1, 41));`,
  });
  assert.equal((await evaluate(t, program))["app.ts"]?.["result"], 42);
});

test("a program without imports and exports is evaluated and has no entries", async (t) => {
  const program = await buildProject(t, {
    "app.ts": `const effect: boolean = true; (globalThis as any).sideEffect = effect;`,
  });
  assert.deepEqual([program.modules, program.entries], [["app.ts"], []]);
  assert.deepEqual(await evaluate(t, program), { "app.ts": {} });
  assert.equal((globalThis as Record<string, unknown>)["sideEffect"], true);
});

test("modules are evaluated in the order of their imports", async (t) => {
  const log = (name: string) => `((globalThis as any).order ??= []).push("${name}");`;
  const program = await buildProject(t, {
    "app.ts": `import "./a.ts"; import "./c.cjs"; import "./b.ts"; export {}; ${log("app")}`,
    "a.ts": `import "./b.ts"; ${log("a")}`,
    "b.ts": `export {}; ${log("b")}`,
    "c.cjs": `globalThis.order.push("c"); exports.c = 1;`,
  });
  await evaluate(t, program);
  assert.deepEqual((globalThis as Record<string, unknown>)["order"], ["b", "a", "c", "app"]);
  assert.deepEqual(program.modules, ["app.ts", "a.ts", "b.ts", "c.cjs"]);
});

test("entries follow export *, renamed and re-exported functions, and leave out types and what is no function", async (t) => {
  const program = await buildProject(t, {
    "app.ts": `
      export * from "./flows.ts";
      export { inner as outer, type Shape } from "./flows.ts";
      export * as nested from "./flows.ts";
      export type Alias = string;
      export interface Face { a: string }
      export const limit = 3, name = "x", list = [1], config = { a: 1 }, text = \`t\`, negative = -1, map = new Map(), nothing = undefined;
      export class Model {}
      export enum Color { red }
      export const wrapped = wrap(async () => 1);
      function wrap<T>(value: T) { return value; }
      export let later: unknown; later = async () => 2;
      export function* numbers() { yield 1; }
      export default () => 0;`,
    "flows.ts": `export interface Shape {} export async function inner() {} export const other = async () => 1; export default 5;`,
  });
  assert.deepEqual(program.entries, [
    "default",
    "inner",
    "later",
    "numbers",
    "other",
    "outer",
    "wrapped",
    "flows.ts#inner",
    "flows.ts#other",
  ]);
});

test("a CommonJS module of the user's is bundled and can be started by its default export", async (t) => {
  const program = await buildProject(t, {
    "app.cjs": `const { helper } = require("./helper.cjs"); module.exports = async () => helper();`,
    "helper.cjs": `exports.helper = () => "helped";`,
  });
  assert.deepEqual([program.modules, program.entries], [["app.cjs"], ["default"]]);
  assert.equal(await (await evaluate(t, program))["app.cjs"]?.["default"](), "helped");
});

test("import() with a literal is bundled, and evaluated only when it is reached", async (t) => {
  const program = await buildProject(t, {
    "app.ts": `export default async () => [(globalThis as any).lazy, (await import("./lazy.ts")).value, (globalThis as any).lazy];`,
    "lazy.ts": `(globalThis as any).lazy = true; export const value = 1;`,
  });
  assert.deepEqual(program.modules, ["app.ts"]);
  assert.deepEqual(await (await evaluate(t, program))["app.ts"]?.["default"](), [undefined, 1, true]);
});

test("JSON, text and Markdown files are data", async (t) => {
  const program = await buildProject(t, {
    "app.ts": `
      import config from "./config.json" with { type: "json" }; import { size } from "./config.json";
      import text from "./note.txt"; import page from "./page.md";
      export default () => [config.size, size, text, page];`,
    "config.json": `{ "size": 3 }`,
    "note.txt": "note",
    "page.md": "# page",
  });
  assert.deepEqual(program.modules, ["app.ts"]);
  assert.deepEqual((await evaluate(t, program))["app.ts"]?.["default"](), [3, 3, "note", "# page"]);
});

test("tsconfig paths, decorators, JSX and class fields work as TypeScript says", async (t) => {
  const program = await buildProject(t, {
    "app.tsx": `
      import { value } from "@lib/value";
      const React = { createElement: (tag: string, props: unknown, ...children: unknown[]) => [tag, ...children] };
      function double(_: unknown, context: unknown) { return (initial: number) => initial * 2; }
      class Box { @double size = value; }
      export default () => [new Box().size, <b>{1}</b>];`,
    "tsconfig.json": `{ "compilerOptions": { "paths": { "@lib/*": ["./lib/*"] } } }`,
    "lib/value.ts": `export const value = 21;`,
  });
  assert.deepEqual(program.modules, ["app.tsx", "lib/value.ts"]);
  assert.deepEqual((await evaluate(t, program))["app.tsx"]?.["default"](), [42, ["b", 1]]);
});

test("NODE_ENV is production, and global is globalThis", async (t) => {
  const program = await buildProject(t, {
    "app.js": `export default () => [process.env.NODE_ENV, global === globalThis];`,
  });
  assert.deepEqual((await evaluate(t, program))["app.js"]?.["default"](), ["production", true]);
});

test("of a package's variants the ones for workers and browsers are taken, never Node's", async (t) => {
  const program = await buildProject(t, {
    "app.ts": `
      import { variant } from "conditional"; import mapped from "mapped"; import events from "events";
      export default () => [variant, mapped, events];`,
    "node_modules/conditional/package.json": `{ "exports": { "node": "./node.js", "perdure": "./perdure.js", "default": "./default.js" } }`,
    "node_modules/conditional/node.js": `import "node:fs"; export const variant = "node";`,
    "node_modules/conditional/perdure.js": `export const variant = "perdure";`,
    "node_modules/conditional/default.js": `export const variant = "default";`,
    "node_modules/mapped/package.json": `{ "main": "index.js", "browser": { "fs": false, "./node.js": "./browser.js" } }`,
    "node_modules/mapped/index.js": `require("fs"); module.exports = require("./node.js");`,
    "node_modules/mapped/browser.js": `module.exports = "browser";`,
    "node_modules/mapped/node.js": `module.exports = require("net");`,
    "node_modules/events/package.json": `{ "main": "index.js" }`,
    "node_modules/events/index.js": `module.exports = "installed";`,
  });
  assert.deepEqual((await evaluate(t, program))["app.ts"]?.["default"](), ["perdure", "browser", "installed"]);
});

test("a package that only tries to require a Node built-in runs without it", async (t) => {
  const program = await buildProject(t, {
    "app.ts": `import how from "careful"; export default () => how;`,
    "node_modules/careful/index.js": `try { require("node:crypto"); module.exports = "node"; } catch { module.exports = "fallback"; }`,
  });
  // In Node, bundles have no `require` either.
  assert.equal((await evaluate(t, program))["app.ts"]?.["default"](), "fallback");
});

test("source maps are relative to the entry's folder, and hold the text of the user's sandboxed modules only", async (t) => {
  const program = await buildProject(t, {
    "app.ts": `import { charge } from "./host.ts"; import { x } from "pkg"; export default () => charge(x);`,
    "host.ts": `"use host"; export async function charge(x: number) { return "secret"; }`,
    "node_modules/pkg/package.json": `{ "main": "index.js" }`,
    "node_modules/pkg/index.js": `export const x = 1;`,
  });
  const map = JSON.parse(program.sourceMap) as { sources: string[]; sourcesContent: (string | null)[] };
  const texts = Object.fromEntries(map.sources.map((source, i) => [source, map.sourcesContent[i]]));
  assert.deepEqual(Object.keys(texts).sort(), ["app.ts", "host.ts", "node_modules/pkg/index.js", "perdure:entry"]);
  assert.match(texts["app.ts"] ?? "", /^import \{ charge \}/);
  assert.deepEqual([texts["host.ts"], texts["node_modules/pkg/index.js"], texts["perdure:entry"]], [null, null, null]);
  assert.doesNotMatch(program.bundle, /secret/);
});
