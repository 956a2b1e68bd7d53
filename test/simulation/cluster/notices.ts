/** Whether an end reaches everyone who was tied to it, once. */
import type { Input } from "../../../src/journal/types.ts";
import type { End, Moment, PairAccount, PairBook } from "./account.ts";

export function checkNotices(ledger: PairBook, moment: Moment, { pid, exit, links, watchers }: End): void {
  const isRestored = ledger.account(pid)?.restored === true;
  for (const key of links) {
    const account = ledger.of(key);
    if (account === undefined || !isThere(account) || isRestored) continue;
    const isNotice = (input: Input): boolean =>
      input.kind === "exit" && input.from === pid && input.linked && input.held === "" && input.reason === exit.reason;
    // Who does not trap exits takes no notice of a normal one.
    const isHeedless = exit.reason === "normal" && !trapsAlways(moment, account);
    const isCut = moment.commands.get(account.pid)?.some((command) => command.kind === "unlink" && command.to === pid);
    check(ledger, moment, account, isNotice, { what: `the exit of ${pid}`, mayMiss: isHeedless || isCut === true });
  }
  for (const { watcher, number } of watchers) {
    const account = ledger.of(watcher);
    if (account === undefined || !isThere(account) || isRestored) continue;
    const isNotice = (input: Input): boolean => input.kind === "down" && input.monitor === number;
    const gaveUp = moment.commands
      .get(account.pid)
      ?.some((command) => command.kind === "demonitor" && command.monitor === number);
    check(ledger, moment, account, isNotice, { what: `the end of ${pid} (${number})`, mayMiss: gaveUp === true });
  }
}

function isThere({ record, restored }: PairAccount): boolean {
  return record.row.state !== "exited" && !restored;
}

function trapsAlways({ batch }: Moment, { key, record }: PairAccount): boolean {
  return record.row.trapsExits && batch.traps?.some(({ process }) => process === key) !== true;
}

function check(
  ledger: PairBook,
  { taken, before, commands }: Moment,
  { key, pid }: PairAccount,
  isNotice: (input: Input) => boolean,
  { what, mayMiss }: { readonly what: string; readonly mayMiss: boolean },
): void {
  const rows = ledger.inboxOf(key).filter(({ seq }) => !before.has(seq));
  const inputs = [...rows.map(({ input }) => input), ...(taken.get(key) ?? [])];
  const times = inputs.filter(isNotice).length;
  // A link to one that is no more tells of an end as well.
  const isLinkedAnew = commands.get(pid)?.some(({ kind }) => kind === "link") === true;
  if (times > 1 && !isLinkedAnew) ledger.complain(`${pid} is told ${times} times of ${what}`);
  if (times === 0 && !mayMiss) ledger.complain(`${pid} is not told of ${what}, to which it was tied`);
}
