/** Stack traces in terms of the user's files, from what the store holds. What it takes is loaded when there is a stack to map. */
import type { StackMapper } from "../engine/stacks.ts";
import type { StoreReader } from "../store/port.ts";
import { fullStack } from "./guest-error.ts";
import { wordsOf } from "../engine/inspection.ts";
import { errorsWithin } from "../engine/within.ts";

export async function createStacks(reader: StoreReader): Promise<StackMapper> {
  const [{ StackMapper }, { loadPrelude }] = await Promise.all([
    import("../engine/stacks.ts"),
    import("../program/index.ts"),
  ]);
  const prelude = await loadPrelude();
  return new StackMapper(prelude.sourceMap, async (program) => {
    const row = await reader.program(program);
    const bytes = row === undefined ? undefined : await reader.blob(row.sourceMap);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString("utf8");
  });
}

/** Maps the stacks of all errors inside a value, in place, and gives them the first line that Node's stacks have. */
export async function mapErrorsWithin(reader: StoreReader, program: string | undefined, value: unknown): Promise<void> {
  const errors = errorsWithin(value);
  if (errors.length === 0) return;
  const stacks = await createStacks(reader);
  await stacks.prepare(program);
  for (const error of errors) {
    error.stack = stacks.mapText(program, wordsOf(error.stack ?? ""));
    error.stack = fullStack(error);
  }
}
