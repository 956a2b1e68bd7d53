/** What is still owed to the processes of a run when everything is calm. What nobody will ever give them is no debt. */
import type { Callers } from "./callers.ts";
import { outsideStreams } from "./generate.ts";
import type { Account, Ledger } from "./ledger.ts";
import type { Job } from "./host.ts";
import type { Outside } from "./outside.ts";
import type { Wait } from "./process.ts";
import type { Timeline } from "./timeline.ts";

export interface SettleWorld {
  readonly ledger: Ledger;
  readonly outside: Outside;
  readonly callers: Callers;
  readonly timeline: Timeline;
  readonly beyondHelp: ReadonlySet<string>;
}

/** What goes on at the node, or at all of them. */
export interface Workplace {
  readonly machine: { readonly busy: boolean };
  readonly host: { readonly pending: readonly Job[] };
}

/** What is owed, for people; empty if nothing is. Gives on the way what only the outside can give: messages, and pardons. */
export class Settlement {
  readonly #world: SettleWorld;
  readonly debts: string[] = [];
  /** How long the nearest timer will take, if timers are all that is owed. */
  nextTimerMs: number = Infinity;
  #others = 0;

  constructor(world: SettleWorld, node: Workplace) {
    this.#world = world;
    const { callers, ledger } = world;
    if (!callers.isIdle) this.#owe("callers are not done");
    for (const call of callers.overdue) this.#owe(`an answer to ${call}`);
    if (node.machine.busy) this.#owe("a turn is running");
    for (const { request } of node.host.pending)
      this.#owe(`attempt ${request.token} of operation ${request.number} of ${request.pid} has not ended`);
    for (const account of ledger.accounts) this.#account(account);
  }

  get isOnlyTimers(): boolean {
    return this.debts.length > 0 && this.#others === 0;
  }

  #owe(what: string): void {
    this.debts.push(what);
    this.#others++;
  }

  #account(account: Account): void {
    const { ledger, beyondHelp } = this.#world;
    const { row } = ledger.record(account);
    if (row.state === "exited") return;
    if (row.state === "broken") {
      if (!beyondHelp.has(account.pid)) this.#owe(`${account.pid} is broken: ${row.problem}`);
      // A kill reaches it even so.
      if (ledger.isDoomed(account)) this.#owe(`the end of ${account.pid}`);
      return;
    }
    if (ledger.inboxOf(account.key).length > 0) this.#owe(`inputs of ${account.pid} wait in the inbox`);
    for (const wait of account.process.waits) this.#wait(account, wait);
  }

  #wait(account: Account, wait: Wait): void {
    const { pid, process } = account;
    switch (wait.kind) {
      case "operation":
        return this.#operation(account, wait.number);
      case "race":
        this.#operation(account, wait.operation);
        return this.#timer(account, wait.timer);
      case "timer":
        return this.#timer(account, wait.number);
      case "receive":
        if (!outsideStreams.includes(wait.stream)) return;
        this.#world.callers.send(pid, wait.stream, 1);
        return this.#owe(`a message of "${wait.stream}" to ${process.program.pid}`);
      case "join":
        return;
    }
  }

  #operation({ key, pid }: Account, number: number): void {
    const { ledger, outside, callers } = this.#world;
    const state = ledger.operationRow(key, number)?.state;
    // It is tried again by the next node.
    if (state === "unavailable") return;
    this.#owe(`the result of operation ${number} of ${pid} (${state ?? "no row"})`);
    const deed = outside.find(pid, number);
    if (state !== "quarantined" || deed === undefined) return;
    outside.mend(deed);
    callers.retry(pid, number);
  }

  #timer({ pid, stored }: Account, number: number): void {
    const { timeline, ledger } = this.#world;
    const row = stored.get(number);
    if (row === undefined) return this.#owe(`timer ${number} of ${pid}, which is not stored`);
    const nowMs = row.clock === "wall" ? timeline.wallMs : timeline.wallMs - ledger.downtimeMs;
    const leftMs = row.dueMs - nowMs;
    this.nextTimerMs = Math.min(this.nextTimerMs, leftMs);
    this.debts.push(`timer ${number} of ${pid}, due in ${leftMs} ms`);
  }
}
