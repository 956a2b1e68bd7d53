/** What the processes of a cluster do, and who checks it. */
import type { Pid } from "../../../src/journal/types.ts";
import type { ProcessExit, ProcessKey } from "../../../src/store/port.ts";
import type { FaultClass } from "../classes.ts";
import type { Dice } from "../dice.ts";
import type { Faults, FaultProfile } from "../faults.ts";
import type { StoreKind } from "../inspect.ts";
import type { WatchedDisk } from "../watched-disk.ts";
import type { NodeWorld } from "../node.ts";
import type { Outside } from "../outside.ts";
import type { Workplace } from "../settle.ts";
import type { SimulationOptions } from "../simulation.ts";
import type { Timeline } from "../timeline.ts";
import type { Labels } from "./labels.ts";
import type { ClusterNodes, ClusterNodesPorts } from "./nodes.ts";
import type { ClusterProfile } from "./profile.ts";

/** What every part of a run is told. */
export interface ClusterCommon {
  readonly timeline: Timeline;
  readonly plan: Dice;
  readonly dice: Dice;
  readonly faults: Faults;
  /** What goes wrong by the plan, of which some may be left out. */
  readonly drawn: FaultProfile;
  readonly profile: ClusterProfile;
  readonly disk: WatchedDisk;
  readonly labels: Labels;
  readonly without: readonly FaultClass[];
  /** Only these processes are started from outside. */
  readonly only: readonly Pid[] | undefined;
  readonly lean: SimulationOptions["lean"];
  nodes(): ClusterNodes;
  complain(problem: string): void;
  note(what: string, ...facts: readonly unknown[]): void;
}

export interface Debts {
  readonly debts: readonly string[];
  readonly isOnlyTimers: boolean;
  readonly nextTimerMs: number;
}

export interface ClusterLoad {
  readonly outside: Outside;
  readonly callers: ClusterNodesPorts["callers"];
  readonly world: Pick<NodeWorld, "ledger" | "heaps" | "unloadable" | "keepMs" | "events" | "saidFatal">;
  readonly programs: readonly Pid[];
  readonly storeKind: StoreKind;
  readonly turns: number;
  readonly commits: number;
  /** Asks for what is to happen while everything goes wrong. */
  begin(): void;
  /** What is owed when everything is calm. */
  settle(nodes: Workplace): Debts;
  /** Nobody is owed anything. */
  finish(): void;
  exiting?(process: ProcessKey, exit: ProcessExit): void;
}

/** Whose attempt it is. */
export function incarnationOf(token: string): number {
  return Number(token.slice(0, token.indexOf(".")));
}
