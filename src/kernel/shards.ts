/**
 * Which shards of a shared store this node owns: it takes its share of those that nobody has, goes on with what runs in them, and gives
 * some up when others have too few. Where the store has one owner, that owns everything.
 */
import type { Clock } from "../base/ports.ts";
import type { AcquiredShard, ProcessKey, ProcessRow, Sharing } from "../store/port.ts";
import type { Committer } from "./batch.ts";
import { elsewhere, exited } from "./errors.ts";
import { isBegun } from "./live.ts";
import type { Live, PendingOperation } from "./live.ts";
import { gone } from "./registry.ts";
import { shareOf } from "./share.ts";

export interface ShardsPorts {
  readonly sharing: Sharing | undefined;
  readonly incarnation: number;
  readonly clock: Clock;
  readonly committer: Committer;
  lives(): Iterable<Live>;
  /** Resolves when everything is durable that was staged before now. */
  committed(): Promise<void>;
  /** Resolves when everything is delivered that others had written before now. */
  caughtUp(): Promise<void>;
  /** It may have turns again, if it is in memory. */
  ready(process: ProcessKey): void;
  /** Goes on with everything in shards that have just become this node's. */
  adopt(shards: readonly AcquiredShard[]): Promise<void>;
  /** Writes what has reached these processes and is in no row yet. */
  spill(lives: readonly Live[]): void;
  /** It takes no more turns here, and nobody looks at it any more. */
  leaving(live: Live): void;
  /** They are another node's from now on. */
  left(lives: readonly Live[]): void;
}

/** How often it looks whether the shards are in the right hands. */
const balanceMs = 1_000;
/**
 * How long attempts of operations may take to end before their processes leave: while the processes still run; and when those stand still.
 * Attempts that must not be made twice are waited for as long as that once more.
 */
const graceMs = 10_000;
const stillGraceMs = 1_000;
const lookMs = 10;
const lookAtAttemptsMs = 50;

export class Shards {
  readonly #ports: ShardsPorts;
  readonly #owned = new Set<number>();
  /** Processes that are on their way to other shards. */
  readonly #moving = new Set<ProcessKey>();
  /**
   * What came here a moment ago, and when that is over. What its last owner has written for others of this node may be on its way, and what
   * this node has written for it.
   */
  readonly #newShards = new Map<number, Promise<void>>();
  readonly #newcomers = new Map<ProcessKey, Promise<void>>();
  /** Those that were moved to shards since these were another's, or are being taken. */
  readonly #moved = new Set<ProcessKey>();
  /** How many need each of these to stay, and which one is just being given up. */
  readonly #kept = new Map<number, number>();
  #parted: number | undefined;
  #hasTakenUp = true;
  #era = 0;
  /** One after the other: what one gives up another must not. */
  #parting: Promise<unknown> = Promise.resolve();
  #all: readonly number[] = [];
  #lastMs = -Infinity;
  #working = false;
  #stopped = false;

  constructor(ports: ShardsPorts) {
    this.#ports = ports;
  }

