import { createMemoryStore } from "./memory/index.ts";
import type { MemoryStore } from "./memory/index.ts";
import type { MemoryTransaction } from "./memory/index.ts";
import type { StoreFixture } from "./suite.ts";
import { testStore, testTransactions } from "./suite.ts";

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

testTransactions<MemoryTransaction>("memory", async () => {
  const root = createMemoryStore();
  return {
    ...fixtureOf(root),
    transactions: async (store) => (store as MemoryStore).transactions(),
    put: (tx, key, value) => tx.put(key, value),
    get: (tx, key) => tx.get(key) as number | undefined,
    facts: async () => Object.fromEntries(root.facts()) as Record<string, number>,
  };
});
