/** Processes that move from store to store as files, with real engines. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Engine } from "perdure/engine";
import type { EngineOptions, ExportOptions, KernelNotice, LogEntry } from "perdure/engine";
import { storeFile } from "./support/engine.ts";
import { eventually } from "./support/wait.ts";

// As the README does it.
// oxlint-disable-next-line typescript/consistent-type-imports
type App = typeof import("../fixtures/move/app.ts");

const program = new URL("../fixtures/move/app.ts", import.meta.url);

interface World {
  readonly attempts: { readonly name: string; readonly id: string; readonly key: string }[];
  readonly open: Set<string>;
}

/** What the host functions see: they share this process. */
function world(): World {
  const shared = globalThis as { perdureMove?: World };
  return (shared.perdureMove ??= { attempts: [], open: new Set() });
}

interface Opened {
  readonly engine: Engine<App>;
  readonly logs: LogEntry[];
  readonly notices: KernelNotice[];
}

async function open(t: TestContext, options: EngineOptions = {}): Promise<Opened> {
  const logs: LogEntry[] = [];
  const notices: KernelNotice[] = [];
  const engine = await Engine.open<App>({
    store: "memory:",
    program,
    closeTimeoutMs: 200,
    onLog: (log) => logs.push(log),
    onNotice: (notice) => notices.push(notice),
    ...options,
  });
  t.after(() => engine.close());
  return { engine, logs, notices };
}

async function exported(engine: Engine<App>, pid: string, options: ExportOptions = {}): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of engine.export(pid, options)) parts.push(part);
  return Buffer.concat(parts);
}

async function* inPieces(file: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.length; at += 1000) yield file.subarray(at, at + 1000);
}

const code = (name: string) => ({ code: name });

test("a process in mid-life ends elsewhere as it would have ended here", async (t) => {
  const [here, there] = [await open(t), await open(t, { store: storeFile(t) })];
  const pids = ["moved", "stayed"];
  for (const pid of pids) {
    const handle = await here.engine.start("journey", [pid], { id: pid });
    await handle.send("first");
    await handle.send(new Map([["second", 2n]]));
    await eventually("the operation runs", () => world().attempts.some(({ id }) => id === pid));
  }
  await here.engine.get("moved").pause();
  await here.engine.get("moved").send("third");
  const result = assert.rejects(here.engine.get("moved").result(), code("PROCESS_EXPORTED"));
  const file = await exported(here.engine, "moved", { wait: 0 });
  await result;
  const handle = await there.engine.import(inPieces(file));
  assert.equal((await handle.status()).state, "paused");
  await handle.resume();
  await here.engine.get("stayed").send("third");
  for (const pid of pids) world().open.add(pid);
  const expected = (pid: string) => ["first", "slept", `charged ${pid}`, new Map([["second", 2n]]), "third"];
  assert.deepEqual(await here.engine.get("stayed").result(), expected("stayed"));
  assert.deepEqual(await handle.result(), expected("moved"));
  const keys = world().attempts.flatMap(({ id, key }) => (id === "moved" ? [key] : []));
  assert.deepEqual([keys.length, new Set(keys).size], [2, 1]);
  assert.deepEqual(
    there.logs.map(({ text }) => text),
    ["ended moved"],
  );
});

test("the store that it left says so, whoever asks, and remembers it after a restart", async (t) => {
  const store = storeFile(t);
  const here = await open(t, { store });
  await here.engine.start("waits", [], { id: "gone" });
  await exported(here.engine, "gone");
  await here.engine.close();
  const again = await open(t, { store });
  const handle = again.engine.get("gone");
  const asks = [
    () => again.engine.start("waits", [], { id: "gone" }),
    () => again.engine.start("patient", [5], { id: "gone" }),
    () => handle.send("x"),
    () => handle.send("x", { key: "k" }),
    () => handle.result(),
    () => handle.status(),
    () => handle.history(),
    () => handle.kill(),
    () => handle.pause(),
    () => exported(again.engine, "gone"),
  ];
  for (const ask of asks) await assert.rejects(ask(), code("PROCESS_EXPORTED"), String(ask));
  await assert.rejects(
    handle.send("x"),
    /"gone" was exported from this store at \d{4}-.*, as process file [0-9a-z]{20}\./,
  );
  assert.deepEqual(await again.engine.list(), []);
});

test("a file is imported once into a store, also when its process has ended and was pruned", async (t) => {
  const here = await open(t);
  await here.engine.start("waits", [], { id: "once" });
  const file = await exported(here.engine, "once");
  const there = await open(t, { keep: { count: 0 }, tombstones: 0 });
  const handle = await there.engine.import(inPieces(file));
  await assert.rejects(there.engine.import(inPieces(file)), code("IMPORT_REFUSED"));
  await handle.send("end");
  assert.equal(await handle.result(), "end");
  await eventually("it is pruned", async () => (await there.engine.list()).length === 0);
  await assert.rejects(there.engine.import(inPieces(file)), code("IMPORT_REFUSED"));
});

