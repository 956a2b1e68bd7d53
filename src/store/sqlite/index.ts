export { openSqliteMover, openSqliteStore } from "./open.ts";
export type { SqliteStoreOptions } from "./open.ts";
export type { StoreMode } from "./store.ts";
export { isStoreOwned } from "./ownership.ts";
export { openMemoryTransactions, openSqliteTransactions } from "./transactions.ts";
export type { SqliteTransactionsOptions } from "./transactions.ts";
