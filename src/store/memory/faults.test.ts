import assert from "node:assert/strict";
import { test } from "node:test";
import type { Store } from "../port.ts";
import { message, process, program, startMs, turn } from "../suite/samples.ts";
import { createMemoryStore, seededFaults } from "./index.ts";
import type { Fault, MemoryStore, StoreCall } from "./index.ts";

const atMs = startMs;

/** A store with one process, whose calls fail as `plan` says: one entry for each call, then none. */
async function withFaults(
  ...plan: (Fault | undefined)[]
): Promise<{ store: MemoryStore; calls: StoreCall[]; crashes: () => number }> {
  const calls: StoreCall[] = [];
  let crashCount = 0;
  let armed = false;
  const store = createMemoryStore({
    faults: {
      decide(call) {
        if (!armed) return undefined;
        calls.push(call);
        return plan[calls.length - 1];
      },
      crashed: () => crashCount++,
    },
  });
  await store.claim(atMs);
  await store.putProgram(program, []);
  await store.commit({ atMs, newProcesses: [process(1)] });
  armed = true;
  return { store, calls, crashes: () => crashCount };
}

const commitTurn = (store: Store, number: number): Promise<unknown> =>
  store.commit({ atMs, turns: [{ process: 1, turn: turn(number) }] });

/** Whether it settles before everything that can go on now has gone on. */
async function settles(promise: Promise<unknown>): Promise<boolean> {
  const idle = new Promise<boolean>((resolve) => setImmediate(() => resolve(false)));
  const settled = promise.then(
    () => true,
    () => true,
  );
  return Promise.race([settled, idle]);
}

test("reject-before rejects the call and changes nothing", async () => {
  const { store } = await withFaults("reject-before");
  await assert.rejects(commitTurn(store, 1), { code: "STORE_FAILED", message: /was not kept/ });
  assert.equal(await store.lastTurn(1), 0);
});

test("reject-after rejects the call although it took effect", async () => {
  const { store } = await withFaults("reject-after");
  await assert.rejects(commitTurn(store, 1), { code: "STORE_FAILED", message: /may have been kept/ });
  assert.equal(await store.lastTurn(1), 1);
});

for (const [fault, kept] of [
  ["crash-before", 0],
  ["crash-after", 1],
] as const) {
  test(`${fault} kills the handle: no call settles any more, the lease is free, ${kept} turns are kept`, async () => {
    const { store, crashes } = await withFaults(fault);
    assert.equal(await settles(commitTurn(store, 1)), false);
    assert.equal(await settles(store.lastTurn(1)), false);
    const next = store.crash();
    assert.equal(crashes(), 1);
    assert.equal((await next.claim(atMs)).cleanShutdown, false);
    assert.equal(await next.lastTurn(1), kept);
  });
}

test("a stalled commit holds back every later call, and they go on in their order", async () => {
  const { promise: stall, resolve: goOn } = Promise.withResolvers<void>();
  const { store } = await withFaults(stall);
  const order: number[] = [];
  const commits = [1, 2, 3].map((number) => commitTurn(store, number).then(() => order.push(number)));
  const read = store.lastTurn(1);
  assert.equal(await settles(Promise.race([...commits, read])), false);
  goOn();
  await Promise.all(commits);
  assert.deepEqual(order, [1, 2, 3]);
  assert.equal(await read, 3);
  assert.equal(await store.lastTurn(1), 3);
});

test("a crash loses the commit that stalls and those behind it, even when the stall ends later", async () => {
  const { promise: stall, resolve: goOn } = Promise.withResolvers<void>();
  const { store } = await withFaults(undefined, stall);
  await commitTurn(store, 1);
  const lost = Promise.race([commitTurn(store, 2), commitTurn(store, 3)]);
  const next = store.crash();
  await next.claim(atMs);
  goOn();
  assert.equal(await settles(lost), false);
  assert.equal(await next.lastTurn(1), 1);
  await commitTurn(next, 2);
});

test("a full disk refuses a write and keeps nothing of it", async () => {
  const { store } = await withFaults("full");
  await assert.rejects(commitTurn(store, 1), { code: "STORE_FULL" });
  assert.equal(await store.lastTurn(1), 0);
  await commitTurn(store, 1);
});

