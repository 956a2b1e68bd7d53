import assert from "node:assert/strict";
import { after, beforeEach, before, test } from "node:test";
import { formatWithOptions } from "node:util";
import { runInThisContext } from "node:vm";
import { Sandbox } from "./testing.ts";

let sandbox: Sandbox;
before(async () => {
  sandbox = await Sandbox.create();
});
beforeEach(() => sandbox.logged());
after(() => sandbox.dispose());

function logged(code: string): [level: string, text: string][] {
  sandbox.run(`${code}; return true;`);
  return sandbox.logged();
}

/** What the arguments become in the sandbox and in Node, at the sandbox's depth. */
function both(args: string): [actual: string, expected: string] {
  const values = runInThisContext(`(() => [${args}])()`) as unknown[];
  return [logged(`console.log(${args})`)[0]![1], formatWithOptions({ depth: 4 }, ...values)];
}

const values = [
  `undefined, null, true, 1, -0, 1.5, NaN, 10n, Symbol("s"), "text"`,
  `["text", "it's", 'say "it\\'s"', "\\n\\t\\\\\\x01", "\\ud800", "a\`b'c\\"d"]`,
  `{ a: 1, "b c": 2, __proto__: null }`,
  `{ a: { b: { c: { d: { e: { f: 1 } } } } } }`,
  `[[[[[[1]]]]]]`,
  `[], {}, [[]], [{}], new Map(), new Set(), new Date(0), new Date(NaN), /a+/gi`,
  `[1, , 3, , , ]`,
  `Object.assign([1, 2], { extra: true })`,
  `[undefined, null, -0, "x"]`,
  `new Map([[{ a: 1 }, new Set([1, [2]])], ["k", "v"]])`,
  `new Set(["a", { b: 1 }])`,
  `{ f() {}, g: () => 1, h: function () {}, async i() {}, *j() {}, k: class {}, l: class A {}, m: class B extends Map {} }`,
  `Object.assign(function named() {}, { x: 1 })`,
  `new (class Foo { constructor() { this.x = 1; } })()`,
  `new (class Empty {})()`,
  `new (class extends Array {})(3)`,
  `(() => { const o = { name: "o" }; o.self = o; o.list = [o, { o }]; return o; })()`,
  `(() => { const a = {}; const b = { a }; a.b = b; return [a, b]; })()`,
  `{ get a() { return 1; }, set a(v) {}, get b() { return 1; }, set c(v) {} }`,
  `{ [Symbol("key")]: 1, [Symbol.iterator]: 2 }`,
  `new Uint8Array([1, 2, 3]), new Float64Array(0), new Uint8Array([1, 2]).buffer`,
  `Object(1), Object("abc"), Object(true), Object(1n), Object(Symbol("x"))`,
  `Object.create(null), Object.create({})`,
  `{ a: "x".repeat(60), b: "y".repeat(30) }`,
  `{ id: 12345, name: "a name of some length", tags: ["one", "two"], nested: { deep: { deeper: [1, 2, 3] } } }`,
  `{ long: "line one of it all\\nline two of it all\\nline three of it all, which is very long so that it breaks" }`,
  `{ a: { b: { c: {} } } }, { a: { b: { c: { d: 1 } } } }`,
  `[{ a: 1, b: 2 }, { a: 3, b: 4 }]`,
  `(function () { return arguments; })(1, 2).length`,
  `{ [Symbol.toStringTag]: "Tagged" }`,
  `new WeakMap(), new WeakSet()`,
  `{ undefined: undefined, null: null, "1": 1, "a-b": 2, ü: 3 }`,
  `Math, JSON`,
  `"x".repeat(10_050).length, ["x".repeat(10_050)]`,
  `Array.from({ length: 3 }, (_, i) => ({ index: i, text: "entry number " + i, more: [i, i + 1] }))`,
];

for (const args of values) {
  test(`console.log(${args}) prints as in Node`, () => {
    const [actual, expected] = both(args);
    assert.equal(actual, expected);
  });
}

const formats = [
  `"%s|%s|%s|%s", "a", 1, { a: { b: 1 } }, null`,
  `"%s %s %s %s", 1n, -0, Symbol("x"), undefined`,
  `"%d|%d|%d|%d", "42", 1n, {}, Symbol("x")`,
  `"%i|%i|%f|%f", 42.9, "7x", "1.5x", Symbol("x")`,
  `"%j %j", { a: [1] }, "x"`,
  `"%o", 5`,
  `"%O", { a: { b: { c: {} } } }`,
  `"%c styled", "color: red"`,
  `"100%% of %s", "it", "and", "more"`,
  `"no arguments %s %d"`,
  `"%x %", 1`,
  `"%%"`,
  `1, "%s", 2`,
  `"%s", class A {}`,
  `"%s", { toString() { return "own text"; } }`,
  `"%s", [1, "a"]`,
];

for (const args of formats) {
  test(`console.log(${args}) is formatted as in Node`, () => {
    const [actual, expected] = both(args);
    assert.equal(actual, expected);
  });
}

test("an error shows its heading, stack, cause and fields", () => {
  const [[, text]] = logged(`
    class AppError extends Error {}
    function fail() { return Object.assign(new AppError("it broke", { cause: new TypeError("why") }), { code: 7 }); }
    console.error(fail())`) as [[string, string]];
  assert.match(text, /^AppError: it broke\n {4}at (AppError|fail)/);
  assert.match(text, /\n {2}\[cause\]: TypeError: why\n {6}at fail/);
  assert.match(text, / \{\n {2}code: 7,\n/);
  assert.match(text, /\n\}$/);
});

