/** The durable half of a memory store: what is left when every handle on it has died. Nothing here can fail half-way. */
import { PerdureError } from "../../base/errors.ts";
import type { Pid, Turn } from "../../journal/types.ts";
import type {
  Arrival,
  CheckpointRow,
  CommitBatch,
  DeadLetterRow,
  Departure,
  ExportedRow,
  ImportedRow,
  InboxRow,
  Lease,
  LogRow,
  Notified,
  OperationRow,
  ProcessExit,
  ProcessKey,
  ProcessRow,
  ProgramRow,
  RestoreRow,
  SnapshotRow,
  TimerRow,
  Tombstone,
} from "../port.ts";
import type { Mark, MigrationRole, SeqPart } from "../migration/port.ts";
import { refusalToWrite } from "../migration/refusals.ts";
import { describeOwner } from "../nodes.ts";
import type { NodeRow } from "../nodes.ts";
import { checkBatch } from "./check.ts";
import { noConnection } from "../exports.ts";
import { lateInput } from "../exports-encoding.ts";
import { applyEdges } from "./edges.ts";
import type { Edges } from "./edges.ts";
import { ownerOf } from "./nodes.ts";
import { applyRelations, cutRelations, newRelations } from "./relations.ts";
import type { Relations } from "./relations.ts";
import type { SharedOwners } from "./sharing.ts";

export interface ProcessRecord {
  row: ProcessRow;
  /** Turn n is at n − 1; undefined when it was damaged. */
  readonly turns: (Turn | undefined)[];
  readonly operations: Map<number, OperationRow>;
  readonly timers: Map<number, TimerRow>;
  /** Newest first, at most two. */
  snapshots: readonly SnapshotRow[];
  readonly relations: Relations;
  checkpoint: CheckpointRow | undefined;
  /** Whom it was tied to at its checkpoint. */
  ties: readonly ProcessKey[];
  /** In the order of `turn`. */
  restores: readonly RestoreRow[];
  /** By key. */
  readonly edges: Edges;
}

const none: readonly never[] = [];

/** In a shared store each incarnation gives out keys of its own. */
export const keysOfIncarnation: number = 2 ** 31;

export function newRecord(row: ProcessRow): ProcessRecord {
  return {
    row,
    turns: [],
    operations: new Map(),
    timers: new Map(),
    snapshots: none,
    relations: newRelations(),
    checkpoint: undefined,
    ties: none,
    restores: none,
    edges: new Map(),
  };
}

/** Rows are kept and handed out as they came: they are immutable, and copying them would cost most of the time. */
export class MemoryDisk {
  /** A store that comes from elsewhere takes over the id it had there. */
  id: string;
  incarnation = 0;
  downtimeMs = 0;
  aliveAtMs: number | undefined;
  clean = true;
  /** The handle that holds the lease: as long as it lives nobody else can claim. */
  owner: object | undefined;
  /** By id. */
  readonly nodes: Map<string, NodeRow> = new Map();
  /** Counts writes, so that a handle can tell whether there were others' among them. */
  writeCount = 0;
  readonly processes: Map<ProcessKey, ProcessRecord> = new Map();
  readonly keys: Map<Pid, ProcessKey> = new Map();
  /** By seq, and so in the order of arrival. */
  readonly inbox: Map<number, InboxRow> = new Map();
  /** In the order of their seqs. */
  logs: LogRow[] = [];
  readonly programs: Map<string, ProgramRow> = new Map();
  readonly blobs: Map<string, Uint8Array> = new Map();
  /** What user code has written in transactions (`transactions.ts`). */
  readonly facts: Map<string, unknown> = new Map();
  /** Registered names. */
  readonly names: Map<string, ProcessKey> = new Map();
  /** By seq. */
  readonly deadLetters: Map<number, DeadLetterRow> = new Map();
  readonly tombstones: Map<Pid, Tombstone> = new Map();
  readonly exported: Map<Pid, ExportedRow> = new Map();
  readonly imported: Map<string, ImportedRow> = new Map();
  /** Pruned processes of which something is left: how many turns. */
  readonly remains: Map<ProcessKey, number> = new Map();
  /** The greatest key that was pruned. */
  prunedKey = 0;
  /** Grows when names or groups change. */
  namesVersion = 0;
  /** The last that were given. */
  seqs: Record<SeqPart, number> = { inbox: 0, log: 0, dead_letter: 0 };
  /** Of migrations that it is one end of, and who carries it out. */
  readonly marks: Partial<Record<MigrationRole, Mark>> = {};
  mover: object | undefined;

