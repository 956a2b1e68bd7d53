/**
 * Which shards of a shared store this node owns: it takes its share of those that nobody has, goes on with what runs in them, and gives
 * some up when others have too few. Where the store has one owner, that owns everything.
 */
import type { Clock } from "../base/ports.ts";
import type { AcquiredShard, Sharing } from "../store/port.ts";
import type { Committer } from "./batch.ts";
import type { Live } from "./live.ts";

export interface ShardsPorts {
  readonly sharing: Sharing | undefined;
  readonly clock: Clock;
  readonly committer: Committer;
  lives(): Iterable<Live>;
  /** Goes on with everything in shards that have just become this node's. */
  adopt(shards: readonly AcquiredShard[]): Promise<void>;
  /** Writes what has reached these processes and is in no row yet. */
  spill(lives: readonly Live[]): void;
  /** They are another node's from now on. */
  left(lives: readonly Live[]): void;
}

/** How often it looks whether the shards are in the right hands. */
const balanceMs = 1_000;
/** How long attempts of operations may take to end before their processes leave. */
const graceMs = 10_000;
const lookMs = 10;

export class Shards {
  readonly #ports: ShardsPorts;
  readonly #owned = new Set<number>();
  #all: readonly number[] = [];
  #lastMs = -Infinity;
  #working = false;
  #stopped = false;

  constructor(ports: ShardsPorts) {
    this.#ports = ports;
  }

  readonly isMine = ({ shard }: { readonly shard?: number | undefined }): boolean =>
    shard === undefined || this.#owned.has(shard);

  get owned(): ReadonlySet<number> {
    return this.#owned;
  }

  /** Duties that one node does for all are the owner's of the first shard. */
  get hasFirst(): boolean {
    return this.#owned.has(Math.min(...this.#all));
  }

  /** One of this node's own for a process of that pid, or of all if it has none. */
  any(pid: string): number | undefined {
    const choice = this.#owned.size > 0 ? [...this.#owned] : this.#all;
    return choice.length === 0 ? undefined : choice[spread(pid, choice.length)];
  }

  /** To be called at every tick. */
  async tick(nowMs: number): Promise<void> {
    const { sharing } = this.#ports;
    if (sharing === undefined || this.#working || this.#stopped || Math.abs(nowMs - this.#lastMs) < balanceMs) return;
    this.#lastMs = nowMs;
    await this.balance(sharing, nowMs);
  }

  /** Takes what is free and its due, or gives one shard up that another node lacks. */
  async balance(sharing: Sharing, nowMs: number): Promise<void> {
    this.#working = true;
    try {
      await sharing.reap(nowMs);
      const [shards, nodes] = await Promise.all([sharing.shards(), sharing.incarnations()]);
      this.#all = shards.map(({ shard }) => shard);
      const most = Math.ceil(shards.length / Math.max(1, nodes.length));
      const free = shards.filter(({ owner }) => owner === 0).map(({ shard }) => shard);
      const wanted = free.slice(0, Math.max(0, most - this.#owned.size));
      if (wanted.length > 0) await this.#take(sharing, wanted, nowMs);
      else if (this.#owned.size > most) await this.#giveUp();
    } finally {
      this.#working = false;
    }
  }

  async #take(sharing: Sharing, wanted: readonly number[], nowMs: number): Promise<void> {
    const acquired = await sharing.acquire(wanted, nowMs);
    if (this.#stopped || acquired.length === 0) return;
    for (const { shard } of acquired) this.#owned.add(shard);
    await this.#ports.adopt(acquired);
  }

  async #giveUp(): Promise<void> {
    const shard = Math.max(...this.#owned);
    const isOfIt = (live: Live): boolean => live.row.shard === shard;
    await this.#part(isOfIt, (stage) => {
      stage.away.yielded.push(shard);
      return () => void this.#owned.delete(shard);
    });
  }

  /** One process goes to a shard of another node. Resolves with how long it stood still, in ms, when that is durable. */
  async move(live: Live, shard: number): Promise<number> {
    const { key } = live.row;
    const sinceMs = this.#ports.clock.nowMs();
    return await this.#part(
      (each) => each.row.key === key,
      (stage) => {
        stage.away.moved.push({ process: key, shard, input: { kind: "move", shard, sinceMs: Math.trunc(sinceMs) } });
        return () => {
          live.row = { ...live.row, shard };
        };
      },
    );
  }

  /**
   * Processes are given up between two turns: none begins any more, attempts that run may end, what has arrived is written, and with the
   * same commit they are another's.
   */
  async #part(isMeant: (live: Live) => boolean, stageIt: (stage: Committer["stage"]) => () => void): Promise<number> {
    const { clock, committer, spill, left } = this.#ports;
    const sinceMs = clock.nowMs();
    const leaving = (): Live[] => [...this.#ports.lives()].filter(isMeant);
    for (const waitedMs = { ms: 0 }; ; waitedMs.ms += lookMs) {
      const lives = leaving();
      for (const live of lives) live.leaving = true;
      if (this.#stopped || lives.every((live) => isStill(live, waitedMs.ms < graceMs))) break;
      await new Promise<void>((resolve) => void clock.after(lookMs, resolve));
    }
    if (this.#stopped) return 0;
    const lives = leaving();
    for (const live of lives) live.leaving = true;
    spill(lives);
    const done = Promise.withResolvers<void>();
    const given = stageIt(committer.stage);
    committer.stage.effects.push(() => {
      given();
      const gone = leaving();
      // What reached them while the commit was under way.
      spill(gone);
      left([...new Set([...lives, ...gone])]);
      done.resolve();
    });
    await done.promise;
    return clock.nowMs() - sinceMs;
  }

  stop(): void {
    this.#stopped = true;
  }
}

/** Nothing of it is under way. `patient`: attempts of its operations are waited for. */
function isStill(live: Live, patient: boolean): boolean {
  if (live.running !== undefined || live.uncommitted > 0 || live.pins > 0) return false;
  return !patient || [...live.operations.values()].every(({ token }) => token === undefined);
}

function spread(text: string, count: number): number {
  let hash = 0;
  for (let index = 0; index < text.length; index++) hash = (hash * 31 + text.charCodeAt(index)) % 2 ** 31;
  return hash % count;
}
