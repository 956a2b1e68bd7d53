import type { Pid } from "../journal/types.ts";
import type { Moved } from "./moving.ts";
import type { HistoryOptions, ProcessDetails, TurnView } from "./views.ts";

export interface SendOptions {
  /** Names this request: 1 to 200 printable characters, the caller's own, such as an order's number. Keys are the receiver's: two processes may be sent different messages under one. Default: none, and every call sends. */
  readonly key?: string;
}

/** A process, by its pid. A handle holds nothing: any number of them may refer to one process, in any number of nodes. */
export interface ProcessHandle<Result = unknown> {
  readonly pid: Pid;
  /** False if `start` found the process that was started with this id before. */
  readonly created: boolean;
  /**
   * What the entry returned, as soon as that is durable. Rejects with PROCESS_FAILED (`cause` is the program's own error, its
   * stack in terms of the source files), PROCESS_CANCELLED or PROCESS_KILLED; PROCESS_DIVERGED or PROCESS_BROKEN if the process
   * cannot go on; ENGINE_CLOSED if the engine is closed before the end.
   */
  result(): Promise<Result>;
  /**
   * Puts a message in the process's mailbox. Resolves when it is durable. Throws PROCESS_EXITED. With a `key` it is sent once,
   * however often it is asked for: also after a crash of this program or of the node, and also if the process has exited since. Throws
   * KEY_CONFLICT if the process was sent another message under that key.
   */
  send(message: unknown, options?: SendOptions): Promise<void>;
  /** Where the process is, and what it waits for. */
  status(): Promise<ProcessDetails>;
  /** The process's turns: what came in, what went out. */
  history(options?: HistoryOptions): Promise<TurnView[]>;
  /** Asks the process to wind up: its AbortSignal fires, pending waits reject with CancelledError, cleanup may run. */
  cancel(reason?: string): Promise<void>;
  /**
   * Tells the process to end in good order, as its supervisor would: one that traps exits, such as a supervisor or a server with
   * `terminate`, does its last work first; any other ends at once, with the reason `shutdown`.
   */
  shutdown(): Promise<void>;
  /** Ends the process at once. No `finally` of it runs. */
  kill(): Promise<void>;
  /** Stops its turns until `resume`; what reaches it waits. False if it has been stopped so before, or waits for its supervisor. */
  pause(): Promise<boolean>;
  /** Lets it go on after `pause`. False if it was not paused. */
  resume(): Promise<boolean>;
  /**
   * Moves the process to another node, by that one's name or id (`perdure nodes`), between two turns: its timers, links, monitors, mailbox
   * and operations go with it, and nobody notices. Operations that run are given time to end first. Resolves when it goes on there. Throws
   * NODE_NOT_FOUND, NODE_UNFIT, MOVE_TIMEOUT, PROCESS_EXITED, PROCESS_NOT_FOUND.
   */
  move(node: string): Promise<Moved>;
}
