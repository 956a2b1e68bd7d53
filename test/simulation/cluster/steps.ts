/** Processes that go through programs of steps, on any node of a cluster. */
import type { Pid } from "../../../src/journal/types.ts";
import type { TurnRequest } from "../../../src/machine/port.ts";
import { MemoryStore } from "../../../src/store/memory/index.ts";
import { Callers } from "../callers.ts";
import { ModelCores } from "../cores.ts";
import { checkExit } from "../ending.ts";
import { generatePrograms, outsideStreams } from "../generate.ts";
import type { StoreKind } from "../inspect.ts";
import { Ledger } from "../ledger.ts";
import { Outside } from "../outside.ts";
import type { Outcome } from "../outcome.ts";
import { SimulatedProcess } from "../process.ts";
import type { Program } from "../program.ts";
import { Settlement } from "../settle.ts";
import type { Workplace } from "../settle.ts";
import { incarnationOf } from "./load.ts";
import type { ClusterCommon, ClusterLoad, Debts } from "./load.ts";
import { ClusterVisible } from "./visible.ts";

const programHash = "program";

export class StepsLoad implements ClusterLoad {
  readonly #common: ClusterCommon;
  readonly #programs: ReadonlyMap<Pid, Program>;
  readonly #ledger: Ledger;
  readonly outside: Outside;
  readonly callers: Callers;
  readonly #visible: ClusterVisible;
  readonly world: ClusterLoad["world"];
  readonly storeKind: StoreKind = { isDamaged: false, passedOver: ["snapshot"] };

  constructor(common: ClusterCommon) {
    this.#common = common;
    const { disk, plan, faults, profile, timeline, nodes } = common;
    this.#programs = new Map(generatePrograms(plan, true).map((program) => [program.pid, program]));
    const programs = this.#programs;
    this.#ledger = new Ledger(disk, {
      ...common,
      programs,
      mayBeMissing: (pid, stream, number) => this.callers.mayBeMissing(pid, stream, number),
      gave: (pid, operation, ok, text) => this.outside.gave(pid, operation, ok, text),
      ranAtMs: (pid, turn) => nodes().ranAtMs(pid, turn),
      wallMs: () => nodes().of(disk.owners?.committing ?? 0)?.wallMs ?? timeline.wallMs,
    });
    const ledger = this.#ledger;
    this.outside = new Outside({
      ...common,
      count: (kind) => faults.count(kind),
      fact: (key) => disk.facts.get(key),
      step: (pid, site) => programs.get(pid)?.operations.get(site),
      row: (process, number) => ledger.operationRow(process, number),
      isVoid: (token) => disk.owners?.isVoid(incarnationOf(token)) === true,
      isSkewed: profile.skewMs > 0,
    });
    this.callers = new Callers({
      ...common,
      ledger,
      commandLine: new MemoryStore(disk, { decide: () => (faults.isFull ? "full" : undefined) }),
      program: programHash,
      needs: (pid) => common.labels.needs(pid),
      node: () => nodes().asked,
      isBehind: (node) => nodes().isVoid(node),
    });
    this.#visible = new ClusterVisible({ ...common, ledger, beyondHelp: new Set() });
    this.world = {
      ledger,
      keepMs: faults.profile.keepMs,
      unloadable: new Set(),
      events: this.#visible,
      saidFatal: (pid) => void this.#visible.fatal.add(pid),
      heaps: {
        program: programHash,
        cores: (nodeComplain) =>
          new ModelCores((pid, snapshot) => {
            const program = programs.get(pid);
            if (program === undefined) return undefined;
            return new SimulatedProcess(program, (problem) => nodeComplain(`${pid}, rebuilt: ${problem}`), snapshot);
          }),
        journal: ({ pid, number }: TurnRequest, from: number) => ledger.journal(pid).slice(from, number - 1),
      },
    };
  }

  get programs(): readonly Pid[] {
    return [...this.#programs.keys()];
  }

  get turns(): number {
    return this.#ledger.turns;
  }

  get commits(): number {
    return this.#ledger.commits;
  }

  begin(): void {
    for (const program of this.#programs.values()) this.#planProcess(program);
  }

  #planProcess(program: Program): void {
    const { plan, drawn, timeline, only } = this.#common;
    const { callers } = this;
    const { pid } = program;
    const isWanted = only === undefined || only.includes(pid);
    const at = (fn: () => void): void => {
      const atMs = plan.int(0, drawn.chaosMs);
      if (isWanted) timeline.after(atMs, fn);
    };
    const startAtMs = plan.delay(0, drawn.chaosMs);
    if (isWanted) timeline.after(startAtMs, () => callers.start(program));
    // The same call again, at another node perhaps.
    if (plan.chance(0.4)) at(() => callers.start(program));
    if (plan.chance(0.1)) at(() => callers.startOther(program));
    for (const stream of outsideStreams) {
      const messages = plan.int(1, 5);
      if (plan.chance(0.5)) at(() => callers.send(pid, stream, messages));
    }
    for (let i = plan.int(0, 2); i > 0; i--) at(() => callers.awaitExit(pid));
    for (let queries = plan.chance(0.2) ? plan.int(1, 4) : 0; queries > 0; queries--)
      at(() => callers.query(pid, "total"));
    if (plan.chance(0.08)) at(() => callers.cancel(pid));
    if (plan.chance(0.08)) at(() => callers.kill(pid));
  }

  settle(nodes: Workplace): Debts {
    const { timeline } = this.#common;
    const { outside, callers } = this;
    return new Settlement({ ledger: this.#ledger, outside, callers, timeline, beyondHelp: new Set() }, nodes);
  }

  /** How its processes ended, and what they did outside. */
  get outcome(): Outcome {
    const ends = [...this.#ledger.accounts].flatMap((account) => {
      const { pid } = account;
      const { exit } = this.#ledger.record(account).row;
      const { killed, cancelled } = this.callers.wishes(pid);
      return exit === undefined || killed || cancelled ? [] : ([[pid, exit]] as const);
    });
    return { programs: this.#programs, ends: new Map(ends), deeds: [...this.outside.deeds] };
  }

  finish(): void {
    const { complain } = this.#common;
    for (const account of this.#ledger.accounts) {
      const { exit } = this.#ledger.record(account).row;
      const program = this.#programs.get(account.pid);
      if (exit === undefined || program === undefined) continue;
      const problem = checkExit(program, exit, this.callers.wishes(account.pid), this.#visible.fatal.has(account.pid));
      if (problem !== undefined) complain(problem);
    }
  }
}
