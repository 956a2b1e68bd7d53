/** The nodes of a cluster: several at once, each followed by another when it dies, fails or is closed. */
import type { Dice } from "../dice.ts";
import type { Faults } from "../faults.ts";
import type { Job } from "../host.ts";
import type { WatchedDisk } from "../watched-disk.ts";
import { SimulatedNode } from "../node.ts";
import type { NodeWorld } from "../node.ts";
import type { Outside } from "../outside.ts";
import type { Timeline } from "../timeline.ts";
import type { Labels } from "./labels.ts";
import type { WatchedOwners } from "./owners.ts";
import { drawSkew, mostNodes } from "./profile.ts";
import type { ClusterProfile } from "./profile.ts";

export interface ClusterNodesPorts {
  readonly timeline: Timeline;
  readonly dice: Dice;
  readonly faults: Faults;
  readonly disk: WatchedDisk;
  readonly owners: WatchedOwners;
  readonly outside: Outside;
  readonly profile: ClusterProfile;
  readonly labels: Labels;
  readonly world: Omit<NodeWorld, "opened" | "failed" | "closed" | "died" | "ran" | "place" | "lateMail" | "labels">;
  /** Holds the disk as it is now against its rules. */
  inspect(): void;
  complain(problem: string): void;
  note(what: string, ...facts: readonly unknown[]): void;
  readonly callers: {
    nodeOpened(): void;
    nodeDied(node: SimulatedNode): void;
    checkAnswered(node: SimulatedNode): void;
  };
}

/** Of so many deaths one is looked into. */
const inspectedDeath = 7;

export class ClusterNodes {
  readonly #ports: ClusterNodesPorts;
  readonly #world: Omit<NodeWorld, "ran">;
  readonly #nodes = new Set<SimulatedNode>();
  /** When turns ran, by node. */
  readonly #ran = new Map<string, number>();
  /** So many nodes there should be. */
  #size: number;
  /** Whom callers ask. */
  #asked: SimulatedNode | undefined;
  count = 0;

