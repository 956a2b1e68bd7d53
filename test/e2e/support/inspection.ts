/** What a store holds while nobody owns it: read from a copy, so that the next owner finds exactly what the last one left. */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Turn } from "../../../src/journal/types.ts";
import { openSqliteStore } from "../../../src/store/sqlite/index.ts";
import type { LogRow, OperationRow, ProcessRow, StoreReader } from "../../../src/store/port.ts";

export interface Found {
  readonly process: ProcessRow;
  readonly turns: readonly Turn[];
  readonly logs: readonly LogRow[];
  readonly operations: readonly OperationRow[];
  /** Numbers of the operations whose result is durable: a turn took it, or it waits in the inbox. */
  readonly settled: readonly number[];
}

const all = 1_000_000;

/** The processes named, as far as they exist. */
export async function inspectStore(path: string, pids: readonly string[]): Promise<Map<string, Found>> {
  if (!existsSync(path)) return new Map();
  const folder = mkdtempSync(join(tmpdir(), "perdure-copy-"));
  const copy = join(folder, "store.db");
  try {
    for (const suffix of ["", "-wal"]) if (existsSync(path + suffix)) copyFileSync(path + suffix, copy + suffix);
    const reader = await openSqliteStore(copy, { mode: "reader" });
    const found = new Map<string, Found>();
    for (const pid of pids) {
      const process = await reader.findProcess(pid);
      if (process !== undefined) found.set(pid, await inspectProcess(reader, process));
    }
    await reader.close();
    return found;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function inspectProcess(reader: StoreReader, process: ProcessRow): Promise<Found> {
  const turns = await reader.turns(process.key, 1, all);
  const inbox = await reader.inbox(process.key);
  const inputs = [...turns.flatMap((turn) => turn.inputs), ...inbox.map(({ input }) => input)];
  return {
    process,
    turns,
    logs: await reader.logs(process.key, 0, all),
    operations: await reader.operations(process.key),
    settled: inputs.flatMap((input) => (input.kind === "result" ? input.operation : [])),
  };
}
