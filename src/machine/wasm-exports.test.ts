import assert from "node:assert/strict";
import { test } from "node:test";
import { readEngineBinary } from "./engine-binary.ts";
import { keepExports } from "./wasm-exports.ts";

/** What of WebAssembly this test needs; its types are not among Node's. */
const { Module } = Reflect.get(globalThis, "WebAssembly") as {
  readonly Module: (new (binary: Uint8Array) => object) & { exports(module: object): readonly { name: string }[] };
};

const names = (binary: Uint8Array): string[] =>
  Module.exports(new Module(Uint8Array.from(binary))).map(({ name }) => name);

test("a binary keeps the exports that are named, in its own order, and nothing else of it changes", () => {
  const binary = readEngineBinary();
  const all = names(binary);
  assert.ok(all.length > 200);
  assert.deepEqual(names(keepExports(binary, ["qjs_call", "memory", "no such export"])), ["memory", "qjs_call"]);
  assert.deepEqual(Buffer.from(keepExports(binary, all)), Buffer.from(binary));
  assert.deepEqual(names(keepExports(binary, [])), []);
});
