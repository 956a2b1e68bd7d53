/** What happened in runs, by number: a fault that never strikes proves nothing. */

/** Ports of a node at whose calls it may die, besides those of its store. */
export const ports = [
  "machine.run",
  "machine.query",
  "machine.snapshot",
  "machine.kill",
  "machine.drop",
  "runner.start",
  "runner.proceed",
  "runner.abort",
  "runner.transact",
  "events.logs",
  "events.exited",
  "events.notice",
  "clock.nowMs",
  "clock.after",
  "random.bytes",
] as const;

export type Port = (typeof ports)[number];

/** The calls of its store that a kernel makes all the time. */
const storeCalls = [
  "claim",
  "recover",
  "commit",
  "transaction",
  "renew",
  "release",
  "load",
  "turns",
  "dueTimers",
  "changedByOthers",
  "inboxAfter",
  "findProcess",
  "names",
  "groups",
] as const;

const others = [
  "death at any time",
  "death by an operation",
  "death of a node that was opening",
  "store: rejected before its effect",
  "store: rejected after its effect",
  "store: slow",
  "store: read answered late",
  "store: disk full",
  "store: unsynced write lost",
  "store: unsynced write kept, and nobody told",
  "lease taken by another",
  "machine failed",
  "turn damaged",
  "snapshot damaged",
  "process evicted",
  "turn past a limit",
  "clock set forward",
  "clock set back",
  "program that cannot be loaded",
  "operation failed before its effect",
  "operation failed after its effect",
  "operation hung before its effect",
  "operation hung after its effect",
  "operation under way at the death of its node",
  "operation took effect after the death of its node",
  "operation happened again",
  "operation's fate uncertain",
  "outside asked what became of a key",
  "outside was called again with a key",
  "operation not deployed",
  "operation reported twice or late",
  "operation heard no abort",
  "input posted beside the node",
  "transaction of user code",
  "process pruned",
  "message sent again with its key",
] as const;

/** What clusters alone see. */
const clusterFaults = [
  "node stopped, and went on",
  "node stopped beyond its lease",
  "node cut off from its store",
  "store: write answered late",
  "node cut off, and its writes uncertain",
  "node taken for dead that was well",
  "node declared dead by another",
  "node fenced",
  "node joined",
  "node left for good",
  "process moved",
  "clock of a node wrong",
  "hint lost",
] as const;

type Side = "before" | "after";
export type FaultKind =
  | (typeof others)[number]
  | (typeof clusterFaults)[number]
  | `death at the store's ${string}, ${Side}`
  | `death at ${Port}, ${Side}`;

const sides: readonly Side[] = ["before", "after"];

/** All that a long series of runs must have seen. */
export const faultKinds: readonly FaultKind[] = [
  ...others,
  ...clusterFaults,
  ...storeCalls.flatMap((call) => sides.map((side): FaultKind => `death at the store's ${call}, ${side}`)),
  ...ports.flatMap((port) => sides.map((side): FaultKind => `death at ${port}, ${side}`)),
];

/** What runs a run's processes. */
export const machineKinds = ["model", "quickjs"] as const;
export type MachineKind = (typeof machineKinds)[number];

/** Of one run, or of many. */
export class Counts {
  runs = 0;
  turns = 0;
  commits = 0;
  /** Nodes that died, failed or lost their lease, and were followed by one that recovered; by what ran their processes. */
  readonly cycles: Record<MachineKind, number> = { model: 0, quickjs: 0 };
  /** Nodes that were closed in good order, and followed by another. */
  closings = 0;
  readonly faults: Record<string, number> = {};

  fault(kind: FaultKind): void {
    this.faults[kind] = (this.faults[kind] ?? 0) + 1;
  }

  /** Takes in what a thread has counted; it comes as plain data. */
  add(other: Omit<Counts, "fault" | "add" | "totalCycles" | "missing">): void {
    this.runs += other.runs;
    this.turns += other.turns;
    this.commits += other.commits;
    this.closings += other.closings;
    for (const kind of machineKinds) this.cycles[kind] += other.cycles[kind];
    for (const [kind, times] of Object.entries(other.faults)) this.faults[kind] = (this.faults[kind] ?? 0) + times;
  }

  get totalCycles(): number {
    return this.cycles.model + this.cycles.quickjs;
  }

  /** Faults that never struck. */
  get missing(): readonly FaultKind[] {
    return faultKinds.filter((kind) => this.faults[kind] === undefined);
  }
}
