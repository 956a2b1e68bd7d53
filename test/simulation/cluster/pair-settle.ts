/** What is still owed to the processes of trees in a cluster when everything is calm. */
import type { WatchedDisk } from "../watched-disk.ts";
import type { Outside } from "../outside.ts";
import type { Workplace } from "../settle.ts";
import type { Timeline } from "../timeline.ts";
import type { TreeCallers } from "../trees/callers.ts";
import type { PairAccount } from "./account.ts";
import type { PairLedger } from "./pairs.ts";

export interface PairSettleWorld {
  readonly ledger: PairLedger;
  readonly outside: Outside;
  readonly callers: TreeCallers;
  readonly timeline: Timeline;
  readonly disk: WatchedDisk;
}

/** Gives on the way what only the outside can give: whoever is paused may go on, and so may what killed nodes. */
export class PairSettlement {
  readonly #world: PairSettleWorld;
  readonly debts: string[] = [];
  nextTimerMs: number = Infinity;
  #others = 0;

  constructor(world: PairSettleWorld, node: Workplace) {
    this.#world = world;
    if (!world.callers.isIdle) this.#owe("callers are not done");
    if (node.machine.busy) this.#owe("a turn is running");
    for (const { request } of node.host.pending)
      this.#owe(`operation ${request.number} of ${request.pid} has not ended`);
    for (const account of world.ledger.accounts) if (account.record.row.state !== "exited") this.#account(account);
  }

  get isOnlyTimers(): boolean {
    return this.debts.length > 0 && this.#others === 0;
  }

  #owe(what: string): void {
    this.debts.push(what);
    this.#others++;
  }

  #account(account: PairAccount): void {
    const { ledger, callers, disk, timeline } = this.#world;
    const { pid, key, record, process } = account;
    const { state, problem } = record.row;
    const isKilled = ledger.inboxOf(key).some(({ input }) => input.kind === "fatal");
    if (isKilled) this.#owe(`the end of ${pid}, which was killed`);
    if (state === "crashed") return this.#held(account);
    if (state === "broken") return this.#owe(`${pid} is broken: ${problem}`);
    if (state === "paused") {
      callers.control(pid, "resume");
      return this.#owe(`${pid} is paused`);
    }
    for (const { input, seq } of ledger.inboxOf(key))
      this.#owe(`${input.kind} (row ${seq}) waits in the inbox of ${pid}`);
    if (!process.heap.started) return this.#owe(`the start of ${pid}`);
    for (const [number, { name, site }] of Object.entries(process.heap.operations))
      this.#operation(account, Number(number), site === 0 ? name : "");
    for (const row of record.timers.values()) {
      const offMs = row.clock === "wall" ? 0 : (disk.lease?.downtimeMs ?? 0);
      const leftMs = row.dueMs + offMs - timeline.wallMs;
      this.nextTimerMs = Math.min(this.nextTimerMs, leftMs);
      this.debts.push(`timer ${row.number} of ${pid}, due in ${leftMs} ms`);
    }
    for (const number of Object.keys(process.heap.timers))
      if (!record.timers.has(Number(number))) this.#owe(`timer ${number} of ${pid}, which is not stored`);
  }

  #operation({ key, pid }: PairAccount, number: number, name: string): void {
    const { ledger, outside, callers } = this.#world;
    const state = ledger.operationRow(key, number)?.state;
    const deed = outside.find(pid, number);
    this.#owe(`the result of operation ${number} of ${pid} (${state ?? "no row"} ${name})`);
    if (state !== "quarantined" || deed === undefined) return;
    outside.mend(deed);
    callers.retry(pid, number);
  }

  /** One that waits for its parent's word: its parent must know. */
  #held({ pid, parent: parentPid }: PairAccount): void {
    const { ledger } = this.#world;
    const parent = ledger.account(parentPid);
    if (parent === undefined || parent.record.row.state === "exited")
      return this.#owe(`${pid} is held, and its parent is gone`);
    if (parent.process.heap.crashed.includes(pid)) return;
    this.#owe(`${pid} is held, and its parent ${parentPid} does not know`);
  }
}

/** What a process believes of its ties, once it has been told all there is to tell. */
export function checkBeliefs(account: PairAccount, ledger: PairLedger): string | undefined {
  const { pid, restored, record, process } = account;
  const { heap } = process;
  if (restored) return undefined;
  for (const [number, target] of Object.entries(heap.monitors)) {
    if (record.relations.monitors.has(Number(number)) || ledger.account(target)?.restored === true) continue;
    return `${pid} believes in monitor ${number} on ${target}, and has none`;
  }
  for (const number of record.relations.monitors.keys())
    if (heap.monitors[number] === undefined) return `${pid} has monitor ${number}, and does not believe in it`;
  for (const other of heap.links) {
    const peer = ledger.account(other);
    if (peer === undefined || peer.restored || ledger.isCut(pid, other)) continue;
    if (record.relations.links.has(peer.key)) continue;
    const { state, exit } = peer.record.row;
    if (state !== "exited") return `${pid} believes in a link with ${other}, and there is none`;
    if (heap.traps && exit?.reason !== "normal") return `${pid} never heard of the exit of ${other}`;
    if (exit?.reason !== "normal")
      return `${pid} is linked to ${other}, which exited with ${exit?.reason}, and it lives`;
  }
  return undefined;
}
