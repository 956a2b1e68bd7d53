import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Engine } from "perdure/engine";
import type { ProcessHandle } from "perdure/engine";
import { common, open, shared, storeFile } from "./support/engine.ts";
import { failure } from "./support/failure.ts";
import { eventually } from "./support/wait.ts";

describe("start", () => {
  test("runs an entry to its result, by name or by path and name", async () => {
    const { engine } = await common();
    assert.equal(await (await engine.start("default", ["Ann", 2])).result(), "Hello Hello Ann");
    assert.equal(await (await engine.start("add", [2, 3])).result(), 5);
    const { pid, result } = await engine.start("synchronous", [], { id: "sync" });
    assert.equal(pid, "sync");
    assert.deepEqual(await result(), { pid: "sync", map: new Map([[1, { at: new Date(0) }]]) });
    const byPath = await (engine as Engine).start("lib/stock.ts#checkStock", [1]);
    assert.equal(await byPath.result(), undefined);
  });

  test("knows the types of the program's exports", async () => {
    const { engine } = await common();
    const sum: ProcessHandle<number> = await engine.start("add", [1, 2]);
    // @ts-expect-error: an argument of another type
    await engine.start("add", ["1", 2]);
    // @ts-expect-error: one argument is missing
    await engine.start("add", [1]);
    // @ts-expect-error: the result is a number
    const text: string = await sum.result();
    assert.equal(text, 3);
    // @ts-expect-error: there is no such export
    await assert.rejects(engine.start("nothing", []), { code: "ENTRY_NOT_FOUND" });
    // @ts-expect-error: the export is no function
    await assert.rejects(engine.start("version", []), { code: "ENTRY_NOT_FOUND" });
  });

  test("with an id is idempotent: before the end, after it, and after the store was opened again", async (t) => {
    const store = storeFile(t);
    const { engine } = await open(t, { store });
    const id = "order-1";
    const all = await Promise.all([1, 2, 3].map(() => engine.start("add", [1, 2], { id })));
    assert.equal(all.filter(({ created }) => created).length, 1);
    assert.equal(await all[0]?.result(), 3);
    const again = await engine.start("add", [1, 2], { id });
    assert.deepEqual([again.created, await again.result()], [false, 3]);
    await engine.close();
    const { engine: next } = await open(t, { store });
    const later = await next.start("add", [1, 2], { id });
    assert.deepEqual([later.created, await later.result()], [false, 3]);
    assert.equal((await next.list()).length, 1);
  });

  test("with an id that was used for something else fails with PROCESS_ID_CONFLICT", async () => {
    const { engine } = await common();
    await engine.start("add", [1, 2], { id: "a" });
    const otherArguments = await failure(engine.start("add", [1, 3], { id: "a" }));
    assert.equal(otherArguments.code, "PROCESS_ID_CONFLICT");
    assert.match(otherArguments.message, /"a".*other arguments/);
    const otherEntry = await failure(engine.start("default", ["x"], { id: "a" }));
    assert.equal(otherEntry.code, "PROCESS_ID_CONFLICT");
    assert.match(otherEntry.message, /another entry/);
  });

  test("refuses what cannot be started, and starts nothing", async (t) => {
    const { engine } = await open(t);
    const untyped = engine as Engine;
    for (const id of ["", "x".repeat(201), "line\nbreak"]) {
      await assert.rejects(engine.start("add", [1, 2], { id }), { code: "ARGUMENT_INVALID" }, JSON.stringify(id));
    }
    await assert.rejects(untyped.start("add", [() => 1]), { code: "VALUE_NOT_CLONEABLE" });
    await assert.rejects(untyped.start("add", ["x".repeat(2 ** 21)]), { code: "VALUE_TOO_LARGE" });
    assert.deepEqual(await engine.list(), []);
  });

  test("of 300 processes at once ends them all", async () => {
    const { engine, exits } = await common();
    const numbers = Array.from({ length: 300 }, (_, number) => number);
    const handles = await Promise.all(numbers.map((number) => engine.start("add", [number, number])));
    assert.deepEqual(
      await Promise.all(handles.map((handle) => handle.result())),
      numbers.map((number) => 2 * number),
    );
    await eventually("all exits", () => handles.every(({ pid }) => exits.some((exit) => exit.pid === pid)));
  });
});

