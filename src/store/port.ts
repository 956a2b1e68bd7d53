/**
 * The store port: all that Perdure asks of a database. SQLite, memory (tests, simulator) and PostgreSQL implement it
 * and pass one shared suite (`suite.ts`).
 *
 * Rules every implementation keeps:
 * - `commit` is atomic and durable when its promise resolves, and is refused with `STORE_FENCED` if `lease` is no longer
 *   the one in force. After a commit has failed the store is in the state before it.
 * - Commits are applied in the order of the calls.
 * - Reads see all commits that had resolved when the read was called.
 * - Journal rows are handed out as they were written or not at all: a row that fails its checksum is an error
 *   `JOURNAL_CORRUPT` of that process alone.
 * - Times are milliseconds since the epoch, handed in by the caller: a store has no clock of its own. They are whole numbers,
 *   except for due times and `notBeforeMs`.
 * - Several nodes may own a store together if it has `sharing`: see there. Each shard of such a store has one owner at a time, and what is
 *   said here of the owner holds for each shard's.
 * - Every write but `post`, `takeDeadLetter` and `standBy` needs the lease.
 * - A process key is given once: not even that of a pruned process comes again. The same goes for a pid that has a tombstone, or
 *   that was exported.
 * - A commit that contradicts what the store holds is refused: it shows that the owner's picture is wrong. A process key or
 *   turn that exists is STORE_FENCED, a pid that exists PROCESS_ID_CONFLICT, a turn after a gap or a program that was not put
 *   STORE_FAILED, a state, trap, restore or exit of nobody PROCESS_NOT_FOUND, one after the exit PROCESS_EXITED. Removing what is not there,
 *   on the other hand, does nothing, and so does putting a link, monitor or group member that is there already.
 */
import type { Payload } from "../base/value.ts";
import type { ExitReason, Input, LogLevel, Pid, ProcessKey, TimerClock, Turn } from "../journal/types.ts";
import type { InboxRow, NewInboxRow } from "./inputs.ts";
import type { NodeInfo, NodesKeeper, NodesReader } from "./nodes.ts";
import type { Asked, EdgeEnd, EdgeRow, NewEdge } from "./asked.ts";
import type { Arrival, Departure, ExportsReader } from "./exports.ts";
import type { Handovers, HandoversReader } from "./handovers.ts";
import type { Retainer, RetentionReader } from "./retention.ts";
import type { MigrationReader } from "./migration/reader.ts";
import type { AwayBatch, Sharing, SharingReader } from "./sharing.ts";

export type { ProcessKey };
export type { InboxRow, NewInboxRow } from "./inputs.ts";
export { maxTombstoneValueBytes } from "./retention.ts";
export type * from "./sharing.ts";
export { nodeRenewalMs, nodeSilenceMs } from "./nodes.ts";
export type { NodeInfo, NodeRow } from "./nodes.ts";
export { edgeStates } from "./asked.ts";
export type { Asked, EdgeEnd, EdgeRow, EdgeState, NewEdge } from "./asked.ts";
export type { Arrival, Departure, ExportedRow, ImportedRow, LateInput } from "./exports.ts";
export type { Handover, HandoverRefusal, Handovers, HandoversReader } from "./handovers.ts";
export type { FinishedPlace, FinishedRow, PruneReport, PruneRequest, Tombstone, TombstonePlace } from "./retention.ts";

export interface Lease {
  /** Grows with every claim of the store. A commit with an older one is refused. */
  readonly incarnation: number;
  /** The first process key this incarnation may give out. */
  readonly nextProcessKey: ProcessKey;
  /** Total wall time, in ms, during which the store had no owner: service time = wall time − this. */
  readonly downtimeMs: number;
  /** Several nodes own the store, a part each: this one owns nothing yet. See `Store.sharing`. */
  readonly shared?: boolean;
  /** Whether the previous owner released the store in good order. After a crash, operations that ran may have died with it. */
  readonly cleanShutdown: boolean;
  /** How often (ms) the owner has to renew it at least, lest it run out. Undefined: it does not run out. */
  readonly renewMs?: number;
}

export const processStates = [
  /** Alive: it runs, or waits for something. */
  "running",
  /** An operator stopped its turns; inputs wait in the inbox. */
  "paused",
  /** A turn of it failed and was undone. Its parent decides from which heap it goes on, or that it exits: as `exit` says. */
  "crashed",
  /** Replay disagreed with the journal, or the journal is damaged: it waits for a person. `problem` says why. */
  "broken",
  /**
   * It is being exported, or imported: `problem` names the file. It takes no turns, and no attempt of its operations begins. Inputs
   * wait in the inbox.
   */
  "moving",
  "exited",
] as const;
export type ProcessState = (typeof processStates)[number];

