/** The part of the store port that is about what waits for processes. */
import type { Input, ProcessKey } from "../journal/types.ts";

/** An input that waits for its process. `seq` orders the inbox and is given by the store. */
export interface InboxRow {
  readonly seq: number;
  readonly process: ProcessKey;
  readonly input: Input;
  readonly atMs: number;
  /** It came through a link, or a monitor, and tells that the process at the other end is no more, or is held: its key. Only in a shared store. */
  readonly tie?: ProcessKey;
}

export interface NewInboxRow extends Omit<InboxRow, "seq"> {
  /**
   * Put instead if the process has exited, or exits before it takes the input, or refuses it (`AwayBatch.refused`). With `tie` also if it is not
   * linked to that one, or cuts the link before it takes the input. Only in a shared store.
   */
  readonly orElse?: { readonly process: ProcessKey; readonly input: Input };
  /**
   * Whoever puts it keeps no copy, because the process was another node's: `posted` hands it out, even if the process is the incarnation's own by
   * the time of the commit. Only in a shared store.
   */
  readonly away?: boolean;
}