describe("handle", () => {
  test("send delivers messages in order, whatever their values", async () => {
    const { engine } = await common();
    const values = ["one", { two: new Date(2) }, [3n, undefined], new Uint8Array([4])];
    const handle = await engine.start("echo", [values.length]);
    for (const value of values) await handle.send(value);
    assert.deepEqual(await handle.result(), values);
    await assert.rejects(handle.send("too late"), { code: "PROCESS_EXITED" });
    await assert.rejects(engine.get("nobody").send(1), { code: "PROCESS_NOT_FOUND" });
    await assert.rejects(engine.get("nobody").result(), { code: "PROCESS_NOT_FOUND" });
    await assert.rejects(engine.get("nobody").status(), { code: "PROCESS_NOT_FOUND" });
  });

  test("send refuses what cannot cross", async () => {
    const { engine } = await common();
    const handle = await engine.start("echo", [1]);
    const error = await failure(handle.send({ callback: () => 1 }));
    assert.equal(error.code, "VALUE_NOT_CLONEABLE");
    assert.match(error.message, /callback/);
    await handle.send("fine");
    assert.deepEqual(await handle.result(), ["fine"]);
  });

  test("status shows what the process waits for", async () => {
    const { engine } = await common();
    const handle = await engine.start("waitsForEver", [], { id: "waiting" });
    const status = await eventually("the first turn", async () => {
      const now = await handle.status();
      return now.turns > 0 && now;
    });
    assert.deepEqual(
      [status.pid, status.state, status.entry, status.exit],
      ["waiting", "running", "waitsForEver", undefined],
    );
    assert.deepEqual(
      status.operations.map(({ number, name, state, attempt }) => [number, name, state, attempt]),
      [[1, "host.ts#describeArgument", "pending", 1]],
    );
    const delays = status.timers.map(({ dueMs }) => Math.round((dueMs - status.startedAtMs) / 3_600_000));
    assert.deepEqual(
      delays.toSorted((a, b) => a - b),
      [1, 24],
    );
    await handle.kill();
    const { state, exit, operations, timers } = await handle.status();
    assert.deepEqual([state, exit?.reason, operations, timers], ["exited", "killed", [], []]);
  });

  test("history tells every turn: what came in, what went out", async () => {
    const { engine } = await common();
    const handle = await engine.start("echo", [2]);
    await handle.send("a");
    await handle.send("b");
    await handle.result();
    const turns = await handle.history();
    assert.deepEqual(
      turns.map(({ turn }) => turn),
      turns.map((_, index) => index + 1),
    );
    assert.deepEqual(
      turns.flatMap(({ inputs }) => inputs.map(({ kind }) => kind)),
      ["start", "message", "message"],
    );
    assert.equal(turns.at(-1)?.commands.at(-1)?.kind, "exit");
    assert.deepEqual(await handle.history({ from: 2, limit: 1 }), turns.slice(1, 2));
  });

  test("list gives the newest first, by state, reason and entry", async (t) => {
    const { engine } = await open(t);
    for (const id of ["one", "two"]) await (await engine.start("add", [1, 2], { id })).result();
    await engine.start("echo", [1], { id: "three" });
    await (await engine.start("throwsText", [], { id: "four" })).result().catch(() => undefined);
    const pids = async (filter: Parameters<typeof engine.list>[0]) => (await engine.list(filter)).map(({ pid }) => pid);
    assert.deepEqual(await pids({}), ["four", "three", "two", "one"]);
    assert.deepEqual(await pids({ limit: 2 }), ["four", "three"]);
    assert.deepEqual(await pids({ states: ["running"] }), ["three"]);
    assert.deepEqual(await pids({ reasons: ["error"] }), ["four"]);
    assert.deepEqual(await pids({ entry: "add" }), ["two", "one"]);
  });
});

