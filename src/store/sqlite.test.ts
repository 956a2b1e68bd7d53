import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Transaction } from "./transactions.ts";
import { openSqliteTransactions } from "./sqlite/index.ts";
import { testStore, testTransactions } from "./suite.ts";
import { sqliteFixture } from "./suite/places.ts";
import { makeFolder } from "./suite/scratch.ts";

testStore("sqlite", async () => sqliteFixture(makeFolder()));

testTransactions<Transaction>("sqlite", async () => {
  const folder = makeFolder();
  const path = join(folder, "store.db");
  const byHand = <T>(use: (db: DatabaseSync) => T): T => {
    const db = new DatabaseSync(path);
    try {
      return use(db);
    } finally {
      db.close();
    }
  };
  return {
    ...sqliteFixture(folder),
    transactions: async () => {
      byHand((db) => db.exec("CREATE TABLE fact (key TEXT PRIMARY KEY, value INTEGER) STRICT"));
      return openSqliteTransactions(path);
    },
    put: (tx, key, value) => void tx.run("INSERT OR REPLACE INTO fact VALUES (?, ?)", key, value),
    get: (tx, key) => tx.get<{ value: number }>("SELECT value FROM fact WHERE key = ?", key)?.value,
    facts: async () => {
      const rows = byHand((db) => db.prepare("SELECT key, value FROM fact").all());
      return Object.fromEntries(rows.map(({ key, value }) => [key, value as number]));
    },
  };
});
