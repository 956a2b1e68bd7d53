/** A memory store that several nodes own together: leases that run out, shards, and ties that reach across them. */
import { PerdureError } from "../../base/errors.ts";
import { encodeValue } from "../../base/value.ts";
import type { Input, Pid } from "../../journal/types.ts";
import type {
  AcquiredShard,
  AwayBatch,
  CommitBatch,
  InboxRow,
  NewInboxRow,
  Notified,
  ProcessExit,
  ProcessKey,
  ProcessRow,
} from "../port.ts";
import type { Relations } from "./relations.ts";

interface NodeRecord {
  readonly handle: object;
  seenMs: number;
}

/** What is needed of a disk. */
export interface SharedDisk {
  readonly processes: ReadonlyMap<ProcessKey, { row: ProcessRow; readonly relations: Relations }>;
  readonly keys: ReadonlyMap<Pid, ProcessKey>;
  readonly tombstones: ReadonlyMap<Pid, unknown>;
  readonly names: Map<string, ProcessKey>;
  readonly inbox: Map<number, InboxRow>;
  putInput(row: Omit<InboxRow, "seq">): number;
}

const none: readonly never[] = [];

export class SharedOwners {
  readonly #leaseMs: number;
  readonly #nowMs: (() => number) | undefined;
  /** Those whose leases are in force, by incarnation. */
  readonly #nodes = new Map<number, NodeRecord>();
  readonly #shards = new Map<number, { owner: number; clean: boolean }>();
  readonly #listeners = new Map<object, () => void>();
  readonly #reserved = new Map<Pid, number>();
  /** What is put in place of a row that its process never takes, by seq. */
  readonly #orElse = new Map<number, Omit<InboxRow, "seq">>();

  /** `nowMs` is the store's own clock, as a database has one: leases run by it, whatever the nodes' clocks show. Default: theirs. */
  constructor(shards: number, leaseMs: number, nowMs?: () => number) {
    this.#leaseMs = leaseMs;
    this.#nowMs = nowMs;
    for (let shard = 1; shard <= shards; shard++) this.#shards.set(shard, { owner: 0, clean: true });
  }

  get size(): number {
    return this.#nodes.size;
  }

  listen(handle: object, fn: () => void): void {
    this.#listeners.set(handle, fn);
  }