describe("cancel and kill", () => {
  test("cancel rejects what is waited for; cleanup runs, with operations and timers of its own", async () => {
    const { engine, exits } = await common();
    const handle = await engine.start("cleansUp", ["rethrow"], { id: "tidy" });
    await handle.cancel("enough");
    const error = await failure(handle.result());
    assert.equal(error.code, "PROCESS_CANCELLED");
    assert.match(error.message, /enough/);
    assert.deepEqual(error.details, { pid: "tidy", reason: "cancelled" });
    assert.deepEqual(shared().notes.get("tidy"), [
      "signal: CancelledError: enough",
      "CancelledError: enough",
      "slept in finally",
    ]);
    await eventually("the exit", () => exits.some(({ pid, reason }) => pid === "tidy" && reason === "cancelled"));
  });

  test("a program may decide that it has something to return all the same", async () => {
    const { engine } = await common();
    const handle = await engine.start("cleansUp", ["swallow"]);
    await handle.cancel();
    assert.deepEqual((await handle.result()).slice(1), [
      "CancelledError: The process was cancelled.",
      "slept in finally",
    ]);
  });

  test("kill runs nothing of the program any more", async () => {
    const { engine } = await common();
    const handle = await engine.start("leavesNoTrace", [], { id: "killed" });
    await eventually("its first turn", async () => (await handle.status()).turns === 1);
    await handle.kill();
    assert.equal((await failure(handle.result())).code, "PROCESS_KILLED");
    assert.equal(shared().notes.has("killed"), false);
    await assert.rejects(handle.kill(), { code: "PROCESS_EXITED" });
    await assert.rejects(handle.cancel(), { code: "PROCESS_EXITED" });
  });

  test("kill ends a process in the middle of a turn", async () => {
    const { engine } = await common();
    const handle = await engine.start("spinsLater", []);
    await eventually("its spinning", async () => (await handle.status()).inbox.length === 1);
    await handle.kill();
    assert.equal((await failure(handle.result())).code, "PROCESS_KILLED");
    assert.equal(await (await engine.start("add", [1, 1])).result(), 2);
  });
});

describe("errors", () => {
  test("come with their name, message and causes, and a stack in terms of the source files", async () => {
    const { engine } = await common();
    const error = await failure((await engine.start("fails", [], { id: "p" })).result());
    assert.equal(error.code, "PROCESS_FAILED");
    assert.equal(error.message, 'The process "p" ended with error: Error: the order failed');
    assert.deepEqual(error.details, { pid: "p", reason: "error" });
    const thrown = error.cause as Error;
    assert.match(thrown.stack ?? "", /^Error: the order failed\n {4}at fails \(app\.ts:\d+:\d+\)$/);
    const inner = thrown.cause as Error;
    assert.ok(inner instanceof RangeError);
    assert.match(
      inner.stack ?? "",
      /^RangeError: no stock\n {4}at checkStock \(lib\/stock\.ts:4:\d+\)\n {4}at fails \(app\.ts:\d+:\d+\)$/,
    );
    assert.deepEqual(inner.cause, { count: 0 });
  });

  test("anything can be thrown", async () => {
    const { engine } = await common();
    const error = await failure((await engine.start("throwsText", [])).result());
    assert.equal(error.cause, "just text");
  });

  test("a result that cannot cross is an error of the program", async () => {
    const { engine } = await common();
    const error = await failure((await engine.start("returnsAFunction", [])).result());
    assert.equal(error.code, "PROCESS_FAILED");
    assert.match(error.message, /\$\.fn is a function/);
  });

  test("an argument that cannot cross is an error at the call, which the program may catch", async () => {
    const { engine } = await common();
    const refused = await (await engine.start("passesASymbol", [])).result();
    const places = [
      "$[0] is a symbol",
      "$[0] is a function",
      "$[0] is an instance of Order",
      "$[0].deep[0] is an instance of Promise",
    ];
    for (const [index, place] of places.entries()) assert.ok(refused[index]?.includes(place), refused[index]);
  });
});

describe("what the engine says", () => {
  test("onLog hears each line once, in order, with its level; stacks are in terms of the source files", async () => {
    const { engine, logs } = await common();
    const { pid, result } = await engine.start("talks", []);
    await result();
    const own = logs.filter((log) => log.pid === pid);
    assert.deepEqual(
      own.map(({ level }) => level),
      ["log", "warn", "error", "debug", "info"],
    );
    assert.deepEqual(
      own.filter((log) => log.level !== "error").map(({ text }) => text),
      ["one { two: [ 3 ] }", "careful", "six is 6", "done"],
    );
    assert.match(own[2]?.text ?? "", /^RangeError: far out\n {4}at talks \(app\.ts:\d+:\d+\)$/);
    assert.ok(own.every((log) => Math.abs(log.atMs - Date.now()) < 60_000));
  });

  test("process.env holds the names the deployment lists, as they were when the process started", async (t) => {
    process.env["PERDURE_TEST_SHOWN"] = "yes";
    process.env["PERDURE_TEST_HIDDEN"] = "no";
    t.after(() => {
      delete process.env["PERDURE_TEST_SHOWN"];
      delete process.env["PERDURE_TEST_HIDDEN"];
    });
    const { engine } = await open(t, { env: ["PERDURE_TEST_SHOWN", "PERDURE_TEST_ABSENT"] });
    const expected = { NODE_ENV: "production", PERDURE_TEST_SHOWN: "yes" };
    assert.deepEqual(await (await engine.start("environment", [])).result(), [expected, expected]);
  });

  test("entries lists what can be started", async () => {
    const { engine } = await common();
    assert.equal(engine.entries[0], "default");
    assert.ok(engine.entries.includes("lib/stock.ts#checkStock"));
    assert.ok(!engine.entries.includes("version"));
    assert.match(engine.program ?? "", /^[0-9a-f]{64}$/);
  });
});

