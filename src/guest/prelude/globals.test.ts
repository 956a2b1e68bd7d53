import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { bundleGlobals, Sandbox, sameAsNode } from "./testing.ts";

let sandbox: Sandbox;
beforeEach(async () => {
  sandbox = await Sandbox.create();
});
afterEach(() => sandbox.dispose());

const functions = [
  "setTimeout",
  "clearTimeout",
  "setInterval",
  "clearInterval",
  "queueMicrotask",
  "structuredClone",
  "fetch",
  "atob",
  "btoa",
  "reportError",
];
const classes = [
  "AbortController",
  "AbortSignal",
  "Blob",
  "CustomEvent",
  "DOMException",
  "Event",
  "EventTarget",
  "File",
  "FormData",
  "Headers",
];
classes.push("Request", "Response", "TextDecoder", "TextEncoder", "URL", "URLSearchParams");
const objects = ["console", "crypto", "performance", "navigator", "process", "self"];

test("every global is there under its own name, not enumerable, writable and configurable", () => {
  for (const name of [...functions, ...classes]) {
    assert.deepEqual(
      sandbox.run(`
        const { value, enumerable, writable, configurable } = Object.getOwnPropertyDescriptor(globalThis, "${name}");
        return [typeof value, value.name, enumerable, writable, configurable];`),
      ["function", name, false, true, true],
      name,
    );
  }
  for (const name of objects) {
    assert.deepEqual(
      sandbox.run(`
        const { value, enumerable, writable, configurable } = Object.getOwnPropertyDescriptor(globalThis, "${name}");
        return [typeof value, enumerable, writable, configurable];`),
      ["object", false, true, true],
      name,
    );
  }
});

test("nothing but the web's globals is added to the engine's", () => {
  const known = new Set([...functions, ...classes, ...objects, "__test", "__outcome", "__emit"]);
  const added = sandbox.run(`Object.getOwnPropertyNames(globalThis)`) as string[];
  const engine = new Set(["InternalError", "Infinity", "NaN", "undefined", "escape", "unescape", "eval"]);
  const language = (name: string): boolean => name in globalThis || engine.has(name);
  assert.deepEqual(
    added.filter((name) => !known.has(name) && !language(name)),
    [],
  );
});

test("shared memory, a second machine, and all that would be Node's are absent", () => {
  for (const name of [
    "WebAssembly",
    "SharedArrayBuffer",
    "Atomics",
    "require",
    "module",
    "Buffer",
    "global",
    "window",
    "setImmediate",
  ]) {
    assert.equal(sandbox.run(`typeof globalThis[${JSON.stringify(name)}]`), "undefined", name);
  }
  assert.deepEqual(sandbox.run("[Object.keys(process), typeof crypto.subtle]"), [["env"], "undefined"]);
});

test("eval and Function stay, self is the global object, and the navigator is Perdure", () => {
  assert.deepEqual(
    sandbox.run(`[eval("1 + 1"), new Function("return 2")(), self === globalThis, navigator.userAgent]`),
    [2, 2, true, "Perdure"],
  );
});

test("instances tell their class", async () => {
  const instances = [
    "new URL('a:b')",
    "new Headers()",
    "new AbortController().signal",
    "new Blob()",
    "new Event('x')",
    "new TextEncoder()",
    "crypto",
  ];
  await sameAsNode(sandbox, `[${instances.join()}].map((value) => Object.prototype.toString.call(value))`);
});

test("installing and looking about leaves a program pure", async () => {
  const early = await Sandbox.create({ started: false });
  early.run(`
    new URL("https://a/?b=c").searchParams.get("b"); new TextDecoder().decode(new TextEncoder().encode("ü"));
    structuredClone({ a: [new Map()] }); new Headers({ a: "b" }); new Response("x"); new AbortController();
    typeof process.versions; typeof Math.random; typeof performance; return 1;`);
  assert.deepEqual([early.run("__test.isImpure()"), early.emitted], [false, []]);
  early.dispose();
});

for (const use of [
  "process.env.REGION",
  "'REGION' in process.env",
  "Object.keys(process.env)",
  "Object.hasOwn(process.env, 'REGION')",
  "process.env.REGION = 'x'",
  "console.log('x')",
  "setTimeout(() => {}, 1)",
  "AbortSignal.timeout(1)",
  "performance.now()",
  "performance.timeOrigin",
  "new Response(new FormData())",
]) {
  test(`${use} before the start makes a program impure`, async () => {
    const early = await Sandbox.create({ started: false });
    early.run(`${use}; return 1;`);
    assert.equal(early.run("__test.isImpure()"), true);
    early.dispose();
  });
}

test("process.env holds what it is given, and NODE_ENV", () => {
  assert.deepEqual(sandbox.run("({ ...process.env })"), { NODE_ENV: "production", REGION: "north" });
  assert.deepEqual(sandbox.run("process.env.COUNT = 5; delete process.env.REGION; return { ...process.env };"), {
    NODE_ENV: "production",
    COUNT: "5",
  });
  assert.deepEqual(sandbox.run(`__test.setEnv({ NODE_ENV: "test" }); return { ...process.env };`), {
    NODE_ENV: "test",
  });
});

test("a program that patches the built-ins does not break what every program needs", () => {
  const result = sandbox.run(`
    const broken = () => { throw new Error("patched"); };
    for (const [prototype, names] of [
      [Array.prototype, ["push", "map", "filter", "forEach", "join", "slice"]],
      [Promise.prototype, ["then"]],
      [Uint8Array.prototype.__proto__, ["set", "subarray", "slice"]],
      [String.prototype, ["slice", "indexOf", "charCodeAt", "toWellFormed"]],
      [Function.prototype, ["call", "apply", "bind"]],
      [RegExp.prototype, ["test"]],
      [Date, ["now"]],
    ]) for (const name of names) prototype[name] = broken;
    globalThis.fired = 0;
    const timer = setTimeout(() => fired++, 5);
    clearTimeout(setTimeout(() => {}, 5));
    setInterval(() => fired++, 5);
    const text = new TextDecoder().decode(new TextEncoder().encode("grüße"));
    const clone = structuredClone({ a: [1, new Uint8Array([1]), new Map([[1, 2]])] });
    return [text, clone.a[0], crypto.randomUUID().length, typeof Math.random(), typeof performance.now()];`);
  assert.deepEqual(result, ["grüße", 1, 36, "number", "number"]);
});

test("timers fire in a program that patched the built-ins", () => {
  sandbox.run(`
    globalThis.fired = 0;
    setTimeout(() => fired++, 5);
    setInterval(() => fired++, 5);
    Function.prototype.call = Function.prototype.apply = Array.prototype.push = Date.now = () => { throw new Error("patched"); };
    return 1;`);
  sandbox.fireTimer(1);
  sandbox.fireTimer(2);
  assert.equal(sandbox.run("fired"), 2);
});

test("reportError makes the error an unhandled rejection, which is the core's to judge", () => {
  assert.deepEqual(sandbox.rejections, []);
  sandbox.run(`reportError(new RangeError("reported")); return 1;`);
  sandbox.run(`
    const target = new EventTarget();
    target.addEventListener("x", () => { throw new Error("in a listener"); });
    target.dispatchEvent(new Event("x"));
    return 1;`);
  assert.deepEqual(sandbox.rejections, ["RangeError: reported", "Error: in a listener"]);
});

test("the globals are small: every process's image holds them", () => {
  const sizeBytes = bundleGlobals().length;
  assert.ok(sizeBytes < 90_000, `${sizeBytes} bytes`);
});
