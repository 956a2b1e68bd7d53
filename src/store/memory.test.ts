import { createMemoryStore } from "./memory/index.ts";
import type { MemoryStore } from "./memory/index.ts";
import type { MemoryTransaction } from "./memory/index.ts";
import type { StoreFixture, TransactionsFixture } from "./suite.ts";
import { testSharedStore, testSharedTransactions, testStore, testTransactions } from "./suite.ts";
import { memoryFixture, sharedMemory, sharedMemoryFixture } from "./suite/places.ts";

testStore("memory", async () => memoryFixture());

testSharedStore("shared memory", async () => sharedMemoryFixture());

const facts = (root: MemoryStore): Omit<TransactionsFixture<MemoryTransaction>, keyof StoreFixture> => ({
  transactions: async (store) => (store as MemoryStore).transactions(),
  put: (tx, key, value) => tx.put(key, value),
  get: (tx, key) => tx.get(key) as number | undefined,
  facts: async () => Object.fromEntries(root.facts()) as Record<string, number>,
});

testSharedTransactions<MemoryTransaction>("shared memory", async () => {
  const root = sharedMemory();
  return { ...sharedMemoryFixture(root), ...facts(root) };
});

testTransactions<MemoryTransaction>("memory", async () => {
  const root = createMemoryStore();
  return { ...memoryFixture(root), ...facts(root) };
});