describe("close", () => {
  test("waits a bounded time for operations, and loses none: they run again when the store is opened again", async (t) => {
    const store = storeFile(t);
    const { engine } = await open(t, { store });
    const handle = await engine.start("neverAnswered", [], { id: "patient" });
    const result = failure(handle.result());
    await eventually("the operation's begin", () => shared().attempts.some(({ name }) => name === "never"));
    const before = performance.now();
    await Promise.all([engine.close(), engine.close()]);
    assert.ok(performance.now() - before < 5_000, "close took too long");
    assert.equal((await result).code, "ENGINE_CLOSED");
    assert.match(shared().aborted.at(-1) ?? "", /shutting down/);
    const { engine: next } = await open(t, { store });
    assert.equal(await next.get("patient").result(), "answered");
    const keys = shared().attempts.filter(({ name }) => name === "never");
    assert.deepEqual(
      keys.map(({ attempt }) => attempt),
      [1, 1],
    );
    assert.equal(new Set(keys.map(({ key }) => key)).size, 1);
  });

  test("keeps what was acknowledged: starts and messages", async (t) => {
    const store = storeFile(t);
    const { engine } = await open(t, { store });
    await engine.start("echo", [3], { id: "echo" });
    const handles = await Promise.all([1, 2, 3].map((number) => engine.start("add", [number, number])));
    for (const word of ["a", "b", "c"]) await engine.get("echo").send(word);
    await engine.close();
    const { engine: next } = await open(t, { store });
    assert.deepEqual(await next.get("echo").result(), ["a", "b", "c"]);
    assert.deepEqual(await Promise.all(handles.map(({ pid }) => next.get(pid).result())), [2, 4, 6]);
  });

  test("leaves an engine that says ENGINE_CLOSED", async (t) => {
    const { engine } = await open(t);
    const handle = await engine.start("echo", [1]);
    await engine[Symbol.asyncDispose]();
    for (const late of [engine.start("add", [1, 2]), handle.send(1), handle.status(), handle.result(), engine.list()]) {
      await assert.rejects(late, { code: "ENGINE_CLOSED" });
    }
  });

  test("an engine without a program goes on with what the store holds, and starts nothing", async (t) => {
    const store = storeFile(t);
    const { engine } = await open(t, { store });
    await engine.start("echo", [1], { id: "echo" });
    await engine.close();
    await using bare = await Engine.open({ store });
    await bare.get("echo").send("still here");
    assert.deepEqual(await bare.get("echo").result(), ["still here"]);
    await assert.rejects(bare.start("add", [1, 2]), { code: "PROGRAM_NOT_FOUND" });
  });
});

describe("open", () => {
  test("a store that another engine owns is STORE_IN_USE, and its owner does not notice", async (t) => {
    const store = storeFile(t);
    const { engine } = await open(t, { store });
    const error = await failure(Engine.open({ store }));
    assert.equal(error.code, "STORE_IN_USE");
    assert.ok(error.message.includes(store));
    assert.equal(await (await engine.start("add", [1, 2])).result(), 3);
    await engine.close();
    await (await Engine.open({ store })).close();
  });

  test("fails with a code that says what is wrong", async (t) => {
    const store = storeFile(t);
    await assert.rejects(Engine.open({ store: `${store}/no/folder.db` }), { code: "STORE_NOT_FOUND" });
    await assert.rejects(Engine.open({ store, program: "no/such/file.ts" }), { code: "PROGRAM_NOT_FOUND" });
    await assert.rejects(Engine.open({ store: import.meta.filename }), { code: "STORE_UNREADABLE" });
  });

  test("timers that came due while nothing ran fire at once", async (t) => {
    const store = storeFile(t);
    const { engine } = await open(t, { store });
    await engine.start("naps", [300], { id: "sleeper" });
    await engine.close();
    await sleep(400);
    const { engine: next } = await open(t, { store });
    const before = performance.now();
    assert.ok((await next.get<number>("sleeper").result()) >= 300);
    assert.ok(performance.now() - before < 5_000, "it slept again");
  });
});
