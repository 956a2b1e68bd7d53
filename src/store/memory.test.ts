import { createMemoryStore } from "./memory/index.ts";
import type { MemoryStore } from "./memory/index.ts";
import type { MemoryTransaction } from "./memory/index.ts";
import type { SharedFixture, StoreFixture, TransactionsFixture } from "./suite.ts";
import { testSharedStore, testSharedTransactions, testStore, testTransactions } from "./suite.ts";

function fixtureOf(root: MemoryStore): StoreFixture {
  return {
    open: async () => root.open(),
    openReader: async () => root.open(),
    crash: async (store) => void (store as MemoryStore).crash(),
    usurp: async () => root.usurp(),
    dispose: async () => {},
  };
}

testStore("memory", async () => fixtureOf(createMemoryStore()));

function sharedFixtureOf(root: MemoryStore): SharedFixture {
  const owners = new Map<MemoryStore, number>();
  return {
    ...fixtureOf(root),
    open: async () => {
      const store = root.open();
      const claim = store.claim.bind(store);
      store.claim = async (nowMs, node) => {
        const lease = await claim(nowMs, node);
        owners.set(store, lease.incarnation);
        return lease;
      };
      return store;
    },
    crash: async (store) => {
      (store as MemoryStore).crash();
      root.lapse(owners.get(store as MemoryStore) ?? 0);
    },
    lapse: async (incarnation) => root.lapse(incarnation),
  };
}

const sharedMemory = (): MemoryStore => createMemoryStore({ shared: { shards: 4, leaseMs: 10_000 } });

testSharedStore("shared memory", async () => sharedFixtureOf(sharedMemory()));

const facts = (root: MemoryStore): Omit<TransactionsFixture<MemoryTransaction>, keyof StoreFixture> => ({
  transactions: async (store) => (store as MemoryStore).transactions(),
  put: (tx, key, value) => tx.put(key, value),
  get: (tx, key) => tx.get(key) as number | undefined,
  facts: async () => Object.fromEntries(root.facts()) as Record<string, number>,
});

testSharedTransactions<MemoryTransaction>("shared memory", async () => {
  const root = sharedMemory();
  return { ...sharedFixtureOf(root), ...facts(root) };
});

testTransactions<MemoryTransaction>("memory", async () => {
  const root = createMemoryStore();
  return { ...fixtureOf(root), ...facts(root) };
});
