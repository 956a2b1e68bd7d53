/** The end of a process, read from the store. */
import { isPruned } from "../engine/generations.ts";
import { outcomeOf } from "../engine/outcome.ts";
import { findKnown } from "../engine/views.ts";
import type { Pid } from "../journal/types.ts";
import { resultPruned } from "../kernel/errors.ts";
import type { ProcessRow, StoreReader, Tombstone } from "../store/port.ts";
import { outcomeFrom } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";
import { mapErrorsWithin } from "./stacks.ts";

/**
 * Undefined while the process has not ended. Throws PROCESS_NOT_FOUND; PROCESS_PRUNED if what a pruned one ended with was not kept.
 * Stacks are in terms of the user's files.
 */
export async function readOutcome(reader: StoreReader, pid: Pid): Promise<Outcome | undefined> {
  const found = await findKnown(reader, pid);
  const { state, exit, program } = isPruned(found) ? endedBy(found) : found;
  // A crashed process has an exit too, which it may be spared.
  if (state !== "exited" || exit === undefined) return undefined;
  const outcome = await outcomeFrom(pid, (async () => outcomeOf(pid, exit, () => undefined))());
  await mapErrorsWithin(reader, program, "error" in outcome ? outcome.error.cause : outcome.value);
  return outcome;
}

function endedBy(tombstone: Tombstone): Pick<ProcessRow, "state" | "exit" | "program"> {
  const { program, exit } = tombstone;
  const { atMs, reason, value } = exit;
  if (value === undefined) throw resultPruned(tombstone);
  return { state: "exited", exit: { atMs, reason, value }, program };
}
