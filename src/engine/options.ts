import type { Duration } from "../base/duration.ts";
import type { ExitReason, LogLevel, Pid } from "../journal/types.ts";
import type { KernelNotice } from "../kernel/ports.ts";
import type { GuestThreadOptions } from "../machine/thread-messages.ts";
import type { FetchPolicy } from "../operations/fetch-policy.ts";
import type { Keep } from "./keep.ts";
import type { NodeView } from "./node-view.ts";

export interface EngineOptions {
  /**
   * Path of the SQLite file; or a `postgres://` URL (docs/postgres.md); or "memory:" for a store that dies with the engine. Default
   * "perdure.db".
   */
  readonly store?: string;
  /** The program's entry file. Without it the engine only goes on with what the store holds. */
  readonly program?: string | URL;
  /**
   * Nothing runs: no process, no operation, no timer. What can be done is looking, and exporting and importing processes. Default false.
   */
  readonly still?: boolean;
  /** Names of environment variables that programs may see as `process.env`, read when a process starts. Default none. */
  readonly env?: readonly string[];
  /** Hears each line of console output once, after it is durable. Default: prints to this process's stdout and stderr. */
  readonly onLog?: (log: LogEntry) => void;
  /** Something waits for a person. Default: prints to stderr. */
  readonly onNotice?: (notice: KernelNotice) => void;
  /** A process has ended, durably. */
  readonly onExit?: (exit: { readonly pid: Pid; readonly reason: ExitReason }) => void;
  /**
   * Default false: if another engine owns the store, `Engine.open` throws STORE_IN_USE, and an engine that loses the store or its
   * database has failed. With true this engine is one of several: it opens and stands by, takes over as soon as the owner is gone, and
   * goes on waiting when it loses the store or cannot reach the database. While it stands by it can be asked for what is in the store, and
   * what it is asked to send goes there; what takes an owner throws NODE_STANDING_BY.
   */
  readonly standby?: boolean;
  /**
   * What this node is called where people see it: in `perdure nodes`, in STORE_IN_USE, in `engine.health()`. 1 to 100 printable characters.
   * Default: the operating system's process id and the host's name, "4711@web-1".
   */
  readonly nodeName?: string;
  /**
   * What this machine is or has, such as `["gpu"]`: processes that need a label run on nodes that have it (docs/placement.md). Default none.
   */
  readonly labels?: readonly string[];
  /** This node has become active, stands by, or has lost the database. Default: prints the latter two to stderr. */
  readonly onNode?: (node: NodeView) => void;
  /** The engine has stopped by itself: the disk is full, the store failed. Default: prints to stderr. */
  readonly onFailure?: (error: Error) => void;
  /** Attempts of operations that may run at once. Default 100. */
  readonly operationConcurrency?: number;
  /** Where the program's `fetch` may go, and with what. Default anywhere, private networks included; once given, nowhere it does not name. */
  readonly fetchPolicy?: FetchPolicy;
  /**
   * What is kept of finished processes. Default "forever". They are pruned with their journals and logs, a little at a time; what
   * lives is never touched. A duration counts from the end.
   */
  readonly keep?: Keep;
  /**
   * How long after its end the tombstone of a pruned process is kept: as long, a repeated `start` by its id finds it. Default
   * "forever".
   */
  readonly tombstones?: Duration;
  /**
   * How long what was asked under a key of the caller's own is remembered: as long, asking again does nothing again. A duration since it
   * was asked first, or "forever", the default. A call that is still to be answered is remembered as long as its process lives.
   */
  readonly keys?: Duration;
  /** A folder where processes are written before they are pruned; one that cannot be written is not pruned. Default none. */
  readonly archive?: string;
  /** Threads that run guests. Default 1. */
  readonly guestThreads?: number;
  /** Fuel for a turn, memory and stack of a process, memory of the pool. */
  readonly limits?: GuestThreadOptions;
  /** How long `close` waits for running operations. Default 5,000 ms. */
  readonly closeTimeoutMs?: number;
}

export interface StartOptions {
  /** The process's pid: 1 to 200 printable characters. The same id always gives the same process. Default: a new one. */
  readonly id?: Pid;
  /** What it is and what it is called, for people: `perdure tree` shows them. A supervisor's children have them by themselves. */
  readonly role?: "server" | "supervisor" | "task";
  readonly label?: string;
  /** The label that a node must have to run it, and all it starts: it waits for such a node. Default: any node will do. */
  readonly needs?: string;
}

export interface LogEntry {
  readonly pid: Pid;
  readonly level: LogLevel;
  readonly text: string;
  readonly atMs: number;
}
