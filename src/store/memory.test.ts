import { createMemoryStore } from "./memory/index.ts";
import type { MemoryStore } from "./memory/index.ts";
import type { MemoryTransaction } from "./memory/index.ts";
import { testSharedStore, testStore, testTransactions } from "./suite.ts";
import { memoryFixture, sharedMemoryFixture } from "./suite/places.ts";

testStore("memory", async () => memoryFixture());

testSharedStore("shared memory", async () => sharedMemoryFixture());

testTransactions<MemoryTransaction>("memory", async () => {
  const root = createMemoryStore();
  return {
    ...memoryFixture(root),
    transactions: async (store) => (store as MemoryStore).transactions(),
    put: (tx, key, value) => tx.put(key, value),
    get: (tx, key) => tx.get(key) as number | undefined,
    facts: async () => Object.fromEntries(root.facts()) as Record<string, number>,
  };
});
