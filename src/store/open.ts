/** Opens a store wherever it is. What a kind of store needs is loaded when one is opened. */
import { existsSync, realpathSync } from "node:fs";
import { isPerdureError } from "../base/errors.ts";
import { createMemoryStore } from "./memory/index.ts";
import type { Mover } from "./migration/port.ts";
import { inMemory, isPostgresUrl } from "./place.ts";
import type { Store } from "./port.ts";
import type { AnyTransaction, Transactions } from "./transactions.ts";

export interface OpenOptions {
  /** `owner` may claim the store; `reader` reads and posts beside whoever owns it. Default `owner`. */
  readonly mode?: "owner" | "reader";
  /** Make the store if it is not there. Default: true for an owner, false for a reader. */
  readonly create?: boolean;
  /** An owner may claim it even if it is an older copy of what was there before. Default: then it is STORE_RESTORED. */
  readonly acceptRestored?: boolean;
}

/** `place`: a file's path, "memory:", or a `postgres://` URL. Throws what the store of that kind throws when it is opened. */
export async function openStore(place: string, options: OpenOptions = {}): Promise<Store> {
  if (place === inMemory) return createMemoryStore();
  if (isPostgresUrl(place)) return (await import("./postgres/index.ts")).openPostgresStore(place, options);
  return (await import("./sqlite/index.ts")).openSqliteStore(place, options);
}

/** The store as one end of a migration. Without `create` it must be there. */
export async function openMover(place: string, options: { readonly create: boolean }): Promise<Mover> {
  if (isPostgresUrl(place)) return (await import("./postgres/index.ts")).openPostgresMover(place, options);
  return (await import("./sqlite/index.ts")).openSqliteMover(place, options);
}

/** Opens it for transactions of user code, beside its owner. Where the store is in memory, so is the database of user code. */
export async function openTransactions(place: string): Promise<Transactions<AnyTransaction>> {
  if (isPostgresUrl(place)) return (await import("./postgres/index.ts")).openPostgresTransactions(place);
  const { openMemoryTransactions, openSqliteTransactions } = await import("./sqlite/index.ts");
  return place === inMemory ? openMemoryTransactions() : openSqliteTransactions(place);
}

/** Whether an engine owns the store at this moment. It must be there. */
export async function isStoreOwned(place: string): Promise<boolean> {
  if (isPostgresUrl(place)) return (await import("./postgres/index.ts")).isPostgresStoreOwned(place);
  return (await import("./sqlite/index.ts")).isStoreOwned(realpathSync(place));
}

/** Whether there is a store already. */
export async function storeExists(place: string): Promise<boolean> {
  if (place === inMemory) return false;
  if (!isPostgresUrl(place)) return existsSync(place);
  try {
    await (await openStore(place, { mode: "reader" })).close();
    return true;
  } catch (error) {
    if (isPerdureError(error, "STORE_NOT_FOUND")) return false;
    throw error;
  }
}
