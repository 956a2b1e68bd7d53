/**
 * One run: nodes that come and go over one disk, callers, and a world outside, all from one seed. First everything goes
 * wrong that can; then it is calm, and whatever is owed has to happen.
 */
import type { Pid } from "../../src/journal/types.ts";
import type { TurnRequest } from "../../src/machine/port.ts";
import type { CommitBatch, InboxRow } from "../../src/store/port.ts";
import type { ActKind } from "./trees/program.ts";
import type { OwnersSabotage } from "./cluster/owners.ts";
import { patienceMs, pollMs, SimulatedRun } from "./simulated-run.ts";
import type { Tally } from "./simulated-run.ts";
import { MemoryStore } from "../../src/store/memory/index.ts";
import type { Machines } from "../conformance/otp/machines.ts";
import { Callers } from "./callers.ts";
import { ModelCores } from "./cores.ts";
import { Dice } from "./dice.ts";
import { checkExit } from "./ending.ts";
import { withoutClasses } from "./classes.ts";
import type { FaultClass } from "./classes.ts";
import { drawProfile, Faults } from "./faults.ts";
import type { FaultProfile } from "./faults.ts";
import { generatePrograms, outsideStreams } from "./generate.ts";
import type { StoreKind } from "./inspect.ts";
import { Ledger } from "./ledger.ts";
import { WatchedDisk } from "./watched-disk.ts";
import type { Account } from "./ledger.ts";
import { Nodes } from "./nodes.ts";
import { Outside } from "./outside.ts";
import type { Outcome } from "./outcome.ts";
import { SimulatedProcess } from "./process.ts";
import { QuickJsCores } from "./quickjs.ts";
import type { Program } from "./program.ts";
import { Settlement } from "./settle.ts";
import type { Timeline } from "./timeline.ts";
import { Visible } from "./visible.ts";

/** What is done behind the kernel's back. */
export interface Sabotage {
  readonly commit?: (batch: CommitBatch, disk: WatchedDisk) => CommitBatch;
  readonly posting?: (rows: InboxRow[]) => InboxRow[];
  readonly owners?: OwnersSabotage;
}

export interface SimulationOptions {
  /** How many of the last events are kept. */
  readonly traceLength: number;
  readonly sabotage?: Sabotage | undefined;
  /** Faults that are left out. */
  readonly without?: readonly FaultClass[] | undefined;
  /** Only these processes are started. */
  readonly programs?: readonly Pid[] | undefined;
  /** Whether programs may take back an operation alone: those in QuickJS cannot. */
  readonly canAbort?: boolean | undefined;
  /** How much more often than usual the trees of a cluster do things of some kinds. */
  readonly lean?: Readonly<Partial<Record<ActKind, number>>> | undefined;
  /** What is posted for a node of a cluster always comes late. Default: the seed says. */
  readonly lateMail?: boolean | undefined;
  /** Of a cluster. Default: the seed says. */
  readonly nodes?: number | undefined;
  /** With it, processes are real programs in QuickJS; without it, models of them. */
  readonly machines?: Machines | undefined;
}

/** What stands for the hash of a program that is none. */
const modelProgram = "program";

export class Simulation extends SimulatedRun {
  readonly #plan: Dice;
  readonly #dice: Dice;
  /** What goes wrong by the plan, of which some may be left out. */
  readonly #drawn: FaultProfile;
  readonly #faults: Faults;
  readonly #disk = new WatchedDisk("simulated");
  readonly #program: string;
  readonly #programs: ReadonlyMap<Pid, Program>;
  readonly #ledger: Ledger;
  readonly #outside: Outside;
  readonly #callers: Callers;
  readonly #visible: Visible;
  readonly #unloadable = new Set<Pid>();
  /** Processes that may turn out to be broken. */
  readonly #beyondHelp = new Set<Pid>();
  readonly #ranAtMs = new Map<string, number>();
  readonly #nodes: Nodes;
  #calmSinceMs = Infinity;
  #rounds: number;

