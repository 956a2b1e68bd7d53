/**
 * The sandbox against a program that means harm. Whatever it does ends its own process, in a proper way, and nothing else: the
 * machine answers, and other processes find their memory as they left it.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { inspect } from "node:util";
import { localMachine, message, Process, program, resolved, sources } from "./harness.test.ts";
import type { Exit } from "./harness.test.ts";

const hostile = `
import { receive, self, send, signal, sleep } from "perdure";
import { ask } from "./host.ts";
declare const globalThis: any;

export async function nothing() { return "well"; }
export async function witness() { const mine = { secret: "kept" }; for (;;) { await ask(mine.secret); } }
export async function survey() {
  const suspicious = /emit|^dispatch$|issue|connect|perdure|settleOperation|abortOperations|fireTimer/i;
  const seen = new Set<unknown>();
  const found: string[] = [];
  const visit = (value: any, path: string): void => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return;
    seen.add(value);
    if (typeof value === "function" && suspicious.test(value.name)) found.push(path);
    visit(Object.getPrototypeOf(value), path + ".__proto__");
    for (const key of Reflect.ownKeys(value)) {
      const field = Object.getOwnPropertyDescriptor(value, key)!;
      for (const part of ["value", "get", "set"] as const) visit(field[part], path + "." + String(key));
    }
  };
  visit(globalThis, "globalThis");
  for (const [name, value] of Object.entries({ receive, self, send, signal, sleep, ask, own: signal() })) visit(value, name);
  visit(Function("return this")(), "this");
  visit((0, eval)("this"), "eval");
  return [found, seen.size > 500, Object.getOwnPropertyNames(globalThis).filter((name) => globalThis[name] !== undefined && name.startsWith("__"))];
}
export async function frames() {
  const functions = new Set<unknown>();
  (Error as any).prepareStackTrace = (_: unknown, sites: any[]) => { for (const site of sites) { functions.add(site.getFunction()); functions.add(site.getThis?.()); } return "stack"; };
  const trap = { get secret(): number { void new Error("x").stack; return 1; }, toString() { void new Error("y").stack; return "text"; } };
  console.log("%s", trap, { trap });
  await new Promise((resolve) => setTimeout(() => { void new Error("z").stack; resolve(0); }, 1));
  void ask(trap);
  return [...functions].filter((each) => each !== undefined).length;
}
export async function callers() {
  const results: unknown[] = [];
  const attempt = (read: () => unknown): void => { try { results.push(typeof read()); } catch (error: any) { results.push(error.name); } };
  const sloppy = Function("return [typeof arguments.callee.caller, typeof (function f() { return f.caller; })()]");
  attempt(() => sloppy().join());
  attempt(() => (function f(): unknown { return (f as any).caller; })());
  attempt(() => (function f(): unknown { return (f as any).arguments; })());
  return results;
}
export async function spies() {
  const functions = new Set<unknown>();
  const apply = Reflect.apply, { add, forEach } = Set.prototype, keysOf = Reflect.ownKeys, fieldOf = Object.getOwnPropertyDescriptor, define = Object.defineProperty;
  // Nothing here may use what it replaces: no spread, no iterator, no method.
  const note = (value: unknown): void => { if (typeof value === "function") apply(add, functions, [value]); };
  const targets = [Map.prototype, Set.prototype, Array.prototype, Promise.prototype, Function.prototype, String.prototype, (Uint8Array.prototype as any).__proto__, RegExp.prototype, Object, JSON, Math, Number, Reflect, Promise, Array] as any[];
  let calls = 0;
  const spyOn = (target: any, key: PropertyKey): void => {
    const field = fieldOf(target, key)!;
    if (typeof field.value !== "function" || !field.configurable || key === "constructor") return;
    const original = field.value;
    field.value = function (this: unknown) {
      calls++;
      note(this);
      for (let i = 0; i < arguments.length; i++) note(arguments[i]);
      return apply(original, this, arguments);
    };
    define(target, key, field);
  };
  for (let i = 0; i < targets.length; i++) for (let keys = keysOf(targets[i]), k = 0; k < keys.length; k++) spyOn(targets[i], keys[k]!);
  void ask([new Uint8Array(3)], { deep: [new Map([[1, 2]])] });
  setTimeout(() => 1, 5);
  console.log("a", { b: [1] });
  send("p", new Set([1]));
  void receive({ timeout: 5, match: (body): body is any => true });
  let stolen = "";
  apply(forEach, functions, [(each: any) => { if (each.name === "emit" || each.name === "dispatch" || each.name === "issue") stolen += each.name; }]);
  return stolen + (calls > 50);
}
export async function nanTimer() { Math.max = () => NaN; setInterval(() => 1, 5); return "issued"; }
export async function textTimer() { Math.max = (() => "soon") as any; setInterval(() => 1, 5); return "issued"; }
export async function brokenIntrinsics() {
  for (const target of [Array.prototype, Map.prototype, Promise.prototype, String.prototype, Object, JSON] as any[])
    for (const key of Reflect.ownKeys(target)) try { target[key] = () => { throw new Error("patched"); }; } catch {}
  console.log("text", [1]);
  return { list: [new Map()] };
}
export async function noGlobals() { for (const name of Object.getOwnPropertyNames(globalThis)) try { delete globalThis[name]; } catch {} return { a: 1 }; }
export async function objectThen() { (Object.prototype as any).then = function (resolve: any) { resolve("hijacked"); }; return await ask({}); }
export async function species() {
  class Odd<T> extends Promise<T> { static get [Symbol.species]() { return class extends Promise<any> { constructor(run: any) { super((a, b) => run((x: any) => { a(x); a(x); }, b)); } }; } }
  return await new Odd((resolve) => resolve(1)).then((x: any) => x + 1);
}
export async function arraySpecies() { const list: any = [1, 2]; list.constructor = { [Symbol.species]: function () { for (;;); } }; return list.map((x: any) => x); }
export async function thenable() { return { then(resolve: any) { resolve({ then(again: any) { again("deep"); } }); } }; }
export async function thenableForever() { const endless: any = { then(resolve: any) { resolve(endless); } }; return endless; }
export async function thenableTwice() { return await { then(resolve: any, reject: any) { resolve(1); reject(new Error("second")); throw new Error("third"); } }; }
export async function receiver() { (send as any)({ toString() { for (;;); } }, 1); }
export async function logArguments() {
  console.log({ toJSON() { throw 1; } }, { [Symbol.toPrimitive]() { throw 2; } }, { get x() { throw 3; } }, new Proxy([], { get() { throw 4; }, ownKeys() { throw 5; } }));
}
export async function logSpins() { console.log({ [Symbol.for("nodejs.util.inspect.custom")]() { for (;;); } }); }
export async function logSelf() { const self: any = { [Symbol.for("nodejs.util.inspect.custom")](_: any, __: any, inspect: any) { return inspect(self); } }; console.log(self); }
export async function logProxy() { console.log(new Proxy({}, { ownKeys: () => Array.from({ length: 3000 }, (_, i) => "k" + i), getOwnPropertyDescriptor: () => ({ value: 1, enumerable: true, configurable: true }) })); return "logged"; }
export async function logFlood() { const text = "x".repeat(1e6); for (;;) console.log(text); }
export async function operationFlood() { for (;;) void ask("x".repeat(100_000)); }
export async function resultToJson() { return { toJSON() { for (;;); } }; }
export async function resultGetter() { return { get x() { for (;;); } }; }
export async function resultProxy() { return new Proxy({}, { ownKeys() { throw new Error("no keys"); } }); }
export async function resultPrimitive() { return { [Symbol.toPrimitive]() { for (;;); }, a: 1 }; }
export async function resultDate() { const date = new Date(5); (date as any).toISOString = () => { throw 1; }; Date.prototype.getTime = () => { throw 2; }; return date; }
export async function resultClass() { return new (class Sneaky extends Array {})(); }
export async function throwsProxy() { throw new Proxy({}, { getPrototypeOf() { throw { get message() { for (;;); } }; } }); }
export async function throwsSpinning() { throw new Proxy({}, { getPrototypeOf() { for (;;); } }); }
export async function throwsGetters() { throw Object.defineProperties(new Error("e"), { message: { get() { throw { get message() { for (;;); } }; } }, name: { get() { for (;;); } } }); }
export async function throwsHuge() { throw new Error("x".repeat(3e6)); }
export async function throwsCause() { const error: any = new Error("e"); error.cause = { error, list: [error] }; throw error; }
export async function throwsRevoked() { const { proxy, revoke } = Proxy.revocable(() => 1, {}); revoke(); throw proxy; }
export async function throwsInJob() { queueMicrotask(() => { throw { get stack() { for (;;); } }; }); await sleep(5); }
export async function throwsInTimer() { setTimeout(() => { throw Symbol("s"); }, 1); await sleep(50); }
export async function throwsInFinalizer() { const registry = new FinalizationRegistry(() => { throw new Error("finalized"); }); for (;;) { for (let i = 0; i < 100; i++) registry.register({}, i); await ask(); } }
export async function rejectFlood() { for (let i = 0; i < 20_000; i++) void Promise.reject(new Error("r" + i)); await sleep(5); }
export async function regexp() { return /^(a+)+$/.test("a".repeat(40) + "b"); }
export async function regexpState() { return /(?:a|a)*b/.exec("a".repeat(5000)); }
export async function strings() {
  const results: string[] = [];
  for (const bomb of [() => "x".repeat(2 ** 29), () => "x".repeat(2 ** 31), () => "x".padEnd(2 ** 30 - 1, "ab"), () => "xy".padStart(2 ** 53), () => "x".repeat(2 ** 16).split("").join("y".repeat(1000)), () => String.fromCharCode(...new Array(1e6).fill(65)), () => (2n ** 40_000_000n).toString(), () => 1n << 2n ** 40n])
    try { results.push(typeof bomb()); } catch (error: any) { results.push(error.name); }
  return results;
}
export async function arrays() {
  const results: string[] = [];
  for (const bomb of [() => new Uint8Array(2 ** 32), () => new Float64Array(2 ** 31), () => new ArrayBuffer(2 ** 53 - 1), () => new Array(-1), () => new Uint8Array({ length: 2 ** 40 } as any), () => new ArrayBuffer(8, { maxByteLength: 2 ** 40 } as any), () => structuredClone(new Uint8Array(2 ** 25)), () => new DataView(new ArrayBuffer(8), 2 ** 31), () => [].concat(...new Array(1e5).fill([1, 2, 3, 4, 5, 6, 7, 8] as any))])
    try { bomb(); results.push("fits"); } catch (error: any) { results.push(error.name); }
  return results;
}
export async function resizable() {
  const buffer = new (ArrayBuffer as any)(1024, { maxByteLength: 4096 });
  const view = new Uint8Array(buffer);
  void ask(view);
  buffer.resize(0);
  return [view, buffer.byteLength, new Uint8Array((new ArrayBuffer(8) as any).transfer()).length];
}
export async function detached() { const buffer = new ArrayBuffer(8); const view = new Uint8Array(buffer); (buffer as any).transfer(); return view; }
export async function detachInGetter() { const view = new Uint8Array(1e6); return { a: view, get b() { (view.buffer as any).transfer(); return 1; }, c: view }; }
export async function weak() { const refs: WeakRef<object>[] = []; for (let i = 0; i < 30_000; i++) refs.push(new WeakRef({ i })); await ask(); return refs.every((ref) => ref.deref() === undefined); }
export async function imports() { try { return await Function('return import("fs")')(); } catch (error: any) { return error.name; } }
export async function escapes() { return [typeof globalThis.require, typeof globalThis.WebAssembly, typeof globalThis.SharedArrayBuffer, typeof globalThis.Atomics, typeof globalThis.std, typeof globalThis.os, typeof globalThis.bjson, typeof globalThis.print]; }
export async function code() { const nested = (depth: number): string => (depth === 0 ? "for(;;);" : "eval(" + JSON.stringify(nested(depth - 1)) + ")"); return (0, eval)(nested(6)); }
export async function generators() { const endless = (async function* () { for (;;) yield 1; })(); for await (const _ of endless); }
export async function afterExit() { Promise.prototype.then = function (this: any, ...args: any) { return this; } as any; return 1; }
`;

const app = await program({
  "app.ts": hostile,
  "host.ts": `"use host"; export async function ask(..._: unknown[]): Promise<any> {}`,
});
const limits = { memoryBytes: 32 * 1024 * 1024, stackBytes: 256 * 1024 };
const machine = localMachine(sources(app), { limits, fuelInterrupts: 200 });
let keys = 0;
const witness = new Process(machine, app, ++keys);

before(async () => void (await witness.start("witness")));

/** That all is well with everybody else. */
async function allWell(): Promise<void> {
  const other = new Process(machine, app, ++keys);
  await other.start("nothing");
  assert.equal(other.exit?.value, "well");
  const operation = witness.commands.length;
  await witness.turn(resolved(operation));
  assert.equal(JSON.stringify(witness.commands.at(-1)).includes("kept"), true);
  assert.deepEqual(machine.failures, []);
}

