import assert from "node:assert/strict";
import { mkdir, symlink } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { isPerdureError } from "../base/errors.ts";
import { build, buildProject, evaluate, writeProject } from "../../test/support/project.ts";

/** Builds a program around one host module and returns the names it exports to the program. */
async function hostExports(
  t: TestContext,
  text: string,
  others: Readonly<Record<string, string>> = {},
): Promise<readonly string[] | undefined> {
  const program = await buildProject(t, {
    "app.ts": `import * as host from "./host.ts"; export const get = () => host;`,
    "host.ts": text,
    ...others,
  });
  return program.hostModules.find((module) => module.path === "host.ts")?.exports;
}

/** Builds a program around one faulty host module and returns the first line of each error. */
async function problems(
  t: TestContext,
  text: string,
  others: Readonly<Record<string, string>> = {},
): Promise<{ code: string; titles: string[]; message: string }> {
  const folder = await writeProject(t, { "app.ts": `import "./host.ts";`, "host.ts": text, ...others });
  const error: unknown = await build(path.join(folder, "app.ts")).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(isPerdureError(error), `expected a PerdureError, got ${String(error)}`);
  return {
    code: error.code,
    message: error.message,
    titles: error.message.split("\n\n").map((part) => part.split("\n")[0] ?? ""),
  };
}

test("a program gets operations in place of a host module's exports, named after its path", async (t) => {
  const folder = await writeProject(t, {
    "app/main.ts": `
        import charge, { ship as send, type Receipt } from "./host/warehouse.ts";
        import { Audit } from "../shared/audit.ts";
        export { refund } from "./host/warehouse.ts";
        export default async (id: string): Promise<Receipt[]> => [charge(id), send(id), Audit(id)] as any;`,
    "app/host/warehouse.ts": `
        "use host";
        import { readFile } from "node:fs/promises";
        import { operation } from "perdure/host";
        import "not-installed-here";
        export interface Receipt { id: string }
        export default async function (id: string): Promise<Receipt> { return { id: await readFile(id, "utf8") }; }
        export const ship = operation({ mode: "at-most-once" }, async (id: string) => id);
        export const refund = async () => {};`,
    "shared/audit.ts": `"use host"; export async function Audit(id: string) {}`,
  });
  const program = await build(path.join(folder, "app/main.ts"));
  assert.deepEqual(program.hostModules, [
    { path: "../shared/audit.ts", file: path.join(folder, "shared/audit.ts"), exports: ["Audit"] },
    {
      path: "host/warehouse.ts",
      file: path.join(folder, "app/host/warehouse.ts"),
      exports: ["default", "refund", "ship"],
    },
  ]);
  assert.deepEqual([program.modules, program.entries], [["main.ts"], ["default", "refund"]]);
  assert.doesNotMatch(program.bundle, /readFile|not-installed/);
  const { default: main, refund } = (await evaluate(t, program))["main.ts"] ?? {};
  assert.deepEqual(await main("a"), [
    { operation: "host/warehouse.ts#default", args: ["a"] },
    { operation: "host/warehouse.ts#ship", args: ["a"] },
    { operation: "../shared/audit.ts#Audit", args: ["a"] },
  ]);
  assert.deepEqual(refund(1), { operation: "host/warehouse.ts#refund", args: [1] });
});

test("the directive counts wherever a directive may stand, in either kind of quotes", async (t) => {
  const bodies = [
    `"use host"; export async function f() {}`,
    `'use host'\nexport async function f() {}`,
    `\uFEFF"use host";\nexport async function f() {}`,
    `#!/usr/bin/env node\n"use host";\nexport async function f() {}`,
    `// a comment\n/* another\n "no directive" */ "use host"; export async function f() {}`,
    `"use strict"; 'use other'; "use host"; export async function f() {}`,
    `"use host" // why\n/* really */ export async function f() {}`,
  ];
  for (const body of bodies) assert.deepEqual(await hostExports(t, body), ["f"], body);
});

test("what only looks like the directive leaves a module inside the sandbox", async (t) => {
  const bodies = [
    `// "use host"\nexport async function f() {}`,
    `export const text = 'say "use host" first';`,
    `"use host" + ""; export async function f() {}`,
    `"use host".length; export async function f() {}`,
    `const a = ["use host"]; export const f = a;`,
    `"use hosting"; 'Use Host'; export async function f() {}`,
  ];
  for (const body of bodies) assert.equal(await hostExports(t, body), undefined, body);
});

test("PROGRAM_SYNTAX: the directive after other statements or within a function would be ignored in silence", async (t) => {
  const after = await problems(
    t,
    `import { a } from "./a.ts";\n  "use host";\nexport async function f() { return a; }`,
    { "a.ts": `export const a = 1;` },
  );
  assert.equal(after.code, "PROGRAM_SYNTAX");
  assert.equal(
    after.message,
    [
      `host.ts:2:3: "use host" has no effect here: it applies to whole modules and must come before any other statement.`,
      `  2 |   "use host";`,
      `    |   ^`,
      `Move it to the first line of the file, or the function into a module of its own that begins with "use host".`,
    ].join("\n"),
  );
  const within = await problems(t, `export async function f() {\n  "use host";\n  return 1;\n}`);
  assert.deepEqual([within.code, within.titles[0]?.slice(0, 12)], ["PROGRAM_SYNTAX", "host.ts:2:3:"]);
});

