/**
 * The part of the store port by which process files reach the nodes of a store: somebody beside them hands a file over, a node imports
 * it, and what has become of it is there to be asked for. SQLite keeps them in a folder beside its file, PostgreSQL in tables; a store in
 * memory has nobody beside its node.
 *
 * What was handed over whole stays until a node has taken it, also when whoever did it has gone. All the rest goes when nothing has come of
 * it for `keepHandoverMs`: files that were broken off in the middle, and ends that nobody has asked for.
 */
import { PerdureError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";

export const keepHandoverMs = 3_600_000;

export interface NewHandover {
  /** The id of the process file. Handovers of one file are told apart. */
  readonly file: string;
  readonly paused: boolean;
  readonly bytes: AsyncIterable<Uint8Array>;
  nowMs(): number;
}

export interface Handover {
  readonly id: string;
  readonly file: string;
  readonly paused: boolean;
  /** How many nodes have taken it, and have neither let it go nor ended it. */
  readonly begins: number;
}

export interface HandoverRefusal {
  readonly code: ErrorCode;
  readonly message: string;
}

export type HandoverState =
  /** `gone`: there is no such handover (any more). */
  { readonly state: "waiting" | "imported" | "gone" } | ({ readonly state: "refused" } & HandoverRefusal);

/** Needs no lease. */
export interface HandoversReader {
  /** Resolves when it is durably there as a whole, with the handover's id. Throws what `bytes` throws, and IMPORT_REFUSED if it took too long. */
  handOver(handover: NewHandover): Promise<string>;
  /** An end is told once: then nothing of it stays. */
  outcome(id: string): Promise<HandoverState>;
}

/** For nodes. One of them does it for all: see `take`. */
export interface Handovers extends HandoversReader {
  /** Those that are whole and have not ended; those that most have taken come first. Drops what has been abandoned. Cheap. */
  waiting(nowMs: number): Promise<Handover[]>;
  /** It is this node's to import, and counts as begun from here on. False if it is another living node's, or not there. */
  take(id: string): Promise<boolean>;
  bytes(id: string): AsyncIterable<Uint8Array>;
  /** Any node may take it again, and this time does not count. Only what was taken by this node, and is still, changes. */
  letGo(id: string): Promise<void>;
  /** It is imported, or refused. Only what was taken by this node, and is still, changes. */
  ended(id: string, nowMs: number, refusal?: HandoverRefusal): Promise<void>;
}

export function handoverGone(file: string): PerdureError {
  const message = `The process file ${file} is not imported: it was not handed over whole within an hour of its last part. Import it again.`;
  return new PerdureError("IMPORT_REFUSED", message, { details: { file } });
}

/** It is neither waiting nor imported, and nobody knows why. */
export function handoverLost(file: string): PerdureError {
  const message = `The process file ${file} is not imported: it was handed over, and has gone, with what there was to say about it. Import it again.`;
  return new PerdureError("IMPORT_REFUSED", message, { details: { file } });
}
