/** Who shares the store: owners and nodes that stand by, how they come and how they go. */
import assert from "node:assert/strict";
import type { NodeInfo, NodeRow, Store, StoreReader } from "../port.ts";
import { nodeRenewalMs, nodeSilenceMs } from "../port.ts";
import { rule } from "./fixture.ts";
import type { StoreFixture, StoreSetup } from "./fixture.ts";
import { startMs } from "./samples.ts";

const node = (name: string): NodeInfo => ({
  id: `id-${name}`,
  name,
  host: "box",
  pid: 4711,
  release: "0.1.0",
  labels: ["gpu", `rack=${name}`],
  file: `/srv/${name}.ts`,
  operations: ["warehouse.ts#charge"],
});

const standing = (name: string, sinceMs: number, seenMs = sinceMs): NodeRow => ({
  ...node(name),
  state: "standing-by",
  incarnation: 0,
  sinceMs,
  seenMs,
  load: 0,
});

const active = (name: string, incarnation: number, sinceMs: number, seenMs = sinceMs): NodeRow => ({
  ...node(name),
  state: "active",
  incarnation,
  sinceMs,
  seenMs,
  load: 0,
});

/** Of stores that have one owner. */
export function testSoleNode(setup: StoreSetup): void {
  rule(setup, "STORE_IN_USE names the owner", async ({ open }) => {
    const [first, second] = [await open(), await open()];
    await first.claim(startMs, node("web-1"));
    await assert.rejects(
      second.claim(startMs, node("b")),
      (error: Error & { code: string; details: { owner: string } }) => {
        assert.equal(error.code, "STORE_IN_USE");
        assert.match(error.details.owner, /^the node web-1 \(process \d+ on .+\)$/);
        return error.message.includes(`is owned by ${error.details.owner}`);
      },
    );
    assert.deepEqual(
      (await second.nodes(startMs)).map(({ name }) => name),
      ["web-1"],
    );
  });

  rule(setup, "the owner notices that another one stands by as a write of others", async ({ open }) => {
    const [owner, other] = [await open(), await open()];
    await owner.claim(startMs, node("a"));
    await owner.changedByOthers();
    await other.standBy(startMs, node("b"));
    assert.equal(await owner.changedByOthers(), true);
  });
}

export function testNodes(setup: StoreSetup): void {
  testOwners(setup);
  testStandbys(setup);
}

function testOwners(setup: StoreSetup): void {
  rule(setup, "a store without nodes lists none, and neither does one whose owner has no name", async ({ open }) => {
    const store = await open();
    assert.deepEqual(await store.nodes(startMs), []);
    await store.claim(startMs);
    assert.deepEqual(await store.nodes(startMs), []);
  });

  rule(
    setup,
    "the owner is listed for every handle, seen at its last commit or renewal, however long ago that was",
    async ({ open, openReader }) => {
      const store = await open();
      await store.claim(startMs, node("a"));
      const reader = await openReader();
      assert.deepEqual(await reader.nodes(startMs), [active("a", 1, startMs)]);
      await store.commit({ atMs: startMs + 10 });
      assert.deepEqual(await store.nodes(startMs + 10), [active("a", 1, startMs, startMs + 10)]);
      await store.renew(startMs + 20);
      assert.deepEqual(await reader.nodes(startMs + 10 * nodeSilenceMs), [active("a", 1, startMs, startMs + 20)]);
    },
  );

  const ends: Readonly<Record<string, (store: Store, fixture: StoreFixture) => Promise<void>>> = {
    release: (store) => store.release(startMs),
    "release and close": async (store) => {
      await store.release(startMs);
      await store.close();
    },
    close: (store) => store.close(),
    crash: (store, { crash }) => crash(store),
    "loss of the lease": (_, { usurp }) => usurp(),
  };
  for (const [name, end] of Object.entries(ends)) {
    rule(setup, `an owner is not listed after its ${name}, and the next one takes its place`, async (fixture) => {
      const first = await fixture.open();
      await first.claim(startMs, node("a"));
      await end(first, fixture);
      const second = await fixture.open();
      assert.deepEqual(await second.nodes(startMs), []);
      if (name === "loss of the lease") await fixture.crash(first);
      const { incarnation } = await second.claim(startMs + 5, node("b"));
      assert.deepEqual(await second.nodes(startMs + 5), [active("b", incarnation, startMs + 5)]);
    });
  }
}

function testStandbys(setup: StoreSetup): void {
  rule(
    setup,
    "those that stand by are listed after the owner, in the order in which they began, by their last renewal",
    async ({ open, openReader }) => {
      const [owner, b, c] = [await open(), await open(), await open()];
      await b.standBy(startMs, node("b"));
      await owner.claim(startMs + 1, node("a"));
      await c.standBy(startMs + 2, node("c"));
      await b.standBy(startMs + nodeRenewalMs, node("b"));
      assert.deepEqual(await (await openReader()).nodes(startMs + nodeRenewalMs), [
        active("a", 1, startMs + 1),
        standing("b", startMs, startMs + nodeRenewalMs),
        standing("c", startMs + 2),
      ]);
    },
  );

  rule(setup, "one that stood by is the owner after its claim, and may stand by again", async ({ open, usurp }) => {
    const store = await open();
    await store.standBy(startMs, node("a"));
    await store.claim(startMs + 5, node("a"));
    assert.deepEqual(await store.nodes(startMs + 5), [active("a", 1, startMs + 5)]);
    await usurp();
    await store.standBy(startMs + 9, node("a"));
    assert.deepEqual(await store.nodes(startMs + 9), [standing("a", startMs + 9)]);
  });

  rule(setup, "one that was not seen for too long is not listed, until it is seen again", async ({ open }) => {
    const store = await open();
    await store.standBy(startMs, node("a"));
    const names = async (nowMs: number): Promise<string[]> => (await store.nodes(nowMs)).map(({ name }) => name);
    assert.deepEqual(await names(startMs + nodeSilenceMs), ["a"]);
    assert.deepEqual(await names(startMs + nodeSilenceMs + 1), []);
    await store.standBy(startMs + nodeSilenceMs + 1, node("a"));
    assert.deepEqual(await names(startMs + nodeSilenceMs + 1), ["a"]);
  });

  rule(setup, "the rows of the dead go with the next claim, those of the living stay", async (fixture) => {
    const [dead, alive, owner] = [await fixture.open(), await fixture.open(), await fixture.open()];
    await dead.standBy(startMs, node("dead"));
    await alive.standBy(startMs + nodeSilenceMs, node("alive"));
    await owner.claim(startMs + nodeSilenceMs + 1, node("owner"));
    // Had its row stayed, a clock that was set back would show it again.
    const names = (await readNames(owner, startMs)).toSorted();
    assert.deepEqual(names, ["alive", "owner"]);
  });

  rule(setup, "one that closes is not listed any more, whoever owns the store", async ({ open }) => {
    const [owner, store] = [await open(), await open()];
    await owner.claim(startMs, node("a"));
    await store.standBy(startMs, node("b"));
    assert.deepEqual(await readNames(owner, startMs), ["a", "b"]);
    await store.close();
    assert.deepEqual(await readNames(owner, startMs), ["a"]);
  });
}

async function readNames(store: StoreReader, nowMs: number): Promise<string[]> {
  return (await store.nodes(nowMs)).map(({ name }) => name);
}