test("a pid that is taken keeps a process out, and nothing of it stays", async (t) => {
  const [here, there] = [await open(t), await open(t)];
  await here.engine.start("waits", [], { id: "same" });
  await there.engine.start("waits", [], { id: "same" });
  const file = await exported(here.engine, "same");
  await assert.rejects(there.engine.import(inPieces(file)), code("PROCESS_ID_CONFLICT"));
  assert.deepEqual(
    (await there.engine.list()).map(({ pid }) => pid),
    ["same"],
  );
});

test("a process comes back to where it was, and the files it went in are void there", async (t) => {
  const [here, there] = [await open(t), await open(t)];
  await here.engine.start("waits", [], { id: "traveller" });
  const out = await exported(here.engine, "traveller");
  await there.engine.import(inPieces(out));
  const home = await exported(there.engine, "traveller");
  const handle = await here.engine.import(inPieces(home));
  assert.equal((await here.engine.start("waits", [], { id: "traveller" })).created, false);
  for (const file of [out, home]) await assert.rejects(here.engine.import(inPieces(file)), code("IMPORT_REFUSED"));
  await handle.send("home");
  assert.equal(await handle.result(), "home");
});

test("what is left of a service timer is what was left when it was exported", async (t) => {
  const [here, there] = [await open(t), await open(t)];
  for (const [pid, ms] of [["timed", 60_000] as const, ["late", 4_000] as const])
    await here.engine.start("patient", [ms], { id: pid });
  // Both stores have been owned without a break, so their service clocks show the time of the wall.
  const dueOf = async ({ engine }: Opened, pid: string): Promise<number | undefined> =>
    (await engine.get(pid).status()).timers[0]?.dueMs;
  await eventually("timers are set", async () => (await dueOf(here, "late")) !== undefined);
  const due = await eventually("both wait", () => dueOf(here, "timed"));
  const files = [await exported(here.engine, "timed"), await exported(here.engine, "late")] as const;
  const inFileMs = 2_000;
  await sleep(inFileMs);
  const timed = await there.engine.import(inPieces(files[0]));
  const late = await there.engine.import(inPieces(files[1]));
  assert.ok(((await dueOf(there, "timed")) ?? 0) - due >= inFileMs);
  await timed.send("in time");
  assert.equal(await timed.result(), "in time");
  assert.equal(await late.result(), "nothing came");
});

test("a process that others would miss is refused by name, and with detach they hear of it", async (t) => {
  const [here, there] = [await open(t), await open(t)];
  const parent = await here.engine.start("parent", [], { id: "parent" });
  const child = await eventually("the child has its name", () => here.engine.whereis("linked"));
  const watcher = await here.engine.start("watcher", [child], { id: "watcher" });
  await eventually("it is watched", async () => (await watcher.status()).monitors.length === 1);
  await assert.rejects(exported(here.engine, child), (error: Error & { code: string }) => {
    assert.equal(error.code, "EXPORT_REFUSED");
    for (const tie of ["a link with parent", "is monitored by watcher", 'the name "linked"', "the parent parent"])
      assert.ok(error.message.includes(tie), `${tie}: ${error.message}`);
    return true;
  });
  await assert.rejects(exported(here.engine, "parent"), /a link with .*the child /);
  assert.equal((await here.engine.get(child).status()).state, "running");
  const file = await exported(here.engine, child, { detach: true });
  assert.deepEqual(await parent.result(), [true, "noconnection"]);
  assert.deepEqual(await watcher.result(), [child, "noconnection"]);
  assert.equal(await here.engine.whereis("linked"), undefined);
  const handle = await there.engine.import(inPieces(file));
  await handle.send("alone");
  assert.equal(await handle.result(), "alone");
});

test("a supervised child lives on elsewhere, and its supervisor starts another", async (t) => {
  const [here, there] = [await open(t), await open(t)];
  await here.engine.start("shop", [], { id: "shop" });
  const pid = await eventually("the till is there", () => here.engine.whereis("till"));
  await here.engine.server("Till", pid).add(5);
  const file = await exported(here.engine, pid, { detach: true });
  const next = await eventually("another is there", async () => {
    const found = await here.engine.whereis("till");
    return found !== pid && found;
  });
  assert.equal(await here.engine.server("Till", next).add(1), 1);
  await there.engine.import(inPieces(file));
  assert.equal(await there.engine.server("Till", pid).add(1), 6);
});