  constructor(seed: number, options: SimulationOptions) {
    super(seed, options.traceLength);
    const { sabotage, machines, without = [], canAbort = machines === undefined } = options;
    this.#plan = new Dice(seed, "plan");
    this.#dice = new Dice(seed, "chance");
    this.#drawn = drawProfile(this.#plan);
    this.#faults = new Faults(withoutClasses(this.#drawn, without), new Dice(seed, "faults"));
    this.#programs = new Map(generatePrograms(this.#plan, canAbort).map((program) => [program.pid, program]));
    this.#rounds = this.#plan.int(0, 1);
    const common = this.#common();
    this.#ledger = new Ledger(this.#disk, {
      ...common,
      mayBeMissing: (pid, stream, number) => this.#callers.mayBeMissing(pid, stream, number),
      gave: (pid, operation, ok, text) => this.#outside.gave(pid, operation, ok, text),
      ranAtMs: (pid, turn) => this.#ranAtMs.get(`${pid} ${turn}`) ?? 0,
    });
    const ledger = this.#ledger;
    const program = machines?.program ?? modelProgram;
    this.#outside = new Outside({
      ...common,
      count: (kind) => this.#faults.count(kind),
      fact: (key) => this.#disk.facts.get(key),
      step: (pid, site) => this.#programs.get(pid)?.operations.get(site),
      row: (process, number) => ledger.operationRow(process, number),
    });
    this.#callers = new Callers({
      ...common,
      ledger,
      commandLine: new MemoryStore(this.#disk, { decide: () => (this.#faults.isFull ? "full" : undefined) }),
      program,
      node: () => this.#nodes.current,
    });
    this.#visible = new Visible({ ...common, ledger, beyondHelp: this.#beyondHelp });
    const failed = (error: Error): void => this.complain(`QuickJS failed: ${error.message}`);
    const world = {
      ...common,
      ledger,
      outside: this.#outside,
      unloadable: this.#unloadable,
      keepMs: this.#faults.profile.keepMs,
      heaps: {
        cores: () =>
          machines === undefined
            ? new ModelCores((pid, snapshot) => this.#model(pid, snapshot))
            : new QuickJsCores(machines, this.standstill, failed),
        program,
        journal: ({ pid, number }: TurnRequest, from: number) => ledger.heap(pid, number, from),
      },
      events: this.#visible,
      ran: (pid: Pid, turn: number) => void this.#ranAtMs.set(`${pid} ${turn}`, this.timeline.nowMs),
      saidFatal: (pid: Pid) => void this.#visible.fatal.add(pid),
    };
    this.#nodes = new Nodes({
      ...common,
      machineKind: machines === undefined ? "model" : "quickjs",
      outside: this.#outside,
      callers: this.#callers,
      inspect: () => this.inspect(this.#disk, this.#storeKind),
      world,
    });
    this.#disk.sabotage = sabotage?.commit;
    this.#program = program;
    this.#deploy(program);
    this.#begin(options.programs);
  }

  /** What every part of the run is told. */
  #common(): {
    timeline: Timeline;
    programs: ReadonlyMap<Pid, Program>;
    dice: Dice;
    faults: Faults;
    disk: WatchedDisk;
    complain(problem: string): void;
    note(what: string, ...facts: readonly unknown[]): void;
  } {
    return {
      timeline: this.timeline,
      programs: this.#programs,
      dice: this.#dice,
      faults: this.#faults,
      disk: this.#disk,
      complain: (problem) => this.complain(problem),
      note: (what, ...facts) => this.note(what, ...facts),
    };
  }

  #model(pid: Pid, snapshot: Uint8Array | undefined): SimulatedProcess | undefined {
    const program = this.#programs.get(pid);
    if (program === undefined) return undefined;
    return new SimulatedProcess(program, (problem) => this.complain(`${pid}, rebuilt: ${problem}`), snapshot);
  }

  /** What of it is needed to run, the machine knows by itself. */
  #deploy(hash: string): void {
    const blank = { bundle: "", sourceMap: "", prelude: "", engine: "", operations: [] };
    this.#disk.programs.set(hash, { hash, file: "program.ts", createdAtMs: this.timeline.wallMs, ...blank });
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
    this.#nodes.open();
    const { chaosMs, hurryMs } = this.#faults.profile;
    for (const program of this.#programs.values())
      this.#planProcess(program, programs === undefined || programs.includes(program.pid));
    this.#sometimes("crashes", () => this.#nodes.current?.die("at any time", "death at any time"));
    this.#sometimes("closings", () => this.#nodes.current?.close(this.#plan.pick([0, 5, 1_000])));
    this.#sometimes("rots", () => this.#rot());
    this.#sometimes("fillings", () => this.#fill());
    this.#sometimes("fencings", () => this.#nodes.current?.usurp());
    this.#sometimes("jumps", () =>
      this.#jump(this.#plan.pick([-1, 1]) * this.#plan.pick([30, 1_000, 60_000, 7_200_000])),
    );
    if (hurryMs > 0)
      for (let atMs = hurryMs; atMs < chaosMs; atMs += hurryMs) this.timeline.after(atMs, () => this.#jump(2_500));
    this.timeline.after(chaosMs, () => this.#calm());
  }

  /** What is left out of the plan does not change the rest of it. */
  #sometimes(what: "crashes" | "closings" | "rots" | "fillings" | "fencings" | "jumps", fn: () => void): void {
    const isWanted = this.#faults.profile[what] > 0;
    for (let i = 0; i < this.#drawn[what]; i++) this.#at(fn, isWanted);
  }

  #at(fn: () => void, isWanted: boolean): void {
    const atMs = this.#plan.int(0, this.#drawn.chaosMs);
    if (isWanted) this.timeline.after(atMs, fn);
  }

  #planProcess(program: Program, isWanted: boolean): void {
    const plan = this.#plan;
    const callers = this.#callers;
    const { pid } = program;
    const at = (fn: () => void): void => this.#at(fn, isWanted);
    if (plan.chance(this.#drawn.unloadable) && this.#faults.profile.unloadable > 0) {
      this.#unloadable.add(pid);
      this.#beyondHelp.add(pid);
    }
    const startAtMs = plan.delay(0, this.#drawn.chaosMs);
    const twice = plan.chance(0.1);
    if (isWanted) {
      this.timeline.after(startAtMs, () => {
        callers.start(program);
        if (twice) callers.start(program);
      });
    }
    // The same call again, later.
    if (plan.chance(0.3)) at(() => callers.start(program));
    if (plan.chance(0.1)) at(() => callers.startOther(program));
    for (const stream of outsideStreams) {
      const messages = plan.int(1, 5);
      if (plan.chance(0.5)) at(() => callers.send(pid, stream, messages));
    }
    for (let i = plan.int(0, 2); i > 0; i--) at(() => callers.awaitExit(pid));
    for (let queries = plan.chance(0.3) ? plan.int(1, 8) : 0; queries > 0; queries--) {
      const method = plan.pick(["total", "count"]);
      at(() => callers.query(pid, method));
    }
    if (plan.chance(0.08)) at(() => callers.cancel(pid));
    if (plan.chance(0.02)) at(() => callers.cancel(pid));
    if (plan.chance(0.08)) at(() => callers.kill(pid));
  }

  /** The disk damages a turn: its process cannot be rebuilt any more, unless a snapshot stands in for it. */
  #rot(): void {
    const alive = [...this.#ledger.accounts].filter(({ pid, turns }) => turns > 0 && !this.#ledger.exited(pid));
    if (alive.length === 0) return;
    const { key, pid, turns } = this.#plan.pick(alive);
    this.note("rot", pid);
    this.#beyondHelp.add(pid);
    this.#faults.count("turn damaged");
    this.#disk.rot(key, this.#plan.int(1, turns));
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

  #settle(): void {
    const node = this.#nodes.current;
    const again = (): void => void this.timeline.after(pollMs, () => this.#settle());
    const isLate = this.timeline.nowMs - this.#calmSinceMs > patienceMs;
    if (node?.kernel === undefined)
      return isLate ? this.complain("it has been calm for long, and no node is open") : again();
    const settlement = new Settlement(
      {
        ledger: this.#ledger,
        outside: this.#outside,
        callers: this.#callers,
        timeline: this.timeline,
        beyondHelp: this.#beyondHelp,
      },
      node,
    );
    if (settlement.debts.length === 0) {
      if (this.#rounds-- > 0) node.close(1_000);
      else return this.#finish();
    } else if (isLate) {
      return this.complain(`it has been calm for long, and these are owed: ${settlement.debts.join("; ")}`);
    } else if (settlement.isOnlyTimers && settlement.nextTimerMs > 2 * pollMs) {
      this.#jump(settlement.nextTimerMs - pollMs);
    }
    again();
  }

  get programs(): readonly Pid[] {
    return [...this.#programs.keys()];
  }

  /** How its processes ended, and what they did outside. */
  get outcome(): Outcome {
    const ends = [...this.#ledger.accounts].flatMap((account) => {
      const { pid } = account;
      const { exit } = this.#ledger.record(account).row;
      const { killed, cancelled } = this.#callers.wishes(pid);
      return exit === undefined || killed || cancelled ? [] : ([[pid, exit]] as const);
    });
    return { programs: this.#programs, ends: new Map(ends), deeds: [...this.#outside.deeds] };
  }

  get #storeKind(): StoreKind {
    const passedOver = this.#program === modelProgram ? (["snapshot"] as const) : [];
    return { isDamaged: this.#beyondHelp.size > 0, passedOver };
  }

  #checkPruned(account: Account): void {
    const { key, pid } = account;
    if (!this.#ledger.isPruned(account)) return;
    this.#faults.count("process pruned");
    if (this.#ledger.record(account).row.state !== "exited") this.complain(`${pid} was pruned, and has not exited`);
    if (!this.#disk.tombstones.has(pid)) this.complain(`${pid} (${key}) was pruned, and has no tombstone`);
  }

  #finish(): void {
    for (const account of this.#ledger.accounts) {
      const { exit } = this.#ledger.record(account).row;
      const program = this.#programs.get(account.pid);
      if (exit === undefined || program === undefined) continue;
      const problem = checkExit(program, exit, this.#callers.wishes(account.pid), this.#visible.fatal.has(account.pid));
      if (problem !== undefined) this.complain(problem);
    }
    for (const account of this.#ledger.accounts) this.#checkPruned(account);
    this.end(this.#disk, this.#storeKind);
  }
}
