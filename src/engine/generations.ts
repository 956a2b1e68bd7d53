/** Processes that follow each other under one name, numbered from 1 without gaps: a key's servers, the roots of a program. */
import type { Pid } from "../journal/types.ts";
import type { ExportedRow, ProcessRow, StoreReader, Tombstone } from "../store/port.ts";

export interface Generation<Row> {
  readonly number: number;
  readonly row: Row;
}

/** A process as it is, or what is left of it. */
export type Ever = ProcessRow | Tombstone | ExportedRow;

/** A generation counts, pruned, exported or not. */
export async function findEver(store: StoreReader, pid: Pid): Promise<Ever | undefined> {
  return (await store.findProcess(pid)) ?? (await store.tombstone(pid)) ?? (await store.exported(pid));
}

/** Only what an export leaves. */
export function isExported(row: Ever | undefined): row is ExportedRow {
  return row !== undefined && "file" in row;
}

/** Whether only that is left of it. */
export function isPruned(found: Ever | undefined): found is Tombstone {
  return found !== undefined && !("key" in found) && !isExported(found);
}

/** Whether it is in the store, and not at its end. */
export function isUnfinished(row: Ever | undefined): row is ProcessRow {
  return row !== undefined && "state" in row && row.state !== "exited";
}

/** The newest there is, found by halving: a chain may be long, and only its end matters. */
export async function newestGeneration<Row>(
  find: (number: number) => Promise<Row | undefined>,
): Promise<Generation<Row> | undefined> {
  let newest: Generation<Row> | undefined;
  let missing = 1;
  for (;;) {
    const row = await find(missing);
    if (row === undefined) break;
    newest = { number: missing, row };
    missing *= 2;
  }
  while (newest !== undefined && missing - newest.number > 1) {
    const middle = Math.floor((newest.number + missing) / 2);
    const row = await find(middle);
    if (row === undefined) missing = middle;
    else newest = { number: middle, row };
  }
  return newest;
}
