/** What the kernel asks of the layers beside and above it. The simulator gives it others. */
import type { Payload } from "../base/value.ts";
import type { LogLevel, Pid } from "../journal/types.ts";
import type { ProcessExit, ProcessKey } from "../store/port.ts";

export interface StartRequest {
  readonly pid: Pid;
  readonly program: string;
  readonly entry: string;
  readonly args: Payload;
  /** SHA-256 of entry and arguments, hex. */
  readonly argsDigest: string;
  readonly env: Readonly<Record<string, string>>;
  /** `supervisor`, `server`, …, and a keyed server's key: for people. */
  readonly role?: string;
  readonly label?: string;
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
  /** An earlier attempt's start was on record when its node died: whether it happened is unknown. */
  readonly interrupted: boolean;
}

/** What a runner says of an attempt. The first one that is not `begin` ends it. */
export type OperationReport =
  /** Asks that the start be put on record before anything happens outside; the kernel answers by `proceed(token)`. */
  | { readonly token: string; readonly kind: "begin" }
  | { readonly token: string; readonly kind: "done"; readonly ok: boolean; readonly value: Payload }
  /** The attempt failed and another one shall start after `delayMs`. `error` is for people. */
  | { readonly token: string; readonly kind: "retry"; readonly delayMs: number; readonly error: string }
  /** The deployment offers no such host function. */
  | { readonly token: string; readonly kind: "unavailable"; readonly error: string };

export interface OperationRunner {
  /** Never throws; reports through the callback the kernel gave, possibly before it returns. */
  start(requests: readonly OperationRequest[]): void;
  /** Answers `begin`: the start is on record. */
  proceed(token: string): void;
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
  /** Something waits for a person: a broken process, an operation that is unavailable or quarantined. */
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
  readonly kind: "broken" | "operation-unavailable" | "operation-quarantined" | "snapshot-damaged";
  readonly pid: Pid;
  readonly message: string;
}
