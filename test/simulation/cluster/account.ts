/** What the ledger of pairs keeps of processes, and of the commit at hand. */
import type { Command, Input, Pid, Turn } from "../../../src/journal/types.ts";
import type { ProcessRecord } from "../../../src/store/memory/disk.ts";
import type { CommitBatch, InboxRow, ProcessExit, ProcessKey } from "../../../src/store/port.ts";
import type { TreeProcess } from "../trees/process.ts";
import type { Counts } from "../trees/reference.ts";

/** A process as the journal has it. */
export interface PairAccount {
  readonly key: ProcessKey;
  readonly pid: Pid;
  readonly parent: Pid;
  readonly record: ProcessRecord;
  readonly bornAtMs: number;
  process: TreeProcess;
  turns: number;
  timeMs: number;
  /** The turns that lead to its heap. */
  heap: readonly Turn[];
  checkpoint: { readonly snapshot: Uint8Array; readonly heap: readonly Turn[] } | undefined;
  /** Messages from outside that it was given. */
  readonly outside: Set<number>;
  /** Ends of others that it may hear of. */
  readonly granted: Counts;
  /** It was put back once, and with it its ties: what it hears after that is not counted. */
  restored: boolean;
}

/** What there was before the commit at hand, and what it brings. */
export interface Moment {
  readonly batch: CommitBatch;
  readonly before: ReadonlyMap<number, InboxRow>;
  readonly alive: ReadonlySet<Pid>;
  /** By process: what its turns of this commit took. */
  readonly taken: ReadonlyMap<ProcessKey, readonly Input[]>;
  readonly commands: ReadonlyMap<Pid, readonly Command[]>;
}

/** An exit, and who was tied to the process by rows when it was committed. */
export interface End {
  readonly key: ProcessKey;
  readonly pid: Pid;
  readonly exit: ProcessExit;
  readonly links: readonly ProcessKey[];
  readonly watchers: readonly { readonly watcher: ProcessKey; readonly number: number }[];
}

/** What the checks of one commit ask of the ledger. */
export interface PairBook {
  account(pid: Pid): PairAccount | undefined;
  of(key: ProcessKey): PairAccount | undefined;
  inboxOf(key: ProcessKey): InboxRow[];
  complain(problem: string): void;
}
