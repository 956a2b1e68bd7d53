/** The end of a process, read from the store. */
import { outcomeOf } from "../engine/outcome.ts";
import { findProcess } from "../engine/views.ts";
import type { Pid } from "../journal/types.ts";
import type { StoreReader } from "../store/port.ts";
import { outcomeFrom } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";
import { mapErrorsWithin } from "./stacks.ts";

/** Undefined while the process has not ended. Throws PROCESS_NOT_FOUND. Stacks are in terms of the user's files. */
export async function readOutcome(reader: StoreReader, pid: Pid): Promise<Outcome | undefined> {
  const { state, exit, program } = await findProcess(reader, pid);
  // A crashed process has an exit too, which it may be spared.
  if (state !== "exited" || exit === undefined) return undefined;
  const outcome = await outcomeFrom(pid, (async () => outcomeOf(pid, exit, () => undefined))());
  await mapErrorsWithin(reader, program, "error" in outcome ? outcome.error.cause : outcome.value);
  return outcome;
}
