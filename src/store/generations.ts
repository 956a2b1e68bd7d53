/** Pids that follow each other: `x`, `x~2`, `x~3` … They are found by counting, so none of them may be forgotten before its next. */
import type { Pid } from "../journal/types.ts";

export function nextGeneration(pid: Pid): Pid {
  const [, name = pid, number = "1"] = /^(.*)~(\d{1,15})$/.exec(pid) ?? [];
  return `${name}~${Number(number) + 1}`;
}
