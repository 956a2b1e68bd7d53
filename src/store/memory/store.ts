/**
 * The store port in memory, for tests and the simulator.
 *
 * A handle is what a node holds; it dies with it. The disk behind it stays: `crash()` kills the handle and gives another
 * one on what was durable, `open()` gives a second one beside it. Faults are decided from outside (`faults.ts`).
 */
import { PerdureError } from "../../base/errors.ts";
import type { Input, Pid, TimerClock, Turn } from "../../journal/types.ts";
import type {
  Asked,
  CommitBatch,
  DeadLetterRow,
  EdgeRow,
  ExportedRow,
  FinishedPlace,
  FinishedRow,
  ImportedRow,
  InboxRow,
  Lease,
  LogRow,
  NameRow,
  NodeInfo,
  NodeRow,
  OperationRow,
  ProcessFilter,
  ProcessKey,
  ProcessLoad,
  ProcessRow,
  ProcessState,
  ProgramRow,
  PruneReport,
  PruneRequest,
  Recovery,
  RestoreRow,
  Store,
  TimerRow,
  Tombstone,
  TombstonePlace,
} from "../port.ts";
import { Calls } from "./calls.ts";
import { MemoryDisk } from "./disk.ts";
import { listEdges, postOnce, pruneEdges, supersededBy } from "./edges.ts";
import type { MemoryFaults, StoreCall } from "./faults.ts";
import { listNodes, recordOwner, recordStandby } from "./nodes.ts";
import { MemoryTransactions } from "./transactions.ts";
import { finished, finishedBeyond, prune, prunePrograms, pruneTombstones } from "./retention.ts";
import {
  countProcesses,
  findExported,
  inboxOf,
  listDeadLetters,
  listImports,
  listLogs,
  listProcesses,
  readDueTimers,
  readLoad,
  receiverOf,
  recover,
  sorted,
} from "./reads.ts";
import { MemorySharing } from "./handle.ts";
import { MemoryMover } from "./mover.ts";
import { listNames, relationsOf } from "./relations.ts";
import { SharedOwners } from "./sharing.ts";

export interface MemoryStoreOptions {
  /** Default: nothing fails. */
  readonly faults?: MemoryFaults;
  /** The store's id. Default "memory". */
  readonly id?: string;
  /** Several nodes own it together, as so many shards; a node's lease lasts so long without a sign of life. Default: one owner. */
  readonly shared?: { readonly shards: number; readonly leaseMs: number };
}

export function createMemoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  const { shared } = options;
  const owners = shared === undefined ? undefined : new SharedOwners(shared.shards, shared.leaseMs);
  return new MemoryStore(new MemoryDisk(options.id ?? "memory", owners), options.faults);
}

export class MemoryStore implements Store {
  readonly #disk: MemoryDisk;
  readonly #faults: MemoryFaults | undefined;
  readonly #calls: Calls;
  #incarnation = 0;
  /** Whose row it has put. */
  #node = "";
  #closed = false;
  #ownWriteCount = 0;
  readonly sharing?: MemorySharing;
  #foreignWriteCount: number;

  constructor(disk: MemoryDisk, faults: MemoryFaults | undefined) {
    this.#disk = disk;
    this.#faults = faults;
    this.#calls = new Calls({ faults, id: disk.id, isClosed: () => this.#closed, died: () => this.#disown() });
    this.#foreignWriteCount = disk.writeCount;
    if (disk.shared === undefined) return;
    this.sharing = new MemorySharing(disk, disk.shared, {
      handle: this,
      incarnation: () => this.#incarnation,
      call: (call, effect) => this.#call(call, effect),
      owned: (call, effect) => this.#call(call, () => this.#owned(effect)),
    });
  }

  get id(): string {
    return this.#disk.id;
  }