  readonly isMine = ({ key = 0, shard }: Owned): boolean =>
    shard === undefined || (this.#owned.has(shard) && !this.#moving.has(key));

  /** Grows with each change of what is this node's: what was read before may be old. */
  get era(): number {
    return this.#era;
  }

  get owned(): ReadonlySet<number> {
    return this.#owned;
  }

  /**
   * Undefined for most. Else it has to wait until this resolves, lest what it sends now overtakes what it sent from its last node; and so has
   * whoever sends it something, lest that overtakes what went through the store.
   */
  newcomer({ key, shard = 0 }: ProcessRow): Promise<void> | undefined {
    return this.#newcomers.get(key) ?? this.#newShards.get(shard);
  }

  /** A process was moved here. Resolves when it may go on. */
  arrived(process: ProcessKey): Promise<void> {
    const settled = this.#settle().then(() => {
      this.#newcomers.delete(process);
      this.#ports.ready(process);
    });
    this.#newcomers.set(process, settled);
    this.#moved.add(process);
    return settled;
  }

  /** Resolves when everything is where it belongs that was written before now, here or elsewhere. */
  async #settle(): Promise<void> {
    await this.#ports.committed();
    await this.#ports.caughtUp();
  }

  /** It was moved, and has not been at work in its shard before that was taken: it was not there when the shard's last owner died. */
  wasMoved(process: ProcessKey): boolean {
    return this.#moved.has(process);
  }

  /** It goes on with what nodes that died have left; else nobody may take it for left in good order. */
  get hasTakenUp(): boolean {
    return this.#hasTakenUp;
  }

  /** Duties that one node does for all are the owner's of the first shard. */
  get hasFirst(): boolean {
    return !this.isShared || this.#owned.has(Math.min(...this.#all));
  }

  /** One of this node's own for a process of that pid, or of all if it has none. */
  any(pid: string): number | undefined {
    const choice = this.#owned.size > 0 ? [...this.#owned] : this.#all;
    return choice.length === 0 ? undefined : choice[spread(pid, choice.length)];
  }

  get isShared(): boolean {
    return this.#ports.sharing !== undefined;
  }

  /** One of this node's own that stays so until `release`. Undefined if there is none, or the store has one owner. */
  keep(text: string): number | undefined {
    const own = [...this.#owned].filter((shard) => shard !== this.#parted);
    const shard = own[spread(text, own.length)];
    if (shard !== undefined) this.#kept.set(shard, (this.#kept.get(shard) ?? 0) + 1);
    return shard;
  }

  release(shard: number): void {
    const count = (this.#kept.get(shard) ?? 0) - 1;
    if (count > 0) this.#kept.set(shard, count);
    else this.#kept.delete(shard);
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
      const { wanted, givesUp } = shareOf(shards, nodes, this.#ports.incarnation);
      if (wanted.length > 0) await this.#take(sharing, wanted, nowMs);
      else if (givesUp) await this.#giveUp();
    } finally {
      this.#working = false;
    }
  }

  async #take(sharing: Sharing, wanted: readonly number[], nowMs: number): Promise<void> {
    this.#hasTakenUp = false;
    this.#moved.clear();
    const acquired = await sharing.acquire(wanted, nowMs);
    if (acquired.every(({ clean }) => clean)) this.#hasTakenUp = true;
    if (this.#stopped || acquired.length === 0) return;
    const settled = this.#adopt(acquired);
    for (const { shard } of acquired) {
      this.#newShards.set(shard, settled);
      this.#owned.add(shard);
    }
    this.#era++;
    await settled;
  }

  async #adopt(acquired: readonly AcquiredShard[]): Promise<void> {
    await this.#settle();
    await this.#ports.adopt(acquired);
    const lives = [...this.#ports.lives()].filter(({ row: { shard = 0 } }) => this.#newShards.has(shard));
    this.#newShards.clear();
    this.#hasTakenUp = true;
    for (const { row } of lives) this.#ports.ready(row.key);
  }

  async #giveUp(): Promise<void> {
    const shard = Math.max(...[...this.#owned].filter((each) => !this.#kept.has(each)));
    // What is kept now is not kept for long.
    if (shard === -Infinity) return;
    this.#parted = shard;
    await this.#inTurn(
      (live) => live.row.shard === shard,
      (stage) => {
        stage.away.yielded.push(shard);
        this.#owned.delete(shard);
      },
    ).finally(() => (this.#parted = undefined));
  }

  /**
   * One process goes to a shard of another node; `stands` is called when it takes no more turns here. Resolves with how long it stood still,
   * in ms, when that is durable. Throws PROCESS_EXITED, PROCESS_ELSEWHERE.
   */
  async move(live: Live, shard: number, stands: () => void = () => undefined): Promise<number> {
    const { key } = live.row;
    live.awaited++;
    const moved = this.#inTurn(
      ({ row }) => row.key === key,
      (stage, [found], sinceMs) => {
        if (found === undefined) throw gone(live) ? exited(live.row.pid) : elsewhere(live.row);
        stage.away.moved.push({ process: key, shard, input: { kind: "move", shard, sinceMs: Math.trunc(sinceMs) } });
        this.#moving.add(key);
        stage.effects.push(() => {
          this.#moving.delete(key);
          this.#era++;
        });
        found.row = { ...found.row, shard };
      },
      stands,
    );
    return await moved.finally(() => live.awaited--);
  }

  async #inTurn(isMeant: (live: Live) => boolean, give: Give, stands: () => void = () => undefined): Promise<number> {
    await this.#attemptsEnd(isMeant);
    const done = this.#parting.then(() => {
      // It may have left with its shard: then the request is its next node's.
      if (!this.#stopped && [...this.#ports.lives()].some(isMeant)) stands();
      return this.#part(isMeant, give);
    });
    this.#parting = done.catch(() => undefined);
    return await done;
  }

  /**
   * Processes are given up between two turns: none begins any more, attempts that run may end, what has arrived is written, and with the
   * same commit they are another's. Here they are that from then on: whatever is staged after it must not be their owner's.
   */
  async #part(isMeant: (live: Live) => boolean, give: Give): Promise<number> {
    const { clock, committer, spill, left } = this.#ports;
    const sinceMs = clock.nowMs();
    const leaving = (): Live[] => [...this.#ports.lives()].filter(isMeant);
    for (const waitedMs = { ms: 0 }; ; waitedMs.ms += lookMs) {
      const lives = leaving();
      for (const live of lives) {
        if (live.leaving) continue;
        live.leaving = true;
        this.#ports.leaving(live);
      }
      const isReady = (live: Live): boolean => this.newcomer(live.row) === undefined && isStill(live, waitedMs.ms);
      if (this.#stopped || lives.every(isReady)) break;
      await new Promise<void>((resolve) => void clock.after(lookMs, resolve));
    }
    if (this.#stopped) return 0;
    const lives = leaving();
    spill(lives);
    give(committer.stage, lives, sinceMs);
    this.#era++;
    left(lives);
    const done = Promise.withResolvers<void>();
    committer.stage.effects.push(done.resolve);
    await done.promise;
    return clock.nowMs() - sinceMs;
  }

  /** Those that run now have come to their end, or had their time. */
  async #attemptsEnd(isMeant: (live: Live) => boolean): Promise<void> {
    const { clock, lives } = this.#ports;
    const running = (): string[] => [...lives()].filter(isMeant).flatMap(tokensOf);
    const first = new Set(running());
    for (let waitedMs = 0; waitedMs < graceMs && !this.#stopped; waitedMs += lookAtAttemptsMs) {
      if (!running().some((token) => first.has(token))) return;
      await new Promise<void>((resolve) => void clock.after(lookAtAttemptsMs, resolve));
    }
  }

  stop(): void {
    this.#stopped = true;
  }
}

/** Stages what makes them another's. */
type Give = (stage: Committer["stage"], lives: readonly Live[], sinceMs: number) => void;

interface Owned {
  readonly key?: ProcessKey;
  readonly shard?: number | undefined;
}

/** Nothing of it is under way, or has had its time. */
function isStill(live: Live, waitedMs: number): boolean {
  if (live.running !== undefined || live.uncommitted > 0 || live.pins > 0) return false;
  const graceOf = ({ row }: PendingOperation): number => (isBegun(row) ? graceMs : stillGraceMs);
  return [...live.operations.values()].every((each) => each.token === undefined || waitedMs >= graceOf(each));
}

function tokensOf({ operations }: Live): string[] {
  return [...operations.values()].flatMap(({ token }) => token ?? []);
}

function spread(text: string, count: number): number {
  let hash = 0;
  for (let index = 0; index < text.length; index++) hash = (hash * 31 + text.charCodeAt(index)) % 2 ** 31;
  return hash % count;
}
