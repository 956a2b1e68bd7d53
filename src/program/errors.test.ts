import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { isPerdureError } from "../base/errors.ts";
import type { PerdureError } from "../base/errors.ts";
import { build, buildProject, writeProject } from "../../test/support/project.ts";
import { checkEntry } from "./index.ts";

/** The error of building the first of the files. */
async function failure(
  t: TestContext,
  files: Readonly<Record<string, string>>,
): Promise<PerdureError & { folder: string }> {
  const folder = await writeProject(t, files);
  const error: unknown = await build(path.join(folder, Object.keys(files)[0] ?? "")).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(isPerdureError(error), `expected a PerdureError, got ${String(error)}`);
  return Object.assign(error, { folder });
}

function lines(...text: string[]): string {
  return text.join("\n");
}

test("PROGRAM_NOT_FOUND: a missing file, a folder, a file that is no code", async (t) => {
  const folder = await writeProject(t, { "data.json": "{}" });
  await mkdir(path.join(folder, "dir.ts"));
  const cases = [
    ["app.ts", "There is no such file."],
    ["dir.ts", "It is not a file. Name the program's entry file, such as app.ts."],
    ["data.json", "A program is a file that ends in .js, .mjs, .cjs, .jsx, .ts, .mts, .cts, .tsx."],
  ] as const;
  for (const [name, why] of cases) {
    const file = path.join(folder, name);
    await assert.rejects(build(file), {
      code: "PROGRAM_NOT_FOUND",
      message: `Cannot read the program ${file}. ${why}`,
      details: { file },
    });
  }
});

test("PROGRAM_SYNTAX: shows file, line, column and the line with a caret", async (t) => {
  const error = await failure(t, { "app.ts": `import "./lib/x.ts";`, "lib/x.ts": `\n\n\tconst é = "é", x = ;\n` });
  assert.equal(error.code, "PROGRAM_SYNTAX");
  assert.equal(
    error.message,
    lines(`lib/x.ts:3:21: Unexpected ";"`, `  3 | \tconst é = "é", x = ;`, `    | \t                   ^`),
  );
  assert.deepEqual(error.details, { file: path.join(error.folder, "lib/x.ts"), line: 3, column: 21 });
});

test("PROGRAM_SYNTAX: of a very long line only the neighbourhood of the error is shown", async (t) => {
  const error = await failure(t, { "app.js": `${"f();".repeat(100)}let a = ;${"g();".repeat(100)}` });
  const [title, line = "", caret = ""] = error.message.split("\n");
  assert.equal(title, `app.js:1:409: Unexpected ";"`);
  assert.equal(line.length, "  1 | ".length + 120);
  assert.equal(line[caret.indexOf("^")], ";");
  assert.match(line.slice(0, caret.indexOf("^")), /let a = $/);
});

test("PROGRAM_RESOLVE: a relative path, a package and a package's path that do not exist", async (t) => {
  const error = await failure(t, {
    "app.ts": `import { a } from "./nowhere.ts";\nimport b from "@scope/left-pad/core";\nimport c from "there/private";\nimport d from "#internal";\nexport default [a, b, c, d];`,
    "node_modules/there/package.json": `{ "exports": { ".": "./index.js" } }`,
    "node_modules/there/index.js": ``,
  });
  assert.equal(error.code, "PROGRAM_RESOLVE");
  assert.equal(
    error.message,
    lines(
      `app.ts:1:19: There is no module "./nowhere.ts".`,
      `  1 | import { a } from "./nowhere.ts";`,
      `    |                   ^^^^^^^^^^^^^^`,
      `The path is relative to the file that imports it; check its spelling and extension.`,
      ``,
      `app.ts:2:15: Cannot find the package "@scope/left-pad/core".`,
      `  2 | import b from "@scope/left-pad/core";`,
      `    |               ^^^^^^^^^^^^^^^^^^^^^^`,
      `Install it with "npm install @scope/left-pad", or correct the name.`,
      ``,
      `app.ts:3:15: Cannot find "there/private".`,
      `  3 | import c from "there/private";`,
      `    |               ^^^^^^^^^^^^^^^`,
      `The path "./private" is not exported by package "there":`,
      ``,
      `app.ts:4:15: Cannot find the package "#internal".`,
      `  4 | import d from "#internal";`,
      `    |               ^^^^^^^^^^^`,
      `Names that begin with "#" are looked up in "imports" of the nearest package.json.`,
    ),
  );
});