test("a late answer is one from its turn, and others overtake it", async () => {
  const { promise: late, resolve: goOn } = Promise.withResolvers<void>();
  const { store } = await withFaults({ late });
  const first = store.lastTurn(1);
  await commitTurn(store, 1);
  assert.equal(await settles(first), false);
  goOn();
  assert.equal(await first, 0);
});

test("of what waits when the handle dies, as much is kept as had landed, in order", async () => {
  const { promise: stall } = Promise.withResolvers<void>();
  const waited: StoreCall[][] = [];
  const landed = (waiting: readonly StoreCall[]): number => {
    waited.push([...waiting]);
    return 2;
  };
  const store = createMemoryStore({ faults: { decide: (call) => (call === "commit" ? stall : undefined), landed } });
  await store.claim(atMs);
  await store.putProgram(program, []);
  void store.commit({ atMs, newProcesses: [process(1)] });
  void commitTurn(store, 1);
  void commitTurn(store, 2);
  const next = store.crash({ decide: () => undefined });
  await next.claim(atMs);
  assert.deepEqual(waited, [["commit", "commit", "commit"]]);
  assert.equal(await next.lastTurn(1), 1);
});

test("other handles live on when one crashes", async () => {
  const { store } = await withFaults();
  const other = store.open();
  store.crash();
  await other.post("p1", message, atMs);
  assert.equal((await other.inbox(1)).length, 1);
});

test("faults are asked once for every call, in order", async () => {
  const { store, calls } = await withFaults();
  await store.renew(atMs);
  await store.lastTurn(1);
  await commitTurn(store, 1);
  await store.names();
  await store.groups();
  await store.relations(1);
  await store.restores(1);
  await store.deadLetters(1, 0, 9);
  const reads = ["names", "groups", "relations", "restores", "deadLetters"];
  assert.deepEqual(calls, ["renew", "lastTurn", "commit", ...reads]);
});

test("a damaged turn is JOURNAL_CORRUPT of its process alone", async () => {
  const { store } = await withFaults();
  await store.commit({
    atMs,
    newProcesses: [process(2)],
    turns: [1, 2].flatMap((key) => [1, 2].map((number) => ({ process: key, turn: turn(number) }))),
  });
  store.damageTurn(1, 2);
  await assert.rejects(store.turns(1, 1, 9), { code: "JOURNAL_CORRUPT", message: /Turn 2 of process p1/ });
  await assert.rejects(store.load(1), { code: "JOURNAL_CORRUPT" });
  assert.deepEqual(await store.turns(1, 1, 1), [turn(1)]);
  assert.equal((await store.load(2)).lastTurn, 2);
});

test("seeded faults are the same for the same numbers, come at their rates, and spare other calls", () => {
  const stall = Promise.resolve();
  const draw = (): readonly [number, (Fault | undefined)[]] => {
    let state = 1;
    let drawn = 0;
    const random = (): number => {
      drawn++;
      state = (state * 48_271) % 2_147_483_647;
      return state / 2_147_483_647;
    };
    const faults = seededFaults({
      random,
      rates: { rejectBefore: 0.1, rejectAfter: 0.2, crashBefore: 0.05, crashAfter: 0.05, stall: 0.1 },
      calls: new Set(["commit"]),
      stall: () => stall,
    });
    const decided = Array.from({ length: 2000 }, () => faults.decide("commit"));
    assert.equal(faults.decide("load"), undefined);
    return [drawn, decided];
  };
  const [drawn, decided] = draw();
  assert.equal(drawn, 2000);
  const share = (fault: Fault | undefined): number => decided.filter((other) => other === fault).length / 2000;
  const close = (actual: number, expected: number): boolean => Math.abs(actual - expected) < 0.03;
  assert.ok(close(share("reject-before"), 0.1) && close(share("reject-after"), 0.2));
  assert.ok(close(share("crash-before"), 0.05) && close(share("crash-after"), 0.05));
  assert.ok(close(share(stall), 0.1) && close(share(undefined), 0.5));
  assert.deepEqual(draw()[1], decided);
});