  constructor(ports: ClusterNodesPorts) {
    this.#ports = ports;
    const { profile, dice } = ports;
    this.#size = profile.nodes;
    this.#world = {
      ...ports.world,
      lateMail: profile.lateMail,
      ...(ports.labels.areUsed ? { labels: ports.labels } : {}),
      ...(profile.isSpread ? { place: () => dice.int(1, profile.shards) } : {}),
      opened: () => ports.callers.nodeOpened(),
      failed: (node) => this.#failed(node),
      closed: (node) => this.#closed(node),
      died: (node) => this.#died(node),
    };
  }

  get all(): ReadonlySet<SimulatedNode> {
    return this.#nodes;
  }

  /** Those that can be reached. */
  get open(): SimulatedNode[] {
    return [...this.#nodes].filter(({ kernel }) => kernel !== undefined);
  }

  /** All are there, and know what they own. */
  get areWell(): boolean {
    const { owners } = this.#ports;
    const open = this.open.filter((node) => !owners.isVoid(owners.incarnationOf(node.handle)));
    const { labels } = this.#ports;
    const areAble = open.every(({ number }) => labels.hasAll(number));
    return open.length === this.#size && this.#nodes.size === this.#size && areAble;
  }

  /** One that lacks a label is closed, for one that has all: in the end nothing waits for a node. */
  replaceLacking(): void {
    const lacking = this.open.find(({ number }) => !this.#ports.labels.hasAll(number));
    lacking?.close(1_000);
  }

  get machine(): { readonly busy: boolean } {
    return { busy: this.open.some(({ machine }) => machine.busy) };
  }

  get host(): { readonly pending: readonly Job[] } {
    return { pending: this.open.flatMap(({ host }) => host.pending) };
  }

  begin(): void {
    for (let node = 0; node < this.#size; node++) this.#comeAfter(node === 0 ? 0 : this.#ports.dice.delay(0, 300));
  }

  /** Whom callers ask now; another one after a while. */
  get asked(): SimulatedNode | undefined {
    if (this.#asked?.kernel === undefined) this.askAnother();
    return this.#asked;
  }

  askAnother(): void {
    const { open } = this;
    this.#asked = open.length === 0 ? undefined : this.#ports.dice.pick(open);
    // One that was stopped may have gone on.
    if (open.length > 0) this.#ports.callers.nodeOpened();
  }

  isVoid(node: SimulatedNode | undefined): boolean {
    const { owners } = this.#ports;
    return node !== undefined && owners.isVoid(owners.incarnationOf(node.handle));
  }

  of(incarnation: number): SimulatedNode | undefined {
    return [...this.#nodes].find(({ handle }) => this.#ports.owners.incarnationOf(handle) === incarnation);
  }

  /** When a turn ran at the node whose commit it is. */
  ranAtMs(pid: string, turn: number): number {
    return this.#ran.get(`${this.of(this.#ports.owners.committing)?.number} ${pid} ${turn}`) ?? 0;
  }

  // -- what happens to them -------------------------------------------------------------------------------------

  #comeAfter(delayMs: number, afterCrash = false): void {
    this.#ports.timeline.after(delayMs, () => {
      if (this.#nodes.size < this.#size) this.#open(afterCrash);
    });
  }

  #open(afterCrash: boolean): void {
    const { dice, profile, faults, timeline } = this.#ports;
    const skew = faults.over ? undefined : drawSkew(dice, profile.skewMs);
    if (skew !== undefined && profile.skewMs > 0) faults.count("clock of a node wrong");
    const number = ++this.count;
    const ran = (pid: string, turn: number): void => void this.#ran.set(`${number} ${pid} ${turn}`, timeline.nowMs);
    const { opened } = this.#world;
    const world: NodeWorld = {
      ...this.#world,
      ran,
      // What it does while it is dead for the others is nothing to anybody.
      complain: (problem) => (this.isVoid(node) ? this.#ports.note("in vain", problem) : this.#ports.complain(problem)),
      opened: (node) => {
        if (afterCrash) faults.counts.cycles.model++;
        opened(node);
      },
    };
    const node: SimulatedNode = new SimulatedNode(number, world, skew);
    this.#nodes.add(node);
    node.open();
  }

  join(): void {
    if (this.#size >= mostNodes) return;
    this.#size++;
    this.#ports.faults.count("node joined");
    this.#comeAfter(0);
  }

  /** One closes, and nobody follows on it. */
  leave(): void {
    const [node] = this.open;
    if (this.#size < 2 || node === undefined) return;
    this.#size--;
    this.#ports.faults.count("node left for good");
    node.close(this.#ports.dice.pick([0, 5, 1_000]));
  }

  some(use: (node: SimulatedNode) => void): void {
    const { open } = this;
    if (open.length > 0) use(this.#ports.dice.pick(open));
  }

  suspect(node: SimulatedNode): void {
    this.#ports.owners.lapse(node.handle);
  }

  /** It is stopped, mostly for long enough to be taken for dead. */
  stop(node: SimulatedNode): void {
    const { dice, faults, timeline, profile, owners, note } = this.#ports;
    node.stop();
    faults.count("node stopped, and went on");
    const isHurried = dice.chance(0.7);
    const forMs = isHurried ? dice.int(100, 3_000) : profile.leaseMs + dice.int(0, 3_000);
    if (isHurried && dice.chance(0.8))
      timeline.after(dice.delay(0, 200), () => this.suspect(node), node.scope.ended ? node.scope : undefined);
    timeline.after(forMs, () => {
      if (node.scope.ended) return;
      if (owners.isVoid(owners.incarnationOf(node.handle))) faults.count("node stopped beyond its lease");
      note("wakes", node.number);
      this.#hold(node);
      node.goOn();
    });
  }

  /** Calls of it that were under way may take effect only now. */
  #hold(node: SimulatedNode): void {
    for (const { deed } of node.state === "opening" ? [] : node.host.pending) deed.isHeldUp = true;
  }

  cut(node: SimulatedNode): void {
    const { dice, faults, timeline, profile } = this.#ports;
    const isLossy = dice.chance(0.4);
    node.cut(isLossy);
    faults.count(isLossy ? "node cut off, and its writes uncertain" : "node cut off from its store");
    const isLong = dice.chance(0.2);
    if (!isLong && dice.chance(0.5)) timeline.after(dice.delay(0, 500), () => this.suspect(node));
    timeline.after(isLong ? profile.leaseMs + dice.int(0, 2_000) : dice.int(20, 3_000), () => {
      if (!node.scope.ended) this.#hold(node);
      node.heal();
    });
  }

  /** Nothing goes wrong any more: whoever was stopped or cut off goes on, and clocks show the same. */
  calm(): number {
    const wallMs = Math.max(this.#ports.timeline.wallMs, ...[...this.#nodes].map((node) => node.wallMs));
    for (const node of this.#nodes) {
      if (node.isStopped) this.#hold(node);
      node.goOn();
      node.heal();
      node.setClock();
    }
    return wallMs;
  }

  close(): void {
    this.open[0]?.close(1_000);
  }

  end(): void {
    for (const node of this.#nodes) node.leave();
  }

  // -- their ends -----------------------------------------------------------------------------------------------

  #isOf(node: SimulatedNode): (token: string) => boolean {
    const own = `${this.#ports.owners.incarnationOf(node.handle)}.`;
    return (token) => token.startsWith(own);
  }

  /** Others have declared it dead, and it may not know. */
  voided(incarnation: number): void {
    const { outside, faults } = this.#ports;
    faults.count("node declared dead by another");
    const node = this.of(incarnation);
    // It may have closed before it had taken up what another left.
    if (node === undefined || node.state === "closed") return outside.nodeDied(() => false);
    if (node.state === "failed") return;
    faults.count("node fenced");
    outside.nodeDied(this.#isOf(node));
  }

  #reopen(node: SimulatedNode, afterCrash: boolean): void {
    const { faults, dice, profile, timeline } = this.#ports;
    this.#nodes.delete(node);
    if (afterCrash && (faults.over || dice.chance(profile.hurry)))
      timeline.after(dice.delay(0, 300), () => this.suspect(node));
    this.#comeAfter(faults.over ? 10 : faults.awayMs(), afterCrash);
  }

  #died(node: SimulatedNode): void {
    const { faults, outside, callers, inspect } = this.#ports;
    faults.deaths++;
    if (faults.deaths % inspectedDeath === 0) inspect();
    this.#endOf(node, outside);
    callers.nodeDied(node);
    this.#reopen(node, true);
  }

  #failed(node: SimulatedNode): void {
    const { faults, outside } = this.#ports;
    faults.deaths++;
    this.#endOf(node, outside);
    this.#ended(node, true);
  }

  /** One that had given back its lease is closed for the others. */
  #endOf(node: SimulatedNode, outside: Outside): void {
    const { owners } = this.#ports;
    if (owners.hasLeft(owners.incarnationOf(node.handle))) outside.nodeClosed(node.number, this.#isOf(node));
    else if (!this.isVoid(node)) outside.nodeDied(this.#isOf(node));
  }

  #closed(node: SimulatedNode): void {
    this.#ports.outside.nodeClosed(node.number, this.#isOf(node));
    this.#ports.faults.counts.closings++;
    this.#ended(node, false);
  }

  #ended(node: SimulatedNode, afterCrash: boolean): void {
    const { timeline, faults, callers } = this.#ports;
    node.heal();
    // Some look at it several times before they notice.
    timeline.after(4 * faults.profile.longestStallMs + 40, () => {
      if (node.scope.ended) return;
      callers.checkAnswered(node);
      node.leave();
      callers.nodeDied(node);
      this.#reopen(node, afterCrash);
    });
  }
}
