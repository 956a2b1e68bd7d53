/** What goes wrong in a run, how often, and when. Each run has its own mixture; some have none at all. */
import type { Fault, StoreCall } from "../../src/store/memory/index.ts";
import { Counts } from "./counts.ts";
import type { FaultKind, Port } from "./counts.ts";
import type { Dice } from "./dice.ts";

/** Probabilities for each occasion, except where a unit is named. */
export interface FaultProfile {
  readonly storeCrash: number;
  readonly storeReject: number;
  /** At 1 the store is far away, and every call of it takes a while. */
  readonly storeStall: number;
  readonly longestStallMs: number;
  /** The node dies at a call of the machine, the runner or the events, before or after it. */
  readonly portCrash: number;
  /** Crashes, orderly closings and clock jumps at any time, by number. */
  readonly crashes: number;
  readonly closings: number;
  /** The node is left in peace when it has died so often. */
  readonly mostDeaths: number;
  readonly jumps: number;
  /** How often the clock goes ahead by more than the kernel remembers a process at rest, in ms; 0: never. */
  readonly hurryMs: number;
  /** A read is answered late, and others overtake it. */
  readonly storeLate: number;
  /** A write is answered late: other nodes see what it did before its own hears of it. */
  readonly storeLateWrites: number;
  /** Times in which the disk is full, by number, and how long they are. */
  readonly fillings: number;
  readonly fullMs: number;
  /** The lease is taken by another node, by number. */
  readonly fencings: number;
  /** Journal rows that the disk damages, by number. */
  readonly rots: number;
  /** A process's program cannot be loaded. */
  readonly unloadable: number;
  /** The machine forgets a process after a turn. */
  readonly evict: number;
  readonly longestTurnMs: number;
  /** A turn passes a limit. */
  readonly fatal: number;
  /** A snapshot turns out to be damaged. */
  readonly damage: number;
  /** How much replaying costs, per turn and at most, in µs: beyond 20,000 the kernel asks for a snapshot. */
  readonly turnMicros: number;
  readonly machineFailure: number;
  /** A host function hangs until it is given up. */
  readonly hang: number;
  /** How long processes are kept after their end. */
  readonly keepMs: number;
  /** Operations that take their node down may do so. */
  readonly killers: boolean;
  /** A report comes a second time, or when it is nobody's any more. */
  readonly lateReports: number;
  /** Host functions that may run at once. */
  readonly concurrency: number;
  /** How long the node is away after its end, at most. */
  readonly longestAwayMs: number;
  /** While everything goes wrong. */
  readonly chaosMs: number;
}

const writes: ReadonlySet<StoreCall | "transaction"> = new Set<StoreCall | "transaction">([
  "transaction",
  "claim",
  "renew",
  "release",
  "commit",
  "putProgram",
  "putBlob",
  "post",
  "takeDeadLetter",
]);

/** A node that dies more often than this is left in peace; in a stormy run it is not for long. */
const maxDeaths = 14;
const maxDeathsInStorms = 90;

export function drawProfile(dice: Dice): FaultProfile {
  const calm = dice.chance(0.08);
  const sometimes = (share: number, low: number, high: number): number =>
    !calm && dice.chance(share) ? low * (high / low) ** dice.unit() : 0;
  const times = (share: number, most: number): number => (!calm && dice.chance(share) ? dice.int(1, most) : 0);
  const isFar = dice.chance(0.2);
  // Nodes that hardly live between two deaths.
  const isStormy = !calm && dice.chance(0.75);
  return {
    storeCrash: sometimes(0.4, 0.002, 0.08),
    storeReject: sometimes(0.3, 0.002, 0.05),
    storeStall: isFar ? 1 : sometimes(0.4, 0.01, 0.3),
    longestStallMs: isFar ? dice.pick([2, 8, 25]) : dice.pick([5, 30, 200, 3_000]),
    portCrash: sometimes(0.3, 0.002, 0.08),
    crashes: isStormy ? dice.int(20, 80) : times(0.4, 4),
    mostDeaths: isStormy ? maxDeathsInStorms : maxDeaths,
    closings: times(0.3, 3),
    jumps: times(0.3, 4),
    hurryMs: !calm && dice.chance(0.08) ? dice.pick([10, 30, 100]) : 0,
    storeLate: sometimes(0.15, 0.02, 0.5),
    storeLateWrites: 0,
    fillings: times(0.08, 2),
    fullMs: dice.pick([5, 100, 1_000]),
    fencings: times(0.05, 1),
    rots: times(0.05, 3),
    unloadable: 0.02,
    evict: sometimes(0.5, 0.02, 1),
    longestTurnMs: dice.pick([0, 3, 10, 60, 400]),
    fatal: sometimes(0.15, 0.01, 0.2),
    damage: sometimes(0.2, 0.05, 1),
    turnMicros: dice.pick([0, 5_000, 15_000, 60_000]),
    machineFailure: sometimes(0.05, 0.005, 0.03),
    hang: sometimes(0.3, 0.01, 0.2),
    keepMs: dice.chance(0.3) ? dice.pick([100, 1_000, 5_000]) : Infinity,
    killers: true,
    lateReports: 0.1,
    concurrency: dice.pick([1, 2, 100, 100]),
    longestAwayMs: isStormy ? dice.pick([0, 5, 50]) : dice.pick([0, 50, 1_000, 20_000]),
    chaosMs: isStormy
      ? dice.pick([600, 1_500, 4_000])
      : dice.chance(0.02)
        ? dice.pick([15_000, 15_000, 200_000])
        : dice.pick([200, 600, 1_500, 4_000]),
  };
}

