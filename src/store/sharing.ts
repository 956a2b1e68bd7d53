/**
 * The part of the store port that lets several nodes own a store together.
 *
 * Every process belongs to a **shard**, and every shard to one node at a time, or for a while to none. A node's lease is its
 * incarnation's: whoever finds it expired declares the node dead, which fences it, and its shards are free. Hence:
 *
 * - A commit is refused (STORE_FENCED) if the incarnation is not alive, or a process it writes to as its owner is in a shard
 *   of somebody else. What it writes to others' processes are new processes, rows of the inbox, and ties.
 * - `recover`, `dueTimers` and `posted` tell of the incarnation's own shards only. `inboxAfter` is not used.
 * - Process keys and pids are of one space: `Lease.nextProcessKey` begins a range that is the incarnation's own.
 * - A name or a group that is given to a process of somebody else which has exited by then is not kept.
 *
 * Ties reach across shards by rows that both sides see. A node's memory knows the ties its own processes made; what others
 * tied to them it need not know, because an exit looks at the rows: whoever is tied to the process and was not told by the commit
 * itself (`Notified`) gets a row in its inbox in the same transaction. A link or a monitor is made together with a look at its
 * target, under a lock that an exit takes too: so it is either seen by that exit, or tells of it.
 */
import type { ExitReason, Input, Pid, ProcessKey } from "../journal/types.ts";
import type { Payload } from "../base/value.ts";
import type { Announcement } from "./nodes.ts";
import type { InboxRow } from "./inputs.ts";

export interface ShardRow {
  readonly shard: number;
  /** The incarnation that owns it; 0 for none. */
  readonly owner: number;
}

export interface AcquiredShard {
  readonly shard: number;
  /** Its last owner gave it up in good order, or it never had one: operations that ran have not died with a node. */
  readonly clean: boolean;
}

/**
 * `target` belongs to somebody else. If they are linked already, nothing changes. If it has exited, or is not there, the process is told
 * so (`noproc`) instead, unless its end waits in the inbox, from a link before.
 */
export interface AwayLink {
  readonly process: ProcessKey;
  readonly target: ProcessKey;
  readonly pid: Pid;
}

export interface AwayMonitor {
  readonly watcher: ProcessKey;
  readonly number: number;
  readonly target: ProcessKey;
  readonly pid: Pid;
}

/** Whom the commit itself has told of an exit: the others who are tied to the process find it in their inboxes. */
export interface Notified {
  readonly process: ProcessKey;
  readonly links: readonly ProcessKey[];
  /** Watchers and the numbers of their monitors. */
  readonly monitors: readonly (readonly [watcher: ProcessKey, number: number])[];
}

/** Applied behind all else of its commit but the exits, which come last. What is `cut` and `refused` goes before the commit puts anything. */
export interface AwayBatch {
  readonly atMs: number;
  readonly links: readonly AwayLink[];
  readonly monitors: readonly AwayMonitor[];
  /** Links that the process has cut, perhaps to make them anew: what came through them and was not taken yet goes. */
  readonly cut: readonly { readonly process: ProcessKey; readonly from: ProcessKey }[];
  /** Rows of the inbox, by seq, that no turn is to hear of: what stands in them as `orElse` is put. */
  readonly refused: readonly number[];
  /** One for each exit of the commit. */
  readonly notified: readonly Notified[];
  /** A process changes its shard, and with that its owner, who finds `input` among what is posted. */
  readonly moved: readonly { readonly process: ProcessKey; readonly shard: number; readonly input: Input }[];
  /** Shards that are given up in good order. */
  readonly yielded: readonly number[];
}

/** What those who were tied to a process hear of its end: a result is its waiter's, not everyone's. */
export interface Notice {
  readonly from: Pid;
  readonly reason: ExitReason;
  readonly value: Payload;
}

/** What is read beside the nodes too. */
export interface SharingReader {
  shards(): Promise<ShardRow[]>;
  /** The incarnations whose leases are in force, this one's included. */
  incarnations(): Promise<number[]>;
}

export interface Sharing extends SharingReader {
  /** Declares incarnations dead whose leases have run out. Their shards are free from then on. Answers which. */
  reap(nowMs: number): Promise<number[]>;
  /**
   * Rows that somebody else has put into the inboxes of this incarnation's processes since it acquired their shards, and those that its
   * own commits have put there by themselves (notices of exits) or as `away`. In the order in which they became visible for each shard, each
   * handed out once, at most `limit`; none comes later that was put before. Rows that were consumed meanwhile are left out. A row that fails its
   * checksum is left out too: its process is found broken when it is loaded.
   */
  posted(limit: number): Promise<InboxRow[]>;
  /** Takes those of the shards that nobody owns. Needs the lease. */
  acquire(shards: readonly number[], nowMs: number): Promise<AcquiredShard[]>;
  /** Makes a process the holder of a name if nobody is, at once. Answers who holds it then. Needs the lease. */
  claimName(name: string, process: ProcessKey): Promise<ProcessKey>;
  /**
   * Keeps a pid for this incarnation to start a process by, as long as it lives. False if there is, or was, a process of that pid, or another
   * incarnation that is alive keeps it. With `returning` one that was exported may be kept: it comes back. Whoever begins the process keeps it
   * no longer. Needs the lease.
   */
  reservePid(pid: Pid, returning?: boolean): Promise<boolean>;
  /** Puts into this incarnation's row, if it has said who it is, what `nodes` then shows to all. Needs the lease. */
  announce(news: Announcement): Promise<void>;
  /** Calls `fn` when another node may have written for this one's processes. A hint: it may be missing, or come for nothing. */
  listen(fn: () => void): void;
  /** Whether others may have changed names or groups since the last call. */
  namesChanged(): Promise<boolean>;
}
