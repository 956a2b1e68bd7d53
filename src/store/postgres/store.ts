/** The store port on PostgreSQL. Its owner writes over one connection; reads go over a few others. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { isPerdureError, PerdureError } from "../../base/errors.ts";
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
import type { Hints } from "./hints.ts";
import { checkFree, claim, closeNode, giveBack } from "./lease.ts";
import { whole } from "./line.ts";
import type { Line } from "./line.ts";
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
  readonly waitForLease: boolean;
  readonly hints: Hints;
  /** What `change` had counted when the handle was opened. */
  readonly changes: number;
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

const lookEveryMs = 200;
/** Who does not wait for a lease does not wait for a database that is away either, beyond what a lost connection takes. */
const claimPatienceMs = 5_000;

export class PostgresStore implements Store {
  readonly id: string;
  readonly #line: Line;
  readonly #parts: StoreParts;
  readonly #outside: Outside;
  #writer: Writer | undefined;
  /** Whose row says that it stands by; "" if none does. */
  #standby = "";
  #seenChanges: number;
  /** Counts that writes of this handle have reached, after `#seenChanges`. */
  readonly #ownChanges = new Set<number>();

  constructor(line: Line, parts: StoreParts) {
    this.id = parts.id;
    this.#line = line;
    this.#parts = parts;
    this.#seenChanges = parts.changes;
    this.#outside = { line, hints: parts.hints, onOwn: (count) => void this.#ownChanges.add(count) };
  }

  // Lease and writes

  async claim(nowMs: number, node?: NodeInfo): Promise<Lease> {
    return this.#do("claim", async () => {
      this.#checkOwner("claim");
      const token = randomUUID();
      const { waitForLease } = this.#parts;
      const { retryMs } = this.#line.options;
      const patienceMs = waitForLease ? retryMs : Math.min(retryMs, claimPatienceMs);
      const claiming = (atMs: number): Promise<Lease> =>
        this.#line.retrying("claim", () => this.#claim(atMs, token, node), patienceMs);
      return waitForLease ? await afterLease(nowMs, claiming) : await claiming(nowMs);
    });
  }

  async #claim(nowMs: number, token: string, node: NodeInfo | undefined): Promise<Lease> {
    const { leaseMs } = this.#parts;
    await checkFree(this.#line, token);
    const session = await this.#line.open();
    try {
      const lease = await claim(this.#line, session, { nowMs, leaseMs, token, node });
      if (node?.id === this.#standby) this.#standby = "";
      this.#writer?.end();
      this.#writer = new Writer(this.#line, session, lease.incarnation, leaseMs);
      return lease;
    } catch (error) {
      session.close();
      throw error;
    }
  }

  async renew(nowMs: number): Promise<void> {
    await this.#write(signOfLife(nowMs));
  }

  async release(nowMs: number): Promise<void> {
    const writer = this.#writer;
    await this.#write({ ...signOfLife(nowMs), doing: "release", fence: giveBack });
    this.#writer = undefined;
    writer?.end();
  }

  async commit(batch: CommitBatch): Promise<Committed> {
    return this.#write(() => {
      const plan = planCommit(batch, this.#writer?.incarnation ?? 0);
      const hint = (batch.inbox ?? []).length === 0 ? [] : [this.#parts.hints.notify()];
      const { atMs } = batch;
      const whole = withMoves({ ...plan, after: [...plan.after, ...hint] }, batch, this.#line.place.path);
      return { doing: "commit to", atMs, ...whole, read: readCommitted };
    });
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

  async standBy(nowMs: number, node: NodeInfo): Promise<void> {
    await this.#do("stand by for", async () => {
      this.#checkOwner("stand by for");
      this.#ownChanges.add(await recordStandby(this.#line, nowMs, node));
      this.#standby = node.id;
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

  async recover(): Promise<Recovery> {
    return this.#do("read", () => recover(this.#line));
  }

  async dueTimers(clock: TimerClock, afterMs: number, untilMs: number, limit: number): Promise<TimerRow[]> {
    return this.#do("read", () => readDueTimers(this.#line, clock, afterMs, untilMs, limit));
  }

  async inboxAfter(after: number, limit: number): Promise<InboxRow[]> {
    return this.#do("read", () => readInboxAfter(this.#line, after, limit));
  }

  async changedByOthers(): Promise<boolean> {
    return this.#do("read", async () => {
      const count = number((await this.#line.get(queries.changes)) ?? {}, "count");
      let hasChanged = false;
      for (let each = this.#seenChanges + 1; each <= count; each++) {
        if (!this.#ownChanges.delete(each)) hasChanged = true;
      }
      this.#seenChanges = Math.max(this.#seenChanges, count);
      return hasChanged;
    });
  }

  /** Calls `fn` soon after others have put something into the inbox: for whoever polls, to do so at once. Returns a function that takes it back. */
  onHint(fn: () => void): () => void {
    return this.#parts.hints.on(fn);
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

  async nodes(nowMs: number): Promise<NodeRow[]> {
    return this.#do("read", () => listNodes(this.#line, nowMs));
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

  async program(hash: string): Promise<ProgramRow | undefined> {
    return this.#do("read", async () => shown(await this.#line.get(queries.program, hash), readProgram));
  }

  async programs(): Promise<ProgramRow[]> {
    return this.#do("read", async () => (await this.#line.all(queries.programs)).map(readProgram));
  }

  async blob(hash: string): Promise<Uint8Array | undefined> {
    return this.#do("read", async () => shown(await this.#line.get(queries.blob, hash), (row) => bytes(row, "bytes")));
  }

  /** Without a `release` before it this is what a crash is: the next owner finds no clean shutdown, but need not wait for the lease. */
  async close(): Promise<void> {
    if (this.#line.isClosed) return;
    const writer = this.#writer;
    this.#writer = undefined;
    if (writer !== undefined) {
      await writer.idle();
      // If the database is away the lease runs out by itself.
      await this.#line.once([step(closeNode, writer.incarnation)]).catch(() => undefined);
      writer.end();
    }
    if (this.#standby !== "") await forgetStandby(this.#line, this.#standby);
    this.#line.close();
    this.#parts.listen.close();
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

/** Waits until the lease that is in the way has run out. If it lasts longer by then, its owner lives: STORE_IN_USE. */
async function afterLease(nowMs: number, claiming: (nowMs: number) => Promise<Lease>): Promise<Lease> {
  const startMs = performance.now();
  let endsMs: unknown;
  for (let waitedMs = 0; ; waitedMs = Math.round(performance.now() - startMs)) {
    try {
      return await claiming(nowMs + waitedMs);
    } catch (error) {
      if (!isPerdureError(error, "STORE_IN_USE")) throw error;
      const { leaseEndsMs } = error.details;
      if (endsMs !== undefined && endsMs !== leaseEndsMs) throw error;
      endsMs = leaseEndsMs;
    }
    await sleep(lookEveryMs);
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
