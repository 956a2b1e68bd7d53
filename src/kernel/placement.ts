/**
 * Which processes this node runs of those in its shards, and where new ones begin. What it may not run it leaves as it is, and hands over to
 * a node that fits as soon as there is one. Processes at rest are not looked at: whatever wakes one brings it here.
 *
 * All nodes judge by the same rule (`fitting.ts`) and the same rows, those of the nodes' table: so none hands over what the other would not
 * take, and nothing goes to and fro.
 */
import { isPerdureError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import type { NodeRow, ProcessKey, ProcessRow, ProgramRow, Store } from "../store/port.ts";
import { describeWanted, fitting, missing } from "./fitting.ts";
import type { Traits, Wanted } from "./fitting.ts";
import type { Live } from "./live.ts";
import type { KernelEvents } from "./ports.ts";
import { gone } from "./registry.ts";
import type { Registry } from "./registry.ts";
import type { Shards } from "./shards.ts";

export interface PlacementPorts {
  readonly store: Pick<Store, "nodes" | "program" | "sharing">;
  readonly clock: Clock;
  readonly incarnation: number;
  readonly shards: Shards;
  readonly registry: Pick<Registry, "get" | "size">;
  readonly events: Pick<KernelEvents, "notice">;
  /** What this node is. Undefined: it runs all it finds, and no other node is looked at. */
  readonly traits: Traits | undefined;
  /** Why processes of a program cannot run on this release, in a sentence. */
  refusal(program: string): string | undefined;
  /** Whether this node can offer all host operations of a program, beside those it has named. */
  offers(program: ProgramRow): Promise<boolean>;
  /** It may go on here. */
  wake(live: Live): void;
  /** The kernel fails if it does. */
  run(work: Promise<void>): void;
}

type Placed = Pick<ProcessRow, "needs" | "program">;

/** How often it looks what other nodes there are. */
const lookMs = 1_000;
/** So many processes it hands over between two looks. */
const maxMoves = 200;
/** A new process begins here as long as this node has no more than so many in memory beyond the node that has fewest. */
const room = 16;
/** What has changed by less than this part, or by few, is not announced. */
const newsPart = 8;

interface Other {
  readonly node: NodeRow;
  readonly shards: readonly number[];
  /** How many this node has put there since that one announced its load. */
  sent: number;
}

export class Placement {
  readonly #ports: PlacementPorts;
  #traits: Traits | undefined;
  /** The other nodes that own shards. */
  #others: readonly Other[] = [];
  readonly #programs = new Map<string, Wanted | "asked">();
  /** Whether this node may run processes of a program that need a label: by program, then by label. */
  readonly #verdicts = new Map<string, Map<string, boolean>>();
  readonly #misplaced = new Map<ProcessKey, Live>();
  /** What was said already to wait. */
  readonly #told = new Set<string>();
  #announced = 0;
  #lastMs = -Infinity;
  #isLooking = false;
  #isHandingOver = false;
  #isStopped = false;

  constructor(ports: PlacementPorts) {
    this.#ports = ports;
    this.#traits = ports.traits;
  }

  /** It has come from the store. */
  loaded(live: Live): void {
    const message = gone(live) ? undefined : this.#ports.refusal(live.row.program);
    if (message !== undefined) this.#ports.events.notice({ kind: "left-alone", pid: live.row.pid, message });
  }

  /** It has no turns here. */
  refuses(live: Live): boolean {
    return this.#ports.refusal(live.row.program) !== undefined || !this.mayRun(live);
  }

  /** Whether this node may run it. If not, it is handed over as soon as another may. */
  mayRun(live: Live): boolean {
    if (this.#traits === undefined || this.#judge(live.row)) return true;
    if (!gone(live)) this.#misplaced.set(live.row.key, live);
    return false;
  }

  #judge({ needs, program }: Placed): boolean {
    const known = this.#verdicts.get(program)?.get(needs);
    if (known !== undefined) return known;
    const wanted = this.#wanted(program);
    // It is looked up, and the process woken then.
    if (wanted === "asked" || this.#traits === undefined) return false;
    const verdict = fitting(this.#all(this.#traits), needs, wanted).some((node) => node === this.#traits);
    const verdicts = this.#verdicts.get(program) ?? new Map<string, boolean>();
    this.#verdicts.set(program, verdicts.set(needs, verdict));
    return verdict;
  }

  #all(own: Traits): readonly Traits[] {
    return [own, ...this.#others.map(({ node }) => node)];
  }

  /** Undefined where operations don't matter. */
  #wanted(program: string): Wanted | "asked" | undefined {
    if (this.#ports.store.sharing === undefined) return undefined;
    const found = this.#programs.get(program);
    if (found !== undefined) return found;
    this.#programs.set(program, "asked");
    this.#ports.run(this.#learn(program));
    return "asked";
  }

  async #learn(hash: string): Promise<void> {
    const { store, offers } = this.#ports;
    const program = await store.program(hash).catch(damage);
    const wanted = { file: program?.file ?? "", operations: program?.operations ?? [] };
    const isMissing = this.#traits !== undefined && missing(this.#traits, wanted).length > 0;
    if (isMissing && program !== undefined && (await offers(program))) await this.#offer(wanted.operations);
    if (this.#isStopped) return;
    this.#programs.set(hash, wanted);
    this.#review();
  }

  /** Others must know it before this node goes by it. */
  async #offer(names: readonly string[]): Promise<void> {
    if (this.#traits === undefined || this.#isStopped) return;
    const operations = [...new Set([...this.#traits.operations, ...names])].toSorted();
    const traits = { ...this.#traits, operations };
    await this.#announce(traits);
    this.#traits = traits;
  }

  async #announce({ labels, file, operations }: Traits): Promise<void> {
    this.#announced = this.#ports.registry.size;
    await this.#ports.store.sharing?.announce({ labels, file, operations, load: this.#announced });
  }

  /** What fits has changed. */
  #review(): void {
    this.#verdicts.clear();
    for (const [key, live] of this.#misplaced) {
      if (!this.#isHere(live)) this.#misplaced.delete(key);
      else if (this.#judge(live.row)) {
        this.#misplaced.delete(key);
        this.#ports.wake(live);
      }
    }
  }

  #isHere(live: Live): boolean {
    return !gone(live) && this.#ports.registry.get(live.row.key) === live;
  }

  // -- other nodes ----------------------------------------------------------------------------------------------

  /** To be called at every tick. */
  tick(nowMs: number): void {
    if (this.#traits === undefined || this.#isStopped || Math.abs(nowMs - this.#lastMs) < lookMs) return;
    this.#lastMs = nowMs;
    this.#ports.run(this.#work());
  }

  /** What takes long, because an operation is waited for, keeps nobody from looking. */
  async #work(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    await this.look();
    this.#isLooking = false;
    if (this.#isHandingOver) return;
    this.#isHandingOver = true;
    await this.#handOver();
    this.#isHandingOver = false;
  }

  /** Learns what other nodes there are, and tells them of this one. */
  async look(): Promise<void> {
    const { store, clock, incarnation, registry } = this.#ports;
    if (this.#traits === undefined || store.sharing === undefined) return;
    if (Math.abs(registry.size - this.#announced) > Math.max(room / 2, this.#announced / newsPart))
      await this.#announce(this.#traits);
    const [nodes, shards] = await Promise.all([store.nodes(clock.nowMs()), store.sharing.shards()]);
    if (this.#isStopped) return;
    const before = new Map(this.#others.map((other) => [other.node.id, other]));
    this.#others = nodes.flatMap((node) => {
      const own = shards.filter(({ owner }) => owner === node.incarnation).map(({ shard }) => shard);
      if (node.state !== "active" || node.incarnation === incarnation || own.length === 0) return [];
      const last = before.get(node.id);
      return { node, shards: own, sent: last?.node.load === node.load ? last.sent : 0 };
    });
    this.#review();
  }

  /** One after the other, and no more than some at a time: those it takes from have others to look after. */
  async #handOver(): Promise<void> {
    let moves = 0;
    for (const [key, live] of this.#misplaced) {
      if (this.#isStopped || moves === maxMoves) return;
      const wanted = this.#wanted(live.row.program);
      if (!this.#isHere(live) || !mayLeave(live) || wanted === "asked") continue;
      const to = this.#fittest(live.row);
      if (to === undefined) this.#tell(live, wanted);
      else {
        moves++;
        this.#misplaced.delete(key);
        to.sent++;
        await this.#ports.shards.move(live, shardOf(to, key)).catch(unlessOver);
      }
    }
  }

  /** Of the other nodes that may run it, the one with the fewest. */
  #fittest({ needs, program }: Placed): Other | undefined {
    const wanted = this.#wanted(program);
    if (wanted === "asked" || this.#traits === undefined) return undefined;
    const nodes = new Set<Traits>(fitting(this.#all(this.#traits), needs, wanted));
    return this.#others
      .filter(({ node }) => nodes.has(node))
      .reduce<Other | undefined>((a, b) => (a === undefined || loadOf(b) < loadOf(a) ? b : a), undefined);
  }

  /** Once for all processes that are alike. */
  #tell({ row: { pid, needs, program } }: Live, wanted: Wanted | undefined): void {
    const like = `${needs} ${program}`;
    if (this.#told.has(like) || this.#traits === undefined) return;
    this.#told.add(like);
    const what = describeWanted(this.#all(this.#traits), needs, wanted);
    const message = `It waits for ${what}, as do others like it. It goes on when there is one.`;
    this.#ports.events.notice({ kind: "waits-for-node", pid, message });
  }

  // -- births ---------------------------------------------------------------------------------------------------

  /**
   * The shard of another node that a new process begins in; undefined if it may as well begin here. A child stays with its parent if it may
   * run there.
   */
  shardOf(birth: Placed, isChild: boolean): number | undefined {
    if (this.#traits === undefined || this.#others.length === 0) return undefined;
    const to = this.#fittest(birth);
    const isHere = this.#judge(birth);
    if (to === undefined || (isHere && (isChild || this.#ports.registry.size <= loadOf(to) + room))) return undefined;
    return shardOf(to, to.sent++);
  }

  stop(): void {
    this.#isStopped = true;
  }
}

function loadOf({ node, sent }: Other): number {
  return node.load + sent;
}

function shardOf({ shards }: Other, number: number): number {
  return shards[number % shards.length] ?? 0;
}

/** Whoever exports it or imports it counts on its place, and a broken one runs nowhere. */
function mayLeave({ row: { state }, leaving }: Live): boolean {
  return !leaving && state !== "moving" && state !== "broken";
}

/** It is found to be broken when it is loaded. */
function damage(error: unknown): undefined {
  if (!isPerdureError(error, "STORE_CORRUPT")) throw error;
}

/** It has ended, or somebody else has moved it. */
function unlessOver(error: unknown): void {
  if (!isPerdureError(error, "PROCESS_EXITED") && !isPerdureError(error, "PROCESS_ELSEWHERE")) throw error;
}
