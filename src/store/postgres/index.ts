export { isPostgresStoreOwned, openPostgresMover, openPostgresStore } from "./open.ts";
export type { PostgresStoreOptions } from "./open.ts";
export type { PostgresStore } from "./store.ts";
export { openPostgresTransactions } from "./transactions.ts";
