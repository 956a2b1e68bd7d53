/** Nodes that stand by: one owns the store, the others wait and take over when it is gone, whatever way it went. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine } from "perdure/engine";
import type { NodeView } from "perdure/engine";
import type * as app from "../fixtures/standby/app.ts";
import { storeFile } from "./support/engine.ts";
import { EngineProcess } from "./support/engine-process.ts";
import { eventually } from "./support/wait.ts";

const program = fileURLToPath(new URL("../fixtures/standby/app.ts", import.meta.url));

function opened(store: string, nodes: NodeView[] = []): Promise<Engine<typeof app>> {
  return Engine.open<typeof app>({
    store,
    program,
    standby: true,
    closeTimeoutMs: 0,
    onNode: (node) => nodes.push(node),
  });
}

describe("a node that stands by", () => {
  test("opens beside the owner, says whose the store is, and takes over when that one closes", async (t) => {
    const store = storeFile(t);
    const nodes: NodeView[] = [];
    await using first = await opened(store);
    assert.deepEqual([first.node.state, first.node.incarnation], ["active", 1]);
    await first.start("counter", [], { id: "c" });
    await using second = await opened(store, nodes);
    assert.equal(second.node.state, "standing-by");
    assert.match(second.node.message, new RegExp(`owned by the node ${process.pid}@`));
    let isActive = false;
    const active = second.active().then(() => (isActive = true));
    await first.get("c").send("count");
    assert.equal(isActive, false);
    await first.close();
    await active;
    assert.deepEqual([second.node.state, second.node.incarnation], ["active", 2]);
    assert.deepEqual(
      nodes.map(({ state }) => state),
      ["standing-by", "active"],
    );
    await second.get("c").send("end");
    assert.equal(await second.get("c").result(), 1);
    // It has its program with it.
    assert.equal(await (await second.start("add", [1, 2])).result(), 3);
  });

  test("takes over from a node that was killed, and what it ran goes on", async (t) => {
    const store = storeFile(t);
    const file = `${store}.deeds`;
    writeFileSync(file, "");
    await using first = new EngineProcess({ store, program, standby: true });
    await first.opened;
    await first.start("writer", "writer", [file]);
    await eventually("the first lines", () => readFileSync(file, "utf8").split("\n").length > 3);
    await using second = await opened(store);
    assert.equal(second.node.state, "standing-by");
    const result = second.get("writer").result();
    await first.kill();
    await second.active();
    assert.equal(await result, "done");
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    assert.deepEqual(
      [...new Set(lines)],
      Array.from({ length: 10 }, (_, index) => `line ${index}`),
    );
  });

  test("sends, pauses, cancels and hears of ends through the store; what takes the owner it refuses", async (t) => {
    const store = storeFile(t);
    await using first = await opened(store);
    const handle = await first.start("counter", [], { id: "c" });
    await using second = await opened(store);
    const same = second.get("c");
    await same.send("count");
    await same.send("count", { key: "k" });
    await same.send("count", { key: "k" });
    await assert.rejects(same.send("end", { key: "k" }), { code: "KEY_CONFLICT" });
    // Both may come into one turn.
    const taken = async () => (await handle.history()).flatMap(({ inputs }) => inputs);
    await eventually("the counts", async () => (await taken()).filter(({ kind }) => kind === "message").length === 2);
    assert.equal(await same.pause(), true);
    await eventually("the pause", async () => (await same.status()).state === "paused");
    assert.equal(await same.pause(), false);
    assert.equal(await same.resume(), true);
    const refused = { code: "NODE_STANDING_BY" };
    await assert.rejects(second.start("add", [1, 2]), refused);
    await assert.rejects(second.retryOperation("c", 1), refused);
    const result = same.result();
    await same.send("end");
    assert.equal(await result, 2);
    await assert.rejects(same.send("more"), { code: "PROCESS_EXITED" });
    await assert.rejects(second.get("nobody").send("x"), { code: "PROCESS_NOT_FOUND" });
    await assert.rejects(second.get("nobody").result(), { code: "PROCESS_NOT_FOUND" });
    await first.start("counter", [], { id: "d" });
    const ends = assert.rejects(second.get("d").result(), { code: "PROCESS_CANCELLED" });
    await second.get("d").cancel("enough");
    await ends;
  });

  test("can be closed while it waits, and is not heard of any more", async (t) => {
    const store = storeFile(t);
    await using _first = await opened(store);
    const second = await opened(store);
    const active = second.active();
    const refused = assert.rejects(active, { code: "ENGINE_CLOSED" });
    await second.close();
    await refused;
    assert.equal(second.node.state, "stopped");
  });

  test("without standby, a second engine is refused", async (t) => {
    const store = storeFile(t);
    await using _first = await opened(store);
    await assert.rejects(Engine.open({ store }), { code: "STORE_IN_USE" });
  });
});

describe("the health of a node", () => {
  test("is that of an active one, of one that stands by, and of one that has been closed", async (t) => {
    const store = storeFile(t);
    await using first = await Engine.open<typeof app>({ store, program, nodeName: "a" });
    const { sinceMs, ...active } = await first.health();
    assert.ok(sinceMs <= Date.now());
    const { release } = active;
    assert.match(release, /^\d+\.\d+\.\d+/);
    assert.deepEqual(active, {
      isLive: true,
      isReady: true,
      state: "active",
      node: "a",
      incarnation: 1,
      message: "",
      release,
    });
    await using second = await opened(store);
    const standby = await second.health();
    assert.deepEqual([standby.isReady, standby.state, standby.incarnation], [true, "standing-by", 0]);
    assert.match(standby.message, /owned by the node a \(process \d+ on /);
    const closing = first.close();
    assert.equal((await first.health()).state, "draining");
    await closing;
    const { isLive, isReady, state } = await first.health();
    assert.deepEqual([isLive, isReady, state], [true, false, "stopped"]);
  });

  test("is bad while the kernel thread is stuck, and good again after that", async (t) => {
    const store = storeFile(t);
    await using engine = await Engine.open<typeof app>({ store, program });
    const handle = await engine.start("counter", [], { id: "c" });
    const other = new DatabaseSync(store);
    other.exec("BEGIN IMMEDIATE");
    const sent = handle.send("count");
    const stuck = await eventually("the thread's silence", async () => {
      const health = await engine.health();
      return health.isLive ? undefined : health;
    });
    assert.deepEqual([stuck.isReady, stuck.state], [false, "active"]);
    assert.match(stuck.message, /The kernel thread has not answered/);
    other.exec("ROLLBACK");
    other.close();
    await sent;
    assert.equal((await engine.health()).isLive, true);
  });

  test("a name that cannot be printed is ARGUMENT_INVALID", async () => {
    await assert.rejects(Engine.open({ store: "memory:", nodeName: "a\tb" }), { code: "ARGUMENT_INVALID" });
  });
});

test("an owner that loses its lease becomes one that stands by, and takes the store again when it is free", async (t) => {
  const store = storeFile(t);
  const nodes: NodeView[] = [];
  await using engine = await opened(store, nodes);
  const handle = await engine.start("counter", [], { id: "c" });
  const result = handle.result();
  // What another node does that takes this one for dead.
  const db = new DatabaseSync(store);
  db.exec("UPDATE meta SET incarnation = incarnation + 1");
  db.close();
  await assert.rejects(handle.send("lost"), { code: "STORE_FENCED" });
  await eventually("its return", () => nodes.at(-1)?.state === "active");
  assert.deepEqual(
    nodes.map(({ state }) => state),
    ["active", "standing-by", "active"],
  );
  assert.match(nodes[1]?.message ?? "", /its incarnation 1 was followed by a newer one/);
  await handle.send("count");
  await handle.send("end");
  assert.equal(await result, 1);
  assert.equal(engine.failure, undefined);
});
