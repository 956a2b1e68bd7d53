/**
 * The machine as the kernel sees it: an asynchronous port that runs turns. Behind it are guest threads, or one machine in
 * the same thread, or the simulator's model.
 */
import type { Payload } from "../base/value.ts";
import type { Command, CommandDigest, FatalReason, Input, Pid, ProcessKey, Turn } from "../journal/types.ts";

/** What a process's heap is rebuilt from: image, newest usable snapshot, journal tail. */
export interface LoadRequest {
  readonly snapshot?: { readonly turn: number; readonly body: Uint8Array };
  /** All turns after the snapshot's, or all there are. */
  readonly tail: readonly Turn[];
}

export interface TurnRequest {
  readonly process: ProcessKey;
  readonly pid: Pid;
  readonly program: string;
  /** The turn to run: the one after the process's last. */
  readonly number: number;
  readonly timeMs: number;
  readonly inputs: readonly Input[];
  /** A program without an entry function: it exits when it waits for nothing. */
  readonly script: boolean;
  /** Needed unless the machine holds the process; without it the answer may be `absent`. */
  readonly load?: LoadRequest;
}

export interface Divergence {
  readonly turn: number;
  /** Which command of that turn, from 0. */
  readonly index: number;
  readonly expected: CommandDigest | undefined;
  readonly actual: CommandDigest | undefined;
}

export type TurnOutcome =
  | {
      readonly kind: "done";
      readonly commands: readonly Command[];
      readonly digests: readonly CommandDigest[];
      /** How many of the inputs were delivered: all, or those up to the one that made the process exit. */
      readonly delivered: number;
      /** What rebuilding the process from its last snapshot would cost now, in µs, judged by how long its turns took. */
      readonly replayMicros: number;
    }
  /** The turn did not happen: input number `input` would have ended the process. The inputs before it are to run again. */
  | { readonly kind: "fatal"; readonly input: number; readonly reason: FatalReason; readonly detail: string }
  /** The machine does not hold the process, and the request brought no `load`. */
  | { readonly kind: "absent" }
  /** Nothing happened: the snapshot given cannot be used. */
  | { readonly kind: "damaged-snapshot"; readonly turn: number; readonly detail: string }
  | { readonly kind: "diverged"; readonly divergence: Divergence }
  /** The process cannot be loaded; `detail` says why. It will not get better by itself. */
  | { readonly kind: "broken"; readonly detail: string };

/** A call of a read-only method, to be answered by the heap as it is after a turn. */
export interface QueryRequest {
  /** Tells it from other queries under way. */
  readonly id: number;
  readonly process: ProcessKey;
  readonly pid: Pid;
  readonly program: string;
  /** The process's last turn, and what time it was in it. */
  readonly turn: number;
  readonly timeMs: number;
  readonly script: boolean;
  /** The message that an ordinary call would send, and where the answer to it goes. */
  readonly body: Payload;
  readonly replyTo: string;
  /** Needed unless the machine holds the process; without it the outcome may be `absent`. */
  readonly load?: LoadRequest;
}

export type QueryOutcome =
  /** `body`: as the answer to an ordinary call would be. */
  | { readonly kind: "answered"; readonly body: Payload }
  /** It is for an ordinary call: of no read-only method, or of a server that is in the middle of something. */
  | { readonly kind: "refused"; readonly why: "busy" | "not-read-only" }
  /** The method did what a read-only one must not; `detail` says what. */
  | { readonly kind: "forbidden"; readonly detail: string }
  /** It used up what a turn may use. */
  | { readonly kind: "fatal"; readonly reason: FatalReason; readonly detail: string }
  /** Nothing happened. As for turns; `absent` also if the process was dropped meanwhile. */
  | Extract<TurnOutcome, { kind: "absent" | "damaged-snapshot" | "diverged" | "broken" }>;

export interface TurnResult {
  readonly process: ProcessKey;
  readonly number: number;
  readonly outcome: TurnOutcome;
}

export interface SnapshotResult {
  readonly process: ProcessKey;
  readonly turn: number;
  readonly body: Uint8Array;
  /** What taking it has cost, in µs: a process whose snapshots are dear gets fewer. */
  readonly micros: number;
}

/** What the machine tells its kernel. Every accepted turn gets exactly one result. */
export interface MachineEvents {
  turns(results: readonly TurnResult[]): void;
  snapshots(results: readonly SnapshotResult[]): void;
  /** The machine gave up on itself; the node has to stop. */
  failed(error: Error): void;
}

export interface Machine {
  /** At most one turn per process at a time. Never throws. */
  run(requests: readonly TurnRequest[]): void;
  /**
   * Runs a read-only method on the process's heap between two turns, and leaves the heap as it is, whatever the method does. Never
   * rejects. Not to be asked for while a turn of the process is under way, nor turns before it has ended.
   */
  query(request: QueryRequest): Promise<QueryOutcome>;
  /** Asks for a snapshot of the process as it is now, between turns. No answer if the machine no longer holds it. */
  snapshot(process: ProcessKey): void;
  /** Ends the process's turn, running or waiting to run, as `fatal` with the reason `killed`, unless it ends by itself first. */
  kill(process: ProcessKey): void;
  /**
   * Forgets a process: it has exited, or its uncommitted turns are to be undone. Its running turn, if there is one, ends as
   * by `kill`, and still gets its result.
   */
  drop(process: ProcessKey): void;
  close(): Promise<void>;
}

/** How the machine gets at programs, and at images it built before. */
export interface ProgramSources {
  source(program: string): Promise<{ readonly bundle: string; readonly prelude: string }>;
  /** A cache that may forget: encoded images by key. */
  loadImage(key: string): Promise<Uint8Array | undefined>;
  saveImage(key: string, encoded: Uint8Array): void;
}
