/** The nodes of a run, one after the other: who comes after one that died, failed or was closed. */
import type { Faults } from "./faults.ts";
import type { WatchedDisk } from "./ledger.ts";
import { SimulatedNode } from "./node.ts";
import type { NodeWorld } from "./node.ts";
import type { Outside } from "./outside.ts";
import type { Timeline } from "./timeline.ts";

export interface NodesPorts {
  readonly timeline: Timeline;
  readonly faults: Faults;
  readonly disk: WatchedDisk;
  readonly outside: Outside;
  readonly world: Omit<NodeWorld, "opened" | "failed" | "closed" | "died">;
  /** Those who ask a node for something. */
  readonly callers: {
    nodeOpened(): void;
    nodeDied(node: SimulatedNode): void;
    checkAnswered(node: SimulatedNode): void;
  };
}

export class Nodes {
  readonly #ports: NodesPorts;
  readonly #world: NodeWorld;
  #current: SimulatedNode | undefined;
  count = 0;

  constructor(ports: NodesPorts) {
    this.#ports = ports;
    this.#world = {
      ...ports.world,
      opened: () => ports.callers.nodeOpened(),
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
    this.#current.open();
  }

  #reopen(): void {
    const { faults, timeline } = this.#ports;
    timeline.after(faults.over ? 10 : faults.awayMs(), () => this.open());
  }

  #died(node: SimulatedNode): void {
    const { faults, disk, timeline, outside, callers } = this.#ports;
    faults.deaths++;
    disk.endedAtMs = timeline.wallMs;
    outside.nodeDied();
    callers.nodeDied(node);
    this.#reopen();
  }

  #failed(node: SimulatedNode, isSaid: boolean): void {
    const { faults, disk, outside } = this.#ports;
    faults.deaths++;
    disk.gaveUp = isSaid;
    outside.nodeDied();
    this.#ended(node);
  }

  #closed(node: SimulatedNode): void {
    const { clean, owner } = this.#ports.disk;
    if (!clean || owner !== undefined)
      this.#world.complain("the kernel closed, and the store does not say that it did");
    this.#ports.outside.nodeClosed(node.number);
    this.#ended(node);
  }

  /** Its store may be slow to answer what was asked of it before its end, but not slower than this. */
  #ended(node: SimulatedNode): void {
    const { timeline, faults, callers, disk } = this.#ports;
    timeline.after(faults.profile.longestStallMs + 5, () => {
      if (this.#current !== node || node.scope.ended) return;
      callers.checkAnswered(node);
      node.leave();
      disk.endedAtMs = timeline.wallMs;
      callers.nodeDied(node);
      this.#reopen();
    });
  }
}
