import type { Pid } from "../../pid.ts";
import type { CheckedChild } from "./check.ts";

/** A child, as its supervisor keeps it. */
export interface Child {
  readonly spec: CheckedChild;
  /** Its process, also one that is dead but whose end has not been handled. Of a pool's child: the last it had. */
  pid: Pid | undefined;
  /** A restart of it did not work, or is being delayed: it will be tried (again). */
  restarting: boolean;
  /** The wait that the next try is at the end of; undefined: it waits for its turn in the mailbox only. */
  delay: number | undefined;
  /** How often its process was replaced. */
  restarts: number;
  /** Restarts in a row, as far as waits between them are concerned, and when the last of them was. */
  inARow: number;
  restartedAtMs: number;
  /** Rungs of the ladder used lately. */
  rungs: { previous: number; checkpoint: number };
}

export function newChild(spec: CheckedChild, pid: Pid | undefined): Child {
  return {
    spec,
    pid,
    restarting: false,
    delay: undefined,
    restarts: 0,
    inARow: 0,
    restartedAtMs: 0,
    rungs: { previous: 0, checkpoint: 0 },
  };
}
