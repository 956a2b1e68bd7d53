/** Whether a commit leaves behind what the commands of its turns ask for. */
import type { Command, Input, Pid } from "../../../src/journal/types.ts";
import type { Moment, PairAccount, PairBook } from "./account.ts";

/** `ranAtMs`: when the turn ran. Who was born after that it may have missed. */
export function checkCommand(
  ledger: PairBook,
  moment: Moment,
  account: PairAccount,
  command: Command,
  ranAtMs: number,
): void {
  switch (command.kind) {
    case "send":
      return expect(ledger, moment, { to: command.to, ranAtMs, what: `a message of ${account.pid}` }, (input) => {
        return input.kind === "message" && input.from === account.pid && input.body.text === command.body.text;
      });
    case "signal": {
      const { to, reason, value } = command;
      if (reason === "normal" || to === account.pid) return undefined;
      return expect(ledger, moment, { to, ranAtMs, what: `a signal of ${account.pid}` }, (input) =>
        reason === "kill"
          ? input.kind === "fatal"
          : input.kind === "exit" && !input.linked && input.from === account.pid && input.value.text === value.text,
      );
    }
    case "cancel": {
      const { to, reason } = command;
      if (to === "") return undefined;
      return expect(ledger, moment, { to, ranAtMs, what: `a cancel of ${account.pid}` }, (input) => {
        return input.kind === "cancel" && input.reason === reason;
      });
    }
    case "spawn":
      if (ledger.account(command.pid) === undefined) ledger.complain(`${command.pid} was spawned, and is not there`);
      return undefined;
    case "link":
      return checkLink(ledger, moment, account, command.to);
    case "unlink":
      return checkUnlink(ledger, moment, account, command.to);
    case "monitor":
      return checkMonitor(ledger, moment, account, command);
    case "demonitor":
      if (account.record.relations.monitors.has(command.monitor))
        ledger.complain(`${account.pid} has taken back monitor ${command.monitor}, and has it`);
      return undefined;
    default:
      return undefined;
  }
}

interface Expected {
  readonly to: Pid;
  readonly ranAtMs: number;
  readonly what: string;
}

/** What is sent to somebody who was there lies in the inbox, or was taken with the same commit. */
function expect(
  ledger: PairBook,
  { before, alive, taken, batch }: Moment,
  { to, ranAtMs, what }: Expected,
  isIt: (input: Input) => boolean,
): void {
  const target = ledger.account(to);
  const isThere = target !== undefined && (alive.has(to) || target.turns === 0) && target.record.row.state !== "exited";
  if (!isThere || (target.bornAtMs >= ranAtMs && alive.has(to)) || target.restored) return;
  const rows = ledger.inboxOf(target.key).filter(({ seq }) => !before.has(seq));
  const aside = (batch.deadLetters ?? []).filter(({ process }) => process === target.key);
  const inputs = [...rows, ...aside].map(({ input }) => input).concat(taken.get(target.key) ?? []);
  if (!inputs.some(isIt)) ledger.complain(`${what} to ${to} is lost`);
}

function isAlive(account: PairAccount | undefined): account is PairAccount {
  return account !== undefined && account.record.row.state !== "exited" && !account.restored;
}

/** What either of them says of the link in the same commit; the last word counts, and which was last nobody can tell. */
function isDisputed({ commands }: Moment, a: Pid, b: Pid, kinds: readonly Command["kind"][]): boolean {
  const says = (pid: Pid, other: Pid): boolean =>
    commands
      .get(pid)
      ?.some(
        (command) => kinds.includes(command.kind) && "to" in command && (command.to === other || command.to === ""),
      ) === true;
  return says(a, b) || says(b, a);
}

function checkLink(ledger: PairBook, moment: Moment, account: PairAccount, to: Pid): void {
  const peer = ledger.account(to);
  if (!isAlive(account) || !isAlive(peer) || peer === account) return;
  if (account.record.relations.links.has(peer.key) || isDisputed(moment, account.pid, to, ["unlink", "cancel"])) return;
  const isTold = (input: Input): boolean => input.kind === "exit" && input.linked && input.from === to;
  const inputs = [...(moment.taken.get(account.key) ?? []), ...ledger.inboxOf(account.key).map(({ input }) => input)];
  // When it looked, the other one was not there.
  if (!inputs.some(isTold)) ledger.complain(`${account.pid} has linked itself to ${to}, and is not linked to it`);
}

function checkUnlink(ledger: PairBook, moment: Moment, account: PairAccount, to: Pid): void {
  const peer = ledger.account(to);
  if (!isAlive(account) || peer === undefined || isDisputed(moment, account.pid, to, ["link"])) return;
  // Put back to when they were linked, in the same commit, the other one ties itself again.
  const isPutBack = moment.batch.restores?.some(({ process }) => process === peer.key) === true;
  if (account.record.relations.links.has(peer.key) && !isPutBack)
    ledger.complain(`${account.pid} has cut its link with ${to}, and has it`);
  const left = ledger.inboxOf(account.key).find(({ input, tie }) => input.kind === "exit" && tie === peer.key);
  if (left !== undefined) ledger.complain(`${account.pid} has cut its link with ${to}, and its end waits in the inbox`);
}

function checkMonitor(
  ledger: PairBook,
  moment: Moment,
  account: PairAccount,
  { number, to }: Extract<Command, { kind: "monitor" }>,
): void {
  if (!isAlive(account) || account.record.relations.monitors.has(number)) return;
  if (moment.commands.get(account.pid)?.some((one) => one.kind === "demonitor" && one.monitor === number) === true)
    return;
  const inputs = [...(moment.taken.get(account.key) ?? []), ...ledger.inboxOf(account.key).map(({ input }) => input)];
  const isTold = inputs.some((input) => input.kind === "down" && input.monitor === number);
  if (!isTold)
    ledger.complain(`${account.pid} watches ${to} as ${number}, and neither has a monitor nor is told of an end`);
}
