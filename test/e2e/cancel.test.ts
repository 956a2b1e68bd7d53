/** Cancelling: what it does to a process, that it reaches children, and what becomes of operations nobody waits for. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine } from "perdure/engine";
import type { LogEntry, ProcessHandle } from "perdure/engine";
import { openSqliteStore } from "../../src/store/sqlite/index.ts";
import type * as app from "../fixtures/cancel/app.ts";
import type { Shared } from "../fixtures/cancel/host.ts";
import { storeFile } from "./support/engine.ts";
import { EngineProcess } from "./support/engine-process.ts";
import { eventually } from "./support/wait.ts";

const program = fileURLToPath(new URL("../fixtures/cancel/app.ts", import.meta.url));
const { deeds, answers } = ((globalThis as { cancelTest?: Shared }).cancelTest ??= { deeds: [], answers: [] });
const logs: LogEntry[] = [];
const exits: string[] = [];
let engine: Engine<typeof app>;

before(async () => {
  engine = await Engine.open<typeof app>({
    store: "memory:",
    program,
    closeTimeoutMs: 100,
    onLog: (log) => logs.push(log),
    onExit: ({ pid, reason }) => exits.push(`${pid}: ${reason}`),
  });
});
after(() => engine.close());
beforeEach(() => {
  for (const list of [deeds, answers, logs, exits]) list.length = 0;
});

const until = (deed: string): Promise<unknown> => eventually(deed, () => deeds.includes(deed));
const cancelled = { code: "PROCESS_CANCELLED" };

async function droppedBy(handle: ProcessHandle): Promise<string[]> {
  const turns = await handle.history();
  const all = turns.flatMap(({ dropped }) => dropped);
  return all.map(({ number, name, state, attempt }) => `#${number} ${name}: ${state} ${attempt}`);
}

describe("a cancel", () => {
  for (const [own, childs, whose] of [
    [40, 0, "the children's ends"],
    [0, 40, "the parent's end"],
  ] as const) {
    test(`reaches linked children, theirs, and tasks, and ${whose} cut no cleanup short`, async () => {
      const handle = await engine.start("parent", ["p", own, childs]);
      await until("p is ready");
      await handle.cancel("no need");
      await assert.rejects(handle.result(), cancelled);
      await eventually("everyone", () => deeds.length === 6);
      const names = ["p", "p.a", "p.a.child", "p.b", "p.task"];
      assert.deepEqual(
        deeds.toSorted(),
        ["p is ready", ...names.map((name) => `${name}: CancelledError: no need`)].sort(),
      );
      await eventually("the ends", () => exits.length === 5);
      assert.ok(
        exits.every((exit) => exit.endsWith(": cancelled")),
        exits.join(),
      );
      // The end of a cancelled parent asks its children too: each of these was asked before that.
      for (const exit of exits) {
        const turns = await engine.get(exit.slice(0, exit.lastIndexOf(":"))).history();
        const kinds = turns.flatMap(({ inputs }) => inputs.map(({ kind }) => kind));
        assert.ok(kinds.includes("cancel"), `${exit} after ${kinds.join(", ")}`);
      }
    });
  }

  test("reaches children that are in the store only", async (t) => {
    const options = { store: storeFile(t), program };
    const first = await Engine.open<typeof app>(options);
    await first.start("parent", ["p", 0, 0], { id: "p" });
    await until("p is ready");
    await first.close();
    await using second = await Engine.open<typeof app>(options);
    await second.get("p").cancel("no need");
    for (const name of ["p", "p.a", "p.a.child", "p.b", "p.task"]) await until(`${name}: CancelledError: no need`);
  });

  test("is not repeated for a process that goes on, and a second one is another", async () => {
    const handle = await engine.start("goesOn", []);
    await handle.cancel("one");
    await handle.cancel("two");
    await handle.send("and on");
    assert.deepEqual(await handle.result(), [["one", "two"], "and on"]);
  });

  test("rejects every kind of wait with its reason", async (t) => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    t.after(() => silent.close());
    const handle = await engine.start("everyWait", [`http://127.0.0.1:${(silent.address() as AddressInfo).port}/`]);
    await until("everyWait is ready");
    await until("operation");
    await handle.cancel("enough");
    const [seen, reason] = (await handle.result()) as [string[], string];
    assert.deepEqual(
      seen,
      Array.from({ length: 7 }, () => "CancelledError: enough"),
    );
    assert.equal(reason, "CancelledError: enough");
    await until("operation: OperationAbortedError");
  });

  test("of a supervisor stops its children in reverse order, and then it ends as cancelled", async () => {
    const handle = await engine.start("tree", []);
    await eventually("the children", async () => (await handle.status()).links.length === 3);
    await handle.cancel("closing time");
    await assert.rejects(handle.result(), cancelled);
    assert.deepEqual(
      deeds,
      ["third", "second", "first"].map((name) => `${name} terminates: shutdown`),
    );
  });

  test("of a server that traps exits reaches its children by its end, which asks and does not kill", async () => {
    const handle = await engine.start("Guarded", []);
    await until("guarded is ready");
    await handle.cancel("closing time");
    await assert.rejects(handle.result(), cancelled);
    await eventually("the child", () => deeds.length === 2);
    assert.match(deeds[1] as string, /^guarded\.child: CancelledError: .* was cancelled\.$/);
    assert.equal(logs[0]?.text, "terminates: cancelled");
  });

  test("of a process that streams tasks lets them wind up", async () => {
    const handle = await engine.start("streams", []);
    await until("one is ready");
    await until("two is ready");
    await handle.cancel("enough");
    await assert.rejects(handle.result(), cancelled);
    for (const name of ["one", "two"]) await until(`${name}: CancelledError: enough`);
  });

  test("can be asked of a process by another", async () => {
    assert.deepEqual(await (await engine.start("cancelsOther", [])).result(), [true, "cancelled"]);
    assert.deepEqual(deeds, ["other: CancelledError: told so"]);
  });
});

describe("operations that nobody waits for any more", () => {
  async function started(how: "return" | "wait"): Promise<ProcessHandle> {
    const handle = await engine.start("leaves", [how]);
    await until("ended");
    await eventually("a retry", async () => (await handle.status()).operations.some(({ attempt }) => attempt === 2));
    return handle;
  }

  test("are told so when the process ends, and the journal says how far each had got", async () => {
    const handle = await started("return");
    await handle.send("now");
    assert.equal(await handle.result(), "left");
    await until("running: OperationAbortedError");
    assert.deepEqual(await droppedBy(handle), [
      "#1 host.ts#lasts: running 1",
      "#2 host.ts#fails: waiting 2",
      "#3 host.ts#lasts: running 1",
      "#4 host.ts#does: queued 1",
    ]);
    assert.ok(!deeds.includes("never begun"));
  });

  test("are told so when it is killed, and one that had ended says that", async () => {
    const handle = await started("wait");
    await handle.pause();
    answers[1]?.();
    await eventually("the result", async () => (await handle.status()).inbox.length === 1);
    await handle.kill();
    await assert.rejects(handle.result(), { code: "PROCESS_KILLED" });
    await until("running: OperationAbortedError");
    const [first, second, third, ...more] = await droppedBy(handle);
    assert.deepEqual(
      [first, second, third, more],
      ["#1 host.ts#lasts: running 1", "#2 host.ts#fails: waiting 2", "#3 host.ts#lasts: ended 1", []],
    );
  });

  test("are told so when a cancel gives them up; a result that comes late is nothing", async () => {
    const handle = await engine.start("givesUp", []);
    await until("given up");
    await handle.cancel();
    await until("given up: OperationAbortedError");
    const { turns } = await handle.status();
    answers[0]?.();
    await new Promise((resolve) => setTimeout(resolve, 60));
    const status = await handle.status();
    assert.deepEqual([status.turns, status.operations, status.inbox], [turns, [], []]);
    await handle.send("go on");
    assert.equal(await handle.result(), "CancelledError");
    assert.deepEqual(await droppedBy(handle as ProcessHandle), ["#1 host.ts#lasts: running 1"]);
  });

  test("are told so by the next node, which cannot know whether they had begun", async (t) => {
    const file = storeFile(t);
    const options = { store: file, program, closeTimeoutMs: 0, onLog: () => undefined };
    const first = await Engine.open<typeof app>(options);
    await first.start("givesUp", [], { id: "p" });
    await until("given up");
    await first.close();
    const store = await openSqliteStore(file);
    await store.post("p", { kind: "fatal", reason: "killed", detail: "Killed." }, Date.now());
    await store.close();
    await using second = await Engine.open<typeof app>(options);
    const handle = second.get("p");
    await assert.rejects(handle.result(), { code: "PROCESS_KILLED" });
    assert.deepEqual(await droppedBy(handle), ["#1 host.ts#lasts: running 1"]);
  });

  test("are told so when their process goes back to a checkpoint before them", async () => {
    const handle = await engine.start("forgets", []);
    await until("forgotten");
    await handle.send("now");
    const child = engine.get((await handle.result()) as string);
    // The attempt hears of it with the supervisor's turn; the child's own, which has it in its journal, comes after that.
    await until("forgotten: OperationAbortedError");
    await eventually("the restored child's turn", async () => (await droppedBy(child)).length > 0);
    const turns = await child.history();
    const [restored] = turns.filter(({ dropped }) => dropped.length > 0);
    assert.equal(restored?.inputs[0]?.kind, "restore");
    assert.deepEqual(restored?.dropped, [{ number: 1, name: "host.ts#lasts", state: "running", attempt: 1 }]);
  });
});

test("a node that is killed between a cancel and the ends it leads to: everyone winds up, once", async (t) => {
  const store = storeFile(t);
  const file = `${store}.deeds`;
  const lines = (): string[] => readFileSync(file, "utf8").trimEnd().split("\n");
  writeFileSync(file, "");
  await using first = new EngineProcess({ store, program });
  await first.start("root", "default", [file]);
  await eventually("the tree", () => lines().includes("ready"));
  await first.cancel("root", "the power is going");
  await first.kill();
  assert.deepEqual(lines(), ["ready"]);
  await using second = new EngineProcess({ store, program });
  await second.opened;
  await second.kill();
  await using third = new EngineProcess({ store, program });
  await assert.rejects(third.result("root"), { code: "PROCESS_CANCELLED" });
  const names = ["root", "one", "two", "one.leaf", "two.leaf", "task"];
  await eventually("everyone", () => lines().length > names.length);
  assert.deepEqual(lines().toSorted(), ["ready", ...names.map((name) => `${name}: the power is going`)].sort());
});