test("a host module that does not parse is a syntax error at its own place", async (t) => {
  const { code, titles } = await problems(t, `"use host";\nexport async function f( {}`);
  assert.deepEqual([code, titles], ["PROGRAM_SYNTAX", [`host.ts:2:28: Expected ")" but found end of file`]]);
});

test("types are no exports, and export * brings in what other files export", async (t) => {
  const names = await hostExports(
    t,
    `"use host";
     export * from "./more.ts";
     export { renamed as other, type Kind } from "./more.ts";
     export { Local } from "./types.ts";
     export type T = string;
     export interface I {}
     export declare function declared(): void;
     export async function f(x: T): Promise<I> { return {}; }`,
    {
      "more.ts": `import picture from "./picture.node"; export * from "./deeper.ts"; export async function renamed() { return picture; } export type Kind = 1; export default 5;`,
      "deeper.ts": `export const deep = async () => 1;`,
      "types.ts": `export interface Local {}`,
      "picture.node": `binary`,
    },
  );
  assert.deepEqual(names, ["deep", "f", "other", "renamed"]);
});

test("async functions, operations and whatever cannot be told without running it may be exported", async (t) => {
  const names = await hostExports(
    t,
    `"use host";
     import * as perdure from "perdure/host";
     import { operation as op } from "perdure/host";
     import { imported } from "some-package";
     import { helper } from "./helper.ts";
     export async function declared() {}
     export const arrow = async () => 1;
     export const expression = async function () {};
     export const satisfied = (async () => 1) satisfies () => Promise<number>;
     export const renamed = op("name", async () => 1), member = perdure.operation(() => 1);
     const local = async () => 1;
     export const alias = local;
     export { local as listed, imported, helper };
     export const wrapped = retry(async () => 1);
     export const chosen = process.env["X"] ? local : declared, maybe = process.env["X"] ? local : null;
     export const { destructured } = { destructured: async () => 1 };
     export let assigned: unknown = null; assigned = async () => 1;
     export { local as "with spaces", local as delete };
     function retry<T>(value: T): T { return value; }
     export default async () => 1;`,
    { "helper.ts": `export const helper = async () => 1;` },
  );
  assert.deepEqual(names, [
    "alias",
    "arrow",
    "assigned",
    "chosen",
    "declared",
    "default",
    "delete",
    "destructured",
    "expression",
    "helper",
    "imported",
    "listed",
    "maybe",
    "member",
    "renamed",
    "satisfied",
    "with spaces",
    "wrapped",
  ]);
});

test("stubs of exports with unusual names can be imported", async (t) => {
  const program = await buildProject(t, {
    "app.ts": `import { "with spaces" as spaced, delete as remove } from "./host.ts"; export default () => [spaced(), remove()];`,
    "host.ts": `"use host"; const f = async () => 1; export { f as "with spaces", f as delete };`,
  });
  const results = (await evaluate(t, program))["app.ts"]?.["default"]() as { operation: string }[];
  assert.deepEqual(
    results.map((result) => result.operation),
    ["host.ts#with spaces", "host.ts#delete"],
  );
});

test("PROGRAM_HOST_EXPORT: says of every export that cannot be an operation what it is", async (t) => {
  const cases: readonly (readonly [string, string, string])[] = [
    [`export function bad() {}`, `1:29`, "a function that is not async"],
    [`export const bad = () => 1`, `1:26`, "a function that is not async"],
    [`export function* bad() {}`, `1:30`, "a generator"],
    [`export async function* bad() {}`, `1:36`, "an async generator"],
    [`export class bad {}`, `1:26`, "a class"],
    [`export enum bad { a }`, `1:25`, "an enum"],
    [`export const bad = 1`, `1:26`, "a number"],
    [`export const bad = -1`, `1:26`, "a number"],
    [`export const bad = "x" as const`, `1:26`, "a string"],
    [`export const bad = \`x\``, `1:26`, "a string"],
    [`export const bad = true`, `1:26`, "a boolean"],
    [`export const bad = /x/`, `1:26`, "a regular expression"],
    [`export const bad = null`, `1:26`, "null"],
    [`export const bad = undefined`, `1:26`, "undefined"],
    [`export const bad = [async () => 1]`, `1:26`, "an array"],
    [`export const bad = { f: async () => 1 }`, `1:26`, "an object"],
    [`export const bad = new Map()`, `1:26`, "an object"],
    [`const x = 1; export { x as bad }`, `1:19`, "a number"],
    [`function bad() {} export { bad }; bad.retries = 3;`, `1:22`, "a function that is not async"],
    [`const x = 1, y = x; export const bad = y`, `1:46`, "a number"],
    [`export let bad: unknown = 1; bad = 2; bad++;`, `1:24`, "a number"],
  ];
  for (const [body, place, what] of cases) {
    const { code, titles } = await problems(t, `"use host"; ${body}`);
    assert.deepEqual(
      [code, titles],
      [
        "PROGRAM_HOST_EXPORT",
        [
          `host.ts:${place}: host.ts exports "bad", which is ${what}. Exports of a "use host" module must be async functions or operations.`,
        ],
      ],
      body,
    );
  }
});

