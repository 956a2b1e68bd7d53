/** Pids of roots: `root`, and when that has ended, `root~2`. */
import type { Pid } from "../journal/types.ts";

export const defaultRootId: Pid = "root";

export function rootPid(id: Pid, generation: number): Pid {
  return generation === 1 ? id : `${id}~${generation}`;
}

/** What was given as the root's id, for any pid of the chain. */
export function rootIdOf(pid: Pid): Pid {
  return pid.replace(/~\d+$/, "");
}
