import { rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { StoreReader } from "./port.ts";
import type { Transaction } from "./transactions.ts";
import { openSqliteStore, openSqliteTransactions } from "./sqlite/index.ts";
import { testStore, testTransactions } from "./suite.ts";
import type { StoreFixture } from "./suite.ts";
import { makeFolder } from "./suite/scratch.ts";

function fixtureIn(folder: string): StoreFixture {
  const path = join(folder, "store.db");
  const handles: StoreReader[] = [];
  const kept = <T extends StoreReader>(handle: T): T => {
    handles.push(handle);
    return handle;
  };
  return {
    open: async () => kept(await openSqliteStore(path)),
    openReader: async () => kept(await openSqliteStore(path, { mode: "reader" })),
    // What the operating system does to a dead process: its locks and handles go, and nothing else is written.
    crash: (store) => store.close(),
    usurp: async () => {
      const db = new DatabaseSync(path);
      db.exec("UPDATE meta SET incarnation = incarnation + 1");
      db.close();
    },
    dispose: async () => {
      for (const handle of handles) await handle.close();
      rmSync(folder, { recursive: true });
    },
  };
}

testStore("sqlite", async () => fixtureIn(makeFolder()));

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
    ...fixtureIn(folder),
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
