/** Whether the store says of a process what the rules say: its ties, its names, what waits for it. */
import type { InboxRow, ProcessKey } from "../../../src/store/port.ts";
import type { ProcessRecord } from "../../../src/store/memory/disk.ts";
import type { WatchedDisk } from "../watched-disk.ts";
import { describe, isWord, subtract } from "./reference.ts";
import type { Counts, Member, Reference } from "./reference.ts";

/** What is needed of the ledger. */
interface TreeLedger {
  readonly reference: Reference;
  inboxOf(key: ProcessKey): readonly InboxRow[];
  complain(problem: string): void;
}

interface Account {
  readonly key: ProcessKey;
  readonly pid: string;
  readonly member: Member;
}

export function compare(ledger: TreeLedger, disk: WatchedDisk, account: Account): void {
  const { member, key, pid } = account;
  const record = disk.record(key);
  const complain = (problem: string): void => ledger.complain(`${pid} ${problem}`);
  if (record.row.state === "exited") {
    if (member.alive) complain("is exited, and nothing in its journal says so");
    const left = leftovers(ledger, disk, record, key);
    if (left !== "") complain(`has exited and left ${left}`);
    return;
  }
  if (!member.alive) return complain("has come to its end and is not exited");
  const pidOf = (other: ProcessKey): string => disk.record(other).row.pid;
  const { relations } = record;
  const check = (what: string, stored: Iterable<string | number>, expected: Iterable<string | number>): void => {
    const [a, b] = [[...stored].map(String).sort().join(", "), [...expected].map(String).sort().join(", ")];
    if (a !== b) complain(`has ${what} [${a}] in the store, and should have [${b}]`);
  };
  check("links", [...relations.links].map(pidOf), member.links);
  check(
    "monitors",
    [...relations.monitors.values()].map(({ number, target }) => `${number} on ${pidOf(target)}`),
    [...member.monitors].map(([number, target]) => `${number} on ${target}`),
  );
  check(
    "watchers",
    [...relations.watchers].map(({ watcher, number }) => `${pidOf(watcher)} ${number}`),
    member.watchers.keys(),
  );
  const { names, groups } = ledger.reference;
  check(
    "names",
    relations.names,
    [...names].flatMap(([name, holder]) => (holder === pid ? [name] : [])),
  );
  check(
    "groups",
    relations.groups,
    [...groups].flatMap(([group, pids]) => (pids.has(pid) ? [group] : [])),
  );
  check("timers", record.timers.keys(), member.timers);
  if (record.row.trapsExits !== member.traps) complain(`traps exits by the store: ${record.row.trapsExits}`);
  checkInbox(ledger, account, record, complain);
}

function leftovers(ledger: TreeLedger, disk: WatchedDisk, record: ProcessRecord, key: ProcessKey): string {
  const { operations, timers, snapshots, relations, checkpoint } = record;
  const { links, monitors, watchers, names, groups } = relations;
  const left: Readonly<Record<string, number>> = {
    operations: operations.size,
    timers: timers.size,
    snapshots: snapshots.length,
    links: links.size,
    monitors: monitors.size,
    watchers: watchers.size,
    names: names.size + [...disk.names.values()].filter((holder) => holder === key).length,
    groups: groups.size,
    inputs: ledger.inboxOf(key).length,
    checkpoint: checkpoint === undefined ? 0 : 1,
  };
  return Object.keys(left)
    .filter((what) => left[what] !== 0)
    .join(", ");
}

/** Everything it is owed waits in its inbox, and nothing else of its peers. */
function checkInbox(
  ledger: TreeLedger,
  { key, member }: Account,
  { operations }: ProcessRecord,
  complain: (problem: string) => void,
): void {
  const owed: Counts = new Map(member.due);
  const optional: Counts = new Map(member.optional);
  const settled = new Set<number>();
  for (const { input } of ledger.inboxOf(key)) {
    const name = describe(input);
    if (input.kind === "result" && member.operations.has(input.operation)) settled.add(input.operation);
    else if (isPeers(input.kind, name) && !subtract(owed, name) && !subtract(optional, name)) {
      if (!member.stale.has(name) && !isWord(member, input))
        complain(`has ${name} in its inbox, which nobody sent, or twice`);
    }
  }
  for (const name of owed.keys()) {
    if (isDropped(member, name)) member.due.delete(name);
    else if (!member.released) complain(`has lost ${name}`);
  }
  for (const number of member.operations)
    if (operations.has(number) === settled.has(number))
      complain(`waits for operation ${number}, which ${settled.has(number) ? "has a row and a result" : "has no row"}`);
  for (const number of operations.keys())
    if (!member.operations.has(number)) complain(`has a row of operation ${number}, and does not wait for it`);
}

function isPeers(kind: string, name: string): boolean {
  return kind === "result" || kind === "exit" || kind === "down" || /^(?:message|cancel) of/.test(name);
}

/** Who traps no exits takes no notice of a normal one, nor of those it would be asked about. */
function isDropped({ wasHeedless }: Member, name: string): boolean {
  return wasHeedless && (/^(?:linked )?exit of [^:]*: normal /.test(name) || /^linked exit of .* [a-z]+$/.test(name));
}