  /** Somebody has written. */
  hint(): void {
    for (const fn of this.#listeners.values()) fn();
  }

  deafen(handle: object): void {
    this.#listeners.delete(handle);
  }

  join(incarnation: number, handle: object, nowMs: number): void {
    this.#nodes.set(incarnation, { handle, seenMs: this.#now(nowMs) });
  }

  isAlive(incarnation: number, handle: object): boolean {
    return this.#nodes.get(incarnation)?.handle === handle;
  }

  isInForce(incarnation: number): boolean {
    return this.#nodes.has(incarnation);
  }

  seen(incarnation: number, nowMs: number): void {
    const node = this.#nodes.get(incarnation);
    if (node !== undefined) node.seenMs = this.#now(nowMs);
  }

  leave(incarnation: number): void {
    this.#nodes.delete(incarnation);
    for (const shard of this.#shards.values()) {
      if (shard.owner === incarnation) Object.assign(shard, { owner: 0, clean: true });
    }
  }

  /** A node's lease runs out at once, as if it had not been heard of for long. */
  suspect(handle: object): void {
    for (const node of this.#nodes.values()) if (node.handle === handle) node.seenMs = -Infinity;
  }

  /** All leases are void. */
  usurp(): number[] {
    return this.#kill([...this.#nodes.keys()]);
  }

  reap(nowMs: number): number[] {
    const untilMs = this.#now(nowMs) - this.#leaseMs;
    return this.#kill([...this.#nodes].flatMap(([key, { seenMs }]) => (seenMs < untilMs ? [key] : [])));
  }

  #now(nowMs: number): number {
    return this.#nowMs?.() ?? nowMs;
  }

  #kill(dead: readonly number[]): number[] {
    for (const incarnation of dead) {
      this.#nodes.delete(incarnation);
      for (const shard of this.#shards.values()) {
        if (shard.owner === incarnation) Object.assign(shard, { owner: 0, clean: false });
      }
      for (const [pid, keeper] of this.#reserved) if (keeper === incarnation) this.#reserved.delete(pid);
    }
    return [...dead];
  }

  shards(): { shard: number; owner: number }[] {
    return [...this.#shards].map(([shard, { owner }]) => ({ shard, owner }));
  }

  incarnations(): number[] {
    return [...this.#nodes.keys()];
  }

  acquire(wanted: readonly number[], incarnation: number): AcquiredShard[] {
    return wanted.flatMap((shard) => {
      const found = this.#shards.get(shard);
      if (found?.owner !== 0) return [];
      found.owner = incarnation;
      return [{ shard, clean: found.clean }];
    });
  }

  owns(incarnation: number, row: ProcessRow | undefined): boolean {
    return row?.shard !== undefined && this.#shards.get(row.shard)?.owner === incarnation;
  }

  reserve(disk: SharedDisk, pid: Pid, incarnation: number): boolean {
    if (disk.keys.has(pid) || disk.tombstones.has(pid)) return false;
    const keeper = this.#reserved.get(pid) ?? incarnation;
    if (keeper !== incarnation && this.#nodes.has(keeper)) return false;
    this.#reserved.set(pid, incarnation);
    return true;
  }

  /** What only an owner may write must be an owner's. */
  check(disk: SharedDisk, batch: CommitBatch, incarnation: number): void {
    const born = new Map((batch.newProcesses ?? none).map((row) => [row.key, row]));
    const written = [
      batch.turns,
      batch.operations,
      batch.timers,
      batch.states,
      batch.traps,
      batch.restores,
      batch.checkpoints,
      batch.exits,
      batch.snapshots,
      batch.away?.moved,
    ];
    for (const { process } of written.flatMap((part): readonly { process: ProcessKey }[] => part ?? none)) {
      const row = born.get(process) ?? disk.processes.get(process)?.row;
      if (this.owns(incarnation, row)) continue;
      throw new PerdureError("STORE_FENCED", `Process number ${process} is not this node's. Nothing was kept.`);
    }
  }

  /** To be called when all but the exits is applied. */
  apply(disk: SharedDisk, { atMs, links, monitors, cut, moved, yielded }: AwayBatch): void {
    for (const { process, target, pid } of links) {
      const other = alive(disk, target);
      if (other !== undefined) {
        disk.processes.get(process)?.relations.links.add(target);
        other.relations.links.add(process);
      } else if (!isToldOf(disk, process, target)) {
        put(disk, { process, input: exitNotice(pid, noProcess), atMs, tie: target });
      }
    }
    for (const { watcher, number, target, pid } of monitors) {
      const other = alive(disk, target);
      if (other !== undefined) {
        const row = { watcher, number, target };
        disk.processes.get(watcher)?.relations.monitors.set(number, row);
        other.relations.watchers.add(row);
      } else put(disk, { process: watcher, input: downNotice(number, pid, noProcess), atMs, tie: target });
    }
    for (const { process, from } of cut) {
      for (const row of disk.inbox.values()) {
        if (row.process === process && row.tie === from && row.input.kind === "exit") disk.inbox.delete(row.seq);
      }
    }
    for (const { process, shard, input } of moved) {
      const record = disk.processes.get(process);
      if (record !== undefined) record.row = { ...record.row, shard };
      put(disk, { process, input, atMs });
    }
    for (const shard of yielded) Object.assign(this.#shards.get(shard) ?? {}, { owner: 0, clean: true });
  }

  /** To be called before anything of the exiting process goes. */
  exit(disk: SharedDisk, process: ProcessKey, exit: ProcessExit, notified: Notified | undefined): void {
    const record = disk.processes.get(process);
    if (record === undefined) return;
    const { pid } = record.row;
    const ending = exit.reason === "normal" ? { ...exit, value: nothing } : exit;
    const told = new Set(notified?.links);
    const toldMonitors = new Set(notified?.monitors.map(String));
    for (const key of record.relations.links) {
      if (!told.has(key)) put(disk, { process: key, input: exitNotice(pid, ending), atMs: exit.atMs, tie: process });
    }
    for (const { watcher, number } of record.relations.watchers) {
      const input = downNotice(number, pid, ending);
      if (!toldMonitors.has(String([watcher, number])))
        put(disk, { process: watcher, input, atMs: exit.atMs, tie: process });
    }
    for (const row of disk.inbox.values()) {
      const instead = row.process === process ? this.#orElse.get(row.seq) : undefined;
      if (instead !== undefined) put(disk, instead);
    }
  }

  /** A row for a process that may be at its end. Answers its seq. */
  put(disk: SharedDisk, { orElse, ...row }: NewInboxRow): number {
    const instead = orElse === undefined ? undefined : { ...orElse, atMs: row.atMs };
    if (alive(disk, row.process) === undefined) {
      if (instead !== undefined) put(disk, instead);
      return 0;
    }
    const seq = disk.putInput(row);
    if (instead !== undefined) this.#orElse.set(seq, instead);
    return seq;
  }

  /** The row is gone: it was taken, or its process is no more. */
  taken(seq: number): void {
    this.#orElse.delete(seq);
  }
}

const nothing = encodeValue(undefined);
const noProcess = { reason: "noproc", value: nothing } as const;

function alive(disk: SharedDisk, key: ProcessKey): { readonly relations: Relations } | undefined {
  const record = disk.processes.get(key);
  return record?.row.state === "exited" ? undefined : record;
}

/** To a process that is no more, it is lost. */
function put(disk: SharedDisk, row: Omit<InboxRow, "seq">): void {
  if (alive(disk, row.process) !== undefined) disk.putInput(row);
}

/** It was linked to it, and its end waits in the inbox. */
function isToldOf(disk: SharedDisk, process: ProcessKey, target: ProcessKey): boolean {
  const rows = [...disk.inbox.values()];
  return rows.some((row) => row.process === process && row.tie === target && row.input.kind === "exit");
}

type End = Pick<ProcessExit, "reason" | "value">;

function exitNotice(from: Pid, { reason, value }: End): Input {
  return { kind: "exit", from, reason, value, linked: true, held: "" };
}

function downNotice(monitor: number, from: Pid, { reason, value }: End): Input {
  return { kind: "down", monitor, from, reason, value };
}