test("an error inside an object is indented, and one without a stack is in brackets", () => {
  const [[, text]] = logged(`
    const error = new RangeError("deep"); error.stack = "";
    console.log({ list: [error], all: new AggregateError([error], "many") })`) as [[string, string]];
  assert.match(text, /list: \[ \[RangeError: deep\] \]/);
  assert.match(text, /all: AggregateError: many\n {6}at /);
  assert.match(text, /\[errors\]: \[ \[RangeError: deep\] \]/);
});

test("an error that came from the host keeps the stack it has", () => {
  const [[, text]] = logged(`
    const error = new Error("far"); error.stack = "Error: far\\n    at host (file.js:1:1)";
    console.log(error)`) as [[string, string]];
  assert.equal(text, "Error: far\n    at host (file.js:1:1)");
});

test("long lists and texts say what they leave out", () => {
  const text = logged(`console.log(Array(120).fill(7), new Set(Array.from({ length: 101 }, (_, i) => i)))`)[0]![1];
  assert.match(text, /\.\.\. 20 more items\n\]/);
  assert.match(text, /\.\.\. 1 more item\n\}/);
  assert.match(logged(`console.log("x".repeat(1_000_100))`)[0]![1], /x\.\.\. 100 more characters$/);
});

test("a value that would print without end is cut short", () => {
  const text = logged(`
    let wide = { leaf: "x".repeat(50) };
    for (let level = 0; level < 4; level++) wide = Object.fromEntries(Array.from({ length: 50 }, (_, i) => ["k" + i, wide]));
    console.log(wide)`)[0]![1];
  assert.ok(text.length < 2_000_000, `${text.length} characters`);
});

test("looking at a value runs no getter", () => {
  logged(`globalThis.ran = false; console.log({ get a() { ran = true; return 1; } }, [{ get b() { ran = true; } }])`);
  assert.equal(sandbox.run("ran"), false);
});

test("an object may show itself through nodejs.util.inspect.custom", () => {
  const own = `{ [Symbol.for("nodejs.util.inspect.custom")]: (depth, options, inspect) => "<" + inspect([1]) + ">" }`;
  assert.equal(logged(`console.log({ own: ${own} })`)[0]![1], "{ own: <[ 1 ]> }");
});

test("the web's own objects show what is in them", () => {
  assert.equal(logged(`console.log(new URL("https://a/b"))`)[0]![1], "URL { href: 'https://a/b' }");
  assert.equal(logged(`console.log(new Headers({ A: "1" }))`)[0]![1], "Headers { a: '1' }");
  assert.equal(logged(`console.log([new URLSearchParams("a=1")])`)[0]![1], "[ URLSearchParams [ [ 'a', '1' ] ] ]");
});

test("each method logs at its level", () => {
  const calls = ["debug", "info", "log", "warn", "error", "dir", "table"].map((method) => `console.${method}("x")`);
  assert.deepEqual(
    logged(calls.join("; ")).map(([level]) => level),
    ["debug", "info", "log", "warn", "error", "log", "log"],
  );
});

test("assert logs an error only if the condition fails", () => {
  assert.deepEqual(
    logged(
      `console.assert(true, "no"); console.assert(false); console.assert(0, "n %d", 5); console.assert("", { a: 1 })`,
    ),
    [
      ["error", "Assertion failed"],
      ["error", "Assertion failed: n 5"],
      ["error", "Assertion failed: { a: 1 }"],
    ],
  );
});

test("trace logs where it was called", () => {
  const [[, text]] = logged(`function here() { console.trace("at %s", "x"); } here()`) as [[string, string]];
  assert.match(text, /^Trace: at x\n {4}at here /);
});

test("dir takes a depth", () => {
  const nested = "{ a: { b: { c: 1 } } }";
  assert.deepEqual(logged(`console.dir(${nested}, { depth: 0 }); console.dir(${nested}, { depth: null })`), [
    ["log", "{ a: [Object] }"],
    ["log", nested],
  ]);
});

test("groups indent every line of what is in them", () => {
  const lines = logged(`
    console.group("outer"); console.log("a\\nb"); console.group(); console.warn("c"); console.groupEnd(); console.groupEnd();
    console.groupEnd(); console.log("d")`);
  assert.deepEqual(lines, [
    ["log", "outer"],
    ["log", "  a\n  b"],
    ["warn", "    c"],
    ["log", "d"],
  ]);
});

test("count and countReset keep one number for each label", () => {
  const texts = logged(
    `console.count(); console.count("x"); console.count(); console.countReset(); console.count(); console.countReset("y")`,
  );
  assert.deepEqual(
    texts.map(([, text]) => text),
    ["default: 1", "x: 1", "default: 2", "default: 1", "Count for 'y' does not exist"],
  );
});

test("time measures turns' time", () => {
  sandbox.run(`console.time("t"); return 1;`);
  sandbox.timeMs += 1234;
  const texts = logged(`console.timeLog("t", { a: 1 }); console.timeEnd("t"); console.timeEnd("t")`);
  assert.deepEqual(
    texts.map(([, text]) => text),
    ["t: 1234ms { a: 1 }", "t: 1234ms", "No such label 't' for console.time()"],
  );
});

test("table draws rows and columns", () => {
  const [[, text]] = logged(`console.table([{ a: 1, b: "x" }, { a: 22 }, 5])`) as [[string, string]];
  assert.deepEqual(text.split("\n"), [
    "┌─────────┬────┬─────┬────────┐",
    "│ (index) │ a  │ b   │ Values │",
    "├─────────┼────┼─────┼────────┤",
    "│ 0       │ 1  │ 'x' │        │",
    "│ 1       │ 22 │     │        │",
    "│ 2       │    │     │ 5      │",
    "└─────────┴────┴─────┴────────┘",
  ]);
  assert.match(logged(`console.table([{ a: 1, b: 2 }], ["b"])`)[0]![1], /│ \(index\) │ b │\n/);
});
