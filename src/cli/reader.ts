/** The store as commands read it, whether a node runs beside them or not. */
import { realpathSync } from "node:fs";
import type { ProcessRow, StoreReader } from "../store/port.ts";
import { isStoreOwned, openSqliteStore } from "../store/sqlite/index.ts";
import { commandLine } from "./arguments.ts";
import { inMemory } from "./context.ts";
import type { Context } from "./context.ts";
import { usageError } from "./failure.ts";

/** Opens the store beside whoever owns it, and closes it again. Throws STORE_NOT_FOUND and the other STORE_… errors. */
export async function withReader<T>(context: Context, work: (reader: StoreReader) => Promise<T>): Promise<T> {
  if (context.store === inMemory)
    throw usageError(
      'A store "memory:" dies with the command that made it; there is nothing to look at. Name a file by --store.',
    );
  const reader = await openSqliteStore(context.store, { mode: "reader" });
  try {
    return await work(reader);
  } finally {
    await reader.close();
  }
}

/** Whether a node runs the store's processes at this moment. */
export function isNodeRunning(context: Context): boolean {
  return isStoreOwned(realpathSync(context.store));
}

/** The command that goes on with what the store holds. */
export function resumeCommand(context: Context, ...words: readonly string[]): string {
  return commandLine(["perdure", "resume", ...words, ...context.storeWords]);
}

const pageRows = 1000;

/** All processes that pass a filter, newest first, a page at a time: nothing holds them all. */
export async function* eachProcess(
  reader: StoreReader,
  filter: Omit<Parameters<StoreReader["listProcesses"]>[0], "limit">,
): AsyncGenerator<ProcessRow> {
  for (let before = filter.before; ;) {
    const rows = await reader.listProcesses({
      ...filter,
      ...(before === undefined ? {} : { before }),
      limit: pageRows,
    });
    yield* rows;
    before = rows.at(-1)?.key;
    if (rows.length < pageRows) return;
  }
}