  /** Another handle on the same disk, as another operating system process has it. */
  open(faults?: MemoryFaults): MemoryStore {
    return new MemoryStore(this.#disk, faults);
  }

  /** Kills this handle and all of its calls that have not taken effect; gives another one over what was durable. */
  crash(faults: MemoryFaults | undefined = this.#faults): MemoryStore {
    this.#calls.die();
    return this.open(faults);
  }

  /** Takes the lease away from whoever holds it, as a node does that believes the owner dead. */
  usurp(): void {
    if (this.#disk.shared === undefined) this.#disk.incarnation++;
    else this.#disk.shared.usurp(this.#disk);
  }

  /** Lets the lease of an incarnation run out, in a store that several nodes own. */
  lapse(incarnation: number): void {
    this.#disk.shared?.lapse(incarnation);
  }

  /** Transactions on this disk, as long as this handle lives. Faults of `transact` happen where they commit. */
  transactions(): MemoryTransactions {
    return new MemoryTransactions(this.#disk, (effect) => this.#call("transact", effect));
  }

  /** What transactions have made durable. */
  facts(): ReadonlyMap<string, unknown> {
    return this.#disk.facts;
  }

  /** From now on the turn fails its checksum. */
  damageTurn(process: ProcessKey, turn: number): void {
    this.#disk.record(process).turns[turn - 1] = undefined;
  }

  // Lease and writes

  claim(nowMs: number, node?: NodeInfo): Promise<Lease> {
    return this.#call("claim", () => {
      const lease = this.#disk.claim(this, nowMs);
      if (this.#incarnation !== 0) this.#disk.shared?.lapse(this.#incarnation);
      recordOwner(this.#disk, nowMs, node);
      this.#node = node?.id ?? this.#node;
      this.#incarnation = lease.incarnation;
      this.sharing?.forget();
      this.#wrote();
      return lease;
    });
  }

  standBy(nowMs: number, node: NodeInfo): Promise<void> {
    return this.#call("standBy", () => {
      recordStandby(this.#disk, nowMs, node);
      this.#node = node.id;
      this.#wrote();
    });
  }

  nodes(nowMs: number): Promise<NodeRow[]> {
    return this.#call("nodes", () => listNodes(this.#disk, nowMs));
  }

  renew(nowMs: number): Promise<void> {
    return this.#call("renew", () => this.#signOfLife(nowMs));
  }

  release(nowMs: number): Promise<void> {
    return this.#call("release", () => {
      try {
        this.#signOfLife(nowMs);
        this.#disk.clean = true;
        this.#disk.shared?.leave(this.#incarnation);
        this.#disk.nodes.delete(this.#node);
      } finally {
        this.#disown();
      }
    });
  }

