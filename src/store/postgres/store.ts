/** The store port on PostgreSQL, as a store that several nodes own together. A node writes over one connection; reads go over a few others. */
import { randomUUID } from "node:crypto";
import { PerdureError } from "../../base/errors.ts";
import { exitReasons } from "../../journal/types.ts";
import type { Input, Pid, TimerClock, Turn } from "../../journal/types.ts";
import { number, text, word } from "../columns.ts";
import type { Row } from "../columns.ts";
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
import { readProcess, readProgram, readTimer } from "../rows.ts";
import { bytes } from "../columns.ts";
import { audit } from "./audit.ts";
import { planCommit, readCommitted, receipt } from "./commit.ts";
import type { Committed } from "./commit.ts";
import { DamagedRow, journalCorrupt } from "./damage.ts";
import { fenced, storeError } from "./errors.ts";
import { findExported, findImported, readExports, readImports, withMoves } from "./exports.ts";
import { PostgresHandovers } from "./handovers.ts";
import type { Hints } from "./hints.ts";
import { closeNode, giveBack, join, yieldAll } from "./lease.ts";
import type { Claim } from "./lease.ts";
import { whole } from "./line.ts";
import type { Line } from "./line.ts";
import { readMarks } from "./marks.ts";
import { forgetStandby, listNodes, recordStandby } from "./nodes.ts";
import { post, takeDeadLetter } from "./outside.ts";
import type { Outside } from "./outside.ts";
import { putBlobs, putProgram } from "./programs.ts";
import type { Blob } from "./programs.ts";
import { queries } from "./queries.ts";
import { countProcesses, listProcesses, pidOf, readDeadLetters, readDueTimers, readInboxAfter } from "./reads.ts";
import { readLoad, readLogs, readNames, readRelations, readTurns, recover } from "./reads.ts";
import { prune, prunePrograms, pruneTombstones, readPlace } from "./retention.ts";
import type { Decision } from "./retention.ts";
import { readEdge, readInput, readOperation, readRestore } from "./rows.ts";
import { PostgresSharing } from "./sharing.ts";
import { readTombstone } from "./stones.ts";
import { statement, step } from "./wire/session.ts";
import type { Step } from "./wire/session.ts";
import { Writer } from "./writer.ts";
import type { Run, Write } from "./writer.ts";

export type StoreMode = "owner" | "reader";

export interface StoreParts {
  readonly id: string;
  readonly mode: StoreMode;
  readonly leaseMs: number;
  readonly hints: Hints;
  /** Where hints are listened for. */
  readonly listen: Line;
}

const putResult = statement(
  "INSERT INTO ~.receipt (incarnation, number, put) VALUES ($1, $2, $3) RETURNING put, gone",
  ...(["int8", "int8", "text"] as const),
);
const pruneOldEdges = statement(
  `WITH old AS (DELETE FROM ~.edge WHERE id IN (
     SELECT e.id FROM ~.edge AS e LEFT JOIN ~.process AS p ON p.key = e.process
     WHERE e.at_ms < $3 AND (e.state <> 'open' OR coalesce(p.state, 'exited') = 'exited') ORDER BY e.at_ms, e.id LIMIT $4)
     RETURNING 1)
   INSERT INTO ~.receipt (incarnation, number, put) SELECT $1, $2, CAST(count(*) AS text) FROM old RETURNING put, gone`,
  ...(["int8", "int8", "int8", "int8"] as const),
);

/** Whoever claims is told soon that the database is away: it may try again. */
const claimPatienceMs = 5_000;

export class PostgresStore implements Store {
  readonly id: string;
  readonly #line: Line;
  readonly #parts: StoreParts;
  readonly #outside: Outside;
  readonly sharing: PostgresSharing;
  readonly handovers: PostgresHandovers;
  #writer: Writer | undefined;
  #incarnation = 0;
  /** Whose row it has put; "" if none. */
  #standby = "";

  constructor(line: Line, parts: StoreParts) {
    this.id = parts.id;
    this.#line = line;
    this.#parts = parts;
    this.#outside = { line, hints: parts.hints };
    this.sharing = new PostgresSharing({
      line,
      hints: parts.hints,
      incarnation: () => this.#incarnation,
      write: (write) => this.#write(write),
      read: (read) => this.#do("read", read),
    });
    this.handovers = new PostgresHandovers({
      line,
      incarnation: () => this.#incarnation,
      run: (doing, work) => this.#do(doing, work),
    });
  }

  // Lease and writes

