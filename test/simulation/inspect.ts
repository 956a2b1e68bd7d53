/** Holds a store against the rules that `perdure verify` knows. */
import { checkProcess } from "../../src/engine/verify/process.ts";
import type { Rule } from "../../src/engine/verify/rules.ts";
import { MemoryStore } from "../../src/store/memory/index.ts";
import type { MemoryDisk } from "../../src/store/memory/disk.ts";

export interface StoreKind {
  /** It was damaged on purpose. */
  readonly isDamaged: boolean;
  /** Rules of what runs in QuickJS, which models do not keep. */
  readonly passedOver?: readonly Rule[];
}

/** What a damaged journal leads to. */
const damages: ReadonlySet<Rule> = new Set(["row", "broken", "state", "journal-row"]);

/** The first thing that is wrong; undefined if nothing is. */
export async function faultsIn(
  disk: MemoryDisk,
  { isDamaged, passedOver = [] }: StoreKind,
): Promise<string | undefined> {
  const store = new MemoryStore(disk, undefined);
  let problem: string | undefined;
  for (const { row, turns } of [...disk.processes.values()]) {
    if (isDamaged && (turns.includes(undefined) || row.state === "broken")) continue;
    await checkProcess(store, row, (rule, detail) => {
      if (!passedOver.includes(rule) && !(isDamaged && damages.has(rule)))
        problem ??= `the store breaks its rule "${rule}": ${row.pid}: ${detail}`;
    });
  }
  return problem;
}