test("an operation that must not be begun twice is waited for, or its outcome is not known", async (t) => {
  const [here, there] = [await open(t), await open(t)];
  for (const id of ["held", "forced", "ended"]) await here.engine.start("ships", [id], { id });
  await eventually("all have begun", () => world().attempts.filter(({ name }) => name === "shipped").length === 3);
  await assert.rejects(exported(here.engine, "held", { wait: 0 }), /operation 1 \(.*ship.*\) is under way/);
  world().open.add("held");
  assert.equal(await here.engine.get("held").result(), "shipped held");
  const forced = await exported(here.engine, "forced", { wait: 0, force: true });
  const waiting = exported(here.engine, "ended");
  await eventually("it comes to a stop", async () => (await here.engine.get("ended").status()).state === "moving");
  world().open.add("ended");
  const handles = [await there.engine.import(inPieces(forced)), await there.engine.import(inPieces(await waiting))];
  assert.deepEqual(await Promise.all(handles.map((handle) => handle.result())), [
    "UncertainOperationError",
    "shipped ended",
  ]);
  // The attempt that nobody waits for must come to its end.
  world().open.add("forced");
});

test("who stops asking keeps the process, as it was", async (t) => {
  const { engine } = await open(t);
  for (const pid of ["kept", "stopped"]) await engine.start("waits", [], { id: pid });
  await engine.get("stopped").pause();
  for (const pid of ["kept", "stopped"]) {
    for await (const part of engine.export(pid)) {
      assert.ok(part.length > 0);
      assert.equal((await engine.get(pid).status()).state, "moving");
      break;
    }
  }
  assert.equal((await engine.get("stopped").status()).state, "paused");
  await engine.get("kept").send("still here");
  assert.equal(await engine.get("kept").result(), "still here");
});

test("an operator takes back a process that is being exported, and its file stays void", async (t) => {
  const [{ engine }, there] = [await open(t), await open(t)];
  await engine.start("waits", [], { id: "back" });
  const parts: Uint8Array[] = [];
  const written = async (): Promise<void> => void (await engine.get("back").resume());
  await assert.rejects(async () => {
    for await (const part of engine.export("back", { written })) parts.push(part);
  }, /it was taken back/);
  await assert.rejects(there.engine.import(inPieces(Buffer.concat(parts))), code("FILE_UNSEALED"));
  await engine.get("back").send("here");
  assert.equal(await engine.get("back").result(), "here");
});

test("what reaches it while it is written goes with it, keys too", async (t) => {
  const [here, there] = [await open(t), await open(t)];
  const handle = await here.engine.start("waits", [], { id: "late" });
  const counter = here.engine.at("Counter", "c");
  assert.equal(await counter.with({ key: "first" }).add(2), 2);
  const pid = await counter.pid();
  const written = async (): Promise<void> => {
    await handle.send("one", { key: "k" });
    await handle.send("two");
  };
  const file = await exported(here.engine, "late", { written });
  const moved = await there.engine.import(inPieces(file));
  assert.equal(await moved.result(), "one");
  await moved.send("one", { key: "k" });
  await assert.rejects(moved.send("other", { key: "k" }), code("KEY_CONFLICT"));
  await there.engine.import(inPieces(await exported(here.engine, pid)));
  await assert.rejects(counter.add(1), code("PROCESS_EXPORTED"));
  await assert.rejects(here.engine.at("Counter", "c").add(1), code("PROCESS_EXPORTED"));
  const there2 = there.engine.at("Counter", "c");
  assert.equal(await there2.with({ key: "first" }).add(2), 2);
  assert.equal(await there2.add(1), 3);
});

test("a sealed piece that got lost is given again", async (t) => {
  const [here, there] = [await open(t), await open(t)];
  await here.engine.start("waits", [], { id: "lost" });
  await assert.rejects(here.engine.seal("lost"), code("PROCESS_NOT_FOUND"));
  const parts: Uint8Array[] = [];
  for await (const part of here.engine.export("lost")) parts.push(part);
  const body = Buffer.concat(parts.slice(0, -1));
  await assert.rejects(there.engine.import(inPieces(body)), code("FILE_UNSEALED"));
  assert.deepEqual(await there.engine.list(), []);
  await there.engine.import(inPieces(Buffer.concat([body, await here.engine.seal("lost")])));
});

test("a process with a long history and a checkpoint is the same when it arrives", async (t) => {
  const [here, there] = [await open(t), await open(t, { store: storeFile(t) })];
  const counter = here.engine.at("Counter", "long");
  const pid = await counter.pid();
  for (let round = 0; round < 30; round++) await Promise.all(Array.from({ length: 50 }, () => counter.add(1)));
  const saved = await here.engine.start("saves", [], { id: "saved" });
  await saved.send("before");
  await eventually("it has saved", async () => (await saved.status()).turns >= 2);
  const turns = (await here.engine.get(pid).status()).turns;
  for (const each of [pid, "saved"])
    await there.engine.import(inPieces(await exported(here.engine, each, { withEngine: true })));
  assert.equal((await there.engine.get(pid).status()).turns, turns);
  assert.equal(await there.engine.at("Counter", "long").add(1), 1501);
  await there.engine.get("saved").send("after");
  assert.deepEqual(await there.engine.get("saved").result(), ["before", "after"]);
});
