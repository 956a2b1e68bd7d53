/** The store port on SQLite. SQLite runs synchronously: a store keeps its thread busy while it works, so give it one of its own. */
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
  StoreFault,
  TimerRow,
  Tombstone,
  TombstonePlace,
} from "../port.ts";
import { number } from "../columns.ts";
import { audit } from "./audit.ts";
import { applyBatch } from "./commit.ts";
import { atOnce, transaction } from "./connection.ts";
import type { Connection } from "./connection.ts";
import { findEdge, postOnce, readEdgesOf } from "./edges.ts";
import { storeError } from "./errors.ts";
import { findExported, findImported, readExports, readImports } from "./exports.ts";
import { HandoverFolder } from "./handovers.ts";
import { postInput, readInboxOf } from "./inbox.ts";
import { lastTurnNumber, readTurns } from "./journal.ts";
import { checkLease, claim, release, renew, signOfLife } from "./lease.ts";
import type { HeldLease } from "./lease.ts";
import { readRestores, takeDeadLetter } from "./lives.ts";
import { readLoad } from "./load.ts";
import { checkNotMoved, readMarks } from "./marks.ts";
import { forgetNode, listNodes, recordStandby } from "./nodes.ts";
import { readOperationsOf } from "./operations.ts";
import { findBlob, findProgram, listPrograms, putBlobs, putProgram } from "./programs.ts";
import type { Blob } from "./programs.ts";
import {
  countProcesses,
  listProcesses,
  readDeadLetters,
  readDueTimers,
  readInboxAfter,
  readLogs,
  readMembers,
  readNames,
  recover,
} from "./queries.ts";
import { readRelations } from "./relations.ts";
import { findFinishedBeyond, findTombstone, prune, prunePrograms, pruneTombstones, readFinished } from "./retention.ts";
import { readProcess, readTimer } from "../rows.ts";

export type StoreMode = "owner" | "reader";

type Committed = Awaited<ReturnType<Store["commit"]>>;

export class SqliteStore implements Store {
  readonly id: string;
  readonly handovers: HandoverFolder;
  readonly #connection: Connection;
  readonly #mode: StoreMode;
  #held: HeldLease | undefined;
  /** Whose row it has put; "" if none. */
  #node = "";
  #dataVersion: number;

  constructor(connection: Connection, id: string, mode: StoreMode) {
    this.id = id;
    this.handovers = new HandoverFolder(connection.path);
    this.#connection = connection;
    this.#mode = mode;
    this.#dataVersion = this.#readDataVersion();
  }

  // Lease and writes

  async claim(nowMs: number, node?: NodeInfo): Promise<Lease> {
    this.#held = this.#write("claim", (connection) => claim(connection, nowMs, node));
    this.#node = node?.id ?? this.#node;
    return this.#held.lease;
  }

  async standBy(nowMs: number, node: NodeInfo): Promise<void> {
    this.#write("stand by beside", (connection) => recordStandby(connection, nowMs, node));
    this.#node = node.id;
  }

  async renew(nowMs: number): Promise<void> {
    this.#write("renew the lease of", (connection) => renew(connection, this.#held?.lease, nowMs));
  }

  async release(nowMs: number): Promise<void> {
    const held = this.#held;
    try {
      this.#write("release", (connection) => release(connection, held?.lease, nowMs, this.#node));
    } finally {
      this.#held = undefined;
      held?.lock.release();
    }
  }

  async commit(batch: CommitBatch): Promise<Committed> {
    return this.#write("commit to", (connection) =>
      transaction(connection, () => {
        signOfLife(connection, this.#held?.lease, batch.atMs);
        return applyBatch(connection, batch);
      }),
    );
  }

  async putProgram(program: ProgramRow, blobs: readonly Blob[]): Promise<void> {
    this.#owned("put a program into", (connection) => putProgram(connection, program, blobs));
  }

  async putBlob(hash: string, bytes: Uint8Array): Promise<void> {
    this.#owned("put a blob into", (connection) => putBlobs(connection, [{ hash, bytes }]));
  }

  async pruneEdges(beforeMs: number, limit: number): Promise<number> {
    return this.#owned("prune keys of", ({ sql }) => Number(sql.deleteOldEdges.run(beforeMs, limit).changes));
  }

