import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, describe, test } from "node:test";
import { buildSync } from "esbuild";
import { QuickJS } from "quickjs-wasi";
import { refusedCases, richErrorCases, valueCases } from "../../test/value-cases.ts";
import { decodeValue, encodeValue } from "./value.ts";
import type { Payload } from "./value.ts";

const wasm = readFileSync(new URL(import.meta.resolve("quickjs-wasi/quickjs.wasm")));
const bundled = buildSync({
  stdin: {
    contents: `import * as codec from "./value.ts"; globalThis.codec = codec;`,
    resolveDir: import.meta.dirname,
  },
  bundle: true,
  format: "iife",
  target: "es2023",
  write: false,
});
const bundle = bundled.outputFiles[0]?.text ?? "";

/** Texts and bytes pass as JSON, so that the test depends on nothing that it tests. */
const helpers = `
  const { stringify, parse } = JSON, from = Array.from, bytes = Uint8Array;
  globalThis.out = ({ text, chunks }) => stringify({ text, chunks: chunks && chunks.map((chunk) => from(chunk)) });
  globalThis.into = (json) => {
    const { text, chunks } = parse(json);
    return chunks ? { text, chunks: chunks.map((chunk) => new bytes(chunk)) } : { text };
  };`;

async function sandbox(): Promise<(source: string) => any> {
  const vm = await QuickJS.create({ wasm, maxStackSize: 256 * 1024 });
  const run = (source: string) => vm.dump(vm.evalCode(source));
  run(bundle);
  run(helpers);
  return run;
}

function fromJson(json: string): Payload {
  const { text, chunks } = JSON.parse(json) as { text: string; chunks?: number[][] };
  return chunks === undefined ? { text } : { text, chunks: chunks.map((chunk) => Uint8Array.from(chunk)) };
}

function toJson({ text, chunks }: Payload): string {
  return JSON.stringify({ text, chunks: chunks?.map((chunk) => Array.from(chunk)) });
}

/** Stacks differ between engines. */
function withoutStacks(value: any): any {
  for (let error = value; error instanceof Error; error = error.cause) error.stack = "";
  const inner: unknown = value?.cause?.inner;
  if (inner instanceof Error) inner.stack = "";
  if (Array.isArray(value?.errors)) value.errors.forEach(withoutStacks);
  return value;
}

const evaluate = (expression: string): unknown => new Function(`return (${expression});`)();
const expected = (expression: string): unknown => withoutStacks(decodeValue(encodeValue(evaluate(expression))));

describe("between the sandbox and Node", () => {
  let run: (source: string) => any;
  before(async () => {
    run = await sandbox();
  });

  for (const [name, expression] of Object.entries({ ...valueCases, ...richErrorCases })) {
    test(`${name} crosses out of the sandbox and into it`, () => {
      const out = fromJson(run(`out(codec.encodeValue(${expression}))`));
      assert.deepStrictEqual(withoutStacks(decodeValue(out)), expected(expression));

      const json = JSON.stringify(toJson(encodeValue(evaluate(expression))));
      const back = fromJson(run(`out(codec.encodeValue(codec.decodeValue(into(${json}))))`));
      assert.deepStrictEqual(withoutStacks(decodeValue(back)), expected(expression));
    });
  }

  for (const [name, [expression, path]] of Object.entries(refusedCases)) {
    test(`${name} is refused in the sandbox`, () => {
      const found = run(
        `try { codec.encodeValue(${expression}); "nothing" } catch (e) { e.code + " " + e.details.path }`,
      );
      assert.equal(found, `VALUE_NOT_CLONEABLE ${path}`);
    });
  }

  test("cycles, shared references and shared buffers keep their identity", () => {
    const source = `
      const buffer = new ArrayBuffer(4);
      const value = { map: new Map(), views: [new Uint8Array(buffer), new DataView(buffer, 2)], error: new Error("x") };
      value.map.set(value, value.views);
      value.error.cause = value;
      out(codec.encodeValue(value))`;
    const value: any = decodeValue(fromJson(run(`(() => { ${source.replace("out(", "return out(")} })()`)));
    assert.equal(value.map.get(value), value.views);
    assert.equal(value.views[0].buffer, value.views[1].buffer);
    assert.equal(value.error.cause, value);
  });

  test("depth does not overflow a stack of 256 KiB", () => {
    const depth = run(`(() => {
      let value = [];
      for (let i = 0; i < 20000; i++) value = i % 2 ? [value] : { value };
      let result = codec.decodeValue(codec.encodeValue(value));
      let depth = 0;
      for (; !(Array.isArray(result) && result.length === 0); depth++) result = Array.isArray(result) ? result[0] : result.value;
      return depth;
    })()`);
    assert.equal(depth, 20000);
  });
});

