/** Processes that build trees and fail in them, spread over a cluster. */
import type { Pid } from "../../../src/journal/types.ts";
import type { ProcessExit, ProcessKey } from "../../../src/store/port.ts";
import { MemoryStore } from "../../../src/store/memory/index.ts";
import { ModelCores } from "../cores.ts";
import type { StoreKind } from "../inspect.ts";
import { Outside } from "../outside.ts";
import type { Workplace } from "../settle.ts";
import { TreeCallers } from "../trees/callers.ts";
import { actKinds, drawTemper } from "../trees/program.ts";
import type { Temper } from "../trees/program.ts";
import { incarnationOf } from "./load.ts";
import type { ClusterCommon, ClusterLoad, Debts } from "./load.ts";
import { PairLedger } from "./pairs.ts";
import { checkBeliefs, PairSettlement } from "./pair-settle.ts";
import { ClusterVisible } from "./visible.ts";

const maxProcesses = 1_500;

/** What is hard between nodes happens more often than where there is one. */
function leaning(temper: Temper, lean: ClusterCommon["lean"] = {}): Temper {
  const usual: ClusterCommon["lean"] = { unlink: 4, demonitor: 2, pause: 4, resume: 4 };
  const weights = { ...temper.weights };
  for (const kind of actKinds) weights[kind] *= (usual[kind] ?? 1) * (lean[kind] ?? 1);
  return { ...temper, weights };
}

export class TreesLoad implements ClusterLoad {
  readonly #common: ClusterCommon;
  readonly #temper: Temper;
  readonly #ledger: PairLedger;
  readonly outside: Outside;
  readonly callers: TreeCallers;
  readonly world: ClusterLoad["world"];
  readonly storeKind: StoreKind = {
    isDamaged: false,
    passedOver: ["snapshot", "journal-result", "operation", "timer", "inbox"],
  };

  constructor(common: ClusterCommon) {
    this.#common = common;
    const { disk, plan, faults, profile, timeline, nodes } = common;
    this.#temper = leaning(drawTemper(plan), common.lean);
    const temper = this.#temper;
    const ledger = new PairLedger(disk, {
      ...common,
      temper,
      nowMs: () => timeline.nowMs,
      gave: (pid, operation, ok, text) => this.outside.gave(pid, operation, ok, text),
      ranAtMs: (pid, turn) => nodes().ranAtMs(pid, turn),
    });
    this.#ledger = ledger;
    this.outside = new Outside({
      ...common,
      count: (kind) => faults.count(kind),
      fact: (key) => disk.facts.get(key),
      step: (_, site) => temper.operations.get(site),
      row: (process, number) => ledger.operationRow(process, number),
      isVoid: (token) => disk.owners?.isVoid(incarnationOf(token)) === true,
      isSkewed: profile.skewMs > 0,
    });
    const commandLine = new MemoryStore(disk, { decide: () => (faults.isFull ? "full" : undefined) });
    this.callers = new TreeCallers({ ...common, ledger, commandLine, node: () => nodes().asked });
    this.world = {
      ledger,
      keepMs: Infinity,
      unloadable: new Set(),
      events: new ClusterVisible({ ...common, ledger, beyondHelp: new Set() }),
      saidFatal: () => undefined,
      heaps: {
        program: "program",
        cores: (complain) => new ModelCores((pid, snapshot) => ledger.model(pid, complain, snapshot)),
        journal: ledger.heap.bind(ledger),
      },
    };
  }

  get programs(): readonly Pid[] {
    return [...this.#ledger.accounts].filter(({ parent }) => parent === "").map(({ pid }) => pid);
  }

  get turns(): number {
    return this.#ledger.turns;
  }

  get commits(): number {
    return this.#ledger.commits;
  }

  exiting(process: ProcessKey, exit: ProcessExit): void {
    this.#ledger.exiting(process, exit);
  }

  begin(): void {
    const { plan, only } = this.#common;
    const { callers } = this;
    for (let root = plan.int(1, 3); root > 0; root--)
      if (only === undefined || only.includes(`r${root}`)) callers.start(`r${root}`, this.#temper.fuel);
    for (let i = plan.int(0, 20); i > 0; i--) this.#someone((pid) => callers.send(pid));
    for (let i = plan.int(0, 2); i > 0; i--) this.#someone((pid) => callers.kill(pid));
    if (plan.chance(0.2)) this.#someone((pid) => callers.cancel(pid));
    for (let i = plan.int(0, 3); i > 0; i--)
      this.#someone((pid) => callers.control(pid, plan.pick(["pause", "resume"])));
  }

  /** At some time, to one of those who live then. */
  #someone(fn: (pid: Pid) => void): void {
    const { plan, timeline, drawn } = this.#common;
    timeline.after(plan.int(0, drawn.chaosMs), () => {
      const alive = [...this.#ledger.accounts].filter(({ record }) => record.row.state !== "exited");
      if (alive.length > 0) fn(plan.pick(alive).pid);
    });
  }

  settle(nodes: Workplace): Debts {
    const { timeline, disk } = this.#common;
    const { outside, callers } = this;
    return new PairSettlement({ ledger: this.#ledger, outside, callers, timeline, disk }, nodes);
  }

  finish(): void {
    const { complain } = this.#common;
    for (const account of this.#ledger.accounts) {
      if (account.record.row.state !== "running") continue;
      const problem = checkBeliefs(account, this.#ledger);
      if (problem !== undefined) complain(problem);
    }
    if ([...this.#ledger.accounts].length > maxProcesses) complain("there are too many processes for a run");
  }
}