test("PROGRAM_RESOLVE: a name that the other module does not export", async (t) => {
  const error = await failure(t, {
    "app.ts": `import { slep } from "perdure";\nimport { ara, charge } from "./lib.ts";\nimport { chrge } from "./host.ts";\nexport default () => [slep, ara, charge, chrge];`,
    "lib.ts": `export const area = 1; export { charge } from "./host.ts";`,
    "host.ts": `"use host"; export async function charge() {}`,
  });
  assert.equal(error.code, "PROGRAM_RESOLVE");
  assert.equal(
    error.message,
    lines(
      `app.ts:1:10: "perdure" has no export "slep".`,
      `  1 | import { slep } from "perdure";`,
      `    |          ^^^^`,
      `Did you mean to import "sleep" instead?`,
      ``,
      `app.ts:2:10: "lib.ts" has no export "ara".`,
      `  2 | import { ara, charge } from "./lib.ts";`,
      `    |          ^^^`,
      `Did you mean to import "area" instead?`,
      ``,
      `app.ts:3:10: "host.ts" has no export "chrge".`,
      `  3 | import { chrge } from "./host.ts";`,
      `    |          ^^^^^`,
      `Did you mean to import "charge" instead?`,
    ),
  );
});

test("PROGRAM_RESOLVE: what the sandbox has no use for", async (t) => {
  const error = await failure(t, {
    "app.ts": `import "./style.css";\nimport "./logo.svg";\nimport "https://example.com/x.js";\nimport { operation } from "perdure/host";\nimport "perdure/engine";\noperation;`,
    "style.css": `a { color: red }`,
    "logo.svg": `<svg/>`,
  });
  assert.equal(error.code, "PROGRAM_RESOLVE");
  assert.equal(
    error.message,
    lines(
      `app.ts:1:8: A program cannot import "style.css": .css files mean nothing inside the sandbox.`,
      `  1 | import "./style.css";`,
      `    |        ^^^^^^^^^^^^^`,
      `It can import JavaScript, TypeScript, .json, and .txt or .md as text. Read anything else in a module that begins with "use host".`,
      ``,
      `app.ts:2:8: A program cannot import "logo.svg": .svg files mean nothing inside the sandbox.`,
      `  2 | import "./logo.svg";`,
      `    |        ^^^^^^^^^^^^`,
      `It can import JavaScript, TypeScript, .json, and .txt or .md as text. Read anything else in a module that begins with "use host".`,
      ``,
      `app.ts:3:8: A program cannot import "https://example.com/x.js": modules are not loaded over the network.`,
      `  3 | import "https://example.com/x.js";`,
      `    |        ^^^^^^^^^^^^^^^^^^^^^^^^^^`,
      `Install the package with npm and import it by name.`,
      ``,
      `app.ts:4:27: "perdure/host" is for host code, and this module runs inside the sandbox.`,
      `  4 | import { operation } from "perdure/host";`,
      `    |                           ^^^^^^^^^^^^^^`,
      `Begin the module with "use host" if it is meant to run in Node; if only types are needed, write "import type".`,
      ``,
      `app.ts:5:8: "perdure/engine" cannot be used inside the sandbox.`,
      `  5 | import "perdure/engine";`,
      `    |        ^^^^^^^^^^^^^^^^`,
      `A program imports from "perdure"; the other entry points are for Node.`,
    ),
  );
});

