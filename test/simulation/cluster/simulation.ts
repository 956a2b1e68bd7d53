/**
 * One run of a cluster: several nodes own a store together, on virtual time. They die, are stopped for longer than their leases and go
 * on, lose touch with the store, disagree about the time, come and go. Then it is calm, and whatever is owed has to happen.
 */
import type { Pid } from "../../../src/journal/types.ts";
import { withoutClasses } from "../classes.ts";
import { Dice } from "../dice.ts";
import { drawProfile, Faults } from "../faults.ts";
import type { FaultProfile } from "../faults.ts";
import { WatchedDisk } from "../watched-disk.ts";
import { patienceMs, pollMs, SimulatedRun } from "../simulated-run.ts";
import type { Tally } from "../simulated-run.ts";
import type { SimulationOptions } from "../simulation.ts";
import type { ClusterCommon, ClusterLoad } from "./load.ts";
import { Labels } from "./labels.ts";
import { ClusterNodes } from "./nodes.ts";
import { WatchedOwners } from "./owners.ts";
import { drawCluster, withoutClusterClasses } from "./profile.ts";
import type { ClusterProfile } from "./profile.ts";
import { StepsLoad } from "./steps.ts";
import { TreesLoad } from "./trees.ts";

/** So many clusters go through programs of steps; in the others trees grow. */
const stepsShare = 0.5;
/** How often callers turn to another node. */
const turnMs = 40;

export class ClusterSimulation extends SimulatedRun {
  readonly #plan: Dice;
  readonly #dice: Dice;
  readonly #drawn: FaultProfile;
  readonly #drawnCluster: ClusterProfile;
  readonly #profile: ClusterProfile;
  readonly #faults: Faults;
  readonly #owners: WatchedOwners;
  readonly #disk: WatchedDisk;
  readonly #load: ClusterLoad;
  readonly #nodes: ClusterNodes;
  readonly #labels: Labels;
  #calmSinceMs = Infinity;
  #rounds: number;

