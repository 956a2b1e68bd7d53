/**
 * One run with trees of processes: they spawn, link, watch, name and signal one another, fail and are put back, over nodes
 * that come and go. First everything goes wrong that can; then it is calm, and whatever is owed has to happen.
 */
import type { Pid } from "../../../src/journal/types.ts";
import { patienceMs, pollMs, SimulatedRun } from "../simulated-run.ts";
import type { Tally } from "../simulated-run.ts";
import { MemoryStore } from "../../../src/store/memory/index.ts";
import { ModelCores } from "../cores.ts";
import { Dice } from "../dice.ts";
import { withoutClasses } from "../classes.ts";
import { drawProfile, Faults } from "../faults.ts";
import type { FaultProfile } from "../faults.ts";
import type { StoreKind } from "../inspect.ts";
import { WatchedDisk } from "../watched-disk.ts";
import { Nodes } from "../nodes.ts";
import { Outside } from "../outside.ts";
import type { SimulationOptions } from "../simulation.ts";
import { Visible } from "../visible.ts";
import { TreeCallers } from "./callers.ts";
import { TreeLedger } from "./ledger.ts";
import type { Account } from "./ledger.ts";
import { drawTemper } from "./program.ts";
import type { Temper } from "./program.ts";
import { checkBeliefs, TreeSettlement } from "./settle.ts";

/** Models of trees number everything with one counter, and have snapshots of their own kind. */
const storeKind: StoreKind = {
  isDamaged: false,
  passedOver: ["snapshot", "journal-result", "operation", "timer", "inbox"],
};

const maxProcesses = 1_500;

export class TreeSimulation extends SimulatedRun {
  readonly #plan: Dice;
  readonly #dice: Dice;
  /** What goes wrong by the plan, of which some may be left out. */
  readonly #drawn: FaultProfile;
  readonly #faults: Faults;
  readonly #temper: Temper;
  readonly #disk = new WatchedDisk("simulated");
  readonly #ledger: TreeLedger;
  readonly #outside: Outside;
  readonly #callers: TreeCallers;
  readonly #nodes: Nodes;
  #calmSinceMs = Infinity;
  #rounds: number;

