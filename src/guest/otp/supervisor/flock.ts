import type { Pid } from "../../pid.ts";
import type { Crashed } from "../../signals.ts";
import type { Retry } from "../requests.ts";

/** Why a supervisor must end. */
export interface Ending {
  readonly reason: unknown;
}

/** It gave up, or its significant children are done. */
export const shutdown: Ending = { reason: "shutdown" };

/** All the children of a supervisor: a list, or a pool. Each of these is done before the next begins. */
export interface Flock {
  /** At the supervisor's start. What has started when a child fails is stopped again. */
  start(): Promise<Ending | undefined>;
  /** A process ended that may be a child. */
  exited(pid: Pid, reason: unknown): Promise<Ending | undefined>;
  crashed(item: Crashed): Promise<void>;
  retry(item: Retry): Promise<Ending | undefined>;
  /** A management call. Undefined for a method there is not. */
  answer(method: unknown, args: readonly unknown[]): Promise<unknown> | undefined;
  /** Stops all children. */
  stop(): Promise<void>;
}
