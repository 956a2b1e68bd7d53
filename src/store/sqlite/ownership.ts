/** What can be told of a store's owner from beside it. */
import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { isBusy, storeError } from "./errors.ts";
import { lockPath } from "./lock.ts";

/**
 * Whether an engine owns the store in the file `path` at this moment. `path` must be its real path.
 *
 * Whoever holds the lock holds it exclusively, so that not even a read of the lock database succeeds. While this looks, an engine
 * that wants to claim the store has to wait for some microseconds.
 */
export function isStoreOwned(path: string): boolean {
  const file = lockPath(path);
  if (!existsSync(file)) return false;
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(file, { readOnly: true, timeout: 0 });
    db.prepare("SELECT count(*) FROM sqlite_schema").get();
    return false;
  } catch (error) {
    if (isBusy(error)) return true;
    throw storeError(path, "tell who owns", error);
  } finally {
    db?.close();
  }
}