  async claim(nowMs: number, node?: NodeInfo): Promise<Lease> {
    return this.#do("claim", async () => {
      this.#checkOwner("claim");
      const token = randomUUID();
      const { leaseMs } = this.#parts;
      const patienceMs = Math.min(this.#line.options.retryMs, claimPatienceMs);
      return this.#line.retrying("claim", () => this.#claim({ nowMs, token, node, leaseMs }), patienceMs);
    });
  }

  async #claim(request: Claim): Promise<Lease> {
    const session = await this.#line.open();
    try {
      const lease = await join(this.#line, session, request);
      const before = this.#writer;
      this.#writer = undefined;
      if (before !== undefined) await this.#leave(before);
      this.sharing.forget();
      this.#incarnation = lease.incarnation;
      this.#writer = new Writer(this.#line, session, lease.incarnation, request.leaseMs);
      return lease;
    } catch (error) {
      session.close();
      throw error;
    }
  }

  async standBy(nowMs: number, node: NodeInfo): Promise<void> {
    await this.#do("stand by beside", () => recordStandby(this.#line, nowMs, node));
    this.#standby = node.id;
  }

  async renew(nowMs: number): Promise<void> {
    await this.#write(signOfLife(nowMs));
  }

  async release(nowMs: number): Promise<void> {
    const writer = this.#writer;
    const shards = yieldAll(this.#incarnation);
    await this.#write({ ...signOfLife(nowMs), doing: "release", fence: giveBack, after: [shards] });
    this.#writer = undefined;
    this.sharing.forget();
    writer?.end();
  }

  async commit(batch: CommitBatch): Promise<Committed> {
    const commit = (): Promise<Committed> =>
      this.#write(() => {
        const { owner } = this.sharing;
        const plan = planCommit(batch, owner);
        const whole = withMoves(plan, batch, this.#line.place.path, owner);
        return { doing: "commit to", atMs: batch.atMs, ...whole, read: readCommitted };
      });
    const yielded = batch.away?.yielded ?? [];
    return yielded.length === 0 ? commit() : this.sharing.yielding(yielded, commit);
  }

  async putProgram(program: ProgramRow, blobs: readonly Blob[]): Promise<void> {
    await this.#write(quiet("put a program into", putProgram(program, blobs)));
  }

  async putBlob(hash: string, bytes: Uint8Array): Promise<void> {
    await this.#write(quiet("put a blob into", putBlobs([{ hash, bytes }])));
  }

  async pruneEdges(beforeMs: number, limit: number): Promise<number> {
    return this.#write<number>({
      doing: "prune keys of",
      atMs: null,
      before: [],
      after: [],
      receipt: (id) => step(pruneOldEdges, id.incarnation, id.number, whole(beforeMs), whole(limit)),
      read: (row) => Number(text(row, "put")),
    });
  }

  async prune(request: PruneRequest): Promise<PruneReport> {
    return this.#decide((run) => prune(run, request));
  }

  async pruneTombstones(
    untilMs: number,
    before: TombstonePlace | undefined,
    limit: number,
  ): ReturnType<Store["pruneTombstones"]> {
    const { dropped, next } = await this.#decide((run) => pruneTombstones(run, untilMs, before, limit));
    return { dropped, next };
  }

  async prunePrograms(untilMs: number, keep: readonly string[]): Promise<number> {
    return this.#decide((run) => prunePrograms(run, untilMs, keep));
  }

  /** What is decided is kept in the receipt, so that it is known even if the connection is lost. */
  #decide<T>(work: (run: Run) => Promise<Decision<T>>): Promise<T> {
    return this.#write<T>({
      doing: "prune",
      atMs: null,
      before: [],
      after: [],
      receipt: (id) => receipt(id, null),
      decide: async (run) => {
        const { steps, result } = await work(run);
        return { before: steps, receipt: (id) => step(putResult, id.incarnation, id.number, JSON.stringify(result)) };
      },
      read: (row) => JSON.parse(text(row, "put")) as T,
    });
  }

  async post(pid: Pid, input: Input, atMs: number, asked?: Asked): Promise<boolean> {
    return this.#do("post to", () => post(this.#outside, pid, { input, atMs, asked }));
  }

  async takeDeadLetter(seq: number, to: Pid | undefined, atMs: number): Promise<boolean> {
    return this.#do("take a dead letter from", () => takeDeadLetter(this.#outside, seq, to, atMs));
  }

  // Reads of the owner

  async load(process: ProcessKey): Promise<ProcessLoad> {
    return this.#do("read", () => readLoad(this.#line, process));
  }

  async recover(shards?: readonly number[]): Promise<Recovery> {
    return this.#do("read", async () => {
      const own = async (): Promise<number[]> =>
        (await this.#line.all(queries.ownShards, this.#incarnation)).map((row) => number(row, "shard"));
      return recover(this.#line, shards ?? (await own()));
    });
  }

  async dueTimers(clock: TimerClock, afterMs: number, untilMs: number, limit: number): Promise<TimerRow[]> {
    return this.#do("read", () => readDueTimers(this.#line, this.#incarnation, clock, afterMs, untilMs, limit));
  }

  async inboxAfter(after: number, limit: number): Promise<InboxRow[]> {
    return this.#do("read", () => readInboxAfter(this.#line, after, limit));
  }

  /** It does not know: who owns a part of a store is told what others have put there by `sharing.posted`. */
  async changedByOthers(): Promise<boolean> {
    return this.#do("read", () => Promise.resolve(true));
  }

  // Reads of anyone

  async findProcess(pid: Pid): Promise<ProcessRow | undefined> {
    return this.#do("read", async () => shown(await this.#line.get(queries.processByPid, pid), readProcess));
  }

  async getProcess(process: ProcessKey): Promise<ProcessRow | undefined> {
    return this.#do("read", async () => shown(await this.#line.get(queries.processByKey, process), readProcess));
  }

  async listProcesses(filter: ProcessFilter): Promise<ProcessRow[]> {
    return this.#do("read", () => listProcesses(this.#line, filter));
  }

  async countProcesses(): Promise<Record<ProcessState, number>> {
    return this.#do("read", () => countProcesses(this.#line));
  }

  async turns(process: ProcessKey, from: number, limit: number): Promise<Turn[]> {
    return this.#do("read", () => readTurns(this.#line, process, from, limit));
  }

  async lastTurn(process: ProcessKey): Promise<number> {
    return this.#do("read", async () => number((await this.#line.get(queries.lastTurn, process)) ?? {}, "turn"));
  }

  async operations(process: ProcessKey): Promise<OperationRow[]> {
    return this.#do("read", async () => (await this.#line.all(queries.operationsOf, process)).map(readOperation));
  }

  async timers(process: ProcessKey): Promise<TimerRow[]> {
    return this.#do("read", async () => (await this.#line.all(queries.timersOf, process)).map(readTimer));
  }

  async inbox(process: ProcessKey): Promise<InboxRow[]> {
    return this.#do("read", async () => (await this.#line.all(queries.inboxOf, process)).map(readInput));
  }

  async logs(process: ProcessKey | undefined, after: number, limit: number): Promise<LogRow[]> {
    return this.#do("read", () => readLogs(this.#line, process, after, limit));
  }

  async names(): Promise<NameRow[]> {
    return this.#do("read", () => readNames(this.#line, "namesAfter"));
  }

  async groups(): Promise<NameRow[]> {
    return this.#do("read", () => readNames(this.#line, "membersAfter"));
  }

  async relations(process: ProcessKey): ReturnType<Store["relations"]> {
    return this.#do("read", () => readRelations(this.#line, process));
  }

  async restores(process: ProcessKey): Promise<RestoreRow[]> {
    return this.#do("read", async () =>
      (await this.#line.all(queries.restores, process)).map((row) => readRestore(process, row)),
    );
  }

  async deadLetters(process: ProcessKey | undefined, after: number, limit: number): Promise<DeadLetterRow[]> {
    return this.#do("read", () => readDeadLetters(this.#line, process, after, limit));
  }

  async edge(process: ProcessKey, key: string): Promise<EdgeRow | undefined> {
    return this.#do("read", async () => shown(await this.#line.get(queries.edge, process, key), readEdge));
  }

  async edges(process: ProcessKey, after: string, limit: number): Promise<EdgeRow[]> {
    return this.#do("read", async () =>
      (await this.#line.all(queries.edgesOf, process, after, whole(limit))).map(readEdge),
    );
  }

  async tombstone(pid: Pid): Promise<Tombstone | undefined> {
    const { path } = this.#line.place;
    return this.#do("read", async () =>
      shown(await this.#line.get(queries.tombstone, pid), (row) => readTombstone(path, row)),
    );
  }

  async exported(of: Pid | ProcessKey): Promise<ExportedRow | undefined> {
    return this.#do("read", () => findExported(this.#line, of));
  }

  async exports(limit: number): Promise<ExportedRow[]> {
    return this.#do("read", () => readExports(this.#line, limit));
  }

  async imported(file: string): Promise<ImportedRow | undefined> {
    return this.#do("read", () => findImported(this.#line, file));
  }

  async imports(pid: Pid): Promise<ImportedRow[]> {
    return this.#do("read", () => readImports(this.#line, pid));
  }

  async finished(after: FinishedPlace | undefined, untilMs: number, limit: number): Promise<FinishedRow[]> {
    const { atMs, key } = after ?? { atMs: Number.MIN_SAFE_INTEGER, key: 0 };
    return this.#do("read", async () =>
      (await this.#line.all(queries.finished, whole(atMs), key, whole(untilMs), whole(limit))).map((row) => ({
        ...readPlace(row),
        pid: text(row, "pid"),
        reason: word(row, "exit_reason", exitReasons),
        held: number(row, "held") !== 0,
      })),
    );
  }

  async finishedBeyond(count: number): Promise<FinishedPlace | undefined> {
    return this.#do("read", async () => shown(await this.#line.get(queries.finishedBeyond, whole(count)), readPlace));
  }

  async audit(report: (fault: StoreFault) => void, done: (done: number, total: number) => void): Promise<void> {
    await this.#do("read", () => audit(this.#line, report, done));
  }

  async nodes(nowMs: number): Promise<NodeRow[]> {
    return this.#do("read", () => listNodes(this.#line, nowMs));
  }

  async movedTo(): Promise<string | undefined> {
    return this.#do("read", async () => (await readMarks(this.#line)).source?.place);
  }

  async program(hash: string): Promise<ProgramRow | undefined> {
    return this.#do("read", async () => shown(await this.#line.get(queries.program, hash), readProgram));
  }

  async programs(): Promise<ProgramRow[]> {
    return this.#do("read", async () => (await this.#line.all(queries.programs)).map(readProgram));
  }

  async blob(hash: string): Promise<Uint8Array | undefined> {
    return this.#do("read", async () => shown(await this.#line.get(queries.blob, hash), (row) => bytes(row, "bytes")));
  }

  /** Without a `release` before it this is what a crash is, but that others need not wait for the lease to run out. */
  async close(): Promise<void> {
    if (this.#line.isClosed) return;
    const writer = this.#writer;
    this.#writer = undefined;
    if (writer !== undefined) await this.#leave(writer);
    // It is soon taken for dead anyhow.
    if (this.#standby !== "") await forgetStandby(this.#line, this.#standby).catch(() => undefined);
    this.#line.close();
    this.#parts.listen.close();
  }

  async #leave(writer: Writer): Promise<void> {
    await writer.idle();
    // If the database is away the lease runs out by itself.
    await this.#line.once([step(closeNode, writer.incarnation)]).catch(() => undefined);
    writer.end();
  }

  /** What the end of its operating system process does to a handle: its connections are gone, and nothing more is said. */
  destroy(): void {
    this.#line.destroy();
    this.#parts.listen.destroy();
  }

  /** `doing` completes "Cannot … the store". */
  async #do<T>(doing: string, work: () => Promise<T>): Promise<T> {
    this.#line.check(doing);
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof DamagedRow)) throw storeError(this.#line.place, doing, error);
      throw journalCorrupt(this.#line.place.path, await pidOf(this.#line, error.process), error);
    }
  }

  /** Everything but `post` and `takeDeadLetter` is the owner's to write. */
  async #write<T>(write: Write<T> | (() => Write<T>)): Promise<T> {
    this.#line.check("write to");
    this.#checkOwner("write to");
    const writer = this.#writer;
    if (writer === undefined) throw fenced(this.#line.place);
    return await writer.write(typeof write === "function" ? write() : write);
  }

  #checkOwner(doing: string): void {
    if (this.#parts.mode === "owner") return;
    throw new PerdureError(
      "ARGUMENT_INVALID",
      `Cannot ${doing} the store ${this.#line.place.path}: it was opened with mode "reader". Open it with mode "owner".`,
    );
  }
}

function shown<T>(row: Row | undefined, read: (row: Row) => T): T | undefined {
  return row === undefined ? undefined : read(row);
}

/** A write that is no sign of life, and has no outcome but that it was done. */
function quiet(doing: string, before: readonly Step[]): Write<void> {
  return { doing, atMs: null, before, receipt: (id) => receipt(id, null), after: [], read: () => undefined };
}

function signOfLife(atMs: number): Write<void> {
  return { ...quiet("renew the lease of", []), atMs, extends: true, receipt: (id) => receipt(id, atMs) };
}