export class Faults {
  readonly profile: FaultProfile;
  readonly counts: Counts = new Counts();
  readonly #dice: Dice;
  /** Snapshots, and whether they turned out to be damaged. */
  readonly #snapshots = new WeakMap<Uint8Array, boolean>();
  /** Nothing goes wrong any more. */
  over = false;
  deaths = 0;
  #fillings = 0;

  constructor(profile: FaultProfile, dice: Dice) {
    this.profile = profile;
    this.#dice = dice;
  }

  get #may(): boolean {
    return !this.over && this.deaths < this.profile.mostDeaths;
  }

  count(kind: FaultKind): void {
    this.counts.fault(kind);
  }

  #strikes(kind: FaultKind, probability: number): boolean {
    const isStruck = this.#dice.chance(probability);
    if (isStruck) this.count(kind);
    return isStruck;
  }

  /** `wait` gives a promise that is fulfilled after so long. */
  atStore(call: StoreCall | "transaction", wait: (ms: number) => Promise<void>): Fault | undefined {
    if (!this.#may || call === "close") return undefined;
    const { storeCrash, storeReject, storeStall, storeLate, storeLateWrites, longestStallMs } = this.profile;
    const dice = this.#dice;
    if (dice.chance(storeCrash)) {
      const side = dice.chance(0.5) ? "before" : "after";
      this.count(`death at the store's ${call}, ${side}`);
      return `crash-${side}`;
    }
    if (dice.chance(storeReject)) {
      const side = dice.chance(0.5) ? "before" : "after";
      this.count(`store: rejected ${side} its effect`);
      return `reject-${side}`;
    }
    if (this.isFull && writes.has(call)) {
      this.count("store: disk full");
      return "full";
    }
    if (this.#strikes("store: slow", storeStall)) return wait(dice.delay(1, longestStallMs));
    const isLate = writes.has(call)
      ? this.#strikes("store: write answered late", storeLateWrites)
      : this.#strikes("store: read answered late", storeLate);
    return isLate ? { late: wait(dice.delay(1, longestStallMs)) } : undefined;
  }

  /** How many of the calls that wait had reached the disk when the node died. */
  landed(waiting: readonly StoreCall[]): number {
    const isWrite = waiting.map((call) => writes.has(call));
    if (this.over || !isWrite.includes(true)) return 0;
    const count = this.#dice.chance(0.5) ? this.#dice.int(0, waiting.length) : 0;
    if (isWrite.slice(0, count).includes(true)) this.count("store: unsynced write kept, and nobody told");
    if (isWrite.slice(count).includes(true)) this.count("store: unsynced write lost");
    return count;
  }

  /** No space is left on the disk, for so long. */
  fill(lengthMs: number, after: (delayMs: number, fn: () => void) => void): void {
    this.#fillings++;
    after(lengthMs, () => this.#fillings--);
  }

  get isFull(): boolean {
    return this.#fillings > 0 && !this.over;
  }

  atPort(port: Port): "before" | "after" | undefined {
    // Some are called all the time.
    const rarely = port.startsWith("clock") || port.startsWith("random") ? 0.1 : 1;
    if (!this.#may || !this.#dice.chance(this.profile.portCrash * rarely)) return undefined;
    const side = this.#dice.chance(0.5) ? "before" : "after";
    this.count(`death at ${port}, ${side}`);
    return side;
  }

  evicts(): boolean {
    return this.#strikes("process evicted", this.profile.evict);
  }

  fatal(): boolean {
    return this.#may && this.#strikes("turn past a limit", this.profile.fatal);
  }

  /** A damaged snapshot stays so. */
  damaged(snapshot: Uint8Array): boolean {
    const known = this.#snapshots.get(snapshot);
    const isDamaged = known ?? this.#strikes("snapshot damaged", this.profile.damage);
    this.#snapshots.set(snapshot, isDamaged);
    return isDamaged;
  }

  machineFails(): boolean {
    return this.#may && this.#strikes("machine failed", this.profile.machineFailure);
  }

  /** Host code does not come to its end. */
  hangs(): boolean {
    return !this.over && this.#dice.chance(this.profile.hang);
  }

  /** Whether a killer may strike once more. */
  mayKill(): boolean {
    return this.profile.killers && this.deaths < 3 * this.profile.mostDeaths;
  }

  turnMs(): number {
    return this.#dice.delay(0, this.profile.longestTurnMs);
  }

  turnMicros(): number {
    return this.#dice.delay(0, this.profile.turnMicros);
  }

  awayMs(): number {
    return this.#dice.delay(0, this.profile.longestAwayMs);
  }
}