  /** Undefined if it has one owner. */
  readonly shared: SharedOwners | undefined;

  constructor(id: string, shared?: SharedOwners) {
    this.id = id;
    this.shared = shared;
  }

  /** Throws STORE_MOVED, STORE_INCOMPLETE. */
  checkNotMoved(): void {
    const refused = refusalToWrite(this.id, this.marks);
    if (refused !== undefined) throw refused;
  }

  /** All rows go; what is there then is another store. */
  clear(id: string): void {
    const maps = [this.processes, this.keys, this.inbox, this.programs, this.blobs, this.names, this.deadLetters];
    for (const map of [...maps, this.tombstones, this.exported, this.imported, this.remains]) map.clear();
    this.logs = [];
    Object.assign(this, { id, clean: true, aliveAtMs: undefined, downtimeMs: 0, prunedKey: 0 });
  }

  /** The nodes that have died are declared so, and the time without a node is counted up to now. */
  takeStock(nowMs: number): void {
    if (this.shared === undefined || this.shared.isAnyAlive(nowMs)) return;
    if (this.aliveAtMs !== undefined) {
      this.downtimeMs += Math.max(0, nowMs - this.aliveAtMs);
      this.aliveAtMs = Math.max(this.aliveAtMs, nowMs);
    }
    this.shared.reap(this, nowMs, 0);
  }

  claim(owner: object, nowMs: number): Lease {
    this.checkNotMoved();
    if (this.shared !== undefined) return this.#join(this.shared, owner, nowMs);
    if (this.owner !== undefined) {
      const row = ownerOf(this);
      const owner = describeOwner(row?.name, row?.pid, row?.host);
      const message = `The store ${this.id} is owned by ${owner}. Stop that one first.`;
      throw new PerdureError("STORE_IN_USE", message, { details: { owner } });
    }
    const cleanShutdown = this.clean;
    this.owner = owner;
    this.clean = false;
    this.incarnation++;
    this.downtimeMs += Math.max(0, nowMs - (this.aliveAtMs ?? nowMs));
    this.aliveAtMs = nowMs;
    const nextProcessKey = Math.max(this.prunedKey, ...this.processes.keys()) + 1;
    return { incarnation: this.incarnation, nextProcessKey, downtimeMs: this.downtimeMs, cleanShutdown };
  }

