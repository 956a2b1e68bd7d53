/** Who owns what of a shared disk, kept beside the store's own books: to see who writes, and whether they may. */
import type { InboxRow, ProcessExit, ProcessKey, ProcessRow } from "../../../src/store/port.ts";
import type { AwayBatch, CommitBatch, Notified } from "../../../src/store/port.ts";
import { SharedOwners } from "../../../src/store/memory/sharing.ts";
import type { SharedDisk } from "../../../src/store/memory/sharing.ts";

export interface OwnersPorts {
  nowMs(): number;
  complain(problem: string): void;
  /** How a hint reaches a node: late, or not at all. */
  hint(handle: object, fn: () => void): void;
  /** Incarnations were declared dead. */
  voided(incarnations: readonly number[]): void;
  /** What is handed out of what was posted. */
  posting?(rows: InboxRow[]): InboxRow[];
  /** A process is about to end: with everything that is tied to it. */
  exiting?(process: ProcessKey, exit: ProcessExit): void;
}

/** What is done behind the store's back, to see whether anybody notices. */
export interface OwnersSabotage {
  /** Whoever was fenced may write. */
  readonly acceptsFenced?: boolean;
  /** So many times those hear of an exit who were tied to the process. */
  readonly notices?: number;
}

export class WatchedOwners extends SharedOwners {
  readonly #ports: OwnersPorts;
  /** By handle, whatever became of it. */
  readonly #incarnations = new Map<object, number>();
  readonly #void = new Set<number>();
  readonly #left = new Set<number>();
  readonly #owned = new Map<number, number>();
  sabotage: OwnersSabotage = {};
  /** Whose commit is on its way to the disk. */
  committing = 0;

  constructor(shards: number, leaseMs: number, ports: OwnersPorts) {
    super(shards, leaseMs, () => ports.nowMs());
    this.#ports = ports;
  }

  incarnationOf(handle: object): number {
    return this.#incarnations.get(handle) ?? 0;
  }

  isVoid(incarnation: number): boolean {
    return this.#void.has(incarnation);
  }

  override join(incarnation: number, handle: object, nowMs: number, downtimeMs: number): void {
    this.#incarnations.set(handle, incarnation);
    super.join(incarnation, handle, nowMs, downtimeMs);
  }

  override isAlive(incarnation: number, handle: object): boolean {
    return this.sabotage.acceptsFenced === true || super.isAlive(incarnation, handle);
  }

  override listen(handle: object, fn: () => void): void {
    super.listen(handle, () => this.#ports.hint(handle, fn));
  }

  /** Whether it has given its lease back in good order. */
  hasLeft(incarnation: number): boolean {
    return this.#left.has(incarnation);
  }

  override leave(incarnation: number): void {
    this.#left.add(incarnation);
    this.#lose(incarnation);
    super.leave(incarnation);
  }

  override reap(disk: SharedDisk, nowMs: number, self: number): number[] {
    return this.#die(super.reap(disk, nowMs, self));
  }

  override usurp(disk: SharedDisk): number[] {
    return this.#die(super.usurp(disk));
  }

  #die(dead: number[]): number[] {
    for (const incarnation of dead) {
      this.#void.add(incarnation);
      this.#lose(incarnation);
    }
    if (dead.length > 0) this.#ports.voided(dead);
    return dead;
  }

  #lose(incarnation: number): void {
    for (const [shard, owner] of this.#owned) if (owner === incarnation) this.#owned.delete(shard);
  }

  override acquire(wanted: readonly number[], incarnation: number): ReturnType<SharedOwners["acquire"]> {
    const acquired = super.acquire(wanted, incarnation);
    for (const { shard } of acquired) {
      const before = this.#owned.get(shard);
      if (before !== undefined) this.#ports.complain(`shard ${shard} is given to ${incarnation}, and ${before} has it`);
      if (this.#void.has(incarnation)) this.#ports.complain(`shard ${shard} is given to ${incarnation}, which is dead`);
      this.#owned.set(shard, incarnation);
    }
    return acquired;
  }

  override check(disk: SharedDisk, batch: CommitBatch, incarnation: number): void {
    this.committing = incarnation;
    if (this.sabotage.acceptsFenced === true) return;
    try {
      super.check(disk, batch, incarnation);
    } catch (error) {
      // It has its lease still: it must know what it owns.
      this.#ports.complain(`a commit of incarnation ${incarnation}, which is alive, was refused: ${String(error)}`);
      throw error;
    }
  }

  /** Whether the commit that has just reached the disk may have any effect. */
  checkMayWrite(batch: CommitBatch, rowOf: (process: ProcessKey) => ProcessRow | undefined): void {
    const { committing } = this;
    const { complain } = this.#ports;
    if (this.#void.has(committing)) complain(`a commit of incarnation ${committing} took effect, which was fenced`);
    for (const { process, turn } of batch.turns ?? []) {
      const { pid, shard = 0 } = rowOf(process) ?? { pid: `process ${process}` };
      const owner = this.#owned.get(shard);
      if (owner !== committing)
        complain(`turn ${turn.number} of ${pid} was committed by ${committing}, and ${owner ?? "nobody"} owns it`);
    }
  }

  override apply(disk: SharedDisk, away: AwayBatch, incarnation: number): void {
    super.apply(disk, away, incarnation);
    for (const shard of away.yielded) this.#owned.delete(shard);
  }

  override posted(...given: Parameters<SharedOwners["posted"]>): InboxRow[] {
    const rows = super.posted(...given);
    return this.#ports.posting?.(rows) ?? rows;
  }

  override exit(disk: SharedDisk, process: ProcessKey, exit: ProcessExit, notified: Notified | undefined): void {
    this.#ports.exiting?.(process, exit);
    const { notices = 1 } = this.sabotage;
    const record = disk.processes.get(process);
    const everyone: Notified = {
      process,
      links: [...(record?.relations.links ?? [])],
      monitors: [...(record?.relations.watchers ?? [])].map(({ watcher, number }) => [watcher, number]),
    };
    super.exit(disk, process, exit, notices === 0 ? everyone : notified);
    for (let more = 1; more < notices; more++) super.exit(disk, process, exit, notified);
  }
}
