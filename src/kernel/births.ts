/** Where processes begin their lives, and that no two nodes begin the same one. Nothing of this matters where the store has one owner. */
import type { Clock } from "../base/ports.ts";
import type { Pid } from "../journal/types.ts";
import { previousGeneration } from "../store/generations.ts";
import type { ProcessKey, Sharing } from "../store/port.ts";
import { toError } from "./errors.ts";
import type { Birth, Live } from "./live.ts";
import { gone, isExported, isTombstone } from "./registry.ts";
import type { Placement } from "./placement.ts";
import type { Registry } from "./registry.ts";
import type { Shards } from "./shards.ts";

export interface BirthsPorts {
  readonly sharing: Sharing | undefined;
  readonly registry: Pick<Registry, "beginLooking" | "begins" | "endLooking" | "hasLeft" | "knownOrDamaged" | "named">;
  readonly shards: Shards;
  readonly placement: Pick<Placement, "shardOf">;
  readonly clock: Clock;
  /** The kernel has come to its end. */
  isOver(): boolean;
  /** The kernel comes to its end. */
  failed(error: Error): void;
  /** A shard other than that of the parent; undefined for that, or for any of this node's. */
  readonly place: ((birth: Pick<Birth, "pid" | "parent">) => number | undefined) | undefined;
}

const lookMs = 20;

export class Births {
  readonly #ports: BirthsPorts;

  /** Those that begin on other nodes, until that is durable: nothing else here knows of them. */
  readonly #underway = new Map<Pid, Live>();
  /** What turns that are about to be staged may start. */
  readonly #kept = new Set<Pid>();

  constructor(ports: BirthsPorts) {
    this.#ports = ports;
  }

  isUnderway(pid: Pid): boolean {
    return this.#underway.has(pid);
  }

  /** One of them. Whoever asks the store for it does not find it yet. */
  underway(to: Pid | ProcessKey): Live | undefined {
    if (typeof to === "string") return this.#underway.get(to);
    for (const live of this.#underway.values()) if (live.row.key === to) return live;
    return undefined;
  }

  /** A process of another node is staged. To be called when it is durable: what this answers. */
  begun(live: Live): () => void {
    const { pid } = live.row;
    this.#underway.set(pid, live);
    return () => {
      this.#underway.delete(pid);
      this.#ports.registry.begins(pid);
    };
  }

  /** Families stay together where they may: what happens between processes of one node is cheaper by far. */
  shardOf(birth: Birth, parent?: Live): number | undefined {
    const { sharing, place, placement, shards } = this.#ports;
    if (sharing === undefined) return undefined;
    const { needs = "", program } = birth;
    const placed = place?.(birth) ?? placement.shardOf({ needs, program }, parent !== undefined);
    return placed ?? parent?.row.shard ?? shards.any(birth.pid);
  }

  /**
   * True when this node may start a process of that pid, false when there is one. Nobody goes on without an answer: of two nodes that begin the
   * same process one would fail. So whoever keeps a pid must begin its process at once, without anything between that may fail, or die.
   * `returning`: it comes from elsewhere, and may have been here before. Undefined if another node has kept it for `patienceMs`, and has not begun it.
   */
  async reserve(pid: Pid, returning = false, patienceMs: number = Infinity): Promise<boolean | undefined> {
    const { registry, clock } = this.#ports;
    if (this.#ports.sharing === undefined) return true;
    for (let waitedMs = 0; !this.#ports.isOver(); waitedMs += lookMs) {
      const known = await registry.knownOrDamaged(pid);
      if (known !== undefined && !(returning && known !== "damaged" && isExported(known))) return false;
      if (await this.ask(pid, returning)) return true;
      if (waitedMs >= patienceMs) return undefined;
      await new Promise<void>((resolve) => void clock.after(lookMs, resolve));
    }
    return false;
  }

  /**
   * The same for whoever has looked, or looks again: false if it is not to be had at this moment. If nobody knows whether this node keeps it, none
   * may begin the process as long as this one lives.
   */
  async ask(pid: Pid, returning = false): Promise<boolean> {
    const { sharing, registry, failed } = this.#ports;
    if (sharing === undefined) return true;
    registry.beginLooking();
    try {
      const isKept = await sharing.reservePid(pid, returning);
      // Somebody else may have begun it here while the store answered.
      return isKept && !this.isUnderway(pid) && registry.named(pid) === undefined && !registry.hasLeft(pid);
    } catch (error) {
      failed(toError(error));
      throw error;
    } finally {
      registry.endLooking();
    }
  }

  /** The same for a program that asks. One that follows on another is kept only if that has ended: else this node would keep it in vain. */
  async keep(pid: Pid, role: string | undefined): Promise<void> {
    const previous = role === "server" ? previousGeneration(pid) : undefined;
    if (this.#ports.sharing === undefined || (previous !== undefined && !(await this.#hasEnded(previous)))) return;
    if (await this.reserve(pid)) this.#kept.add(pid);
  }

  /** The turn that asked for it is staged. */
  letGo(pid: Pid): void {
    this.#kept.delete(pid);
  }

  mayBegin(pid: Pid): boolean {
    return this.#ports.sharing === undefined || this.#kept.has(pid);
  }

  async #hasEnded(pid: Pid): Promise<boolean> {
    const known = await this.#ports.registry.knownOrDamaged(pid);
    if (known === undefined || known === "damaged" || isTombstone(known)) return known !== undefined;
    return !isExported(known) && ("row" in known ? gone(known) : known.state === "exited");
  }
}