  commit(batch: CommitBatch): ReturnType<Store["commit"]> {
    return this.#call("commit", () => {
      this.#checkLease();
      this.#disk.shared?.check(this.#disk, batch, this.#incarnation);
      const superseded = supersededBy(this.#disk, batch);
      const inboxSeqs = this.#disk.apply(batch, this.#incarnation);
      if ((batch.inbox?.length ?? 0) > 0 || batch.away !== undefined) this.#disk.shared?.hint();
      this.#signOfLife(batch.atMs);
      return { inboxSeqs, superseded };
    });
  }

  putProgram(
    program: ProgramRow,
    blobs: readonly { readonly hash: string; readonly bytes: Uint8Array }[],
  ): Promise<void> {
    return this.#call("putProgram", () => {
      this.#owned(() => {
        for (const blob of blobs) this.#disk.blobs.set(blob.hash, blob.bytes);
        this.#disk.programs.set(program.hash, program);
      });
    });
  }

  putBlob(hash: string, bytes: Uint8Array): Promise<void> {
    return this.#call("putBlob", () => this.#owned(() => void this.#disk.blobs.set(hash, bytes)));
  }

  pruneEdges(beforeMs: number, limit: number): Promise<number> {
    return this.#call("pruneEdges", () => this.#owned(() => pruneEdges(this.#disk, beforeMs, limit)));
  }

  prune(request: PruneRequest): Promise<PruneReport> {
    return this.#call("prune", () => this.#owned(() => prune(this.#disk, request)));
  }

  pruneTombstones(
    untilMs: number,
    before: TombstonePlace | undefined,
    limit: number,
  ): ReturnType<Store["pruneTombstones"]> {
    return this.#call("pruneTombstones", () => this.#owned(() => pruneTombstones(this.#disk, untilMs, before, limit)));
  }

  prunePrograms(untilMs: number, keep: readonly string[]): Promise<number> {
    return this.#call("prunePrograms", () => this.#owned(() => prunePrograms(this.#disk, untilMs, keep)));
  }

  #owned<T>(write: () => T): T {
    this.#checkLease();
    this.#wrote();
    return write();
  }

  post(pid: Pid, input: Input, atMs: number, asked?: Asked): Promise<boolean> {
    return this.#call("post", () => {
      this.#disk.checkNotMoved();
      const post = (): number => this.#post(pid, input, atMs);
      const key = this.#disk.keys.get(pid);
      if (asked === undefined || key === undefined) return post() > 0;
      return postOnce(this.#disk, key, asked, { pid, atMs, post });
    });
  }

  takeDeadLetter(seq: number, to: Pid | undefined, atMs: number): Promise<boolean> {
    return this.#call("takeDeadLetter", () => {
      this.#disk.checkNotMoved();
      const letter = this.#disk.deadLetters.get(seq);
      if (letter === undefined) return false;
      if (to !== undefined) this.#post(to, letter.input, atMs);
      this.#disk.deadLetters.delete(seq);
      this.#wrote();
      return true;
    });
  }

  #post(pid: Pid, input: Input, atMs: number): number {
    const key = receiverOf(this.#disk, pid);
    this.#wrote();
    this.#disk.shared?.hint();
    const row = { process: key, input, atMs };
    return this.#disk.shared?.post(this.#disk, row) ?? this.#disk.putInput(row);
  }

  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return this.#call("close", () => {
      this.#closed = true;
      this.#disk.shared?.lapse(this);
      this.#disk.nodes.delete(this.#node);
      this.#disown();
    });
  }

  // Reads

  load(process: ProcessKey): Promise<ProcessLoad> {
    return this.#call("load", () => readLoad(this.#disk, process));
  }

  recover(shards?: readonly number[]): Promise<Recovery> {
    return this.#call("recover", () => recover(this.#disk, shards));
  }

  dueTimers(clock: TimerClock, afterMs: number, untilMs: number, limit: number): Promise<TimerRow[]> {
    return this.#call("dueTimers", () =>
      readDueTimers(this.#disk, clock, afterMs, untilMs, limit, (row) => this.#isOwn(row)),
    );
  }

  inboxAfter(after: number, limit: number): Promise<InboxRow[]> {
    return this.#call("inboxAfter", () => this.#disk.inboxAfter(after, limit));
  }

  changedByOthers(): Promise<boolean> {
    return this.#call("changedByOthers", () => {
      const before = this.#foreignWriteCount;
      return (this.#foreignWriteCount = this.#disk.writeCount - this.#ownWriteCount) !== before;
    });
  }

  findProcess(pid: Pid): Promise<ProcessRow | undefined> {
    return this.#call("findProcess", () => this.#disk.processes.get(this.#disk.keys.get(pid) ?? 0)?.row);
  }

  getProcess(process: ProcessKey): Promise<ProcessRow | undefined> {
    return this.#call("getProcess", () => this.#disk.processes.get(process)?.row);
  }

  listProcesses(filter: ProcessFilter): Promise<ProcessRow[]> {
    return this.#call("listProcesses", () => listProcesses(this.#disk, filter));
  }

  countProcesses(): Promise<Record<ProcessState, number>> {
    return this.#call("countProcesses", () => countProcesses(this.#disk));
  }

  turns(process: ProcessKey, from: number, limit: number): Promise<Turn[]> {
    return this.#call("turns", () => this.#disk.readTurns(process, from, limit));
  }

  lastTurn(process: ProcessKey): Promise<number> {
    return this.#call("lastTurn", () => this.#disk.processes.get(process)?.turns.length ?? 0);
  }

  operations(process: ProcessKey): Promise<OperationRow[]> {
    return this.#call("operations", () => sorted(this.#disk.processes.get(process)?.operations));
  }

  timers(process: ProcessKey): Promise<TimerRow[]> {
    return this.#call("timers", () => sorted(this.#disk.processes.get(process)?.timers));
  }

  inbox(process: ProcessKey): Promise<InboxRow[]> {
    return this.#call("inbox", () => inboxOf(this.#disk, process));
  }

  logs(process: ProcessKey | undefined, after: number, limit: number): Promise<LogRow[]> {
    return this.#call("logs", () => listLogs(this.#disk, process, after, limit));
  }

  names(): Promise<NameRow[]> {
    return this.#call("names", () => listNames(this.#disk, "names"));
  }

  groups(): Promise<NameRow[]> {
    return this.#call("groups", () => listNames(this.#disk, "groups"));
  }

  relations(process: ProcessKey): ReturnType<Store["relations"]> {
    return this.#call("relations", () => relationsOf(this.#disk, process));
  }

  restores(process: ProcessKey): Promise<RestoreRow[]> {
    return this.#call("restores", () => [...(this.#disk.processes.get(process)?.restores ?? [])]);
  }

  deadLetters(process: ProcessKey | undefined, after: number, limit: number): Promise<DeadLetterRow[]> {
    return this.#call("deadLetters", () => listDeadLetters(this.#disk, process, after, limit));
  }

  edge(process: ProcessKey, key: string): Promise<EdgeRow | undefined> {
    return this.#call("edge", () => this.#disk.processes.get(process)?.edges.get(key)?.row);
  }

  edges(process: ProcessKey, after: string, limit: number): Promise<EdgeRow[]> {
    return this.#call("edges", () => listEdges(this.#disk.processes.get(process)?.edges ?? new Map(), after, limit));
  }

  tombstone(pid: Pid): Promise<Tombstone | undefined> {
    return this.#call("tombstone", () => this.#disk.tombstones.get(pid));
  }

  exported(of: Pid | ProcessKey): Promise<ExportedRow | undefined> {
    return this.#call("exported", () => findExported(this.#disk, of));
  }

  exports(limit: number): Promise<ExportedRow[]> {
    return this.#call("exports", () => [...this.#disk.exported.values()].reverse().slice(0, limit));
  }

  imported(file: string): Promise<ImportedRow | undefined> {
    return this.#call("imported", () => this.#disk.imported.get(file));
  }

  imports(pid: Pid): Promise<ImportedRow[]> {
    return this.#call("imports", () => listImports(this.#disk, pid));
  }

  finished(after: FinishedPlace | undefined, untilMs: number, limit: number): Promise<FinishedRow[]> {
    return this.#call("finished", () => finished(this.#disk, after, untilMs, limit));
  }

  finishedBeyond(count: number): Promise<FinishedPlace | undefined> {
    return this.#call("finishedBeyond", () => finishedBeyond(this.#disk, count));
  }

  movedTo(): Promise<string | undefined> {
    return this.#call("movedTo", () => this.#disk.marks.source?.place);
  }

  /** One end of a migration. */
  mover(place: string = this.id): MemoryMover {
    return new MemoryMover(this.#disk, place);
  }

  /** What rows there are belongs to their processes by construction. */
  readonly audit: Store["audit"] = async (_, step) => step(1, 1);

  program(hash: string): Promise<ProgramRow | undefined> {
    return this.#call("program", () => this.#disk.programs.get(hash));
  }

  programs(): Promise<ProgramRow[]> {
    return this.#call("programs", () =>
      [...this.#disk.programs.values()].reverse().sort((a, b) => b.createdAtMs - a.createdAtMs),
    );
  }

  blob(hash: string): Promise<Uint8Array | undefined> {
    return this.#call("blob", () => this.#disk.blobs.get(hash));
  }

  #isOwn(row: ProcessRow): boolean {
    return this.#disk.shared?.owns(this.#incarnation, row) ?? true;
  }

  #checkLease(): void {
    const { shared } = this.#disk;
    if (shared !== undefined && shared.isAlive(this.#incarnation, this)) return;
    if (this.#disk.owner === this && this.#disk.incarnation === this.#incarnation) return;
    throw new PerdureError(
      "STORE_FENCED",
      `This node does not hold the lease of the store ${this.id}. Nothing was kept.`,
    );
  }

  #signOfLife(nowMs: number): void {
    this.#checkLease();
    this.#disk.aliveAtMs = nowMs;
    this.#disk.shared?.seen(this.#incarnation, nowMs);
    this.#wrote();
  }

  #wrote(): void {
    this.#disk.writeCount++;
    this.#ownWriteCount++;
  }

  #disown(): void {
    if (this.#disk.owner === this) this.#disk.owner = undefined;
    this.#disk.shared?.deafen(this);
  }

  /** Every call goes through here. */
  #call<T>(call: StoreCall, effect: () => T): Promise<T> {
    return this.#calls.make(call, effect);
  }
}
