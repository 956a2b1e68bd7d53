/**
 * Test helper: the globals in a real sandbox. Bundles them, runs them in QuickJS with an `emit` that records, and lets a
 * test evaluate snippets and deliver timers and results by hand. Not part of the product; it may use Node.
 */
import { buildSync } from "esbuild";
import { deepEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runInThisContext, Script } from "node:vm";
import { EvalFlags, QuickJS } from "quickjs-wasi";
import type { JSValueHandle, QuickJSOptions } from "quickjs-wasi";

const folder = fileURLToPath(new URL(".", import.meta.url));

/** Names the pieces a test drives the sandbox with `__test`; a program has nothing of the kind. */
const entry = `
  import { installGlobals, setEnv, setTimeOrigin } from "./globals.ts";
  import { seedRandom } from "./random.ts";
  import * as runtime from "../runtime.ts";
  import { encodeValue, decodeValue } from "../../base/value.ts";
  runtime.connect(globalThis.__emit);
  installGlobals(globalThis);
  globalThis.__test = { ...runtime, setEnv, setTimeOrigin, seedRandom, encodeValue, decodeValue };
`;

let bundled: string | undefined;
let wasm: object | undefined;

/** Node's types leave WebAssembly to the DOM's. */
const { Module } = (globalThis as unknown as { WebAssembly: { Module: new (bytes: Uint8Array) => object } })
  .WebAssembly;

/** The globals as one minified script. */
export function bundleGlobals(): string {
  if (bundled !== undefined) return bundled;
  const stdin = { contents: entry, resolveDir: folder, loader: "ts" } as const;
  const built = buildSync({ stdin, bundle: true, minify: true, format: "iife", target: "es2023", write: false });
  const [file] = built.outputFiles;
  bundled = file?.text ?? "";
  return bundled;
}

/** One call of `emit`, as `guest/runtime.ts` makes it. */
export interface Emitted {
  readonly kind: number;
  readonly number: number;
  readonly a: string;
  readonly b: string;
  readonly chunks: readonly Uint8Array[];
}

type EmitArguments = [kind: number, number: number, a: string, b: string, ...buffers: ArrayBuffer[]];

export interface SandboxOptions {
  /** False leaves the process before its start, as while an image is built. Default true. */
  readonly started?: boolean;
  readonly seed?: Uint8Array;
  /** Default 1,700,000,000,000. */
  readonly timeMs?: number;
}

export class Sandbox {
  readonly vm: QuickJS;
  readonly emitted: Emitted[] = [];
  /** The reasons of rejections that nobody handled. */
  readonly rejections: readonly string[];
  /** What `Date.now()` says in the sandbox. */
  timeMs: number;

  private constructor(vm: QuickJS, timeMs: number, rejections: readonly string[]) {
    this.vm = vm;
    this.timeMs = timeMs;
    this.rejections = rejections;
  }

  static async create(options: SandboxOptions = {}): Promise<Sandbox> {
    wasm ??= new Module(readFileSync(fileURLToPath(import.meta.resolve("quickjs-wasi/quickjs.wasm"))));
    let sandbox: Sandbox | undefined;
    const rejections: string[] = [];
    const timeMs = options.timeMs ?? 1_700_000_000_000;
    const vm = await QuickJS.create({
      wasm: wasm as NonNullable<QuickJSOptions["wasm"]>,
      timezoneOffset: 0,
      onUnhandledRejection: (_promise: JSValueHandle, reason: JSValueHandle, isHandled: boolean) => {
        if (!isHandled) rejections.push(reason.toString());
      },
      wasi: (memory: { readonly buffer: ArrayBuffer }) => ({
        clock_time_get(_clock: number, _precision: bigint, result: number) {
          const nowNs = BigInt(sandbox?.timeMs ?? timeMs) * 1_000_000n;
          new DataView(memory.buffer).setBigUint64(result, nowNs, true);
          return 0;
        },
      }),
    });
    sandbox = new Sandbox(vm, timeMs, rejections);
    sandbox.#connect();
    sandbox.#evaluate(bundleGlobals());
    const seed = options.seed ?? new Uint8Array(32).fill(7);
    if (options.started !== false) {
      sandbox.run(`__test.seedRandom(new Uint8Array([${seed.join()}]))`);
      sandbox.run(`__test.setEnv({ REGION: "north" }), __test.setTimeOrigin(${timeMs}), __test.begin()`);
    }
    return sandbox;
  }