  constructor(seed: number, options: SimulationOptions) {
    super(seed, options.traceLength);
    const { without = [], sabotage, nodes } = options;
    const plan = new Dice(seed, "cluster plan");
    const dice = new Dice(seed, "chance");
    this.#plan = plan;
    this.#dice = dice;
    this.#drawn = forCluster(drawProfile(plan), plan);
    const drawn = drawCluster(plan, nodes);
    this.#drawnCluster = options.lateMail === true ? { ...drawn, lateMail: { share: 1, longestMs: 1_500 } } : drawn;
    this.#profile = withoutClusterClasses(this.#drawnCluster, without);
    this.#faults = new Faults(withoutClasses(this.#drawn, without), new Dice(seed, "faults"));
    this.#rounds = plan.int(0, 1);
    const complain = (problem: string): void => this.complain(problem);
    this.#owners = new WatchedOwners(this.#profile.shards, this.#profile.leaseMs, {
      nowMs: () => this.timeline.nowMs,
      complain,
      hint: (handle, fn) => this.#hint(handle, fn),
      voided: (incarnations) => {
        this.note("declared dead", incarnations);
        for (const incarnation of incarnations) this.#nodes.voided(incarnation);
      },
      posting: (rows) => sabotage?.posting?.(rows) ?? rows,
      exiting: (process, exit) => this.#load.exiting?.(process, exit),
    });
    this.#owners.sabotage = sabotage?.owners ?? {};
    this.#disk = new WatchedDisk("simulated", this.#owners);
    this.#disk.sabotage = sabotage?.commit;
    const hasSteps = new Dice(seed, "load").chance(stepsShare);
    this.#labels = new Labels(seed, hasSteps);
    const common: ClusterCommon = {
      labels: this.#labels,
      timeline: this.timeline,
      plan,
      dice,
      faults: this.#faults,
      drawn: this.#drawn,
      profile: this.#profile,
      disk: this.#disk,
      without,
      only: options.programs,
      lean: options.lean,
      nodes: () => this.#nodes,
      complain,
      note: (what, ...facts) => this.note(what, ...facts),
    };
    const load = hasSteps ? new StepsLoad(common) : new TreesLoad(common);
    this.#load = load;
    this.#nodes = new ClusterNodes({
      ...common,
      owners: this.#owners,
      outside: load.outside,
      callers: load.callers,
      inspect: () => this.inspect(this.#disk, load.storeKind),
      world: { ...common, ...load.world, outside: load.outside },
    });
    this.#begin();
  }

  leave(): void {
    this.#nodes.end();
  }

  get programs(): readonly Pid[] {
    return this.#load.programs;
  }

  protected tally(): Tally {
    const { turns, commits } = this.#load;
    const { counts } = this.#faults;
    return { turns, commits, nodes: this.#nodes.count, logs: this.#disk.logs.length, dice: this.#dice, counts };
  }

  /** Late, or never: a node has to look for itself now and then. */
  #hint(handle: object, fn: () => void): void {
    const node = [...this.#nodes.all].find((one) => one.handle === handle);
    if (node === undefined || node.scope.ended) return;
    if (this.#dice.chance(this.#profile.deafness)) return this.#faults.count("hint lost");
    this.timeline.after(this.#dice.delay(0, 30), fn, node.scope);
  }

  // -- the plan -------------------------------------------------------------------------------------------------

  #begin(): void {
    const blank = { bundle: "", sourceMap: "", prelude: "", engine: "", operations: [] };
    const row = { hash: "program", file: "program.ts", createdAtMs: this.timeline.wallMs, ...blank };
    this.#disk.programs.set("program", row);
    this.#nodes.begin();
    this.#load.begin();
    const { chaosMs } = this.#drawn;
    const plan = this.#plan;
    const nodes = this.#nodes;
    const faults = this.#faults.profile;
    const profile = this.#profile;
    const drawn = this.#drawnCluster;
    // What is left out of the plan does not change the rest of it.
    const sometimes = (times: number, isWanted: boolean, fn: () => void): void => {
      for (let i = 0; i < times; i++) {
        const atMs = plan.int(0, chaosMs);
        if (isWanted) this.timeline.after(atMs, fn);
      }
    };
    const die = (): void => nodes.some((node) => node.die("at any time", "death at any time"));
    sometimes(this.#drawn.crashes, faults.crashes > 0, die);
    sometimes(this.#drawn.closings, faults.closings > 0, () =>
      nodes.some((node) => node.close(plan.pick([0, 5, 1_000]))),
    );
    sometimes(this.#drawn.fillings, faults.fillings > 0, () => this.#fill());
    sometimes(this.#drawn.jumps, faults.jumps > 0, () =>
      this.#jump(plan.pick([-1, 1]) * plan.pick([30, 1_000, 60_000, 7_200_000])),
    );
    sometimes(drawn.zombies, profile.zombies > 0, () => nodes.some((node) => nodes.stop(node)));
    sometimes(drawn.partitions, profile.partitions > 0, () => nodes.some((node) => nodes.cut(node)));
    sometimes(drawn.suspicions, profile.suspicions > 0, () => nodes.some((node) => this.#suspect(node)));
    sometimes(drawn.joins, profile.joins > 0, () => nodes.join());
    sometimes(drawn.leaves, profile.leaves > 0, () => nodes.leave());
    sometimes(drawn.moves, profile.moves > 0, () => this.#move());
    for (let atMs = turnMs; atMs < chaosMs; atMs += turnMs) this.timeline.after(atMs, () => nodes.askAnother());
    this.timeline.after(chaosMs, () => this.#calm());
  }

  #suspect(node: { readonly number: number; readonly handle: object }): void {
    this.note("suspected", node.number);
    this.#faults.count("node taken for dead that was well");
    this.#owners.lapse(node.handle);
  }

  /** Some process of some node goes to another shard. */
  #move(): void {
    const processes = [...this.#disk.processes.values()].filter(({ row }) => row.state !== "exited");
    if (processes.length === 0) return;
    const { pid, shard } = this.#dice.pick(processes).row;
    const owner = this.#owners.shards().find((row) => row.shard === shard)?.owner ?? 0;
    const kernel = this.#nodes.of(owner)?.kernel;
    const to = this.#dice.int(1, this.#profile.shards);
    this.note("move", pid, shard, to);
    const moved = kernel?.outside.move(pid, to);
    moved?.then(
      () => this.#faults.count("process moved"),
      () => undefined,
    );
  }

  #fill(): void {
    this.note("disk full", this.#faults.profile.fullMs);
    this.#faults.fill(this.#faults.profile.fullMs, (delayMs, fn) => this.timeline.after(delayMs, fn));
  }

  #jump(byMs: number): void {
    this.note("clock", byMs);
    if (!this.#faults.over && byMs !== 0) this.#faults.count(byMs < 0 ? "clock set back" : "clock set forward");
    this.timeline.jump(byMs);
  }

  // -- calm -----------------------------------------------------------------------------------------------------

  #calm(): void {
    this.#faults.over = true;
    this.#labels.isCalm = true;
    this.#calmSinceMs = this.timeline.nowMs;
    const highestMs = this.#nodes.calm();
    // What was to happen by a clock that has been set back since would be hours away.
    const byMs = this.timeline.highestOffsetMs - this.timeline.offsetMs;
    this.#jump(Math.max(byMs, highestMs - this.timeline.wallMs) + this.#profile.skewMs);
    this.#settle();
  }

  #settle(): void {
    const nodes = this.#nodes;
    const again = (): void => void this.timeline.after(pollMs, () => this.#settle());
    const isLate = this.timeline.nowMs - this.#calmSinceMs > patienceMs;
    nodes.replaceLacking();
    if (!nodes.areWell)
      return isLate ? this.complain("it has been calm for long, and not all nodes are open") : again();
    nodes.askAnother();
    const { debts, isOnlyTimers, nextTimerMs } = this.#load.settle(nodes);
    if (debts.length === 0) {
      if (this.#rounds-- > 0) nodes.close();
      else return this.#finish();
    } else if (isLate) {
      this.note("owners", ...this.#owners.shards().map(({ shard, owner }) => `${shard}:${owner}`));
      this.note("nodes", ...[...nodes.all].map((node) => `${node.number}:${this.#owners.incarnationOf(node.handle)}`));
      return this.complain(`it has been calm for long, and these are owed: ${debts.join("; ")}`);
    } else if (isOnlyTimers && nextTimerMs > 2 * pollMs) {
      this.#jump(nextTimerMs - pollMs);
    }
    again();
  }

  #finish(): void {
    this.#load.finish();
    this.end(this.#disk, this.#load.storeKind);
  }
}

/** Nodes of a cluster have to live for a while, lest none of them ever learns of another. */
function forCluster(profile: FaultProfile, dice: Dice): FaultProfile {
  return {
    ...profile,
    storeCrash: profile.storeCrash / 4,
    portCrash: profile.portCrash / 4,
    storeReject: profile.storeReject / 4,
    crashes: Math.ceil(profile.crashes / 3),
    chaosMs: dice.pick([1_500, 3_000, 6_000, 12_000]),
    rots: 0,
    unloadable: 0,
    fencings: 0,
    storeLateWrites: profile.storeLate,
  };
}