  constructor(seed: number, { traceLength, sabotage, without = [], programs }: SimulationOptions) {
    super(seed, traceLength);
    this.#plan = new Dice(seed, "tree plan");
    this.#dice = new Dice(seed, "chance");
    this.#drawn = drawProfile(this.#plan);
    this.#faults = new Faults(withoutClasses(this.#drawn, without), new Dice(seed, "faults"));
    this.#temper = drawTemper(this.#plan);
    this.#rounds = this.#plan.int(0, 1);
    const complain = (problem: string): void => this.complain(problem);
    const note = (what: string, ...facts: readonly unknown[]): void => this.note(what, ...facts);
    const common = {
      timeline: this.timeline,
      dice: this.#dice,
      complain,
      note,
      disk: this.#disk,
      faults: this.#faults,
    };
    const ledger = new TreeLedger(this.#disk, {
      ...common,
      temper: this.#temper,
      gave: (pid, operation, ok, text) => this.#outside.gave(pid, operation, ok, text),
    });
    this.#ledger = ledger;
    this.#outside = new Outside({
      ...common,
      count: (kind) => this.#faults.count(kind),
      fact: (key) => this.#disk.facts.get(key),
      step: (_, site) => this.#temper.operations.get(site),
      row: (process, number) => ledger.operationRow(process, number),
    });
    const commandLine = new MemoryStore(this.#disk, { decide: () => (this.#faults.isFull ? "full" : undefined) });
    this.#callers = new TreeCallers({ ...common, ledger, commandLine, node: () => this.#nodes.current });
    const world = {
      ...common,
      ledger,
      outside: this.#outside,
      unloadable: new Set<Pid>(),
      keepMs: Infinity,
      heaps: {
        cores: () => new ModelCores((pid, snapshot) => ledger.model(pid, snapshot)),
        program: "program",
        journal: ledger.heap.bind(ledger),
      },
      events: new Visible({ ...common, ledger, beyondHelp: new Set() }),
      ran: () => undefined,
      saidFatal: () => undefined,
    };
    this.#nodes = new Nodes({
      ...common,
      machineKind: "model",
      outside: this.#outside,
      callers: this.#callers,
      inspect: () => this.inspect(this.#disk, storeKind),
      world,
    });
    this.#disk.sabotage = sabotage?.commit;
    this.#begin(programs);
  }

  leave(): void {
    this.#nodes.current?.leave();
  }

  protected tally(): Tally {
    const { turns, commits } = this.#ledger;
    const { counts } = this.#faults;
    return { turns, commits, nodes: this.#nodes.count, logs: this.#disk.logs.length, dice: this.#dice, counts };
  }

  // -- the plan -------------------------------------------------------------------------------------------------

  #begin(programs: readonly Pid[] | undefined): void {
    const blank = { bundle: "", sourceMap: "", prelude: "", engine: "", operations: [] };
    this.#disk.programs.set("program", {
      hash: "program",
      file: "program.ts",
      createdAtMs: this.timeline.wallMs,
      ...blank,
    });
    this.#nodes.open();
    const plan = this.#plan;
    const { chaosMs } = this.#drawn;
    for (let root = plan.int(1, 3); root > 0; root--)
      if (programs === undefined || programs.includes(`r${root}`)) this.#callers.start(`r${root}`, this.#temper.fuel);
    for (let i = plan.int(0, 20); i > 0; i--) this.#someone(chaosMs, (pid) => this.#callers.send(pid));
    for (let i = plan.int(0, 2); i > 0; i--) this.#someone(chaosMs, (pid) => this.#callers.kill(pid));
    if (plan.chance(0.2)) this.#someone(chaosMs, (pid) => this.#callers.cancel(pid));
    for (let i = plan.int(0, 3); i > 0; i--)
      this.#someone(chaosMs, (pid) => this.#callers.control(pid, plan.pick(["pause", "resume"])));
    // What is left out of the plan does not change the rest of it.
    const sometimes = (what: "crashes" | "closings" | "fillings" | "fencings" | "jumps", fn: () => void): void => {
      for (let i = 0; i < this.#drawn[what]; i++) {
        const atMs = plan.int(0, chaosMs);
        if (this.#faults.profile[what] > 0) this.timeline.after(atMs, fn);
      }
    };
    sometimes("crashes", () => this.#nodes.current?.die("at any time", "death at any time"));
    sometimes("closings", () => this.#nodes.current?.close(plan.pick([0, 5, 1_000])));
    sometimes("fillings", () => this.#fill());
    sometimes("fencings", () => this.#nodes.current?.usurp());
    sometimes("jumps", () => this.#jump(plan.pick([-1, 1]) * plan.pick([30, 1_000, 60_000, 7_200_000])));
    this.timeline.after(chaosMs, () => this.#calm());
  }

  /** At some time, to one of those who live then. */
  #someone(withinMs: number, fn: (pid: Pid) => void): void {
    this.timeline.after(this.#plan.int(0, withinMs), () => {
      const alive = [...this.#ledger.accounts].filter(({ member }) => member.alive);
      if (alive.length > 0) fn(this.#plan.pick(alive).pid);
    });
  }

  #fill(): void {
    this.note("disk full", this.#faults.profile.fullMs);
    this.#faults.fill(this.#faults.profile.fullMs, (delayMs, fn) => this.timeline.after(delayMs, fn));
  }

  #jump(byMs: number): void {
    this.note("clock", byMs);
    if (!this.#faults.over) this.#faults.count(byMs < 0 ? "clock set back" : "clock set forward");
    this.timeline.jump(byMs);
  }

  // -- calm -----------------------------------------------------------------------------------------------------

  #calm(): void {
    this.#faults.over = true;
    this.#calmSinceMs = this.timeline.nowMs;
    // What was to happen by a clock that has been set back since would be hours away.
    this.#jump(this.timeline.highestOffsetMs - this.timeline.offsetMs);
    this.#settle();
  }

  #timerDueMs({ key }: Account, number: number): number | undefined {
    const row = this.#disk.record(key).timers.get(number);
    if (row === undefined) return undefined;
    return row.clock === "wall" ? row.dueMs : row.dueMs + this.#ledger.downtimeMs;
  }

  #settle(): void {
    const node = this.#nodes.current;
    const again = (): void => void this.timeline.after(pollMs, () => this.#settle());
    const isLate = this.timeline.nowMs - this.#calmSinceMs > patienceMs;
    if (node?.kernel === undefined)
      return isLate ? this.complain("it has been calm for long, and no node is open") : again();
    const world = {
      ledger: this.#ledger,
      outside: this.#outside,
      callers: this.#callers,
      timeline: this.timeline,
      timerDueMs: (account: Account, number: number) => this.#timerDueMs(account, number),
    };
    const settlement = new TreeSettlement(world, node);
    if (settlement.debts.length === 0) {
      if (this.#rounds-- <= 0) return this.#finish(node.machine);
      node.close(1_000);
    } else if (isLate) {
      return this.complain(`it has been calm for long, and these are owed: ${settlement.debts.join("; ")}`);
    } else if (settlement.isOnlyTimers && settlement.nextTimerMs > 2 * pollMs) {
      this.#jump(settlement.nextTimerMs - pollMs);
    }
    again();
  }

  /** Nobody is owed anything: what the machine holds, what processes believe and what the journal says are one. */
  get programs(): readonly Pid[] {
    return [...this.#ledger.accounts].filter(({ member }) => member.parent === "").map(({ pid }) => pid);
  }

  #finish(machine: { heapOf(process: number): Uint8Array | undefined }): void {
    const text = new TextDecoder();
    for (const account of this.#ledger.accounts) {
      if (!account.member.alive || this.#ledger.row(account).state !== "running") continue;
      const held = machine.heapOf(account.key);
      if (held !== undefined && text.decode(held) !== text.decode(account.process.snapshot()))
        this.complain(`the heap of ${account.pid} is not what its journal leads to`);
      const problem = checkBeliefs(account, this.#ledger);
      if (problem !== undefined) this.complain(problem);
    }
    if ([...this.#ledger.accounts].length > maxProcesses) this.complain("there are too many processes for a run");
    this.end(this.#disk, storeKind);
  }
}
