/** Which nodes of a cluster have which labels, and which processes need one. In some runs nothing of it matters. */
import type { Pid } from "../../../src/journal/types.ts";
import { Dice } from "../dice.ts";

const labels = ["x", "y"];
/** In so many of the runs where processes can need them there are labels. */
const share = 0.6;

export class Labels {
  readonly #seed: number;
  readonly areUsed: boolean;
  /** Nodes that open from now on have all of them. */
  isCalm = false;
  readonly #nodes = new Map<number, readonly string[]>();

  constructor(seed: number, isWanted: boolean) {
    this.#seed = seed;
    this.areUsed = isWanted && new Dice(seed, "labels").chance(share);
  }

  /** Of the node with that number, from its opening on. */
  of(node: number): readonly string[] {
    const dice = new Dice(this.#seed, `labels of node ${node}`);
    const own = this.#nodes.get(node) ?? (this.isCalm ? labels : labels.filter(() => dice.chance(0.6)));
    this.#nodes.set(node, own);
    return own;
  }

  /** Whether it may be one of those that are there in the end. */
  hasAll(node: number): boolean {
    return !this.areUsed || this.of(node).length === labels.length;
  }

  /** "" for those that need none. */
  needs(pid: Pid): string {
    const dice = new Dice(this.#seed, `needs of ${pid}`);
    return this.areUsed && dice.chance(0.6) ? dice.pick(labels) : "";
  }

  mayRun(node: number, pid: Pid): boolean {
    const needed = this.needs(pid);
    return needed === "" || this.of(node).includes(needed);
  }
}
