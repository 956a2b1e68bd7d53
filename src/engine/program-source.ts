/** Programs out of the store, as the machine loads them. */
import type { ProgramSources } from "../machine/port.ts";
import type { StoreReader } from "../store/port.ts";
import { refusalOf } from "./refusals.ts";

/** Rejects if a part of it is missing, or if this release does not run it. */
export async function programSource(store: StoreReader, program: string): ReturnType<ProgramSources["source"]> {
  const text = async (hash: string): Promise<string> => {
    const bytes = await store.blob(hash);
    if (bytes === undefined) throw new Error(`The store has no blob ${hash}.`);
    return Buffer.from(bytes).toString("utf8");
  };
  const row = await store.program(program);
  if (row === undefined) throw new Error(`The store has no program ${program}.`);
  const prelude = await text(row.prelude);
  const refusal = refusalOf(row, prelude);
  if (refusal !== undefined)
    throw new Error(`Processes of program ${program} ${refusal}: this release does not run them.`);
  return { bundle: await text(row.bundle), prelude };
}
