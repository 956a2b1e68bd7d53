/** Process files that are handed over: from whoever hands them over, to the node, and back how it ended. */
import assert from "node:assert/strict";
import { handoverGone, keepHandoverMs } from "../handovers.ts";
import type { Handovers, HandoversReader } from "../handovers.ts";
import type { Store } from "../port.ts";
import { ownerRule } from "./fixture.ts";
import type { SharedSetup, StoreFixture, StoreSetup } from "./fixture.ts";
import { startMs } from "./samples.ts";
import { join, pair, sharedRule } from "./shared.ts";

const file = "0123456789abcdefghjk";
const refusal = { code: "IMPORT_REFUSED", message: "not this one" } as const;

/** The clock of the machine: a folder has no other. */
const nowMs = (): number => Date.now();

async function* pieces(...all: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* all;
}

async function read(from: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of from) all.push(piece);
  return Buffer.concat(all);
}

interface Both {
  readonly node: Handovers;
  readonly other: HandoversReader;
}

async function both(store: Store, fixture: StoreFixture): Promise<Both | undefined> {
  const { handovers: other } = await fixture.openReader();
  const { handovers: node } = store;
  assert.equal(node === undefined, other === undefined);
  return node === undefined || other === undefined ? undefined : { node, other };
}

export function testHandovers(setup: StoreSetup): void {
  /** A store with nobody beside it has none. */
  const rule: Rule = (name, run) =>
    ownerRule(setup, name, async (store, fixture) => {
      const of = await both(store, fixture);
      if (of !== undefined) await run(of);
    });
  testWhole(rule);
  testBroken(rule);
}

type Rule = (name: string, run: (of: Both) => Promise<void>) => void;

function testWhole(rule: Rule): void {
  rule("what is handed over arrives as it was, and its end is told once", async ({ node, other }) => {
    const bytes = Buffer.alloc((5 << 19) + 3, "perdure");
    const whole = [bytes.subarray(0, 7), bytes.subarray(7, 2_000_000), Buffer.alloc(0), bytes.subarray(2_000_000)];
    const id = await other.handOver({ file, paused: true, bytes: pieces(...whole), nowMs });
    assert.deepEqual(await node.waiting(nowMs()), [{ id, file, paused: true, begins: 0 }]);
    assert.deepEqual(await other.outcome(id), { state: "waiting" });
    assert.equal(await node.take(id), true);
    assert.ok((await read(node.bytes(id))).equals(bytes));
    assert.deepEqual(await node.waiting(nowMs()), [{ id, file, paused: true, begins: 1 }]);
    await node.letGo(id);
    assert.deepEqual(await node.waiting(nowMs()), [{ id, file, paused: true, begins: 0 }]);
    assert.equal(await node.take(id), true);
    assert.deepEqual(await other.outcome(id), { state: "waiting" });
    await node.ended(id, nowMs());
    assert.deepEqual([await node.waiting(nowMs()), await node.take(id)], [[], false]);
    assert.equal((await read(node.bytes(id)).catch(() => [])).length, 0);
    assert.deepEqual(await other.outcome(id), { state: "imported" });
    assert.deepEqual(await other.outcome(id), { state: "gone" });
  });

  rule("one file is handed over by two, and each hears how it ended for him", async ({ node, other }) => {
    const hand = (text: string): Promise<string> =>
      other.handOver({ file, paused: false, bytes: pieces(Buffer.from(text)), nowMs });
    const [one, two] = await Promise.all([hand("one"), hand("two")]);
    assert.deepEqual((await node.waiting(nowMs())).map(({ id }) => id).sort(), [one, two].sort());
    await node.take(two);
    // What was taken comes first.
    assert.equal((await node.waiting(nowMs()))[0]?.id, two);
    await node.ended(two, nowMs());
    await node.take(one);
    await node.ended(one, nowMs(), refusal);
    assert.deepEqual(await other.outcome(one), { state: "refused", ...refusal });
    assert.deepEqual(await other.outcome(two), { state: "imported" });
  });
}

function testBroken(rule: Rule): void {
  rule("what is broken off is never taken, and goes; so does an end that nobody asks for", async ({ node, other }) => {
    const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    async function* slow(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(3 << 19);
      reached.resolve();
      await released.promise;
    }
    const stuck = other.handOver({ file, paused: false, bytes: slow(), nowMs });
    await reached.promise;
    const id = await other.handOver({ file, paused: false, bytes: pieces(Buffer.from("one")), nowMs });
    const waits = await other.handOver({ file, paused: false, bytes: pieces(Buffer.from("two")), nowMs });
    await node.take(id);
    await node.ended(id, nowMs(), refusal);
    const found = async (atMs: number): Promise<string[]> => (await node.waiting(atMs)).map((each) => each.id);
    assert.deepEqual(await found(nowMs() + keepHandoverMs / 2), [waits]);
    assert.deepEqual(await found(nowMs() + 2 * keepHandoverMs), [waits]);
    assert.deepEqual(await other.outcome(id), { state: "gone" });
    released.resolve();
    await assert.rejects(stuck, handoverGone(file));
    assert.deepEqual(await found(nowMs()), [waits]);
  });

  rule("a failure of the source is the failure of the handover, of which nothing stays", async ({ node, other }) => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(3 << 19);
      throw new Error("cannot be read");
    }
    const handed = other.handOver({ file, paused: false, bytes: broken(), nowMs });
    await assert.rejects(handed, /cannot be read/);
    assert.deepEqual(await node.waiting(nowMs()), []);
  });
}

/** Where several nodes own the store. */
export function testSharedHandovers(setup: SharedSetup): void {
  sharedRule(
    setup,
    "what a node has taken is nobody else's until it is dead; then it says nothing more",
    async (fixture) => {
      const [one, two] = await pair(fixture);
      const { handovers: first } = one.store;
      const { handovers: second } = two.store;
      if (first === undefined || second === undefined) return;
      const hand = (): Promise<string> =>
        second.handOver({ file, paused: false, bytes: pieces(Buffer.from("one")), nowMs });
      const [id, released] = [await hand(), await hand()];
      assert.deepEqual([await first.take(id), await first.take(id), await second.take(id)], [true, true, false]);
      await second.letGo(id);
      await second.ended(id, nowMs(), refusal);
      const begins = async (): Promise<number[]> => (await second.waiting(nowMs())).map((each) => each.begins);
      assert.deepEqual(await begins(), [1, 0]);
      await first.letGo(id);
      assert.deepEqual(await begins(), [0, 0]);
      assert.deepEqual([await second.take(id), await first.take(id)], [true, false]);
      await second.letGo(id);
      assert.equal(await first.take(id), true);
      await fixture.lapse(one.lease.incarnation);
      await two.sharing.reap(startMs);
      assert.equal(await second.take(id), true);
      assert.deepEqual(await begins(), [2, 0]);
      await first.ended(id, nowMs(), refusal);
      assert.deepEqual(await second.outcome(id), { state: "waiting" });
      assert.equal((await read(second.bytes(id))).toString(), "one");
      await second.take(released);
      await two.store.release(startMs);
      const three = await join(fixture);
      assert.equal(await three.store.handovers?.take(released), true);
    },
  );
}