test("PROGRAM_NODE_BUILTIN: names the chain of imports, and the user's files come before a package's", async (t) => {
  const error = await failure(t, {
    "app.ts": `import { read } from "./lib/x.ts";\nimport "./lib/y.ts";\nexport default read;`,
    "lib/x.ts": `import pkg from "pkg";\nexport const read = () => pkg;`,
    "lib/y.ts": `export {};\nconst fs = require("fs/promises");`,
    "node_modules/pkg/package.json": `{ "main": "lib/index.js" }`,
    "node_modules/pkg/lib/index.js": `module.exports = require("./deep");`,
    "node_modules/pkg/lib/deep.js": `import fs from "node:fs"; export default fs;`,
  });
  assert.equal(error.code, "PROGRAM_NODE_BUILTIN");
  assert.equal(
    error.message,
    lines(
      `lib/y.ts:2:20: "node:fs/promises" is part of Node, which does not exist inside the sandbox.`,
      `  2 | const fs = require("fs/promises");`,
      `    |                    ^^^^^^^^^^^^^`,
      `Imported by way of app.ts → lib/y.ts → node:fs/promises.`,
      `Move the code that uses it into a module that begins with "use host" and export it as an async function: calling it from the program is an operation.`,
      ``,
      `node_modules/pkg/lib/deep.js:1:16: "node:fs" is part of Node, which does not exist inside the sandbox.`,
      `  1 | import fs from "node:fs"; export default fs;`,
      `    |                ^^^^^^^^^`,
      `Imported by way of app.ts → lib/x.ts → pkg/lib/index.js → pkg/lib/deep.js → node:fs.`,
      `Use this package in a module that begins with "use host" and export what you need of it as async functions: calling one from the program is an operation.`,
    ),
  );
});

test("PROGRAM_NODE_BUILTIN: is reported beside other errors, and not for what only host code imports", async (t) => {
  const error = await failure(t, {
    "app.ts": `import os from "os";\nimport { f } from "./host.ts";\nexport default () => [os, f];\nlet x = x x;`,
    "host.ts": `"use host"; import fs from "node:fs"; export async function f() { return fs; }`,
  });
  // What does not parse has no imports yet.
  assert.deepEqual([error.code, error.details["line"]], ["PROGRAM_SYNTAX", 4]);
  const builtin = await failure(t, {
    "app.ts": `import os from "os";\nimport { f } from "./host.ts";\nexport default () => [os, f];`,
    "host.ts": `"use host"; import fs from "node:fs"; export async function f() { return fs; }`,
  });
  assert.equal(builtin.code, "PROGRAM_NODE_BUILTIN");
  assert.doesNotMatch(builtin.message, /host\.ts|node:fs/);
  assert.deepEqual(builtin.details, { file: path.join(builtin.folder, "app.ts"), line: 1, column: 16 });
});

test("PROGRAM_HOST_EXPORT: a host module cannot be a program's entry", async (t) => {
  const error = await failure(t, { "host.ts": `"use host"; export async function f() {}` });
  assert.equal(error.code, "PROGRAM_HOST_EXPORT");
  assert.match(
    error.message,
    /^host\.ts:1:1: host\.ts begins with "use host", so nothing of it runs inside the sandbox/,
  );
});

test("ENTRY_NOT_FOUND: lists what there is and suggests the nearest name", async (t) => {
  const program = await buildProject(t, {
    "app.ts": `import "./lib/x.ts"; export default async function main() {} export async function refund() {}`,
    "lib/x.ts": `export async function ship() {}`,
  });
  for (const entry of ["default", "refund", "lib/x.ts#ship", "app.ts#refund", "app.ts#default"])
    checkEntry(program, entry);
  assert.throws(() => checkEntry(program, "refnud"), {
    code: "ENTRY_NOT_FOUND",
    message: `app.ts has no entry "refnud". Did you mean "refund"? It has "default", "refund", "lib/x.ts#ship".`,
    details: { entry: "refnud", entries: ["default", "refund", "lib/x.ts#ship"] },
  });
  assert.throws(() => checkEntry(program, "unlike"), {
    message: `app.ts has no entry "unlike". It has "default", "refund", "lib/x.ts#ship".`,
  });
  const script = await buildProject(t, { "app.ts": `export const limit = 1;` });
  assert.throws(() => checkEntry(script, "default"), {
    code: "ENTRY_NOT_FOUND",
    message: `app.ts has no entry "default". It exports no function: write "export default async function …" in it.`,
  });
});
