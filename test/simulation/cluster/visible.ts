/** What the kernels of a cluster tell the layers above them. Nothing of it may be news to the disk, and nothing may be told twice. */
import type { Pid } from "../../../src/journal/types.ts";
import type { KernelEvents, KernelLog, KernelNotice } from "../../../src/kernel/ports.ts";
import type { ProcessExit, ProcessKey } from "../../../src/store/port.ts";
import type { WatchedDisk } from "../watched-disk.ts";

export interface ClusterVisiblePorts {
  readonly ledger: { account(pid: Pid): { readonly key: ProcessKey } | undefined };
  readonly disk: WatchedDisk;
  readonly beyondHelp: ReadonlySet<Pid>;
  complain(problem: string): void;
  note(what: string, ...facts: readonly unknown[]): void;
}

export class ClusterVisible implements Pick<KernelEvents, "logs" | "exited" | "notice"> {
  readonly #ports: ClusterVisiblePorts;
  /** Processes of which the machine has said that a turn passed a limit. */
  readonly fatal = new Set<Pid>();
  readonly #ended = new Set<Pid>();
  /** How many lines of each process have been printed, or never will be: what a node had to print when it was stopped comes late. */
  readonly #printed = new Map<ProcessKey, Set<number>>();

  constructor(ports: ClusterVisiblePorts) {
    this.#ports = ports;
  }

  logs(logs: readonly KernelLog[]): void {
    const { disk, ledger, complain } = this.#ports;
    for (const { pid, text } of logs) {
      const key = ledger.account(pid)?.key ?? 0;
      const printed = this.#printed.get(key) ?? new Set();
      this.#printed.set(key, printed);
      const found = disk.printed.find((row) => row.process === key && row.text === text && !printed.has(row.seq));
      if (found === undefined) return complain(`${pid} printed ${text} before it was durable, or twice`);
      printed.add(found.seq);
    }
  }

  exited(exits: readonly { readonly pid: Pid; readonly exit: ProcessExit }[]): void {
    const { ledger, disk, complain } = this.#ports;
    for (const { pid, exit } of exits) {
      const account = ledger.account(pid);
      const row = account === undefined ? undefined : disk.processes.get(account.key)?.row;
      // It may be pruned by the time that a node which was stopped says so.
      const durable = row === undefined ? disk.tombstones.get(pid)?.exit : row.exit;
      if (durable?.reason !== exit.reason) complain(`the exit of ${pid} was told before it was durable`);
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
