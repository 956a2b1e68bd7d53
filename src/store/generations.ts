/** Pids that follow each other: `x`, `x~2`, `x~3` … They are found by counting, so none of them may be forgotten before its next. */
import type { Pid } from "../journal/types.ts";

export function nextGeneration(pid: Pid): Pid {
  const [, name = pid, number = "1"] = /^(.*)~(\d{1,15})$/.exec(pid) ?? [];
  return `${name}~${Number(number) + 1}`;
}

/** Undefined for the first. */
export function previousGeneration(pid: Pid): Pid | undefined {
  const [, name = pid, number = "1"] = /^(.*)~(\d{1,15})$/.exec(pid) ?? [];
  if (Number(number) < 2) return undefined;
  return number === "2" ? name : `${name}~${Number(number) - 1}`;
}
