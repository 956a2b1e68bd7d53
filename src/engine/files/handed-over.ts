/** Process files that somebody beside the nodes has handed over (`perdure import`): one of the nodes imports them. */
import { isPerdureError } from "../../base/errors.ts";
import type { PerdureError } from "../../base/errors.ts";
import type { Handover, HandoverRefusal, Handovers, Store } from "../../store/port.ts";
import { importProcess } from "./import.ts";
import type { ImportTarget } from "./import.ts";
import { readProcessFile } from "./read.ts";

export interface Taker {
  readonly store: Pick<Store, "imported">;
  readonly handovers: Handovers;
  nowMs(): number;
  target(): ImportTarget & { cancel(): Promise<void> };
}

/** Nobody's file may end one node after the other. */
const mostBegins = 5;

/** Imports what waits. Throws what is not the file's fault: then it waits on. */
export async function takeHandedOver(taker: Taker): Promise<void> {
  const { handovers } = taker;
  for (const handover of await handovers.waiting(taker.nowMs()))
    if (await handovers.take(handover.id)) await takeOne(taker, handover);
}

async function takeOne({ store, handovers, nowMs, target }: Taker, handover: Handover): Promise<void> {
  const { id, file, paused, begins } = handover;
  // The node that had begun it has died when it was done, before it could say so.
  if (begins > 0 && (await store.imported(file)) !== undefined) return await handovers.ended(id, nowMs());
  if (begins >= mostBegins) return await handovers.ended(id, nowMs(), endless(file));
  const to = target();
  const begin: ImportTarget["begin"] = async (...words) => {
    const key = await to.begin(...words);
    await handovers.begun(id);
    return key;
  };
  try {
    const { put, finish } = to;
    await importProcess(readProcessFile(handovers.bytes(id)), [{ begin, put, finish }], paused);
  } catch (error) {
    await to.cancel();
    if (!isFilesFault(error)) throw error;
    const { code, message } = error;
    return await handovers.ended(id, nowMs(), { code, message });
  }
  await handovers.ended(id, nowMs());
}

function endless(file: string): HandoverRefusal {
  const message = `The process file ${file} is not imported: the node that was importing it has failed ${mostBegins} times. Look into the nodes' logs for why, and import it again.`;
  return { code: "IMPORT_REFUSED", message };
}

function isFilesFault(error: unknown): error is PerdureError {
  if (!isPerdureError(error)) return false;
  const { code } = error;
  return !code.startsWith("STORE_") && code !== "ENGINE_CLOSED" && code !== "ENGINE_FAILED";
}