  #connect(): void {
    const emit = this.vm.newFunction("emit", (...args: JSValueHandle[]) => {
      const [kind, number, a, b, ...buffers] = args.map((arg) => this.vm.dump(arg)) as EmitArguments;
      this.emitted.push({ kind, number, a, b, chunks: buffers.map((buffer) => new Uint8Array(buffer)) });
      return this.vm.undefined;
    });
    this.vm.setProp(this.vm.global, "__emit", emit);
    emit.dispose();
  }

  #evaluate(code: string): unknown {
    const handle = this.vm.evalCode(code, "program.js", EvalFlags.TYPE_GLOBAL);
    try {
      return this.vm.dump(handle);
    } finally {
      handle.dispose();
    }
  }

  /**
   * The value of an expression or of a function's body that returns one, carried by JSON. It may be a promise that needs
   * nothing from outside. What it throws is thrown here.
   */
  run(code: string): unknown {
    this.start(code);
    const outcome = this.outcome();
    if (outcome === undefined) throw new Error(`Still waiting: ${code}`);
    return outcome;
  }

  /** Begins what may wait for a timer or an operation; `outcome` tells how it went. */
  start(code: string): void {
    this.#evaluate(snippet(code));
    this.vm.executePendingJobs();
  }

  /** What the last `start` came to; undefined while it waits. */
  outcome(): unknown {
    const text = this.#evaluate("globalThis.__outcome") as string;
    if (text === "") return undefined;
    return settled(JSON.parse(text) as Outcome);
  }

  /** Delivers a timer's input, as the core does. What the callback throws is thrown here. */
  fireTimer(number: number): void {
    this.#evaluate(`__test.fireTimer(${number})`);
    this.vm.executePendingJobs();
  }

  /** Delivers the result of operation `number`: the value of the expression `code`. */
  settle(number: number, ok: boolean, code: string): void {
    this.#evaluate(`__test.settleOperation(${number}, ${ok}, __test.encodeValue(${code}))`);
    this.vm.executePendingJobs();
  }

  /** Rejects all pending operations with a RangeError, as the core does with a CancelledError. */
  cancel(reason: string): void {
    this.#evaluate(`__test.abortOperations(() => new RangeError(${JSON.stringify(reason)}))`);
    this.vm.executePendingJobs();
  }

  /** Takes out the lines logged so far, each with its level. */
  logged(): [level: string, text: string][] {
    return this.take(6).map(({ a, b }) => [a, b]);
  }

  /** Takes out what was emitted of that kind. */
  take(kind: number): Emitted[] {
    const taken = this.emitted.filter((command) => command.kind === kind);
    const others = this.emitted.filter((command) => command.kind !== kind);
    this.emitted.splice(0, this.emitted.length, ...others);
    return taken;
  }

  dispose(): void {
    this.vm.dispose();
  }
}

interface Outcome {
  readonly value?: unknown;
  readonly error?: { readonly name: string; readonly message: string };
}

function settled({ value, error }: Outcome): unknown {
  if (error === undefined) return value ?? null;
  throw Object.assign(new Error(error.message), { name: error.name });
}

/** The statements of an async function: `code` is those, or an expression. */
function bodyOf(code: string): string {
  try {
    new Script(`async () => (${code}\n)`);
    return `return (${code}\n);`;
  } catch {
    return code;
  }
}

function snippet(code: string): string {
  return `
    globalThis.__outcome = "";
    (async () => {
      try {
        const value = await (async () => { ${bodyOf(code)} })();
        globalThis.__outcome = JSON.stringify({ value });
      } catch (error) {
        const { name, message } = Object(error);
        globalThis.__outcome = JSON.stringify({ error: { name: String(name ?? typeof error), message: String(message ?? error) } });
      }
    })();
    undefined`;
}

/** The same snippet with Node's own globals: what the web does, where both have it. */
export async function runInNode(code: string): Promise<unknown> {
  const value: unknown = await (runInThisContext(`(async () => { ${bodyOf(code)} })()`) as Promise<unknown>);
  return (JSON.parse(JSON.stringify({ value })) as Outcome).value ?? null;
}

/** Runs `code` in the sandbox and in Node, and compares. What it throws is compared by name. `note` goes with a failure. */
export async function sameAsNode(sandbox: Sandbox, code: string, note = code): Promise<void> {
  const guarded = `try { return ["value", await (async () => { ${bodyOf(code)} })()]; } catch (error) { return ["throws", error.name]; }`;
  deepEqual(sandbox.run(guarded), await runInNode(guarded), note);
}