describe("a program that patches its built-ins", () => {
  const hostile = `
    const fail = () => { throw new Error("called"); };
    Object.defineProperty(Object.prototype, "a", { set: fail, get: fail, configurable: true });
    const define = Object.defineProperty;
    const replace = (object, names) => { for (let i = 0; i < names.length; i++) define(object, names[i], { value: fail }); };
    replace(Array.prototype, ["push", "pop", "map", "slice", "join", "includes", "forEach", "indexOf", Symbol.iterator]);
    replace(Map.prototype, ["get", "set", "has", "delete", "forEach", "entries", Symbol.iterator]);
    replace(Set.prototype, ["add", "has", "forEach", "values", Symbol.iterator]);
    replace(String.prototype, ["slice", "charCodeAt", "startsWith", "includes", "split", "replace"]);
    replace(RegExp.prototype, ["exec", "test", "source"]);
    replace(Date.prototype, ["getTime", "valueOf"]);
    replace(BigInt.prototype, ["toString"]);
    replace(Number.prototype, ["valueOf", "toString"]);
    replace(Uint8Array.prototype, ["set"]);
    replace(Object.getPrototypeOf(Uint8Array.prototype), ["slice", "set", "length", "buffer"]);
    replace(Object.prototype, ["toString", "hasOwnProperty", "isPrototypeOf"]);
    replace(Reflect, ["apply", "ownKeys"]);
    replace(JSON, ["parse", "stringify"]);
    replace(Object, ["keys", "hasOwn", "defineProperty", "getPrototypeOf", "getOwnPropertyDescriptor"]);
    replace(Function.prototype, ["call", "apply", "bind"]);
    replace(globalThis, ["Map", "Set", "Date", "RegExp", "BigInt", "Array", "Object", "Uint8Array", "Error", "DataView"]);`;

  test("gets the same values across", async () => {
    const run = await sandbox();
    const names = Object.keys(valueCases).filter((name) => !name.includes("toJSON"));
    // The cases themselves need the built-ins, so they are made before those are patched.
    for (const name of names) run(`(globalThis.values ??= {})[${JSON.stringify(name)}] = ${valueCases[name]}; 0`);
    run(`(() => { ${hostile} })()`);
    for (const name of names) {
      const key = JSON.stringify(name);
      const crossTwice = `codec.encodeValue(codec.decodeValue(codec.encodeValue(values[${key}]))).text`;
      const text: string = run(`(() => { try { return ${crossTwice}; } catch (error) { return error.message; } })()`);
      const stackless = text.replaceAll(/,2,"[^"]*"/g, "");
      assert.equal(
        stackless,
        encodeValue(expected(valueCases[name] as string)).text.replaceAll(/,2,"[^"]*"/g, ""),
        name,
      );
    }
  });

  test("gets its objects with a toJSON across without a call", async () => {
    const run = await sandbox();
    run(`globalThis.called = 0; Object.prototype.toJSON = Array.prototype.toJSON = () => { called++; return 1; }`);
    assert.equal(run(`codec.encodeValue({ x: [1, { y: 2 }] }).text`), 'v[[1],["o","x",[2]],["a",1,[3]],["o","y",2]]');
    assert.equal(run("called"), 0);
  });
});