export interface ProcessRow {
  readonly key: ProcessKey;
  readonly pid: Pid;
  /** Hash of its program (see `ProgramRow`). */
  readonly program: string;
  readonly entry: string;
  /** SHA-256 of entry and arguments, hex: a repeated start by id must agree with it. */
  readonly argsDigest: string;
  readonly state: ProcessState;
  readonly problem: string;
  readonly startedAtMs: number;
  /** The process that spawned it; "" if it was started from outside. */
  readonly parent: Pid;
  /** What its parent calls it, such as a supervisor's child id, and what it is (`server`, `supervisor`, `task`): for people. */
  readonly label: string;
  readonly role: string;
  /** How often its supervisor had restarted this child when it started this process. */
  readonly restarts: number;
  /** The label that a node must have to run it; "": any will do. */
  readonly needs: string;
  /** When a turn of it fails, its parent is asked before it exits (`SpawnOptions.held`). */
  readonly held: boolean;
  /** It gets exit signals as messages. */
  readonly trapsExits: boolean;
  /** From 1; each time it is restored to its checkpoint another one begins. */
  readonly life: number;
  /** Who owns this shard owns the process. Undefined in a store that has one owner. */
  readonly shard?: number;
  /** Of an exited process; of a crashed one, the exit it will come to unless it is revived. */
  readonly exit?: ProcessExit;
}

export interface ProcessExit {
  readonly atMs: number;
  readonly reason: ExitReason;
  readonly value: Payload;
}

export const operationStates = [
  /** Waits for its first attempt, runs, or waits for the next attempt (`notBeforeMs`). */
  "pending",
  /** The deployment has no such host function. Tried again by every engine that opens the store. */
  "unavailable",
  /** It was running at too many node deaths. A person lets it go on (`Engine.retryOperation`). */
  "quarantined",
] as const;
export type OperationState = (typeof operationStates)[number];

export interface OperationRow {
  readonly process: ProcessKey;
  readonly number: number;
  readonly name: string;
  readonly args: Payload;
  readonly options: string;
  readonly state: OperationState;
  /** The attempt that runs or is due, from 1. */
  readonly attempt: number;
  /** Wall time before which the attempt must not start; 0 = at once. */
  readonly notBeforeMs: number;
  /**
   * Wall time at which a start was put on record, 0: none is. That is committed before dispatch where it must be known after
   * a crash (at-most-once, with or without `reconcile`; suspects of killing their node). With a `notBeforeMs` of 0 the start is
   * that of an attempt that runs, or ran when its node ended. Else it is that of an earlier one whose effect is in doubt.
   */
  readonly startedAtMs: number;
  /** Node deaths it was running at. */
  readonly deaths: number;
  /** The last attempt's error, for people. */
  readonly lastError: string;
  readonly createdAtMs: number;
}

export interface TimerRow {
  readonly process: ProcessKey;
  readonly number: number;
  readonly clock: TimerClock;
  /** Absolute, on `clock`. */
  readonly dueMs: number;
}

/** `watcher` is told when `target` ends. `number` is the watcher's. */
export interface MonitorRow {
  readonly watcher: ProcessKey;
  readonly number: number;
  readonly target: ProcessKey;
}

/** A registered name, or a group's member: with `group`, a process may be a member of many and many of one. */
export interface NameRow {
  readonly name: string;
  readonly process: ProcessKey;
  readonly pid: Pid;
  /** Of the process. Undefined in a store that has one owner. */
  readonly shard?: number;
}

export type Membership = Pick<NameRow, "name" | "process">;

/** What a process can be restored to. `body` says what was pending then (`kernel/checkpoints.ts`); opaque here. */
export interface CheckpointRow {
  /** The heap is that after this turn. */
  readonly turn: number;
  readonly body: Uint8Array;
}

/** Life `life` of a process began with turn `turn`, from the heap after turn `from`: what lies between is forgotten. */
export interface RestoreRow {
  readonly turn: number;
  readonly from: number;
}

/** A message that made its process fail, set aside. */
export interface DeadLetterRow {
  readonly seq: number;
  readonly process: ProcessKey;
  readonly input: Input;
  readonly atMs: number;
  /** What it led to. */
  readonly reason: ExitReason;
  readonly value: Payload;
}

export interface LogRow {
  readonly seq: number;
  readonly process: ProcessKey;
  readonly turn: number;
  readonly atMs: number;
  readonly level: LogLevel;
  readonly text: string;
}

