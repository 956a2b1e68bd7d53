/** What is still owed to the processes of a tree when everything is calm. */
import type { Outside } from "../outside.ts";
import type { Workplace } from "../settle.ts";
import type { Timeline } from "../timeline.ts";
import type { TreeCallers } from "./callers.ts";
import type { Account, TreeLedger } from "./ledger.ts";

export interface TreeSettleWorld {
  readonly ledger: TreeLedger;
  readonly outside: Outside;
  readonly callers: TreeCallers;
  readonly timeline: Timeline;
  timerDueMs(account: Account, number: number): number | undefined;
}

/** Gives on the way what only the outside can give: whoever is paused may go on, and so may what killed nodes. */
export class TreeSettlement {
  readonly #world: TreeSettleWorld;
  readonly debts: string[] = [];
  nextTimerMs: number = Infinity;
  #others = 0;

  constructor(world: TreeSettleWorld, node: Workplace) {
    this.#world = world;
    if (!world.callers.isIdle) this.#owe("callers are not done");
    if (node.machine.busy) this.#owe("a turn is running");
    for (const { request } of node.host.pending)
      this.#owe(`operation ${request.number} of ${request.pid} has not ended`);
    for (const account of world.ledger.accounts) if (account.member.alive) this.#account(account);
  }

  get isOnlyTimers(): boolean {
    return this.debts.length > 0 && this.#others === 0;
  }

  #owe(what: string): void {
    this.debts.push(what);
    this.#others++;
  }

  #account(account: Account): void {
    const { ledger, callers, timeline } = this.#world;
    const { member, pid } = account;
    const { state, problem } = ledger.row(account);
    if (member.doomed) this.#owe(`the end of ${pid}, which was killed`);
    if (member.released) this.#owe(`the end of ${pid}, which was let go`);
    if (state === "crashed") return this.#held(account);
    if (state === "broken") return this.#owe(`${pid} is broken: ${problem}`);
    if (state === "paused") {
      callers.control(pid, "resume");
      return this.#owe(`${pid} is paused`);
    }
    for (const name of member.due.keys()) this.#owe(`${name} to ${pid}`);
    if (ledger.inboxOf(account.key).length > 0) this.#owe(`inputs of ${pid} wait in its inbox`);
    for (const number of member.operations) this.#operation(account, number);
    for (const number of member.timers) {
      const dueMs = this.#world.timerDueMs(account, number);
      if (dueMs === undefined) {
        this.#owe(`timer ${number} of ${pid}, which is not stored`);
        continue;
      }
      this.nextTimerMs = Math.min(this.nextTimerMs, dueMs - timeline.wallMs);
      this.debts.push(`timer ${number} of ${pid}, due in ${dueMs - timeline.wallMs} ms`);
    }
  }

  #operation({ key, pid }: Account, number: number): void {
    const { ledger, outside, callers } = this.#world;
    const state = ledger.operationRow(key, number)?.state;
    const deed = outside.find(pid, number);
    this.#owe(`the result of operation ${number} of ${pid} (${state})`);
    if (state !== "quarantined" || deed === undefined) return;
    outside.mend(deed);
    callers.retry(pid, number);
  }

  /** One that waits for its parent's word: its parent must know. */
  #held({ pid, member }: Account): void {
    const parent = this.#world.ledger.account(member.parent);
    if (parent?.member.alive !== true) return this.#owe(`${pid} is held, and its parent is gone`);
    const { crashed } = parent.process.heap;
    const isComing = [...parent.member.due.keys()].some((name) => name.startsWith(`linked exit of ${pid}:`));
    if (!crashed.includes(pid) && !isComing) this.#owe(`${pid} is held, and its parent ${parent.pid} does not know`);
  }
}

/** What a process believes of its ties, once it has been told all there is to tell. */
export function checkBeliefs({ pid, member, process: { heap } }: Account, ledger: TreeLedger): string | undefined {
  const believed = Object.keys(heap.monitors).toSorted().join();
  const actual = [...member.monitors.keys()].map(String).toSorted().join();
  if (believed !== actual) return `${pid} believes in monitors ${believed}, and has ${actual}`;
  for (const other of heap.links) {
    const peer = ledger.account(other)?.member;
    if (peer === undefined || member.cut.has(other) || member.links.has(other)) continue;
    if (peer.alive) return `${pid} believes in a link with ${other}, and there is none`;
    if (heap.traps && peer.ending?.reason !== "normal") return `${pid} never heard of the exit of ${other}`;
    const isFatal = peer.ending?.reason !== "normal";
    if (isFatal) return `${pid} is linked to ${other}, which exited with ${peer.ending?.reason}, and it lives`;
  }
  return undefined;
}