after(allWell);

async function attack(entry: string): Promise<{ subject: Process; end: Exit }> {
  const subject = new Process(machine, app, ++keys);
  const outcome = await subject.attempt([subject.startInput(entry)]);
  assert.ok(outcome.kind === "done" || outcome.kind === "fatal", JSON.stringify(outcome));
  await allWell();
  if (outcome.kind === "done") return { subject, end: subject.exit ?? { reason: "running", value: undefined } };
  assert.doesNotMatch(outcome.detail, /SuspendError/);
  return { subject, end: { reason: outcome.reason, value: outcome.detail } };
}

describe("the way to the host", () => {
  test("is none of the things a program can reach", async () => {
    const { end } = await attack("survey");
    assert.deepEqual(end.value, [[], true, []]);
  });

  test("is not in the frames of a stack", async () => {
    const { subject } = await attack("frames");
    await subject.turn({ kind: "timer", timer: 1 });
    assert.equal(subject.exit?.value, 0);
  });

  test("is not what a function says called it", async () => {
    const { end } = await attack("callers");
    assert.equal(end.reason, "normal");
    assert.ok(!JSON.stringify(end.value).includes("function"), JSON.stringify(end.value));
  });

  test("is not handed to any method of a built-in that the program may have replaced", async () => {
    const { end } = await attack("spies");
    assert.deepEqual(end, { reason: "normal", value: "true" });
  });

  test("takes no command that makes no sense: the process ends as a trap, before anything of its turn is seen", async () => {
    for (const entry of ["nanTimer", "textTimer"]) {
      const { subject, end } = await attack(entry);
      assert.deepEqual([end.reason, subject.commands], ["trap", []]);
    }
  });
});

