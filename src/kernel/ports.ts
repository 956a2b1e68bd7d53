/** What the kernel asks of the layers beside and above it. The simulator gives it others. */
import type { Payload } from "../base/value.ts";
import type { LogLevel, Pid } from "../journal/types.ts";
import type { ProcessExit, ProcessKey } from "../store/port.ts";

export interface StartRequest {
  readonly pid: Pid;
  /** Drawn by chance for this very call: no other process can have it. Default false. */
  readonly isNew?: boolean;
  readonly program: string;
  readonly entry: string;
  readonly args: Payload;
  /** SHA-256 of entry and arguments, hex. */
  readonly argsDigest: string;
  readonly env: Readonly<Record<string, string>>;
  /** `supervisor`, `server`, …, and a keyed server's key: for people. */
  readonly role?: string;
  readonly label?: string;
  /** The label that its node must have. Default "": any node will do. */
  readonly needs?: string;
}

/** One attempt of one operation, handed to whoever runs host code. */
export interface OperationRequest {
  /** Names this attempt. Everything the runner says about it carries the token; what carries an older one is ignored. */
  readonly token: string;
  readonly process: ProcessKey;
  readonly pid: Pid;
  /** Hash of the calling process's program. */
  readonly program: string;
  readonly number: number;
  /** `path#export`, an explicit name, or `perdure:…` for built-in ones. */
  readonly name: string;
  /** JSON text for built-in operations, else "". */
  readonly options: string;
  readonly args: Payload;
  /** From 1. Attempts that ended with their node do not count. */
  readonly attempt: number;
  /** The same on every attempt: derived from pid, number and the digest of name and arguments. */
  readonly idempotencyKey: string;
  /** It was running at a node's death before: whatever its mode, it must ask for its start to be recorded (`begin`). */
  readonly watched: boolean;
  readonly doubt: Doubt;
}

/**
 * What the record says of earlier starts of an operation.
 * - `"none"`: nothing was begun that could have had an effect.
 * - `"fresh"`: a start is on record, and nobody knows what became of it. Calls it made may even be under way.
 * - `"rested"`: the same, but since then a wait has passed that a runner asked for by `doubtMs`.
 */
export type Doubt = "none" | "fresh" | "rested";

/** What a runner says of an attempt. The first one that is neither `begin` nor `enter` ends it. */
export type OperationReport =
  /** Asks that the start be put on record before anything happens outside; the kernel answers by `proceed(token)`. */
  | { readonly token: string; readonly kind: "begin" }
  /** Its turn has come and it is transactional: it asks to be part of a transaction; the kernel answers by `transact`. */
  | { readonly token: string; readonly kind: "enter" }
  /** `seq`: the result is durable already, as this row of the inbox, and the operation's own row is gone. */
  | {
      readonly token: string;
      readonly kind: "done";
      readonly ok: boolean;
      readonly value: Payload;
      readonly seq?: number;
    }
  /** It was to be part of a transaction, and the operation has no row in the store. */
  | { readonly token: string; readonly kind: "gone" }
  /** The loan of this token is over. All that came of it has been reported before. */
  | { readonly token: string; readonly kind: "returned" }
  /**
   * The attempt failed and another one shall start after `delayMs`. `error` is for people. Without `doubtMs` it is certain that
   * this one had no effect that matters. With it the start stays on record, and the next attempt comes no sooner than
   * `doubtMs` after that start.
   */
  | {
      readonly token: string;
      readonly kind: "retry";
      readonly delayMs: number;
      readonly error: string;
      readonly doubtMs?: number;
    }
  /** This attempt cannot go on before `doubtMs` have passed since the start on record. It will be dispatched again, `"rested"`. */
  | { readonly token: string; readonly kind: "rest"; readonly doubtMs: number }
  /** The deployment offers no such host function. */
  | { readonly token: string; readonly kind: "unavailable"; readonly error: string };

/**
 * The store is the runner's for one transaction: the kernel writes nothing before it is `returned`. Where several nodes own the store there
 * may be many at a time, and the kernel goes on writing.
 */
export interface Loan {
  readonly token: string;
  /** Of the lease. The transaction is void if it is not in force any more. */
  readonly incarnation: number;
  /** Tokens of the attempts that have asked to `enter`. */
  readonly attempts: readonly string[];
}

export interface OperationRunner {
  /** Never throws; reports through the callback the kernel gave, possibly before it returns. */
  start(requests: readonly OperationRequest[]): void;
  /** Answers `begin`: the start is on record. */
  proceed(token: string): void;
  /**
   * Answers `enter`: all of these attempts run in one transaction. Those the runner does not know any more are left out. It must
   * report that the loan is `returned`, whatever happens.
   */
  transact(loan: Loan): void;
  /** Nobody waits for this attempt any more: its AbortSignal fires, its report is ignored. */
  abort(token: string): void;
}

/** What the kernel tells the layer above, always after the commit that makes it true. */
export interface KernelEvents {
  /** Console output, in the order it was committed. */
  logs(logs: readonly KernelLog[]): void;
  /** Somebody outside was sent a message: `to` begins with "@". */
  answered(answer: { readonly to: string; readonly from: Pid; readonly body: Payload }): void;
  exited(exits: readonly { readonly pid: Pid; readonly exit: ProcessExit }[]): void;
  /** The process has come from another node, having stood still for so long (ms), as far as the clocks of both agree. */
  arrived?(pid: Pid, stoodStillMs: number): void;
  /** The process is another node's from now on: nothing more is heard of it here. */
  left?(pid: Pid): void;
  /** It was exported. */
  departed(pid: Pid): void;
  /** Something waits for a person: a broken process, one of another release, an operation that is unavailable or quarantined. */
  notice(notice: KernelNotice): void;
  /** The kernel has stopped: the store failed, or the lease is lost. Everything committed is safe. */
  failed(error: Error): void;
}

export interface KernelLog {
  readonly pid: Pid;
  readonly program: string;
  readonly level: LogLevel;
  readonly text: string;
  readonly atMs: number;
}

export interface KernelNotice {
  readonly kind:
    | "broken"
    | "operation-unavailable"
    | "operation-quarantined"
    | "snapshot-damaged"
    | "not-pruned"
    | "left-alone"
    /** A process file that a command has handed over. */
    | "import-waits"
    /** No node that is there may run it, nor others like it. */
    | "waits-for-node";
  /** "" for what is about no process that is still there. */
  readonly pid: Pid;
  readonly message: string;
}
