/** What `archive` and `prune` take of finished processes: their options as a policy, and what falls under it. */
import { durationMs } from "../base/duration.ts";
import type { Duration } from "../base/duration.ts";
import { keepPolicy } from "../engine/keep.ts";
import { isDue, latestDueMs } from "../kernel/keep.ts";
import type { KeepPolicy } from "../kernel/keep.ts";
import type { FinishedRow, StoreReader } from "../store/port.ts";

export interface KeepOptions {
  readonly olderThan?: Duration;
  readonly failures?: Duration;
  readonly keep?: number;
}

/** Undefined if no option says what is to go. Throws DURATION_INVALID. */
export function policyOf({ olderThan, failures, keep }: KeepOptions): KeepPolicy | undefined {
  if (olderThan === undefined && failures === undefined && keep === undefined) return undefined;
  return keepPolicy({
    keep: {
      ...(olderThan === undefined ? {} : { age: olderThan }),
      ...(failures === undefined ? {} : { failures }),
      ...(keep === undefined ? {} : { count: keep }),
    },
  });
}

/** Checks a duration where it is given, so that the message is about it and nothing has been done. */
export function aDuration(text: string): Duration {
  durationMs(text);
  return text;
}

const pageRows = 500;

/** Finished processes that a policy does not keep, in the order of their ends. */
export async function* dueProcesses(
  reader: StoreReader,
  policy: KeepPolicy,
  nowMs: number,
): AsyncGenerator<FinishedRow> {
  const beyond = policy.count < Infinity ? await reader.finishedBeyond(policy.count) : undefined;
  for (let after: FinishedRow | undefined; ;) {
    const rows = await reader.finished(after, latestDueMs(policy, beyond, nowMs), pageRows);
    for (const row of rows) if (isDue(row, policy, beyond, nowMs)) yield row;
    after = rows.at(-1);
    if (rows.length < pageRows) return;
  }
}
