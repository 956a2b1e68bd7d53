import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { EvalFlags, QuickJS } from "quickjs-wasi";
import { buildProject } from "../../test/support/project.ts";
import { mapStack, programFileName } from "./index.ts";

/** Evaluates a program's module inside the engine, with an empty bridge, and returns the text its `result` export holds. */
async function resultInEngine(bundle: string): Promise<string> {
  using vm = await QuickJS.create({ wasm: await readFile(new URL(import.meta.resolve("quickjs-wasi/quickjs.wasm"))) });
  vm.evalCode("globalThis.__perdure = { api: {}, operation: () => 0 };").dispose();
  using promise = vm.evalCode(bundle, programFileName, EvalFlags.TYPE_MODULE);
  vm.executePendingJobs();
  const settled = await vm.resolvePromise(promise);
  if ("error" in settled) throw new Error(settled.error.toString());
  using namespace = settled.value;
  return namespace.getProp("modules").getProp("app.ts").getProp("result").toString();
}

test("stacks from the engine name the user's files, lines and columns", async (t) => {
  const program = await buildProject(t, {
    "app.ts": [
      `import { check } from "./lib/check.ts";`,
      `interface Order { id: string }`,
      `type Unused = Order | "ü";`,
      ``,
      `async function order(o: Order): Promise<void> {`,
      `  await null;`,
      `  [o].map((each) => check(each.id));`,
      `}`,
      `export const result = await order({ id: "ü" }).catch((error: Error) => error.stack);`,
    ].join("\n"),
    "lib/check.ts": [
      `/** Comments move lines. */`,
      `export function check(id: string): void {`,
      `  const é = "é", wide = id; if (wide !== "") throw new TypeError("bad " + é);`,
      `}`,
    ].join("\n"),
  });
  const stack = await resultInEngine(program.bundle);
  // The engine's place for a call is its last operand.
  assert.match(stack, /at check \(perdure:program:\d+:\d+\)/);
  assert.deepEqual(mapStack(stack, { programMap: program.sourceMap }).trimEnd().split("\n"), [
    "    at check (lib/check.ts:3:75)",
    "    at <anonymous> (app.ts:7:27)",
    "    at map (native)",
    "    at order (app.ts:7:7)",
  ]);
});

/** Maps every line of the generated file to the same line of the source, column 1. */
function lineMap(source: string): string {
  return JSON.stringify({ version: 3, sources: [source], names: [], mappings: "AAAA;AACA;AACA" });
}

test("frames of the prelude are dropped, unless there is nothing else to show", () => {
  const maps = { programMap: lineMap("app.ts"), preludeMap: lineMap("guest/prelude/fetch.ts") };
  const stack = [
    "TypeError: no",
    "    at encode (perdure:prelude:1:200)",
    "    at map (native)",
    "    at main (perdure:program:2:1)",
    "    at perdure:program:3:4",
    "    at <anonymous> (<input>:1:8)",
    "",
  ];
  assert.deepEqual(mapStack(stack.join("\n"), maps).split("\n"), [
    "TypeError: no",
    "    at map (native)",
    "    at main (app.ts:2:1)",
    "    at app.ts:3:1",
    "    at <anonymous> (<input>:1:8)",
    "",
  ]);
  const own = ["    at encode (perdure:prelude:1:200)", "    at map (native)"].join("\n");
  assert.equal(mapStack(own, maps), ["    at encode (guest/prelude/fetch.ts:1:1)", "    at map (native)"].join("\n"));
  assert.equal(mapStack(own, {}), own);
});

test("native frames that the prelude called go with its own, others stay", () => {
  const maps = { programMap: lineMap("app.ts"), preludeMap: lineMap("guest/prelude/core.ts") };
  const stack = [
    "    at map (native)",
    "    at fail (perdure:program:2:1)",
    "    at apply (native)",
    "    at call (native)",
    "    at run (perdure:prelude:1:1)",
  ];
  assert.deepEqual(mapStack(stack.join("\n"), maps).split("\n"), ["    at map (native)", "    at fail (app.ts:2:1)"]);
});

test("what cannot be mapped stays as it is", () => {
  const stack = [
    "",
    "not a frame (perdure:program:1:1) at all",
    "    at f (perdure:program:99:1)",
    "    at g (perdure:program:0:0)",
    "    at h (app.ts:1:1)",
  ].join("\n");
  for (const programMap of [undefined, "", "no json", "{}", `{"version":3}`, lineMap("x.ts")]) {
    const mapped = mapStack(stack, { programMap });
    assert.equal(mapped.replace("x.ts:3:1", "perdure:program:99:1"), stack, String(programMap));
  }
  assert.equal(mapStack("", {}), "");
});

test("many maps in turn are all served, also those that were pushed out of the cache", () => {
  const maps = Array.from({ length: 20 }, (_, i) => lineMap(`file${i}.ts`));
  for (const round of [1, 2]) {
    maps.forEach((programMap, i) => {
      assert.equal(
        mapStack("    at f (perdure:program:2:1)", { programMap }),
        `    at f (file${i}.ts:2:1)`,
        `round ${round}`,
      );
    });
  }
});

test("frames are mapped where a printed error's fields follow them", () => {
  const maps = { programMap: lineMap("app.ts"), preludeMap: lineMap("guest/prelude/timers.ts") };
  const printed = [
    "RangeError: out",
    "    at f (perdure:program:2:1)",
    "    at tick (perdure:prelude:1:2) {",
    "  code: 7",
    "}",
  ];
  assert.deepEqual(mapStack(printed.join("\n"), maps).split("\n"), [
    "RangeError: out",
    "    at f (app.ts:2:1) {",
    "  code: 7",
    "}",
  ]);
});