export interface SnapshotRow {
  /** The state *after* this turn. */
  readonly turn: number;
  /** Encoded and checksummed by the machine (`machine/snapshot.ts`). Opaque here. */
  readonly body: Uint8Array;
}

/** A program as processes are pinned to it. Everything is found by hash in the blobs. */
export interface ProgramRow {
  readonly hash: string;
  /** Path of the entry file when it was deployed, for people. */
  readonly file: string;
  readonly createdAtMs: number;
  /** Blob hashes. */
  readonly bundle: string;
  readonly sourceMap: string;
  readonly prelude: string;
  readonly engine: string;
  /** The names of the host operations that it may ask for (`path#export`), sorted. */
  readonly operations: readonly string[];
}

export interface Link {
  readonly a: ProcessKey;
  readonly b: ProcessKey;
}

/** Everything one group commit writes. Parts are applied in the order of the fields. */
export interface CommitBatch {
  readonly atMs: number;
  readonly newProcesses?: readonly ProcessRow[];
  readonly turns?: readonly { readonly process: ProcessKey; readonly turn: Turn }[];
  /** Inserted, or replaced when (process, number) exists. */
  readonly operations?: readonly OperationRow[];
  readonly operationsGone?: readonly { readonly process: ProcessKey; readonly number: number }[];
  readonly timers?: readonly TimerRow[];
  readonly timersGone?: readonly { readonly process: ProcessKey; readonly number: number }[];
  readonly inboxGone?: readonly number[];
  readonly inbox?: readonly NewInboxRow[];
  /**
   * One whose key the process has already stays as it was. If it was posted with the same digest, the input that came with it goes:
   * the one in this commit takes its place.
   */
  readonly edges?: readonly NewEdge[];
  /**
   * For edges of this digest. An answer is for one that has none; the other ends are for those that are `open`. Anything else
   * changes nothing.
   */
  readonly edgeEnds?: readonly EdgeEnd[];
  readonly logs?: readonly Omit<LogRow, "seq">[];
  /** State changes other than exits. `exit` goes with `crashed`; any other state clears it. */
  readonly states?: readonly {
    readonly process: ProcessKey;
    readonly state: Exclude<ProcessState, "exited">;
    readonly problem: string;
    readonly exit?: ProcessExit;
  }[];
  readonly traps?: readonly { readonly process: ProcessKey; readonly on: boolean }[];
  /** A link has no direction; it is there once, whichever end made it. */
  readonly links?: readonly Link[];
  readonly linksGone?: readonly Link[];
  readonly monitors?: readonly MonitorRow[];
  readonly monitorsGone?: readonly { readonly watcher: ProcessKey; readonly number: number }[];
  /** Names are taken away before they are given. A name that another process has is refused: STORE_FENCED. */
  readonly namesGone?: readonly string[];
  readonly names?: readonly Membership[];
  readonly groupsGone?: readonly Membership[];
  readonly groups?: readonly Membership[];
  /** Replaces the process's checkpoint. */
  readonly checkpoints?: readonly ({
    readonly process: ProcessKey;
    /** The processes it was linked to or had monitors on: they are not pruned as long as it may go back there. Default none. */
    readonly ties?: readonly ProcessKey[];
  } & CheckpointRow)[];
  /** Also sets the row's `life`, and removes snapshots of turns in (`from`, `turn`). */
  readonly restores?: readonly ({ readonly process: ProcessKey; readonly life: number } & RestoreRow)[];
  readonly deadLetters?: readonly Omit<DeadLetterRow, "seq">[];
  readonly deadLettersGone?: readonly number[];
  /**
   * An exit also removes the process's operations, timers, inbox, snapshots, checkpoint, links, monitors (its own and those
   * on it), name and groups. Dead letters, restores and edges stay.
   */
  readonly exits?: readonly { readonly process: ProcessKey; readonly exit: ProcessExit }[];
  /** Keeps the newest two of each process, and the newest that is not after its checkpoint. */
  readonly snapshots?: readonly ({ readonly process: ProcessKey } & SnapshotRow)[];
  /** Only in a shared store. */
  readonly away?: AwayBatch;
  /**
   * From this commit on the process is gone for every reader. Its turns, log lines and edges follow as those of a pruned one do, in
   * later calls of `prune`. A process that is not there is refused: PROCESS_NOT_FOUND.
   */
  readonly departures?: readonly Departure[];
  /** An `ExportedRow` of that pid goes: the process has come back. A pid that exists or has a tombstone is refused: PROCESS_ID_CONFLICT. */
  readonly arrivals?: readonly Arrival[];
}

