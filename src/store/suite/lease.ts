/** Ownership: fencing of an owner that lost it, the account of time without any, and that there is one at a time. */
import assert from "node:assert/strict";
import type { Store } from "../port.ts";
import { ownerRule, rule } from "./fixture.ts";
import type { StoreSetup } from "./fixture.ts";
import { message, process, program, startMs } from "./samples.ts";

const fenced = { code: "STORE_FENCED" };

export function testLease(setup: StoreSetup): void {
  testOwnership(setup);
  testFencing(setup);
  testDowntime(setup);
}

function testOwnership(setup: StoreSetup): void {
  rule(setup, "every handle sees the same store id, and it outlives its owners", async ({ open, openReader }) => {
    const store = await open();
    assert.equal((await openReader()).id, store.id);
    await store.close();
    assert.equal((await open()).id, store.id);
    assert.notEqual(store.id, "");
  });

  rule(setup, "a released store is found clean, one whose owner crashed or only closed is not", async (fixture) => {
    const ends: ((store: Store) => Promise<void>)[] = [
      (store) => store.release(startMs),
      (store) => fixture.crash(store),
      (store) => store.close(),
    ];
    const found: boolean[] = [];
    for (const end of ends) {
      const store = await fixture.open();
      await store.claim(startMs);
      await end(store);
      const next = await fixture.open();
      found.push((await next.claim(startMs)).cleanShutdown);
      await next.release(startMs);
    }
    assert.deepEqual(found, [true, false, false]);
  });
}

function testFencing(setup: StoreSetup): void {
  const writes: Readonly<Record<string, (store: Store) => Promise<unknown>>> = {
    commit: (store) => store.commit({ atMs: startMs, newProcesses: [process(2)] }),
    renew: (store) => store.renew(startMs),
    release: (store) => store.release(startMs),
    putProgram: (store) => store.putProgram({ ...program, hash: "other" }, [{ hash: "b", bytes: new Uint8Array(1) }]),
    putBlob: (store) => store.putBlob("b", new Uint8Array(1)),
  };
  for (const [name, write] of Object.entries(writes)) {
    ownerRule(
      setup,
      `${name} is refused after the lease was lost, and changes nothing`,
      async (store, { open, usurp }) => {
        await usurp();
        await assert.rejects(write(store), fenced);
        const other = await open();
        assert.equal(await other.findProcess("p2"), undefined);
        assert.equal(await other.program("other"), undefined);
        assert.equal(await other.blob("b"), undefined);
      },
    );

    rule(setup, `${name} is refused without a claim and after a release`, async ({ open }) => {
      const store = await open();
      await assert.rejects(write(store), fenced);
      await store.claim(startMs);
      await store.release(startMs);
      await assert.rejects(write(store), fenced);
    });
  }

  ownerRule(
    setup,
    "an owner that lost its lease can release it no more, and so does not look clean",
    async (store, fixture) => {
      await fixture.usurp();
      await assert.rejects(store.release(startMs), fenced);
      assert.equal((await (await fixture.open()).claim(startMs)).cleanShutdown, false);
    },
  );

  ownerRule(setup, "an owner that lost its lease may still read and post", async (store, { usurp }) => {
    await store.commit({ atMs: startMs, newProcesses: [process(1)] });
    await usurp();
    await store.post("p1", message, startMs);
    assert.equal((await store.inbox(1)).length, 1);
  });
}

function testDowntime(setup: StoreSetup): void {
  const lifeSigns: Readonly<Record<string, (store: Store) => Promise<unknown>>> = {
    commit: (store) => store.commit({ atMs: startMs + 5000 }),
    renew: (store) => store.renew(startMs + 5000),
    release: (store) => store.release(startMs + 5000),
  };
  for (const [name, sign] of Object.entries(lifeSigns)) {
    rule(setup, `downtime counts from the last sign of life: ${name}`, async ({ open, crash }) => {
      const store = await open();
      await store.claim(startMs);
      await sign(store);
      await crash(store);
      assert.equal((await (await open()).claim(startMs + 12_000)).downtimeMs, 7000);
    });
  }

  rule(setup, "downtime counts from the claim when nothing followed it, and adds up", async ({ open, crash }) => {
    const downtimesMs: number[] = [];
    for (const atMs of [startMs, startMs + 1000, startMs + 1500, startMs + 9000]) {
      const store = await open();
      downtimesMs.push((await store.claim(atMs)).downtimeMs);
      await crash(store);
    }
    assert.deepEqual(downtimesMs, [0, 1000, 1500, 9000]);
  });
}

/** Of stores that have one owner. */
export function testSoleOwnership(setup: StoreSetup): void {
  rule(setup, "the first claim of a new store finds no downtime and a clean shutdown", async ({ open }) => {
    const store = await open();
    assert.deepEqual(await store.claim(startMs), {
      incarnation: 1,
      nextProcessKey: 1,
      downtimeMs: 0,
      cleanShutdown: true,
    });
  });

  rule(setup, "a second claim is refused while the first owner lives, by its own handle too", async ({ open }) => {
    const [first, second] = [await open(), await open()];
    await first.claim(startMs);
    await assert.rejects(second.claim(startMs), { code: "STORE_IN_USE" });
    await assert.rejects(first.claim(startMs), { code: "STORE_IN_USE" });
    await first.renew(startMs);
    await first.release(startMs);
    assert.equal((await second.claim(startMs)).incarnation, 2);
  });

  ownerRule(
    setup,
    "every claim gives a greater incarnation and process keys that were never used",
    async (store, { open }) => {
      await store.commit({ atMs: startMs, newProcesses: [process(1), process(7)] });
      await store.release(startMs);
      const lease = await (await open()).claim(startMs);
      assert.equal(lease.incarnation, 2);
      assert.equal(lease.nextProcessKey, 8);
    },
  );

  rule(setup, "a clock that went back adds no downtime", async ({ open, crash }) => {
    const store = await open();
    await store.claim(startMs);
    await crash(store);
    const later = await open();
    assert.equal((await later.claim(startMs - 60_000)).downtimeMs, 0);
    await crash(later);
    assert.equal((await (await open()).claim(startMs - 50_000)).downtimeMs, 10_000);
  });
}
