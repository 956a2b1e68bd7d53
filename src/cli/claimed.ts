/** Work on a store that no node owns, by a command that owns it for a moment. */
import { openStore } from "../store/open.ts";
import type { OpenOptions } from "../store/open.ts";
import type { Store } from "../store/port.ts";
import type { Context } from "./context.ts";

/** Throws STORE_IN_USE if a node owns it. */
export async function claimed<T>(
  context: Context,
  options: Omit<OpenOptions, "create" | "mode">,
  work: (store: Store) => Promise<T>,
): Promise<T> {
  const store = await openStore(context.store, { ...options, create: false });
  try {
    const { cleanShutdown } = await store.claim(Date.now());
    try {
      return await work(store);
    } finally {
      // Whoever comes next must learn that the last node crashed, but only that: operations of its may have died with it.
      if (cleanShutdown) await store.release(Date.now());
    }
  } finally {
    await store.close();
  }
}
