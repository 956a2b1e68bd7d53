/**
 * Pruning, as a small regular duty. A sweep goes through what was asked under keys, the finished processes in the order of their
 * ends, tombstones and programs, a step at a time; then it rests. While the kernel is busy there are few steps, so that pruning costs
 * little more than it deletes. Nothing of a sweep is remembered: what a crash leaves undone, the next sweep finds.
 */
import { isPerdureError } from "../base/errors.ts";
import type { ErrorCode, PerdureError } from "../base/errors.ts";
import type { Pid } from "../journal/types.ts";
import type { FinishedPlace, FinishedRow, ProcessKey, Store, TombstonePlace } from "../store/port.ts";
import { isDue, latestDueMs, prunesProcesses } from "./keep.ts";
import type { KeepPolicy } from "./keep.ts";

/** Writes processes out before they are pruned. Resolves when that is durable, with those that could not be. Rejects if none could. */
export type Archive = (rows: readonly FinishedRow[]) => Promise<readonly NotArchived[]>;

export interface NotArchived {
  readonly key: ProcessKey;
  readonly reason: string;
}

export interface RetentionPorts {
  readonly store: Pick<
    Store,
    "finished" | "finishedBeyond" | "prune" | "pruneEdges" | "pruneTombstones" | "prunePrograms"
  >;
  readonly policy: KeepPolicy;
  readonly archive: Archive | undefined;
  /** Programs that processes may be started with from now on. */
  deployed(): readonly string[];
  /** Commits are under way or about to be. */
  busy(): boolean;
  /** Resolves at a moment at which the store may be written: nobody else has a transaction of theirs. */
  writable(): Promise<void>;
  /** A process that should have been pruned could not be; "" for what is no process any more, or for all of them. */
  kept(pid: Pid, why: string): void;
}

export interface SweepCount {
  processes: number;
  tombstones: number;
  keys: number;
  programs: number;
}

/** What one step looks at and deletes: milliseconds of work, whatever the processes were. */
const stepProcesses = 50;
/** Those among which they are looked for: most may be such as are to stay longer. */
const pageProcesses = 200;
const stepRows = 500;
const stepTombstones = 200;
const stepKeys = 500;
const busyStepMs = 100;
const shortestRestMs = 1_000;
const longestRestMs = 10_000;
/** To find the newest of so many, that many are counted. */
const manyKept = 10_000;
const manyKeptRestMs = 60_000;

type Phase = "keys" | "processes" | "tombstones" | "programs" | "rest";

const nextPhase: Readonly<Record<Phase, Phase>> = {
  rest: "keys",
  keys: "processes",
  processes: "tombstones",
  tombstones: "programs",
  programs: "rest",
};

export class Retention {
  readonly #ports: RetentionPorts;
  #phase: Phase = "keys";
  /** Turns and log lines of pruned processes may be left. What the last owner left is deleted whatever the policy is. */
  #isLeft = true;
  /** Some of that is damaged: all of it stays until the store is opened again. */
  #isStuck = false;
  #isWorking = false;
  #isStopped = false;
  #lastStepMs = -Infinity;
  /** As of the sweep's beginning. */
  #sweepMs = 0;
  #beyond: FinishedPlace | undefined;
  #at: FinishedPlace | undefined;
  #tombstone: TombstonePlace | undefined;
  /** Those that could not be archived or pruned: each is complained of once, and left alone until the store is opened again. */
  readonly #kept = new Set<ProcessKey>();
  #complaint = "";
  /** Other damage that was met: it is complained of once as well. */
  readonly #damage = new Set<string>();
  readonly #count: SweepCount = { processes: 0, tombstones: 0, keys: 0, programs: 0 };

  constructor(ports: RetentionPorts) {
    this.#ports = ports;
  }