/** What it takes to bring a process to life. */
export interface ProcessLoad {
  readonly process: ProcessRow;
  /** Newest first; older ones are fallbacks for a damaged one. */
  readonly snapshots: readonly SnapshotRow[];
  /** Pending operations and timers, and the inbox in order. */
  readonly operations: readonly OperationRow[];
  readonly timers: readonly TimerRow[];
  readonly inbox: readonly InboxRow[];
  /** The other ends of its links. */
  readonly links: readonly ProcessKey[];
  /** Those it has on others, and those others have on it. */
  readonly monitors: readonly MonitorRow[];
  readonly watchers: readonly MonitorRow[];
  readonly checkpoint: CheckpointRow | undefined;
  /** In the order of `turn`. */
  readonly restores: readonly RestoreRow[];
  /** The number of the last turn; 0 before the first. */
  readonly lastTurn: number;
  /** That turn's time; 0 before the first. */
  readonly lastTimeMs: number;
}

/** What an engine finds when it opens the store: only what needs a node's attention, never all processes. */
export interface Recovery {
  readonly operations: readonly OperationRow[];
  /** Processes with waiting inputs. */
  readonly withInbox: readonly ProcessKey[];
  /** Processes that cannot go on because a row of theirs is damaged, and why; such rows are left out above. */
  readonly damaged: readonly { readonly process: ProcessKey; readonly problem: string }[];
}

export interface ProcessFilter {
  readonly states?: readonly ProcessState[];
  /** Exits of one of these reasons. */
  readonly reasons?: readonly ExitReason[];
  readonly parent?: Pid;
  readonly label?: string;
  readonly role?: string;
  readonly entry?: string;
  readonly program?: string;
  /** Only keys below this one: the page after it. */
  readonly before?: ProcessKey;
  /** At most this many, newest first. */
  readonly limit: number;
}

/** Something in a store that cannot be as Perdure wrote it. */
export interface StoreFault {
  readonly rule: StoreRule;
  /** Whose it is, if it is one process's. */
  readonly process: ProcessKey | undefined;
  /** A sentence without its full stop. */
  readonly detail: string;
}

export type StoreRule =
  /** The database file is whole, and its indices agree with its tables. */
  | "file"
  /** What is found by index is what lies in the table: no turn is hidden. */
  | "journal-index"
  /** Every turn lies in the journal as it was written. */
  | "journal-row"
  /** Turns count from 1 without gaps. */
  | "journal-gap"
  /** Every row belongs to a process there is. */
  | "owner"
  /** What an exited process had is gone. */
  | "leftover"
  /** What is left of pruned processes reads as it was written. */
  | "tombstone"
  /** A blob is what its hash says. */
  | "blob";