  async post(pid: Pid, input: Input, atMs: number, asked?: Asked): Promise<boolean> {
    return this.#do("post to", (connection) =>
      transaction(connection, () => {
        checkNotMoved(connection);
        if (asked !== undefined) return postOnce(connection, pid, input, atMs, asked);
        return postInput(connection, pid, input, atMs) > 0;
      }),
    );
  }

  async takeDeadLetter(seq: number, to: Pid | undefined, atMs: number): Promise<boolean> {
    return this.#do("take a dead letter from", (connection) =>
      transaction(connection, () => {
        checkNotMoved(connection);
        return takeDeadLetter(connection, seq, to, atMs);
      }),
    );
  }

  async prune(request: PruneRequest): Promise<PruneReport> {
    return this.#owned("prune", (connection) => prune(connection, request));
  }

  async pruneTombstones(
    untilMs: number,
    before: TombstonePlace | undefined,
    limit: number,
  ): ReturnType<Store["pruneTombstones"]> {
    return this.#owned("prune", (connection) => pruneTombstones(connection, untilMs, before, limit));
  }

  async prunePrograms(untilMs: number, keep: readonly string[]): Promise<number> {
    return this.#owned("prune", (connection) => prunePrograms(connection, untilMs, keep));
  }

  // Reads of the owner

  async load(process: ProcessKey): Promise<ProcessLoad> {
    return this.#do("read", (connection) => {
      // A reader must not see one commit of the owner in one table and the next one in another.
      if (this.#mode === "owner") return readLoad(connection, process);
      return atOnce(connection, () => readLoad(connection, process));
    });
  }

  async recover(): Promise<Recovery> {
    return this.#do("read", recover);
  }

  async dueTimers(clock: TimerClock, afterMs: number, untilMs: number, limit: number): Promise<TimerRow[]> {
    return this.#do("read", (connection) => readDueTimers(connection, clock, afterMs, untilMs, limit));
  }

  async inboxAfter(after: number, limit: number): Promise<InboxRow[]> {
    return this.#do("read", (connection) => readInboxAfter(connection, after, limit));
  }

  async changedByOthers(): Promise<boolean> {
    const before = this.#dataVersion;
    this.#dataVersion = this.#readDataVersion();
    return this.#dataVersion !== before;
  }

  // Reads of anyone

  async findProcess(pid: Pid): Promise<ProcessRow | undefined> {
    return this.#do("read", ({ sql }) => {
      const row = sql.processByPid.get(pid);
      return row === undefined ? undefined : readProcess(row);
    });
  }

  async getProcess(process: ProcessKey): Promise<ProcessRow | undefined> {
    return this.#do("read", ({ sql }) => {
      const row = sql.processByKey.get(process);
      return row === undefined ? undefined : readProcess(row);
    });
  }

  async listProcesses(filter: ProcessFilter): Promise<ProcessRow[]> {
    return this.#do("read", (connection) => listProcesses(connection, filter));
  }

  async countProcesses(): Promise<Record<ProcessState, number>> {
    return this.#do("read", countProcesses);
  }

  async turns(process: ProcessKey, from: number, limit: number): Promise<Turn[]> {
    return this.#do("read", (connection) => readTurns(connection, process, from, limit));
  }

  async lastTurn(process: ProcessKey): Promise<number> {
    return this.#do("read", (connection) =>
      connection.sql.pidOf.get(process) === undefined ? 0 : lastTurnNumber(connection, process),
    );
  }

  async operations(process: ProcessKey): Promise<OperationRow[]> {
    return this.#do("read", (connection) => readOperationsOf(connection, process));
  }

  async timers(process: ProcessKey): Promise<TimerRow[]> {
    return this.#do("read", ({ sql }) => sql.timersOf.all(process).map(readTimer));
  }

  async inbox(process: ProcessKey): Promise<InboxRow[]> {
    return this.#do("read", (connection) => readInboxOf(connection, process));
  }

  async logs(process: ProcessKey | undefined, after: number, limit: number): Promise<LogRow[]> {
    return this.#do("read", (connection) => readLogs(connection, process, after, limit));
  }

  async names(): Promise<NameRow[]> {
    return this.#do("read", readNames);
  }

  async groups(): Promise<NameRow[]> {
    return this.#do("read", readMembers);
  }

  async relations(process: ProcessKey): ReturnType<Store["relations"]> {
    return this.#do("read", (connection) => readRelations(connection, process));
  }

  async restores(process: ProcessKey): Promise<RestoreRow[]> {
    return this.#do("read", (connection) => readRestores(connection, process));
  }

  async deadLetters(process: ProcessKey | undefined, after: number, limit: number): Promise<DeadLetterRow[]> {
    return this.#do("read", (connection) => readDeadLetters(connection, process, after, limit));
  }

  async edge(process: ProcessKey, key: string): Promise<EdgeRow | undefined> {
    return this.#do("read", (connection) => findEdge(connection, process, key));
  }

  async edges(process: ProcessKey, after: string, limit: number): Promise<EdgeRow[]> {
    return this.#do("read", (connection) => readEdgesOf(connection, process, after, limit));
  }

  async tombstone(pid: Pid): Promise<Tombstone | undefined> {
    return this.#do("read", (connection) => findTombstone(connection, pid));
  }

  async exported(of: Pid | ProcessKey): Promise<ExportedRow | undefined> {
    return this.#do("read", (connection) => findExported(connection, of));
  }

  async exports(limit: number): Promise<ExportedRow[]> {
    return this.#do("read", (connection) => readExports(connection, limit));
  }

  async imported(file: string): Promise<ImportedRow | undefined> {
    return this.#do("read", (connection) => findImported(connection, file));
  }

  async imports(pid: Pid): Promise<ImportedRow[]> {
    return this.#do("read", (connection) => readImports(connection, pid));
  }

  async finished(after: FinishedPlace | undefined, untilMs: number, limit: number): Promise<FinishedRow[]> {
    return this.#do("read", (connection) => readFinished(connection, after, untilMs, limit));
  }

  async finishedBeyond(count: number): Promise<FinishedPlace | undefined> {
    return this.#do("read", (connection) => findFinishedBeyond(connection, count));
  }

  async audit(report: (fault: StoreFault) => void, step: (done: number, total: number) => void): Promise<void> {
    await audit(
      this.#do("read", (connection) => connection),
      report,
      step,
    );
  }

  async nodes(nowMs: number): Promise<NodeRow[]> {
    return this.#do("read", (connection) => listNodes(connection, nowMs, this.#held !== undefined));
  }

  async movedTo(): Promise<string | undefined> {
    return this.#do("read", ({ db }) => readMarks(db).source?.place);
  }

  async program(hash: string): Promise<ProgramRow | undefined> {
    return this.#do("read", (connection) => findProgram(connection, hash));
  }

  async programs(): Promise<ProgramRow[]> {
    return this.#do("read", listPrograms);
  }

  async blob(hash: string): Promise<Uint8Array | undefined> {
    return this.#do("read", (connection) => findBlob(connection, hash));
  }

  /** Without a `release` before it this is what a crash is: the next owner finds no clean shutdown. */
  async close(): Promise<void> {
    const held = this.#held;
    const { db } = this.#connection;
    this.#held = undefined;
    try {
      if (db.isOpen && this.#node !== "") forgetNode(this.#connection, this.#node);
      if (db.isOpen) db.close();
    } finally {
      held?.lock.release();
    }
  }

  /** `doing` completes "Cannot … the store". */
  #do<T>(doing: string, work: (connection: Connection) => T): T {
    const connection = this.#connection;
    if (!connection.db.isOpen) {
      throw new PerdureError(
        "STORE_FAILED",
        `Cannot ${doing} the store ${connection.path}: it was closed. Open it again.`,
      );
    }
    try {
      return work(connection);
    } catch (error) {
      throw storeError(connection.path, doing, error);
    }
  }

  /** Everything but `post` and `takeDeadLetter` is the owner's to write. */
  #write<T>(doing: string, work: (connection: Connection) => T): T {
    if (this.#mode === "reader") {
      throw new PerdureError(
        "ARGUMENT_INVALID",
        `Cannot ${doing} the store ${this.#connection.path}: it was opened with mode "reader". Open it with mode "owner".`,
      );
    }
    return this.#do(doing, work);
  }

  /** One transaction of the owner's, who is still that. */
  #owned<T>(doing: string, work: (connection: Connection) => T): T {
    return this.#write(doing, (connection) =>
      transaction(connection, () => {
        checkLease(connection, this.#held?.lease);
        return work(connection);
      }),
    );
  }

  #readDataVersion(): number {
    return this.#do("read", ({ sql }) => number(sql.dataVersion.get() ?? {}, "data_version"));
  }
}
