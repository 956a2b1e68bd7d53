import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { compileEngine, engineHash, readEngineBinary } from "./engine-binary.ts";

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The smallest WebAssembly module: it exports nothing. */
const emptyModule = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);

test("the installed binary is the one this release was made for", () => {
  const { hash, module } = compileEngine(readEngineBinary());
  assert.equal(hash, engineHash);
  assert.equal(Object.prototype.toString.call(module), "[object WebAssembly.Module]");
});

test("a binary of which one bit is different is ENGINE_BINARY, with both hashes", () => {
  const bytes = Uint8Array.from(readEngineBinary());
  bytes[1000] = (bytes[1000] as number) ^ 1;
  assert.throws(() => compileEngine(bytes), {
    code: "ENGINE_BINARY",
    details: { hash: hashOf(bytes), expected: engineHash },
  });
});

test("a binary without the functions the machine calls is ENGINE_BINARY, and says which are missing", () => {
  assert.throws(() => compileEngine(emptyModule, hashOf(emptyModule)), {
    code: "ENGINE_BINARY",
    message: /lacks the exports memory, __stack_pointer.*qjs_set_runtime_and_context/,
  });
});

test("the hash of what is expected can be another release's", () => {
  assert.throws(() => compileEngine(readEngineBinary(), "00".repeat(32)), { code: "ENGINE_BINARY" });
});
