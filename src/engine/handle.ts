import type { Pid } from "../journal/types.ts";
import type { HistoryOptions, ProcessDetails, TurnView } from "./views.ts";

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
  /** Puts a message in the process's mailbox. Resolves when it is durable. Throws PROCESS_EXITED. */
  send(message: unknown): Promise<void>;
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
}