/** What is read beside a running node too: nothing here needs the lease. */
export interface StoreReader extends RetentionReader, NodesReader, ExportsReader, MigrationReader {
  readonly id: string;
  /** Undefined if the store has one owner at a time. */
  readonly sharing?: SharingReader;
  /** Undefined if nobody can be beside the store's node. */
  readonly handovers?: HandoversReader;
  findProcess(pid: Pid): Promise<ProcessRow | undefined>;
  getProcess(process: ProcessKey): Promise<ProcessRow | undefined>;
  listProcesses(filter: ProcessFilter): Promise<ProcessRow[]>;
  countProcesses(): Promise<Readonly<Record<ProcessState, number>>>;
  /** Turns with number ≥ `from`, in order, at most `limit`. Throws JOURNAL_CORRUPT at the first damaged row. */
  turns(process: ProcessKey, from: number, limit: number): Promise<Turn[]>;
  /** The number of the process's last turn; 0 before the first. */
  lastTurn(process: ProcessKey): Promise<number>;
  operations(process: ProcessKey): Promise<OperationRow[]>;
  timers(process: ProcessKey): Promise<TimerRow[]>;
  inbox(process: ProcessKey): Promise<InboxRow[]>;
  /** Log rows with seq > `after`, of one process or of all, at most `limit`. */
  logs(process: ProcessKey | undefined, after: number, limit: number): Promise<LogRow[]>;
  /** All registered names, and all members of all groups, by name and key. */
  names(): Promise<NameRow[]>;
  groups(): Promise<NameRow[]>;
  /** The other ends of a process's links, and its monitors on others: for people. */
  relations(process: ProcessKey): Promise<{ readonly links: readonly Pid[]; readonly monitors: readonly Pid[] }>;
  restores(process: ProcessKey): Promise<RestoreRow[]>;
  /** With seq > `after`, of one process or of all, at most `limit`. */
  deadLetters(process: ProcessKey | undefined, after: number, limit: number): Promise<DeadLetterRow[]>;
  /**
   * Looks through the whole store for what the other reads would not notice, or only when it is too late, and reports what it
   * finds. Not atomic beside a running node: what is found there counts if it is found again. `step` is told how much is done.
   */
  audit(report: (fault: StoreFault) => void, step: (done: number, total: number) => void): Promise<void>;
  program(hash: string): Promise<ProgramRow | undefined>;
  /** Newest first. */
  programs(): Promise<ProgramRow[]>;
  blob(hash: string): Promise<Uint8Array | undefined>;
  /** What was asked of a process under a key. Throws JOURNAL_CORRUPT. */
  edge(process: ProcessKey, key: string): Promise<EdgeRow | undefined>;
  /** A process's edges with a key after `after` (by code points), in that order, at most `limit`. Throws JOURNAL_CORRUPT. */
  edges(process: ProcessKey, after: string, limit: number): Promise<EdgeRow[]>;
  /**
   * Writes inputs from outside the owner (the CLI beside or without a node). With `asked` the input is written once: false if that was
   * asked before, of a process that may have exited since. Throws PROCESS_NOT_FOUND, PROCESS_EXITED, PROCESS_EXPORTED, KEY_CONFLICT.
   */
  post(pid: Pid, input: Input, atMs: number, asked?: Asked): Promise<boolean>;
  /**
   * Takes a dead letter away, and with `to` posts its input to that process, both or neither. Like `post` it needs no lease: what
   * was set aside is nobody's until a person decides. False if there is no letter of that seq. Throws PROCESS_NOT_FOUND,
   * PROCESS_EXITED, PROCESS_EXPORTED.
   */
  takeDeadLetter(seq: number, to: Pid | undefined, atMs: number): Promise<boolean>;
  /** Frees the handle, and the lease with it, but not in good order: that takes `release` first. May be called twice. */
  close(): Promise<void>;
}

export interface Store extends StoreReader, Retainer, NodesKeeper {
  readonly sharing?: Sharing;
  readonly handovers?: Handovers;
  /**
   * Becomes the store's only owner until `release`; `node`: who that is. Where another one owns it, it says so at once: a node that stands by
   * asks ten times a second. Throws STORE_IN_USE, with the owner in words as `details.owner`; STORE_NEWER if a newer release has owned it since it was opened.
   */
  claim(nowMs: number, node?: NodeInfo): Promise<Lease>;
  /** Tells the store the owner lives. Throws STORE_FENCED if it is the owner no longer. */
  renew(nowMs: number): Promise<void>;
  /** Gives the lease back in good order. */
  release(nowMs: number): Promise<void>;
  /**
   * `inboxSeqs`: the seq each row of `batch.inbox` was given, in the same order. `superseded`: the seqs of posted inputs whose place
   * inputs of this commit have taken, see `CommitBatch.edges`.
   */
  commit(
    batch: CommitBatch,
  ): Promise<{ readonly inboxSeqs: readonly number[]; readonly superseded: readonly number[] }>;
  /** Replaces the row and the blobs if they are there: a program that is deployed again is the newest again. */
  putProgram(
    program: ProgramRow,
    blobs: readonly { readonly hash: string; readonly bytes: Uint8Array }[],
  ): Promise<void>;
  /** Replaces the bytes if they are there. */
  putBlob(hash: string, bytes: Uint8Array): Promise<void>;
  /**
   * Deletes edges that were asked first before `beforeMs`, oldest first, at most `limit`, and answers how many. Those that are `open`
   * stay as long as their process lives: they may yet be answered.
   */
  pruneEdges(beforeMs: number, limit: number): Promise<number>;
  /** Throws PROCESS_NOT_FOUND; JOURNAL_CORRUPT if the last turn, an operation or a waiting input is damaged. */
  load(process: ProcessKey): Promise<ProcessLoad>;
  /** `shards`: of a shared store, those that were just acquired. */
  recover(shards?: readonly number[]): Promise<Recovery>;
  /** Timers of one clock due in (`afterMs`, `untilMs`], earliest first, at most `limit`, but never splitting rows of one due time. */
  dueTimers(clock: TimerClock, afterMs: number, untilMs: number, limit: number): Promise<TimerRow[]>;
  /** Inbox rows with seq > `after`: what others have posted. */
  inboxAfter(after: number, limit: number): Promise<InboxRow[]>;
  /** Cheap: whether anyone else may have written since the last call. */
  changedByOthers(): Promise<boolean>;
}
