/** Programs out of the store, as the machine loads them. */
import { engineHash } from "../machine/engine-binary.ts";
import type { ProgramSources } from "../machine/port.ts";
import type { StoreReader } from "../store/port.ts";

/** Rejects if a part of it is missing, or if it needs another engine binary. */
export async function programSource(store: StoreReader, program: string): ReturnType<ProgramSources["source"]> {
  const text = async (hash: string): Promise<string> => {
    const bytes = await store.blob(hash);
    if (bytes === undefined) throw new Error(`The store has no blob ${hash}.`);
    return Buffer.from(bytes).toString("utf8");
  };
  const row = await store.program(program);
  if (row === undefined) throw new Error(`The store has no program ${program}.`);
  if (row.engine !== engineHash) {
    throw new Error(
      `Its engine binary is ${row.engine}, and this release of Perdure runs ${engineHash}. Use a release that runs both.`,
    );
  }
  return { bundle: await text(row.bundle), prelude: await text(row.prelude) };
}
