/** The nodes of a run, one after the other: who comes after one that died, failed or was closed. */
import type { MachineKind } from "./counts.ts";
import type { Faults } from "./faults.ts";
import type { WatchedDisk } from "./watched-disk.ts";
import { SimulatedNode } from "./node.ts";
import type { NodeWorld } from "./node.ts";
import type { Outside } from "./outside.ts";
import type { Timeline } from "./timeline.ts";

export interface NodesPorts {
  readonly machineKind: MachineKind;
  readonly timeline: Timeline;
  readonly faults: Faults;
  readonly disk: WatchedDisk;
  readonly outside: Outside;
  readonly world: Omit<NodeWorld, "opened" | "failed" | "closed" | "died">;
  /** Holds the disk as it is now against its rules. */
  inspect(): void;
  /** Those who ask a node for something. */
  readonly callers: {
    nodeOpened(): void;
    nodeDied(node: SimulatedNode): void;
    checkAnswered(node: SimulatedNode): void;
  };
}

/** Of so many deaths one is looked into. */
const inspectedDeath = 5;

export class Nodes {
  readonly #ports: NodesPorts;
  readonly #world: NodeWorld;
  #current: SimulatedNode | undefined;
  /** Whose lease the disk knew when the current one was opened. */
  #leaseBefore: unknown;
  /** How the last node to hold the lease ended, until there is another that has recovered. */
  #ending: "crashed" | "closed" | undefined;
  count = 0;

  constructor(ports: NodesPorts) {
    this.#ports = ports;
    this.#world = {
      ...ports.world,
      opened: () => this.#opened(),
      failed: (node, isSaid) => this.#failed(node, isSaid),
      closed: (node) => this.#closed(node),
      died: (node) => this.#died(node),
    };
  }

  /** The last one, whatever its state. */
  get current(): SimulatedNode | undefined {
    return this.#current;
  }

  open(): void {
    this.#current = new SimulatedNode(++this.count, this.#world);
    this.#leaseBefore = this.#ports.disk.lease;
    this.#current.open();
  }

  #opened(): void {
    const { counts } = this.#ports.faults;
    if (this.#ending === "crashed") counts.cycles[this.#ports.machineKind]++;
    else if (this.#ending === "closed") counts.closings++;
    this.#ending = undefined;
    this.#ports.callers.nodeOpened();
  }

  /** From now on nobody owns the store; one that never held the lease makes no difference. */
  #markEnd(): void {
    const { disk, timeline } = this.#ports;
    if (disk.lease !== this.#leaseBefore) disk.endedAtMs = timeline.wallMs;
  }

  #reopen(): void {
    const { faults, timeline } = this.#ports;
    timeline.after(faults.over ? 10 : faults.awayMs(), () => this.open());
  }

  #died(node: SimulatedNode): void {
    const { faults, outside, callers, inspect } = this.#ports;
    faults.deaths++;
    if (faults.deaths % inspectedDeath === 0) inspect();
    this.#ending = "crashed";
    this.#markEnd();
    outside.nodeDied();
    callers.nodeDied(node);
    this.#reopen();
  }

  #failed(node: SimulatedNode, isSaid: boolean): void {
    const { faults, disk, outside } = this.#ports;
    faults.deaths++;
    this.#ending = "crashed";
    disk.gaveUp = isSaid;
    outside.nodeDied();
    this.#ended(node);
  }

  #closed(node: SimulatedNode): void {
    const { clean, owner } = this.#ports.disk;
    if (!clean || owner !== undefined)
      this.#world.complain("the kernel closed, and the store does not say that it did");
    this.#ending ??= "closed";
    this.#ports.outside.nodeClosed(node.number);
    this.#ended(node);
  }

  /** Its store may be slow to answer what was asked of it before its end, but not slower than this. */
  #ended(node: SimulatedNode): void {
    const { timeline, faults, callers } = this.#ports;
    timeline.after(faults.profile.longestStallMs + 5, () => {
      if (this.#current !== node || node.scope.ended) return;
      callers.checkAnswered(node);
      node.leave();
      this.#markEnd();
      callers.nodeDied(node);
      this.#reopen();
    });
  }
}
