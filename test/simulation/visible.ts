/** What a kernel tells the layer above. Nothing of it may be news to the disk, and nothing may be told twice. */
import type { Pid } from "../../src/journal/types.ts";
import type { KernelEvents, KernelLog, KernelNotice } from "../../src/kernel/ports.ts";
import type { ProcessExit, ProcessKey } from "../../src/store/port.ts";
import type { WatchedDisk } from "./watched-disk.ts";

export interface VisiblePorts {
  readonly ledger: { account(pid: Pid): { readonly key: ProcessKey } | undefined };
  readonly disk: WatchedDisk;
  readonly beyondHelp: ReadonlySet<Pid>;
  complain(problem: string): void;
  note(what: string, ...facts: readonly unknown[]): void;
}

export class Visible implements Pick<KernelEvents, "logs" | "exited" | "notice"> {
  readonly #ports: VisiblePorts;
  /** Processes of which the machine has said that a turn passed a limit. */
  readonly fatal = new Set<Pid>();
  readonly #ended = new Set<Pid>();
  /** Log rows up to here have been printed, or will never be: their node died before it could. */
  #printed = 0;

  constructor(ports: VisiblePorts) {
    this.#ports = ports;
  }

  /** Logs are printed in the order of the disk, each at most once. */
  logs(logs: readonly KernelLog[]): void {
    const { disk, ledger, complain } = this.#ports;
    for (const { pid, text } of logs) {
      const key = ledger.account(pid)?.key;
      let found = this.#printed;
      while (
        found < disk.printed.length &&
        (disk.printed[found]?.process !== key || disk.printed[found]?.text !== text)
      )
        found++;
      if (found === disk.printed.length)
        return complain(`${pid} printed ${text} before it was durable, out of order, or twice`);
      this.#printed = found + 1;
    }
  }

  exited(exits: readonly { readonly pid: Pid; readonly exit: ProcessExit }[]): void {
    const { ledger, disk, complain } = this.#ports;
    for (const { pid, exit } of exits) {
      const account = ledger.account(pid);
      const durable = account === undefined ? undefined : disk.processes.get(account.key)?.row.exit;
      if (durable?.reason !== exit.reason || durable.value.text !== exit.value.text)
        complain(`the exit of ${pid} was told before it was durable`);
      if (this.#ended.has(pid)) complain(`the exit of ${pid} was told twice`);
      this.#ended.add(pid);
    }
  }

  notice(notice: KernelNotice): void {
    const { beyondHelp, complain, note } = this.#ports;
    note("notice", notice.kind, notice.pid, notice.message);
    if (notice.kind === "broken" && !beyondHelp.has(notice.pid)) complain(`${notice.pid} is broken: ${notice.message}`);
  }
}
