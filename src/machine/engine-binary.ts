import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { setFlagsFromString } from "node:v8";
import { PerdureError } from "../base/errors.ts";
import { keepExports } from "./wasm-exports.ts";

/** SHA-256 of `quickjs.wasm` in quickjs-wasi 3.6.2: the binary this release's turn protocol and images are made for. */
export const engineHash = "d4c9375f2b1ca4dc95f72c8aa2982a7a9951ac8011490d79c6582df732b4bbd9";

export interface EngineBinary {
  readonly hash: string;
  readonly module: WebAssembly.Module;
}

/** What the machine calls. Checked once, so that another binary fails with a sentence and not in the middle of a turn. */
const exportsNeeded = [
  "memory",
  "__stack_pointer",
  "_initialize",
  "wasm_malloc",
  "wasm_free",
  "qjs_init",
  "qjs_set_interrupt_handler",
  "qjs_set_promise_rejection_handler",
  "qjs_set_memory_limit",
  "qjs_set_max_stack_size",
  "qjs_run_gc",
  "qjs_eval",
  "qjs_compile",
  "qjs_eval_bytecode",
  "qjs_call",
  "qjs_is_job_pending",
  "qjs_execute_pending_job",
  "qjs_new_string",
  "qjs_new_number",
  "qjs_new_array_buffer",
  "qjs_new_host_function",
  "qjs_get_undefined",
  "qjs_get_global",
  "qjs_get_prop_string",
  "qjs_set_prop_string",
  "qjs_get_string_len",
  "qjs_free_cstring",
  "qjs_get_float64",
  "qjs_get_array_buffer",
  "qjs_is_null",
  "qjs_is_number",
  "qjs_is_string",
  "qjs_is_array_buffer",
  "qjs_is_exception",
  "qjs_get_exception",
  "qjs_get_value_ptr",
  "qjs_free_value",
  "qjs_get_runtime_ptr",
  "qjs_get_context_ptr",
  "qjs_set_runtime_and_context",
] as const;

/** The bytes of the engine binary that this installation brings along. */
export function readEngineBinary(): Uint8Array {
  const path = createRequire(import.meta.url).resolve("quickjs-wasi/quickjs.wasm");
  return readFileSync(path);
}

/**
 * Native stack for guest code, in KiB. The engine stops recursion by its own measure, the linear memory's stack; but a C
 * function that keeps its locals in registers uses much more native stack than linear. With V8's 984 KiB, deep JSON or a
 * deep array ended in V8's overflow: not to be caught by the guest, and at a depth that depends on which of V8's compilers
 * was done with the function, so that replay could fail where the first run had passed. V8 keeps up to 4 MiB of stacks for
 * reuse; with larger ones every turn would begin by mapping one.
 */
const nativeStackKiB = 4000;

/** These flags are read whenever V8 makes a stack for guest code. Stacks of threads that exist, or that Node starts, keep their size. */
function enlargeNativeStack(): void {
  setFlagsFromString(`--wasm-stack-switching-stack-size=${nativeStackKiB}`);
  setFlagsFromString(`--stack-size=${nativeStackKiB}`);
}

/** Compiles an engine binary, from the installation or from a store. Throws ENGINE_BINARY if it is not `expectedHash`. */
export function compileEngine(bytes: Uint8Array, expectedHash: string = engineHash): EngineBinary {
  const hash = createHash("sha256").update(bytes).digest("hex");
  if (hash !== expectedHash) {
    throw new PerdureError(
      "ENGINE_BINARY",
      `The engine binary has the hash ${hash}, expected ${expectedHash}. Reinstall perdure with the quickjs-wasi version its package.json names.`,
      { details: { hash, expected: expectedHash } },
    );
  }
  enlargeNativeStack();
  const module = new WebAssembly.Module(keepExports(bytes, exportsNeeded));
  const present = new Set(WebAssembly.Module.exports(module).map((entry) => entry.name));
  const missing = exportsNeeded.filter((name) => !present.has(name));
  if (missing.length > 0) {
    throw new PerdureError("ENGINE_BINARY", `The engine binary ${hash} lacks the exports ${missing.join(", ")}.`);
  }
  return { hash, module };
}

type Pointer = number;

/** The engine binary's functions, by the names of quickjs-wasi 3.6.2. Pointers are to boxed JSValues unless said otherwise. */
export interface EngineExports {
  readonly memory: WebAssembly.Memory;
  readonly __stack_pointer: WebAssembly.Global;
  _initialize(): void;
  wasm_malloc(sizeBytes: number): Pointer;
  wasm_free(raw: Pointer): void;
  qjs_init(): number;
  qjs_set_interrupt_handler(on: number): void;
  qjs_set_promise_rejection_handler(on: number): void;
  qjs_set_memory_limit(sizeBytes: number): void;
  qjs_set_max_stack_size(sizeBytes: number): void;
  qjs_run_gc(): void;
  qjs_eval(code: Pointer, length: number, fileName: Pointer, flags: number): Pointer;
  qjs_compile(
    code: Pointer,
    length: number,
    fileName: Pointer,
    flags: number,
    compileFlags: number,
    lengthOut: Pointer,
  ): Pointer;
  qjs_eval_bytecode(bytecode: Pointer, length: number): Pointer;
  qjs_call(fn: Pointer, self: Pointer, argc: number, argv: Pointer): Pointer;
  qjs_is_job_pending(): number;
  qjs_execute_pending_job(): number;
  qjs_new_string(utf8: Pointer, length: number): Pointer;
  qjs_new_number(value: number): Pointer;
  qjs_new_array_buffer(bytes: Pointer, length: number): Pointer;
  qjs_new_host_function(name: Pointer, length: number, argc: number): Pointer;
  qjs_get_undefined(): Pointer;
  qjs_get_global(): Pointer;
  qjs_get_prop_string(object: Pointer, name: Pointer): Pointer;
  qjs_set_prop_string(object: Pointer, name: Pointer, value: Pointer): void;
  qjs_get_string_len(value: Pointer, lengthOut: Pointer): Pointer;
  qjs_free_cstring(utf8: Pointer): void;
  qjs_get_float64(value: Pointer): number;
  qjs_get_array_buffer(value: Pointer, lengthOut: Pointer): Pointer;
  qjs_is_null(value: Pointer): number;
  qjs_is_number(value: Pointer): number;
  qjs_is_string(value: Pointer): number;
  qjs_is_array_buffer(value: Pointer): number;
  qjs_is_exception(value: Pointer): number;
  qjs_get_exception(): Pointer;
  qjs_get_value_ptr(value: Pointer): number;
  qjs_free_value(value: Pointer): void;
  qjs_get_runtime_ptr(): Pointer;
  qjs_get_context_ptr(): Pointer;
  qjs_set_runtime_and_context(runtime: Pointer, context: Pointer): void;
}