  /** To be called at every tick. */
  async tick(nowMs: number): Promise<void> {
    if (this.#isWorking || this.#isStopped || !this.#isTime(nowMs)) return;
    this.#lastStepMs = nowMs;
    this.#isWorking = true;
    try {
      await this.#step(nowMs);
    } finally {
      this.#isWorking = false;
    }
  }

  /** Sweeps at once, until there is nothing more to prune: for those who have nothing else to do. */
  async sweep(nowMs: number): Promise<SweepCount> {
    for (let before = -1; this.#total > before;) {
      before = this.#total;
      do await this.#step(nowMs);
      while (this.#isLeft || this.#phase !== "rest");
    }
    return this.#count;
  }

  get #total(): number {
    const { processes, tombstones, keys, programs } = this.#count;
    return processes + tombstones + keys + programs;
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** The clock may be set in either direction. */
  #isTime(nowMs: number): boolean {
    const sinceMs = Math.abs(nowMs - this.#lastStepMs);
    if (!this.#isLeft && this.#phase === "rest") return sinceMs >= restMs(this.#ports.policy);
    return !this.#ports.busy() || sinceMs >= busyStepMs;
  }

  /** Damage keeps something from being pruned. That is no reason to stop a node whose programs may never come to it. */
  async #step(nowMs: number): Promise<void> {
    try {
      await this.#work(nowMs);
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#isStuck ||= this.#isLeft;
      if (!this.#isLeft) this.#next();
      this.#isLeft = false;
      const reason = messageOf(error);
      if (!this.#isStopped && !this.#damage.has(reason)) this.#ports.kept("", reason);
      this.#damage.add(reason);
    }
  }

  async #work(nowMs: number): Promise<void> {
    if (this.#isLeft) return await this.#prune([], nowMs);
    if (this.#phase === "rest") this.#next();
    switch (this.#phase) {
      case "keys":
        return await this.#keys(nowMs);
      case "processes":
        return await this.#processes(nowMs);
      case "tombstones":
        return await this.#tombstones(nowMs);
      case "programs":
        return await this.#programs(nowMs);
    }
  }

  #next(): void {
    this.#phase = nextPhase[this.#phase];
    this.#at = undefined;
    this.#tombstone = undefined;
  }

  /** First of all: some of the processes wait for that. */
  async #keys(nowMs: number): Promise<void> {
    const { policy, store } = this.#ports;
    await this.#ports.writable();
    const pruned = policy.keysMs === Infinity ? 0 : await store.pruneEdges(nowMs - policy.keysMs, stepKeys);
    this.#count.keys += pruned;
    if (pruned < stepKeys) this.#next();
  }

  async #processes(nowMs: number): Promise<void> {
    const { policy, store } = this.#ports;
    if (!prunesProcesses(policy)) return this.#next();
    if (this.#at === undefined) {
      this.#sweepMs = nowMs;
      this.#beyond = policy.count < Infinity ? await store.finishedBeyond(policy.count) : undefined;
    }
    const rows = await store.finished(this.#at, latestDueMs(policy, this.#beyond, this.#sweepMs), pageProcesses);
    const due = rows
      .filter((row) => !row.held && !this.#kept.has(row.key) && isDue(row, policy, this.#beyond, this.#sweepMs))
      .slice(0, stepProcesses);
    const archived = due.length === 0 ? due : await this.#archive(due);
    if (this.#isStopped) return;
    // The archive is out of order: another sweep tries again.
    if (archived === undefined) return this.#next();
    if (archived.length > 0) await this.#pruneEach(archived, nowMs);
    // There may be more of them on this page.
    const last = due.length < stepProcesses ? rows.at(-1) : due.at(-1);
    if (last === undefined || (last === rows.at(-1) && rows.length < pageProcesses)) this.#next();
    else this.#at = last;
  }

  /** Those that are written out, durably. Undefined if nothing can be. */
  async #archive(due: readonly FinishedRow[]): Promise<readonly FinishedRow[] | undefined> {
    const { archive } = this.#ports;
    if (archive === undefined) return due;
    try {
      const failed = await archive(due);
      for (const { key, reason } of failed)
        this.#keep(
          due.find((row) => row.key === key),
          reason,
        );
      this.#complaint = "";
      return due.filter(({ key }) => !this.#kept.has(key));
    } catch (error) {
      const reason = messageOf(error);
      const [first] = due;
      if (!this.#isStopped && reason !== this.#complaint && first !== undefined) this.#ports.kept(first.pid, reason);
      this.#complaint = reason;
      return undefined;
    }
  }

  /** Damage to one process is that process's: it stays, and the others go without it. */
  async #pruneEach(rows: readonly FinishedRow[], nowMs: number): Promise<void> {
    try {
      await this.#prune(rows, nowMs);
    } catch (error) {
      if (!isDamage(error)) throw error;
      const [first] = rows;
      if (rows.length === 1) return this.#keep(first, messageOf(error));
      for (const row of rows) if (!this.#isStopped) await this.#pruneEach([row], nowMs);
    }
  }

  async #prune(rows: readonly FinishedRow[], nowMs: number): Promise<void> {
    const processes = rows.map(({ key }) => key);
    await this.#ports.writable();
    const { pruned, left } = await this.#ports.store.prune({
      atMs: nowMs,
      processes,
      rows: this.#isStuck ? 0 : stepRows,
    });
    this.#count.processes += pruned.length;
    this.#isLeft = left && !this.#isStuck;
  }

  #keep(row: FinishedRow | undefined, reason: string): void {
    if (row === undefined || this.#kept.has(row.key)) return;
    this.#kept.add(row.key);
    this.#ports.kept(row.pid, reason);
  }

  async #tombstones(nowMs: number): Promise<void> {
    const { policy, store } = this.#ports;
    if (policy.tombstonesMs === Infinity) return this.#next();
    const untilMs = nowMs - policy.tombstonesMs;
    await this.#ports.writable();
    const { dropped, next } = await store.pruneTombstones(untilMs, this.#tombstone, stepTombstones);
    this.#count.tombstones += dropped;
    if (next === undefined) this.#next();
    else this.#tombstone = next;
  }

  async #programs(nowMs: number): Promise<void> {
    const { policy, store, deployed } = this.#ports;
    const untilMs = policy.ageMs < Infinity ? nowMs - policy.ageMs : nowMs;
    await this.#ports.writable();
    if (prunesProcesses(policy)) this.#count.programs += await store.prunePrograms(untilMs, deployed());
    this.#next();
  }
}

function restMs({ ageMs, failuresMs, count, tombstonesMs, keysMs }: KeepPolicy): number {
  if (count < Infinity) return count > manyKept ? manyKeptRestMs : shortestRestMs;
  return Math.max(shortestRestMs, Math.min(longestRestMs, Math.min(ageMs, failuresMs, tombstonesMs, keysMs) / 10));
}

const damageCodes: ReadonlySet<ErrorCode> = new Set(["JOURNAL_CORRUPT", "STORE_CORRUPT", "VALUE_CORRUPT"]);

/** Something in the store is not as it was written. */
export function isDamage(error: unknown): error is PerdureError {
  return isPerdureError(error) && damageCodes.has(error.code);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
