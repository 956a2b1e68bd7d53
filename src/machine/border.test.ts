/** What crosses the border between host and sandbox, both ways, in a real machine. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decodeValue, encodeValue } from "../base/value.ts";
import type { Command } from "../journal/types.ts";
import { localMachine, message, Process, program, rejected, resolved, sources } from "./harness.test.ts";

const app = await program({
  "app.ts": `
import { receive, send, TimeoutError } from "perdure";
import { charge, "odd name" as odd } from "./lib/host.ts";

export async function echo(value: unknown) { return value; }
export async function lengths(...values: any[]) { return values.map((value) => value.length ?? value.byteLength); }
export async function relay(value: any) { send("p9", await charge(value)); return await receive(); }
export async function bytes(count: number) { return new Uint8Array(count).fill(7); }
export async function buffers(count: number) { return Array.from({ length: count }, (_, index) => new Uint8Array([index & 255]).buffer); }
export async function text(length: number) { return "\\u00e9".repeat(length); }
export async function tooLarge() {
  const errors: any[] = [];
  for (const call of [() => charge("x".repeat(2 ** 20)), () => charge(new Uint8Array(2 ** 25 + 1)), async () => send("p", "x".repeat(2 ** 20))]) {
    try { await call(); } catch (error) { errors.push(error); }
  }
  return [errors.map((error) => error.code), await Promise.race([charge("small"), Promise.resolve("issued")])];
}
export async function notCloneable() {
  const errors: any[] = [];
  for (const value of [() => 1, Symbol("s"), new (class Account {})(), { deep: [new Map([["k", () => 1]])] }, Promise.resolve(), new WeakMap()]) {
    try { await charge(value); } catch (error) { errors.push(error); }
  }
  return errors.map((error) => [error.code, error.message]);
}
export async function badResult() { return { callback: () => 1 }; }
export async function lone() { console.log("a\\ud800b", "\\udc00"); send("p\\ud800", "\\ud800"); return ["\\udfff", { "\\ud83d": 1 }]; }
export async function ropes() { let text = ""; for (let i = 0; i < 50; i++) text += "part " + i + ", "; console.log(text); send(text.slice(0, 6) + "x", text); return text.length; }
export async function operations() { void charge(1, "two"); void odd(); await charge(); }
export async function names() { return [charge.name, odd.name]; }
export async function request() {
  const response = await fetch("https://example.org/pay?x=1", { method: "POST", body: new Uint8Array([1, 2, 3]), headers: { "X-Kind": "a" } });
  return [response.status, response.headers.get("x-made-by"), await response.json()];
}
export async function get() { try { await fetch("https://example.org/"); } catch (error: any) { return [error instanceof TypeError, error.message]; } }
export async function failsDeep() {
  const cause = Object.assign(new RangeError("inner"), { limit: 5 });
  throw Object.assign(new TypeError("outer", { cause }), { code: "E_OUT", details: { at: new Date(0), list: new Set([1]) } });
}
export async function rethrows() { await charge(); }
export async function aggregate() { return await Promise.any([charge(), charge()]); }
export async function strange(kind: string) {
  const all: Record<string, unknown> = { undefined: undefined, null: null, number: 5, text: "text", object: { a: 1 }, symbol: Symbol("s"), function: () => 1, proxy: new Proxy(() => 1, {}) };
  throw all[kind];
}
export async function env() { return { ...process.env, has: "REGION" in process.env, other: process.env.HOME }; }
export async function timeout() { try { await receive({ timeout: "1s" }); } catch (error) { return error instanceof TimeoutError; } }
`,
  "lib/host.ts": `"use host"; export async function charge(..._: unknown[]): Promise<any> {} export { charge as "odd name" };`,
});
const machine = localMachine(sources(app));
let keys = 0;
const process = (): Process => new Process(machine, app, ++keys);
const MiB = 2 ** 20;

const cyclic: { self?: unknown; list: unknown[] } = { list: [] };
cyclic.self = cyclic;
const values: readonly (readonly [what: string, value: unknown])[] = [
  ["undefined", undefined],
  ["primitives", [null, true, -0, NaN, Infinity, 2n ** 70n, "text"]],
  ["a tree", { a: [1, { b: "c" }], d: {} }],
  ["a sparse array", Object.assign(new Array(3), { 0: 1, 2: 3 })],
  ["dates, patterns, maps and sets", [new Date(5), /a+/gi, new Map([[1, new Set(["x"])]])]],
  ["typed arrays that share a buffer", sharing()],
  ["a cycle", cyclic],
  ["__proto__ as a key", JSON.parse('{"__proto__": 1, "constructor": 2}')],
  ["text beyond the BMP, with NUL and line separators", "\u{1f600}\0\u2028é"],
  ["lone surrogates", ["\ud800", "a\udc00b"]],
];

function sharing(): unknown {
  const buffer = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]).buffer;
  return { all: new Uint8Array(buffer), words: new Uint16Array(buffer, 2, 2), view: new DataView(buffer, 1) };
}

describe("values", () => {
  for (const [what, value] of values) {
    test(`${what}: cross as argument and result, as operation's argument and answer, and as messages`, async () => {
      const [echo, relay] = [process(), process()];
      await echo.start("echo", value);
      assert.deepEqual(echo.exit, { reason: "normal", value });
      await relay.start("relay", value);
      const issued = relay.commands[0];
      assert.ok(issued?.kind === "operation");
      assert.deepEqual(decodeValue(issued.args), [value]);
      const [sent] = await relay.turn(resolved(1, value));
      assert.ok(sent?.kind === "send");
      assert.deepEqual([sent.to, decodeValue(sent.body)], ["p9", value]);
      await relay.turn(message(value));
      assert.deepEqual(relay.exit?.value, value);
    });
  }

  test("of 32 MiB of bytes come out; of one byte more do not", async () => {
    const fits = await process().ends("bytes", 32 * MiB);
    assert.ok(
      fits.value instanceof Uint8Array && fits.value.length === 32 * MiB && fits.value.every((byte) => byte === 7),
    );
    const { reason, value } = await process().ends("bytes", 32 * MiB + 1);
    assert.deepEqual([reason, (value as { code?: string }).code], ["error", "VALUE_TOO_LARGE"]);
  });

  test("of 32 MiB of bytes come in, and go out again", async () => {
    const value = new Uint8Array(32 * MiB).fill(3);
    const [inwards, there] = [await process().ends("lengths", value), await process().ends("echo", value)];
    assert.deepEqual(inwards.value, [32 * MiB]);
    assert.ok(Buffer.compare(there.value as Uint8Array, value) === 0);
  });

  test("of thousands of buffers cross both ways, each with its own bytes", async () => {
    const [few, many] = [await process().ends("buffers", 61), await process().ends("buffers", 4_000)];
    assert.deepEqual(
      few.value,
      Array.from({ length: 61 }, (_, index) => new Uint8Array([index]).buffer),
    );
    assert.equal((many.value as unknown[]).length, 4_000);
    assert.deepEqual(
      new Uint8Array((many.value as ArrayBuffer[])[3_999] as ArrayBuffer),
      new Uint8Array([3_999 & 255]),
    );
    const inwards = await process().ends(
      "lengths",
      ...Array.from({ length: 2_000 }, (_, index) => new Uint8Array(index)),
    );
    assert.deepEqual(
      inwards.value,
      Array.from({ length: 2_000 }, (_, index) => index),
    );
  });

  test("of 1 MiB of text cross both ways; more is VALUE_TOO_LARGE", async () => {
    const fits = await process().ends("text", MiB - 3);
    assert.equal(fits.value, "é".repeat(MiB - 3));
    const echoed = await process().ends("echo", "\u{1f600}".repeat(MiB / 2 - 10));
    assert.equal(echoed.value, "\u{1f600}".repeat(MiB / 2 - 10));
    const beyond = await process().ends("text", MiB);
    assert.equal((beyond.value as { code?: string }).code, "VALUE_TOO_LARGE");
  });

  test("that are too large are an error at the call, and no command is issued for them", async () => {
    const subject = process();
    await subject.start("tooLarge");
    assert.deepEqual(subject.exit?.value, [["VALUE_TOO_LARGE", "VALUE_TOO_LARGE", "VALUE_TOO_LARGE"], "issued"]);
    const [only] = subject.commands;
    assert.deepEqual([subject.commands.length, only?.kind === "operation" && only.number], [2, 1]);
  });

  test("that cannot cross are an error at the call that names the place", async () => {
    const { value } = await process().ends("notCloneable");
    const errors = value as [code: string, message: string][];
    assert.deepEqual(new Set(errors.map(([code]) => code)), new Set(["VALUE_NOT_CLONEABLE"]));
    assert.equal(errors.length, 6);
    assert.match(errors[3]?.[1] ?? "", /\$\[0\]\.deep\[0\]\.get\("k"\)/);
  });

  test("that cannot cross as a result end the process with that error", async () => {
    const { reason, value } = await process().ends("badResult");
    assert.deepEqual([reason, (value as { code?: string }).code], ["error", "VALUE_NOT_CLONEABLE"]);
  });

  test("that do not decode end the process with VALUE_CORRUPT, and the machine stays", async () => {
    for (const text of ["", "x", "j{", "v[[1]]", "v"]) {
      const subject = process();
      await subject.start("relay", 1);
      await subject.turn({ kind: "result", operation: 1, ok: true, value: { text } });
      assert.deepEqual([subject.exit?.reason, subject.error.code], ["error", "VALUE_CORRUPT"]);
    }
  });
});

describe("text", () => {
  test("with lone surrogates is made well-formed where it leaves as text: one replacement character for each", async () => {
    const subject = process();
    await subject.start("lone");
    assert.deepEqual(subject.logs, ["a\ufffdb \ufffd"]);
    const [, sent] = subject.commands;
    assert.deepEqual(sent?.kind === "send" && [sent.to, decodeValue(sent.body)], ["p\ufffd", "\ud800"]);
    assert.deepEqual(subject.exit?.value, ["\udfff", { "\ud83d": 1 }]);
  });

  test("that the engine holds in pieces leaves in one", async () => {
    const subject = process();
    await subject.start("ropes");
    const whole = Array.from({ length: 50 }, (_, index) => `part ${index}, `).join("");
    assert.deepEqual(subject.logs, [whole]);
    const sent = subject.commands[1];
    assert.deepEqual(sent?.kind === "send" && [sent.to, decodeValue(sent.body)], ["part 0x", whole]);
  });
});

describe("operations", () => {
  test("are numbered, and named by module path and export", async () => {
    const subject = process();
    await subject.start("operations");
    const issued = subject.commands.map((command) => {
      assert.ok(command.kind === "operation");
      return [command.number, command.name, command.options, decodeValue(command.args)];
    });
    assert.deepEqual(issued, [
      [1, "lib/host.ts#charge", "", [1, "two"]],
      [2, "lib/host.ts#odd name", "", []],
      [3, "lib/host.ts#charge", "", []],
    ]);
    assert.deepEqual((await process().ends("names")).value, ["charge", "odd name"]);
  });

  test("fetch is one of its own, with the whole request as its argument", async () => {
    const subject = process();
    await subject.start("request");
    const [issued] = subject.commands;
    assert.ok(issued?.kind === "operation");
    assert.deepEqual([issued.name, JSON.parse(issued.options)], ["perdure:fetch", { mode: "at-most-once" }]);
    const [argument] = decodeValue(issued.args) as [Record<string, unknown>];
    assert.deepEqual(argument, {
      url: "https://example.org/pay?x=1",
      method: "POST",
      headers: [["x-kind", "a"]],
      body: new Uint8Array([1, 2, 3]),
      redirect: "follow",
    });
    const body = new TextEncoder().encode('{"paid":true}');
    const answer = {
      status: 201,
      statusText: "Created",
      headers: [["x-made-by", "us"]],
      url: "https://example.org/pay?x=1",
      redirected: false,
      body,
    };
    await subject.turn(resolved(1, answer));
    assert.deepEqual(subject.exit?.value, [201, "us", { paid: true }]);
  });

  test("fetch of a method that may be repeated says so, and rejects with the host's TypeError", async () => {
    const subject = process();
    await subject.start("get");
    const [issued] = subject.commands;
    assert.ok(issued?.kind === "operation");
    assert.deepEqual(JSON.parse(issued.options), { mode: "at-least-once" });
    await subject.turn(rejected(1, new TypeError("fetch failed")));
    assert.deepEqual(subject.exit?.value, [true, "fetch failed"]);
  });
});

describe("errors", () => {
  test("of a process carry class, message, stack, cause and fields", async () => {
    const { reason, value } = await process().ends("failsDeep");
    assert.equal(reason, "error");
    const { message, stack, cause, code, details } = value as Error & { code: string; details: unknown };
    assert.ok(value instanceof TypeError && cause instanceof RangeError);
    assert.deepEqual([message, code, details], ["outer", "E_OUT", { at: new Date(0), list: new Set([1]) }]);
    assert.deepEqual([cause.message, (cause as { limit?: number }).limit], ["inner", 5]);
    assert.match(String(stack), /perdure:program:\d+:\d+/);
  });

  test("of the host pass through the process as they are", async () => {
    const subject = process();
    await subject.start("rethrows");
    const error = Object.assign(new RangeError("from the host", { cause: new Error("why") }), { code: "E_HOST" });
    error.stack = "RangeError: from the host\n    at charge (lib/host.ts:1:1)";
    await subject.turn(rejected(1, error));
    const found = subject.error;
    assert.deepEqual(
      [found instanceof RangeError, found.message, found.code, found.stack],
      [true, error.message, "E_HOST", error.stack],
    );
    assert.equal((found.cause as Error).message, "why");
  });

  test("in an AggregateError all arrive", async () => {
    const subject = process();
    await subject.start("aggregate");
    await subject.turn(rejected(1, new Error("first")), rejected(2, new Error("second")));
    const { errors } = subject.error as AggregateError;
    assert.deepEqual(
      errors.map(({ message }: Error) => message),
      ["first", "second"],
    );
  });

  const thrown: readonly (readonly [kind: string, value: unknown])[] = [
    ["undefined", undefined],
    ["null", null],
    ["number", 5],
    ["text", "text"],
    ["object", { a: 1 }],
  ];
  for (const [kind, value] of thrown) {
    test(`need not be errors: ${kind} is thrown, and arrives`, async () => {
      assert.deepEqual(await process().ends("strange", kind), { reason: "error", value });
    });
  }
  for (const kind of ["symbol", "function", "proxy"]) {
    test(`that cannot cross, such as a ${kind}, are described by an error`, async () => {
      const { reason, value } = await process().ends("strange", kind);
      assert.deepEqual([reason, value instanceof Error], ["error", true]);
      assert.match((value as Error).message, /cannot cross the sandbox's border/);
    });
  }
});

test("the environment is what the start input says, and nothing else", async () => {
  const { value } = await process().ends("env");
  assert.deepEqual(value, { NODE_ENV: "production", REGION: "north", has: true, other: undefined });
});

test("a receive with a timeout is a timer on service time", async () => {
  const subject = process();
  const [timer] = (await subject.start("timeout")) as [Command];
  assert.deepEqual(timer, { kind: "timer", number: 1, clock: "service", dueMs: subject.timeMs + 1000 });
  await subject.turn({ kind: "timer", timer: 1 });
  assert.equal(subject.exit?.value, true);
});

test("a payload the host encodes is what the sandbox would have encoded", async () => {
  for (const [, value] of values) {
    const subject = process();
    await subject.start("echo", value);
    const exit = subject.commands.at(-1);
    assert.deepEqual(exit?.kind === "exit" && exit.value, encodeValue(value));
  }
});
