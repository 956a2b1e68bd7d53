/** The part of the store port that is about finished processes: which there are, what is left of pruned ones, pruning. */
import type { Payload } from "../base/value.ts";
import type { ExitReason, Pid, ProcessKey } from "../journal/types.ts";

/** Where a finished process stands in the order of their ends. */
export interface FinishedPlace {
  readonly atMs: number;
  readonly key: ProcessKey;
}

/** A finished process, as far as its keeping is concerned. */
export interface FinishedRow extends FinishedPlace {
  readonly pid: Pid;
  readonly reason: ExitReason;
  /** It would be passed over if it were pruned now: see `Store.prune`. */
  readonly held: boolean;
}

/** What stays of a process that was started from outside once it has been pruned: enough to answer whoever starts it again. */
export interface Tombstone {
  readonly pid: Pid;
  /** Hash of its program, which may be gone as well. */
  readonly program: string;
  readonly entry: string;
  readonly argsDigest: string;
  readonly startedAtMs: number;
  readonly prunedAtMs: number;
  readonly exit: {
    readonly atMs: number;
    readonly reason: ExitReason;
    /** Undefined if it was larger than `maxTombstoneValueBytes`. */
    readonly value: Payload | undefined;
  };
  /** Of the encoded value, kept or not. */
  readonly valueBytes: number;
}

/** A larger result is not kept with the tombstone. */
export const maxTombstoneValueBytes: number = 64 * 1024;

/** Where a tombstone stands in the order of their processes' ends. */
export interface TombstonePlace {
  readonly atMs: number;
  readonly pid: Pid;
}

export interface PruneRequest {
  readonly atMs: number;
  readonly processes: readonly ProcessKey[];
  /** At most so many turns, log lines and edges of pruned processes are deleted: what is left goes with the next calls. */
  readonly rows: number;
}

export interface PruneReport {
  readonly pruned: readonly ProcessKey[];
  /** How many of them were deleted. */
  readonly rows: number;
  /** Whether there are more of them. */
  readonly left: boolean;
}

/** What anyone may read. */
export interface RetentionReader {
  /** Of a pruned process that was started from outside. Throws JOURNAL_CORRUPT for one that is damaged. */
  tombstone(pid: Pid): Promise<Tombstone | undefined>;
  /** Those that ended at `untilMs` or before, in the order of their ends, after a place in it. */
  finished(after: FinishedPlace | undefined, untilMs: number, limit: number): Promise<FinishedRow[]>;
  /** The newest finished process that is not among the newest `count`. */
  finishedBeyond(count: number): Promise<FinishedPlace | undefined>;
}

/** What the owner may do. */
export interface Retainer {
  /**
   * Removes finished processes: the row, turns, log lines, restores and edges. One that was started from outside leaves a tombstone. From
   * that commit on the process is gone for every reader; its turns, log lines and edges follow, the newest turns first, in this
   * call and in later ones. Passed over are processes that are not finished or not there; that dead letters are left of; that the
   * checkpoint of a living one may go back to; without a tombstone to come, that have started others still in the store, so that a
   * pid that follows from another one's is never given while it is taken; and with one to come, servers that have edges: what was
   * asked of one generation must not be done again by the next.
   */
  prune(request: PruneRequest): Promise<PruneReport>;
  /**
   * Drops tombstones of processes that ended at `untilMs` or before, newest first, at most `limit` looked at; `before` is the last
   * one that was. One stays while a process it has started is in the store, and while there is the next of its generation
   * (`x~2` after `x`, `x~3` after `x~2`): those are found by counting. `next` is undefined when there are no more.
   */
  pruneTombstones(
    untilMs: number,
    before: TombstonePlace | undefined,
    limit: number,
  ): Promise<{ readonly dropped: number; readonly next: TombstonePlace | undefined }>;
  /**
   * Removes programs deployed at `untilMs` or before that no process refers to, unless they are the newest of their file or in
   * `keep`; and if there were any, all blobs that no program refers to: what else lies there is a cache. Returns how many.
   */
  prunePrograms(untilMs: number, keep: readonly string[]): Promise<number>;
}