const ends: readonly (readonly [entry: string, reasons: string | readonly string[]])[] = [
  ["brokenIntrinsics", ["normal", "error", "trap"]],
  ["noGlobals", ["normal", "error"]],
  ["species", "normal"],
  ["arraySpecies", "out_of_fuel"],
  ["thenable", "normal"],
  ["thenableForever", "out_of_fuel"],
  ["thenableTwice", "normal"],
  ["receiver", "error"],
  ["logArguments", ["normal", "error"]],
  ["logSpins", "out_of_fuel"],
  ["logSelf", ["normal", "stack_overflow"]],
  ["logProxy", "normal"],
  ["logFlood", "out_of_memory"],
  ["operationFlood", "out_of_memory"],
  ["resultToJson", "error"],
  ["resultGetter", "out_of_fuel"],
  ["resultProxy", "error"],
  ["resultPrimitive", ["normal", "error"]],
  ["resultDate", "normal"],
  ["resultClass", ["normal", "error"]],
  ["throwsProxy", "error"],
  ["throwsSpinning", "out_of_fuel"],
  ["throwsGetters", ["error", "out_of_fuel"]],
  ["throwsHuge", "error"],
  ["throwsCause", "error"],
  ["throwsRevoked", "error"],
  ["throwsInJob", "out_of_fuel"],
  ["rejectFlood", "error"],
  ["regexp", "out_of_fuel"],
  ["regexpState", ["normal", "out_of_fuel"]],
  ["strings", "normal"],
  ["arrays", "normal"],
  ["resizable", ["normal", "error"]],
  ["detached", ["normal", "error"]],
  ["detachInGetter", ["normal", "error"]],
  ["imports", "normal"],
  ["escapes", "normal"],
  ["code", "out_of_fuel"],
  ["generators", "out_of_fuel"],
  ["afterExit", ["normal", "running", "error"]],
];
describe("an attack ends its own process alone", () => {
  for (const [entry, reasons] of ends) {
    test(`${entry}: ${typeof reasons === "string" ? reasons : reasons.join(" or ")}`, async () => {
      const { end } = await attack(entry);
      const expected: readonly string[] = typeof reasons === "string" ? [reasons] : reasons;
      assert.ok(expected.includes(end.reason), inspect(end));
    });
  }

  test("what does not fit is an error that can be caught", async () => {
    const [strings, arrays] = [await attack("strings"), await attack("arrays")];
    const names = new Set([...(strings.end.value as string[]), ...(arrays.end.value as string[])]);
    for (const name of names)
      assert.ok(["InternalError", "RangeError", "TypeError", "string", "bigint", "fits"].includes(name), name);
  });

  test("nothing of Node's or the engine's own libraries is there", async () => {
    const { end } = await attack("escapes");
    assert.deepEqual(new Set(end.value as string[]), new Set(["undefined"]));
  });
});

