/** A store as a file, looked at while no node has it open: what takes how much room. */
import { statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

export interface StoreSize {
  readonly sizeBytes: number;
  /** Of that: pages that hold nothing, and will be used before the file grows. */
  readonly freeBytes: number;
  /** Of that: pages of the snapshots, which can be thrown away. */
  readonly snapshotBytes: number;
  readonly snapshotCount: number;
  /** Pages of each table with its indexes. */
  readonly tables: ReadonlyMap<string, number>;
}

export function storeSize(store: string): StoreSize {
  const db = new DatabaseSync(store);
  try {
    // Closing a node has done this already; after a kill it has not.
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    const number = (sql: string): number => Number(Object.values(db.prepare(sql).get() ?? {})[0]);
    const rows = db
      .prepare(
        `SELECT tbl_name AS name, sum(pgsize) AS size FROM dbstat JOIN sqlite_schema USING (name)
         WHERE aggregate = TRUE GROUP BY tbl_name`,
      )
      .all();
    const tables = new Map(rows.map(({ name, size }) => [String(name), Number(size)]));
    return {
      sizeBytes: statSync(store).size,
      freeBytes: number("PRAGMA freelist_count") * number("PRAGMA page_size"),
      snapshotBytes: tables.get("snapshot") ?? 0,
      snapshotCount: number("SELECT count(*) FROM snapshot"),
      tables,
    };
  } finally {
    db.close();
  }
}

/** How many timers the store holds, read beside the node that owns it. */
export function timerCounter(store: string): { count(): number; close(): void } {
  const db = new DatabaseSync(store, { readOnly: true });
  const select = db.prepare("SELECT count(*) AS n FROM timer");
  return { count: () => Number(select.get()?.["n"]), close: () => db.close() };
}