test("PROGRAM_HOST_EXPORT: shows the export and what to do, for each at its own place", async (t) => {
  const { code, message } = await problems(
    t,
    `"use host";\nexport * from "./rates.ts";\nexport function sync() {}\nexport default 5;\nexport * from "some-package";`,
    { "rates.ts": `// rates\nexport const rate = 0.2;\nexport async function fine() {}` },
  );
  assert.equal(code, "PROGRAM_HOST_EXPORT");
  assert.equal(
    message,
    [
      `host.ts:3:17: host.ts exports "sync", which is a function that is not async. Exports of a "use host" module must be async functions or operations.`,
      `  3 | export function sync() {}`,
      `    |                 ^^^^`,
      `Make it async: calling it from the program is an operation, whose result the program awaits.`,
      ``,
      `host.ts:4:8: host.ts exports "default", which is a number. Exports of a "use host" module must be async functions or operations.`,
      `  4 | export default 5;`,
      `    |        ^^^^^^^`,
      `Move it to a module without "use host", or export an async function that returns it.`,
      ``,
      `host.ts:5:1: The names that export * from "some-package" stands for are not known before the program runs.`,
      `  5 | export * from "some-package";`,
      `    | ^^^^^^`,
      `Name them: export { one, another } from "some-package".`,
      ``,
      `rates.ts:2:14: host.ts exports "rate", which is a number. Exports of a "use host" module must be async functions or operations.`,
      `  2 | export const rate = 0.2;`,
      `    |              ^^^^`,
      `Move it to a module without "use host", or export an async function that returns it.`,
    ].join("\n"),
  );
});

test("PROGRAM_HOST_EXPORT: a CommonJS module cannot be a host module", async (t) => {
  const folder = await writeProject(t, {
    "app.ts": `import "./host.cjs";`,
    "host.cjs": `"use host"; module.exports = { async f() {} };`,
  });
  await assert.rejects(build(path.join(folder, "app.ts")), {
    code: "PROGRAM_HOST_EXPORT",
    message: [
      `app.ts:1:8: host.cjs begins with "use host" but is a CommonJS module, whose exports cannot be listed without running it.`,
      `  1 | import "./host.cjs";`,
      `    |        ^^^^^^^^^^^^`,
      `Write "export async function …" instead of assigning to module.exports.`,
    ].join("\n"),
  });
});

test("packages cannot bring host modules along", async (t) => {
  const program = await buildProject(t, {
    "app.ts": `import { f } from "pkg"; export default () => f();`,
    "node_modules/pkg/package.json": `{ "main": "index.js" }`,
    "node_modules/pkg/index.js": `"use host"; export const f = () => "in the sandbox";`,
  });
  assert.deepEqual(program.hostModules, []);
  assert.equal((await evaluate(t, program))["app.ts"]?.["default"](), "in the sandbox");
});

test("a package linked from the user's own sources is the user's: its modules can be started, and can be host modules", async (t) => {
  const folder = await writeProject(t, {
    "apps/shop/app.ts": `import { total } from "@my/shared"; import { mail } from "@my/shared/mail.ts"; export default () => [total(), mail()];`,
    "packages/shared/package.json": `{ "exports": { ".": "./src/index.ts", "./mail.ts": "./src/mail.ts" } }`,
    "packages/shared/src/index.ts": `export function total() { return 1; }`,
    "packages/shared/src/mail.ts": `"use host"; import nodemailer from "nodemailer"; export async function mail() { return nodemailer; }`,
  });
  await mkdir(path.join(folder, "node_modules/@my"), { recursive: true });
  await symlink(path.join(folder, "packages/shared"), path.join(folder, "node_modules/@my/shared"));
  const program = await build(path.join(folder, "apps/shop/app.ts"));
  assert.deepEqual(program.modules, ["app.ts", "../../packages/shared/src/index.ts"]);
  assert.deepEqual(program.entries, ["default", "../../packages/shared/src/index.ts#total"]);
  assert.deepEqual(
    program.hostModules.map((module) => module.path),
    ["../../packages/shared/src/mail.ts"],
  );
});

test("a program asks for those operations that it uses, of those that its host modules offer", async (t) => {
  const program = await buildProject(t, {
    "app.ts": `import { used } from "./host.ts"; import * as all from "./lib/all.ts"; export default () => [used(), all["späť"]];`,
    "host.ts": `"use host"; export async function used() {}\nexport async function unused() {}`,
    "lib/all.ts": `"use host"; export async function one() {}\nexport async function späť() {}`,
  });
  assert.deepEqual(program.operations, ["host.ts#used", "lib/all.ts#späť"]);
});