  #join(shared: SharedOwners, handle: object, nowMs: number): Lease {
    this.takeStock(nowMs);
    this.aliveAtMs = Math.max(nowMs, this.aliveAtMs ?? nowMs);
    this.incarnation++;
    shared.join(this.incarnation, handle, nowMs, this.downtimeMs);
    const nextProcessKey = this.incarnation * keysOfIncarnation;
    const { incarnation, downtimeMs } = this;
    return { incarnation, nextProcessKey, downtimeMs, cleanShutdown: true, shared: true };
  }

  /** Atomic: whatever can be wrong is found before anything changes. */
  apply(batch: CommitBatch, incarnation = 0): number[] {
    checkBatch(this, batch);
    for (const row of batch.newProcesses ?? none) {
      this.keys.set(row.pid, row.key);
      this.shared?.begun(row.pid);
      this.processes.set(row.key, newRecord(row));
    }
    for (const { process, turn } of batch.turns ?? none) this.record(process).turns.push(turn);
    for (const row of batch.operations ?? none) this.record(row.process).operations.set(row.number, row);
    for (const row of batch.operationsGone ?? none) this.processes.get(row.process)?.operations.delete(row.number);
    for (const row of batch.timers ?? none) this.record(row.process).timers.set(row.number, row);
    for (const row of batch.timersGone ?? none) this.processes.get(row.process)?.timers.delete(row.number);
    for (const seq of batch.inboxGone ?? none) {
      this.inbox.delete(seq);
      this.shared?.taken(seq);
    }
    applyRelations(this, batch, (row) => this.shared?.owns(incarnation, row) === false);
    if (batch.away !== undefined) this.shared?.drop(this, batch.away);
    const inboxSeqs = (batch.inbox ?? none).map(
      (row) => this.shared?.put(this, row, incarnation) ?? this.putInput(row),
    );
    applyEdges(this, batch);
    for (const row of batch.logs ?? none) this.logs.push({ seq: ++this.seqs.log, ...row });
    for (const { process, state, problem, exit } of batch.states ?? none) {
      const record = this.record(process);
      const { exit: _, ...row } = record.row;
      record.row = { ...row, state, problem, ...(state === "crashed" && exit !== undefined ? { exit } : {}) };
    }
    for (const { process, on } of batch.traps ?? none) {
      const record = this.record(process);
      record.row = { ...record.row, trapsExits: on };
    }
    if ([batch.names, batch.namesGone, batch.groups, batch.groupsGone].some((part) => (part?.length ?? 0) > 0))
      this.namesVersion++;
    this.#applyLives(batch);
    if (batch.away !== undefined) this.shared?.apply(this, batch.away, incarnation);
    const notifiedOf = (key: ProcessKey): Notified | undefined =>
      batch.away?.notified.find(({ process }) => process === key);
    for (const { process, exit } of batch.exits ?? none) {
      this.shared?.exit(this, process, exit, notifiedOf(process));
      this.#exit(process, exit);
    }
    for (const row of batch.snapshots ?? none) this.#putSnapshot(row.process, { turn: row.turn, body: row.body });
    for (const row of batch.departures ?? none) this.#depart(row, batch.atMs, notifiedOf(row.process));
    for (const row of batch.arrivals ?? none) this.#arrive(row, batch.atMs);
    return inboxSeqs;
  }

  inboxAfter(after: number, limit: number): InboxRow[] {
    return [...this.inbox.values()].filter(({ seq }) => seq > after).slice(0, limit);
  }

  putInput({ process, input, atMs, tie }: Omit<InboxRow, "seq">): number {
    const seq = ++this.seqs.inbox;
    this.inbox.set(seq, { seq, process, input, atMs, ...(tie === undefined ? {} : { tie }) });
    return seq;
  }

  /** Throws JOURNAL_CORRUPT at the first damaged one. */
  readTurns(process: ProcessKey, from: number, limit: number): Turn[] {
    const first = Math.max(1, from);
    const turns = this.processes.get(process)?.turns.slice(first - 1, first - 1 + limit) ?? [];
    return turns.map((turn, i) => turn ?? refuseDamaged(this.record(process).row, first + i));
  }

  record(process: ProcessKey): ProcessRecord {
    const record = this.processes.get(process);
    if (record === undefined) {
      throw new PerdureError("PROCESS_NOT_FOUND", `There is no process number ${process} in the store ${this.id}.`);
    }
    return record;
  }

  #applyLives(batch: CommitBatch): void {
    for (const { process, turn, body, ties } of batch.checkpoints ?? none) {
      const record = this.record(process);
      record.checkpoint = { turn, body };
      record.ties = ties ?? none;
    }
    for (const { process, life, turn, from } of batch.restores ?? none) {
      const record = this.record(process);
      record.row = { ...record.row, life };
      const others = record.restores.filter((row) => row.turn !== turn);
      record.restores = [...others, { turn, from }].sort((a, b) => a.turn - b.turn);
      record.snapshots = record.snapshots.filter((row) => row.turn <= from || row.turn >= turn);
    }
    for (const row of batch.deadLetters ?? none) {
      const seq = ++this.seqs.dead_letter;
      const { process, input, atMs, reason, value } = row;
      this.deadLetters.set(seq, { seq, process, input, atMs, reason, value });
    }
    for (const seq of batch.deadLettersGone ?? none) this.deadLetters.delete(seq);
  }

  #exit(process: ProcessKey, exit: ProcessExit): void {
    const record = this.record(process);
    record.row = { ...record.row, state: "exited", exit };
    record.operations.clear();
    record.timers.clear();
    record.snapshots = none;
    record.checkpoint = undefined;
    record.ties = none;
    if (record.relations.names.size + record.relations.groups.size > 0) this.namesVersion++;
    cutRelations(this, process);
    for (const row of this.inbox.values()) {
      if (row.process !== process) continue;
      this.inbox.delete(row.seq);
      this.shared?.taken(row.seq);
    }
  }

  #depart({ process, exported }: Departure, atMs: number, notified: Notified | undefined): void {
    const { row, edges, turns } = this.record(process);
    const waiting = [...this.inbox.values()].filter((input) => input.process === process);
    const letters = [...this.deadLetters.values()].filter((letter) => letter.process === process);
    if (exported !== undefined) {
      const { pid, program, entry, argsDigest, startedAtMs } = row;
      const { file, sha256, serviceMs, inboxSeq } = exported;
      const late = waiting
        .filter(({ seq }) => seq > inboxSeq)
        .map((input) => lateInput(input, (key) => edges.get(key)?.row));
      const about = { pid, process, program, entry, argsDigest, startedAtMs };
      const left = { late, letters: letters.map(({ seq }) => seq) };
      this.exported.set(pid, { ...about, file, sha256, serviceMs, exportedAtMs: atMs, ...left });
    }
    if (exported !== undefined) this.shared?.exit(this, process, { atMs, ...noConnection }, notified);
    cutRelations(this, process);
    for (const { seq } of waiting) this.inbox.delete(seq);
    for (const { seq } of letters) this.deadLetters.delete(seq);
    this.forget(process, row.pid, turns.length);
  }

  /** Its turns and log lines follow. */
  forget(process: ProcessKey, pid: Pid, turns: number): void {
    this.processes.delete(process);
    this.keys.delete(pid);
    this.prunedKey = Math.max(this.prunedKey, process);
    this.remains.set(process, turns);
  }

  #arrive({ process, pid, state, files }: Arrival, atMs: number): void {
    const record = this.record(process);
    this.exported.delete(pid);
    this.keys.delete(record.row.pid);
    this.keys.set(pid, process);
    this.shared?.begun(pid);
    record.row = { ...record.row, pid, state, problem: "" };
    for (const file of files) if (!this.imported.has(file)) this.imported.set(file, { file, pid, atMs });
  }

  #putSnapshot(process: ProcessKey, snapshot: SnapshotRow): void {
    const record = this.record(process);
    const others = record.snapshots.filter(({ turn }) => turn !== snapshot.turn);
    const { checkpoint } = record;
    const all = [snapshot, ...others].sort((a, b) => b.turn - a.turn);
    const restorable = checkpoint === undefined ? -1 : all.findIndex(({ turn }) => turn <= checkpoint.turn);
    record.snapshots = all.filter((_, index) => index < 2 || index === restorable);
  }
}

function refuseDamaged({ key, pid }: ProcessRow, turn: number): never {
  throw new PerdureError("JOURNAL_CORRUPT", `Turn ${turn} of process ${pid} is damaged, as it was told to be.`, {
    details: { pid, process: key, turn },
  });
}
