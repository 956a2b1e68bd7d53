/** On which node a process runs, begins, and goes on, where several own a store. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { shards, World } from "./world.ts";
import type { Deed, Node } from "./world.ts";

/** Shares are found, dead nodes noticed, processes moved. */
const settledMs = 20_000;
const gpu = { needs: "gpu" };
const note = (what: unknown): Deed => ({ do: "note", what });

/** Nodes that have found their shares. */
async function opened(world: World, ...nodes: readonly (() => Promise<Node>)[]): Promise<Node[]> {
  const all: Node[] = [];
  for (const open of nodes) all.push(await open());
  await world.pass(settledMs);
  return all;
}

async function pair(world: World): Promise<[Node, Node]> {
  const [plain, able] = await opened(
    world,
    () => world.open("plain"),
    () => world.open("able", { labels: ["gpu"] }),
  );
  assert.ok(plain !== undefined && able !== undefined);
  return [plain, able];
}

describe("a process that needs a label", () => {
  test("runs on a node that has it, wherever it is started, and so do its children", async () => {
    const world = new World();
    const [plain, able] = await pair(world);
    await world.start(plain, "there", gpu);
    await world.start(able, "here", gpu);
    for (const pid of ["there", "here"]) {
      await world.tell(pid, { do: "spawn", pid: `${pid}-child` });
      await world.pass(500);
      await world.tell(`${pid}-child`, note("hears"));
      await world.pass(500);
      assert.deepEqual([world.wayOf(pid), world.wayOf(`${pid}-child`)], [["able"], ["able"]]);
      assert.deepEqual(await world.notes(`${pid}-child`), ["hears"]);
    }
  });

  test("may be the child of one that needs none, and the other way round", async () => {
    const world = new World();
    const [plain, able] = await pair(world);
    await world.start(plain, "parent");
    await world.tell("parent", { do: "spawn", pid: "able-child", ...gpu });
    await world.start(able, "able-parent", gpu);
    await world.tell("able-parent", { do: "spawn", pid: "any-child", needs: "" });
    await world.pass(1_000);
    assert.deepEqual(world.wayOf("parent"), ["plain"]);
    assert.deepEqual(world.wayOf("able-child"), ["able"]);
    assert.equal((await world.reader.findProcess("any-child"))?.needs, "");
    world.die(able);
    await world.tell("any-child", note("goes on anywhere"));
    await world.pass(settledMs);
    assert.equal(world.wayOf("any-child").at(-1), "plain");
  });

  test("waits while no node has it, unharmed, and goes on when one comes", async () => {
    const world = new World();
    const [, able] = await pair(world);
    await world.start(able, "p", gpu);
    await world.tell("p", note(1), { do: "ask", number: 1, name: "app.ts#work" });
    await world.pass(500);
    world.die(able);
    await world.tell("p", note(2));
    await world.pass(3 * settledMs);
    await world.tell("p", note(3));
    await world.pass(settledMs);
    assert.deepEqual(world.wayOf("p"), ["able"]);
    assert.deepEqual(
      world.asked.map(({ node }) => node),
      ["able"],
    );
    assert.deepEqual(world.notices, [
      "plain: waits-for-node: p: It waits for a node with the label gpu, as do others like it. It goes on when there is one.",
    ]);
    await world.open("other", { labels: ["big", "gpu"] });
    await world.pass(settledMs);
    const [first, second, ...more] = world.asked;
    assert.deepEqual([second?.node, more], ["other", []]);
    assert.equal(second?.request.idempotencyKey, first?.request.idempotencyKey);
    // The first attempt died with its node.
    assert.equal(second?.request.watched, true);
    second?.end();
    await world.tell("p", note(4));
    await world.pass(1_000);
    assert.deepEqual(await world.notes("p"), [1, 2, 3, 4]);
    assert.deepEqual(world.wayOf("p"), ["able", "other"]);
  });

  test("can be killed while it waits", async () => {
    const world = new World();
    const [plain] = await opened(world, () => world.open("plain"));
    assert.ok(plain !== undefined);
    await world.start(plain, "p", gpu);
    await world.pass(2_000);
    await world.until(plain.kernel.outside.kill("p"));
    assert.equal((await world.reader.findProcess("p"))?.exit?.reason, "killed");
    assert.deepEqual(world.wayOf("p"), []);
  });

  test("is not run where it is moved to by mistake: it comes back", async () => {
    const world = new World();
    const [, able] = await pair(world);
    await world.start(able, "p", gpu);
    const foreign = Array.from({ length: shards }, (_, index) => index + 1);
    const own = await world.reader.findProcess("p");
    const rows = (await world.reader.sharing?.shards()) ?? [];
    const home = rows.find(({ shard }) => shard === own?.shard)?.owner;
    const [shard = 0] = foreign.filter((each) => rows.find((row) => row.shard === each)?.owner !== home);
    await world.until(able.kernel.outside.move("p", shard));
    await world.tell("p", note("back"));
    await world.pass(settledMs);
    assert.deepEqual(world.wayOf("p"), ["able"]);
    assert.deepEqual(await world.notes("p"), ["back"]);
  });

  test("waits where one node owns the store too, until that is opened with the label", async () => {
    const world = new World(false);
    const node = await world.open("first");
    await world.start(node, "p", gpu);
    await world.start(node, "other");
    await world.pass(3_000);
    assert.deepEqual([world.wayOf("p"), world.wayOf("other")], [[], ["first"]]);
    assert.equal(world.notices.length, 1);
    world.die(node);
    await world.open("second", { labels: ["gpu"] });
    await world.pass(1_000);
    assert.deepEqual(world.wayOf("p"), ["second"]);
  });
});

