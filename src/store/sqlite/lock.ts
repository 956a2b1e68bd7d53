/**
 * Ownership: an exclusive lock on a side database that holds nothing.
 *
 * SQLite's own lock is used since it works on every platform and the operating system frees it however the owner dies. It is a
 * file of its own, because an exclusive lock on the store itself would shut out the readers.
 */
import { DatabaseSync } from "node:sqlite";
import { isBusy } from "./errors.ts";

export interface OwnerLock {
  release(): void;
}

export function lockPath(path: string): string {
  return `${path}-lock`;
}

/** Whoever only asks whether the store is owned (`ownership.ts`) holds the lock too, for some microseconds: wait for them. */
const lockTimeoutMs = 100;

/** A database that nobody refers to any more is closed by the garbage collector, and its lock would go with it. */
const held = new Set<DatabaseSync>();

/** Undefined when someone else holds it, in this operating system process or another. */
export function acquireOwnerLock(path: string): OwnerLock | undefined {
  const db = new DatabaseSync(lockPath(path), { timeout: lockTimeoutMs });
  try {
    db.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
  } catch (error) {
    db.close();
    if (isBusy(error)) return undefined;
    throw error;
  }
  held.add(db);
  return {
    release: () => {
      // Releasing twice is harmless: a failed release is followed by a close.
      if (held.delete(db)) db.close();
    },
  };
}