describe("an attack in a later turn", () => {
  test("by a result that a patched Object.prototype makes a thenable changes what this process sees, and no more", async () => {
    const { subject } = await attack("objectThen");
    await subject.turn(resolved(1, { a: 1 }));
    assert.deepEqual(subject.exit, { reason: "normal", value: "hijacked" });
    await allWell();
  });

  test("by a timer's callback that throws what cannot cross ends the process with an error that says so", async () => {
    const { subject } = await attack("throwsInTimer");
    await subject.turn({ kind: "timer", timer: 1 });
    assert.equal(subject.exit?.reason, "error");
    assert.match(subject.error.message, /a symbol/);
    await allWell();
  });

  test("by a finalizer that throws ends the process as any uncaught error", async () => {
    const { subject } = await attack("throwsInFinalizer");
    for (let number = 1; subject.exit === undefined && number < 200; number++) await subject.turn(resolved(number));
    assert.deepEqual([subject.exit?.reason, subject.error.message], ["error", "finalized"]);
    await allWell();
  });

  test("of weak references finds nothing but its own garbage gone", async () => {
    const { subject } = await attack("weak");
    await subject.turn(resolved(1), message(1));
    assert.deepEqual([subject.exit?.reason, typeof subject.exit?.value], ["normal", "boolean"]);
  });
});