describe("a program's host operations", () => {
  const shop = { program: "shop" };

  async function shops(): Promise<World> {
    const world = new World();
    world.deploy("shop", "/srv/shop.ts", ["warehouse.ts#charge"]);
    return world;
  }

  test("decide where its processes run, and those wait for a node of their deployment", async () => {
    const world = await shops();
    const [mail, first] = await opened(
      world,
      () => world.open("mail", { file: "/srv/mail.ts", operations: ["smtp.ts#send"] }),
      () => world.open("shop", { file: "/srv/shop.ts", operations: ["warehouse.ts#charge"] }),
    );
    assert.ok(mail !== undefined && first !== undefined);
    await world.start(mail, "order", shop);
    await world.tell("order", note(1));
    await world.pass(2_000);
    assert.deepEqual(world.wayOf("order"), ["shop"]);
    world.die(first);
    await world.tell("order", note(2));
    await world.pass(settledMs);
    assert.deepEqual(world.wayOf("order"), ["shop"]);
    assert.match(world.notices.join(), /^mail: .*: It waits for a node that offers warehouse\.ts#charge, as do others/);
    await world.open("again", { file: "/elsewhere/shop.ts", operations: ["warehouse.ts#charge", "warehouse.ts#ship"] });
    await world.pass(settledMs);
    assert.deepEqual(world.wayOf("order"), ["shop", "again"]);
    assert.deepEqual(await world.notes("order"), [1, 2]);
  });

  test("that no node offers keep it from nothing where its own file is deployed, until one offers them", async () => {
    const world = await shops();
    const [newer] = await opened(world, () => world.open("newer", { file: "/srv/shop.ts" }));
    assert.ok(newer !== undefined);
    await world.start(newer, "order", shop);
    await world.pass(1_000);
    assert.deepEqual(world.wayOf("order"), ["newer"]);
    await world.open("older", { file: "/srv/shop.ts", operations: ["warehouse.ts#charge"] });
    await world.pass(settledMs);
    await world.tell("order", note(1));
    await world.pass(settledMs);
    assert.deepEqual(world.wayOf("order"), ["newer", "older"]);
    assert.deepEqual(world.notices, []);
  });

  test("are looked for where they are not named, and what is found is told to all", async () => {
    const world = await shops();
    const [finder] = await opened(world, () => world.open("finder", { file: "x.ts", finds: ["warehouse.ts#charge"] }));
    assert.ok(finder !== undefined);
    await world.start(finder, "order", shop);
    await world.pass(1_000);
    assert.deepEqual(world.wayOf("order"), ["finder"]);
    const [row] = await world.reader.nodes(world.timeline.wallMs);
    assert.deepEqual(row?.operations, ["warehouse.ts#charge"]);
  });
});

test("new processes begin where there are fewest, as far as that is known", async () => {
  const world = new World();
  const [one] = await opened(
    world,
    () => world.open("one"),
    () => world.open("two"),
    () => world.open("three"),
  );
  assert.ok(one !== undefined);
  for (let index = 0; index < 150; index++) {
    await world.start(one, `p${index}`);
    // So that they are not forgotten as being at rest.
    await world.tell(`p${index}`, { do: "ask", number: 1, name: "app.ts#work" });
    await world.pass(100);
  }
  const counts = new Map<string, number>();
  for (const { node } of world.ran.filter(({ turn }) => turn === 1)) counts.set(node, (counts.get(node) ?? 0) + 1);
  for (const name of ["one", "two", "three"]) assert.ok((counts.get(name) ?? 0) >= 35, JSON.stringify([...counts]));
});

test("processes come to rest, whatever nodes come and go, and what they are told is heard once", async () => {
  const world = new World();
  const nodes = [await world.open("a", { labels: ["x"] }), await world.open("b", { labels: ["y"] })];
  const needs = ["", "x", "y"];
  for (let index = 0; index < 30; index++)
    await world.start(nodes[index % 2] as Node, `p${index}`, { needs: needs[index % 3] ?? "" });
  const told = (what: string): Promise<unknown> =>
    Promise.all(Array.from({ length: 30 }, (_, index) => world.tell(`p${index}`, note(what))));
  await told("1");
  await world.pass(settledMs);
  world.die(nodes[0] as Node);
  await told("2");
  await world.pass(settledMs);
  await world.open("c", { labels: ["x", "y"] });
  await world.open("d");
  await told("3");
  await world.pass(settledMs);
  await world.until((nodes[1] as Node).kernel.close(100));
  await told("4");
  await world.pass(settledMs);
  await world.open("e", { labels: ["y"] });
  await world.pass(settledMs);
  await told("5");
  await world.pass(settledMs);
  const before = (await world.reader.listProcesses({ limit: 100 })).map(({ pid, shard }) => `${pid} ${shard}`);
  await world.pass(3 * settledMs);
  const after = (await world.reader.listProcesses({ limit: 100 })).map(({ pid, shard }) => `${pid} ${shard}`);
  assert.deepEqual(after, before);
  for (let index = 0; index < 30; index++) {
    assert.deepEqual(await world.notes(`p${index}`), ["1", "2", "3", "4", "5"], `p${index}`);
    const labels: Readonly<Record<string, string>> = { a: "x", b: "y", c: "xy", d: "", e: "y" };
    for (const node of world.wayOf(`p${index}`)) assert.ok(labels[node]?.includes(needs[index % 3] ?? ""), node);
  }
});
