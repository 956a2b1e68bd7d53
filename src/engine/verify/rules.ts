/** What holds in every store, by name. `docs/verifying.md` lists the same. */
import type { StoreRule } from "../../store/port.ts";

export type Rule =
  | StoreRule
  | "journal-time"
  | "journal-start"
  | "journal-result"
  | "journal-end"
  | "row"
  | "state"
  | "broken"
  | "exit"
  | "operation"
  | "timer"
  | "inbox"
  | "checkpoint"
  | "restore"
  | "snapshot"
  | "program"
  | "replay";

export const rules: Readonly<Record<Rule, string>> = {
  file: "the database file is whole, and its indices agree with its tables",
  "journal-index": "the turns found by index are those that lie in the table",
  "journal-row": "every turn lies in the journal as it was written",
  "journal-gap": "the turns of a process count from 1 without gaps",
  "journal-time": "time does not go back from turn to turn",
  "journal-start": "the first turn begins with the process's start, or ends the process; no other has a start",
  "journal-result": "a turn takes results of operations that were begun, and timers that were set",
  "journal-end": "after the turn that ends a process comes none",
  row: "every row reads as it was written: its checksum fits, and it holds what may stand there",
  owner: "every row belongs to a process there is",
  leftover: "what an exited process had is gone",
  state: "a process's state, life, exit and parent go together",
  broken: "no process waits for a person because it could not go on",
  exit: "how a process ended is what its last turn said",
  operation: "the pending operations are those that the journal says were begun and have no outcome",
  timer: "the timers are those that the journal says were set, and have not fired",
  inbox: "a waiting result is that of an operation that was begun",
  checkpoint: "a checkpoint is that of the last turn that took one, and reads",
  restore: "a new life begins where the journal says so",
  snapshot: "a snapshot is of a turn there is, reads, and is the heap that replay comes to",
  program: "a process's program, and all that the program consists of, is in the store",
  tombstone: "what is left of a pruned process reads as it was written",
  blob: "a blob is what its hash says",
  replay: "replaying a process gives the commands that its journal holds",
};

export interface Finding {
  readonly rule: Rule;
  /** "" where it is the store's as a whole. */
  readonly pid: string;
  /** A sentence without its full stop. */
  readonly detail: string;
}

export type Report = (rule: Rule, detail: string) => void;
