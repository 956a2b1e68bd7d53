/** Process files that somebody beside the nodes has handed over (`perdure import`): one of the nodes imports them. */
import { isPerdureError, PerdureError } from "../../base/errors.ts";
import { isPassing } from "../../kernel/arrivals.ts";
import { notOpen } from "../../kernel/errors.ts";
import type { Handover, Handovers, Store } from "../../store/port.ts";
import { importProcess } from "./import.ts";
import type { ImportTarget } from "./import.ts";
import { readProcessFile } from "./read.ts";

export interface Taker {
  readonly store: Pick<Store, "imported">;
  readonly handovers: Handovers;
  nowMs(): number;
  /** Nothing more is to be begun, nor gone on with: the node is to stop, or has come to its end. */
  isStopped(): boolean;
  /** `cancel` throws when the node has come to its end. */
  target(): ImportTarget & { cancel(): Promise<void> };
  /** What nodes have left that died while they imported this file goes. */
  drop(file: string): Promise<void>;
  /** It is tried again later. */
  waits(handover: Handover, error: unknown): void;
}

/** Nobody's file may end one node after the other. */
const mostBegins = 5;

/** Imports what waits. What fails and is not its file's fault waits on, and stands in nobody's way. */
export async function takeHandedOver(taker: Taker): Promise<void> {
  const { handovers, nowMs, isStopped, waits } = taker;
  for (const handover of await handovers.waiting(nowMs())) {
    if (isStopped()) return;
    try {
      if (await handovers.take(handover.id)) await takeOne(taker, handover);
    } catch (error) {
      if (!isStopped()) waits(handover, error);
    }
  }
}

async function takeOne(taker: Taker, { id, file, paused, begins }: Handover): Promise<void> {
  const { store, handovers, nowMs } = taker;
  // The node that had begun it has died when it was done, before it could say so.
  if (begins > 0 && (await store.imported(file)) !== undefined) return await handovers.ended(id, nowMs());
  const to = taker.target();
  try {
    if (begins >= mostBegins) {
      await taker.drop(file);
      throw endless(file);
    }
    await importProcess(readProcessFile(untilStopped(taker, handovers.bytes(id))), [to], paused);
  } catch (error) {
    // If this node has died over the file, this throws, and it counts that it had taken it.
    await to.cancel();
    if (!isFilesFault(error)) {
      await handovers.letGo(id);
      throw error;
    }
    const { code, message } = error;
    return await handovers.ended(id, nowMs(), { code, message });
  }
  await handovers.ended(id, nowMs());
}

async function* untilStopped({ isStopped }: Taker, bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of bytes) {
    if (isStopped()) throw notOpen(false);
    yield piece;
  }
}

function endless(file: string): PerdureError {
  const message = `The process file ${file} is not imported: the node that was importing it has failed ${mostBegins} times. Look into the nodes' logs for why, and import it again.`;
  return new PerdureError("IMPORT_REFUSED", message, { details: { file } });
}

function isFilesFault(error: unknown): error is PerdureError {
  if (!isPerdureError(error) || isPassing(error)) return false;
  const { code } = error;
  return !code.startsWith("STORE_") && code !== "ENGINE_CLOSED" && code !== "ENGINE_FAILED";
}
