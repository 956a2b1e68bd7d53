export { seededFaults } from "./faults.ts";
export type { Fault, FaultRates, MemoryFaults, SeededFaults, StoreCall } from "./faults.ts";
export { createMemoryStore, MemoryStore } from "./store.ts";
export type { MemoryStoreOptions } from "./store.ts";
export { MemoryTransactions } from "./transactions.ts";
export type { MemoryTransaction } from "./transactions.ts";
