/**
 * One connection on which transactions of user code run, one after the other. Each operation is a savepoint of its transaction. The engine's own
 * rows are locked and written at the end only, in one piece with the commit: until then the transaction is in nobody's way but that of those
 * who want the same rows of the user's.
 *
 * When the connection is lost while it commits, a row in the receipts tells what became of it. Whoever looks puts a row in its place: then the
 * transaction has been committed before, or never will be.
 */
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Payload } from "../../../base/value.ts";
import { ended } from "../../transaction-errors.ts";
import type { PostgresTransaction, TransactionBatch, TransactionJob, TransactionOutcome } from "../../transactions.ts";
import { receipt } from "../commit.ts";
import { isAway, isUndone } from "../errors.ts";
import { settings } from "../line.ts";
import type { Line } from "../line.ts";
import { readRefusal } from "../parts/raise.ts";
import { ConnectionLost, ServerError } from "../wire/errors.ts";
import { commit, rollback, statement, step } from "../wire/session.ts";
import type { Session } from "../wire/session.ts";
import { postgresError } from "./errors.ts";
import { asUser, beginSerializable, clean, committedBefore, finish, marginMs, readDefaults } from "./ledger.ts";
import { readSeqs, readWanted, seqsOf, wanted } from "./ledger.ts";
import type { Defaults, Finished, TransactionId } from "./ledger.ts";
import { UserTransaction } from "./user.ts";

export type PostgresJob = TransactionJob<PostgresTransaction>;
export type PostgresBatch = TransactionBatch<PostgresTransaction>;

/** What came of each job; undefined: nothing was kept, it has to be called again. */
export type Outcomes = (TransactionOutcome | undefined)[];

/** How long an operation may hold its transaction if it says nothing about that. */
export const defaultTimeoutMs = 10_000;
const pauseMs = 200;
/** Neither timers nor the server know of longer times. */
const longestMs = 2 ** 31 - 1;

const savepoint = statement("SAVEPOINT perdure_operation");
const release = statement("RELEASE SAVEPOINT perdure_operation");
const rollBack = statement("ROLLBACK TO SAVEPOINT perdure_operation");
const checkConstraints = statement("SET CONSTRAINTS ALL IMMEDIATE");

interface Connection {
  readonly session: Session;
  readonly defaults: Defaults;
}

type Ran = { readonly value: Payload } | { readonly error: unknown };

export class Lane {
  readonly #line: Line;
  #connection: Connection | undefined;

  constructor(line: Line) {
    this.#line = line;
  }

  /**
   * Runs all jobs of the batch in one transaction. Throws what is wrong with the store or the connection: then nothing was kept, nor will be.
   * `again` is told why jobs are to be called again. Those that take longer than `limitMs` are, too.
   */
  async transact(
    { incarnation, atMs, jobs }: PostgresBatch,
    limitMs: number,
    again: (why: unknown) => void,
  ): Promise<Outcomes> {
    const connection = await this.#connect();
    const { session } = connection;
    const isTwice = (job: PostgresJob, at: number): boolean =>
      jobs.findIndex((each) => each.process === job.process && each.number === job.number) < at;
    let known: TransactionId | undefined;
    try {
      const asking = session.run(wanted(incarnation, jobs));
      const beginning = session.run([step(beginSerializable)]);
      const [asked] = await Promise.all([asking, beginning]);
      const isWanted = readWanted(asked[1]?.rows ?? []);
      const outcomes: Outcomes = jobs.map(() => undefined);
      const finished: (Finished & { readonly at: number })[] = [];
      for (const [at, job] of jobs.entries()) {
        if (isTwice(job, at)) outcomes[at] = { kind: "unwanted" };
        else if (!isWanted.has(at)) outcomes[at] = (await committedBefore(session, job)) ?? { kind: "unwanted" };
        else {
          const ran = await this.#run(connection, job, limitMs);
          if (ran === "aside") continue;
          if ("error" in ran) outcomes[at] = { kind: "threw", error: ran.error };
          else finished.push({ at, process: job.process, number: job.number, value: ran.value });
          if (!session.isOpen) return outcomes;
        }
      }
      if (finished.length > 0) {
        known = await this.#finish(connection, { incarnation, atMs, jobs: finished, outcomes, again });
      }
      return outcomes;
    } catch (error) {
      if (!isMeanwhile(error)) throw error;
      again(error);
      return jobs.map(() => undefined);
    } finally {
      this.#leave(session, known);
    }
  }

  async #connect(): Promise<Connection> {
    if (this.#connection?.session.isOpen === true) return this.#connection;
    const session = await this.#line.open();
    try {
      const defaults = await readDefaults(session, this.#line.options.schema);
      this.#connection = { session, defaults };
      return this.#connection;
    } catch (error) {
      session.destroy("it could not be used");
      throw error;
    }
  }

  /** Nothing of a transaction, or of what it has set, is left for the next one. */
  #leave(session: Session, known: TransactionId | undefined): void {
    if (!session.isOpen) return;
    const ended = session.transaction === "no" ? undefined : session.run([step(rollback)]);
    Promise.all([ended, session.run(clean(known))]).catch(() => session.destroy("it could not be cleaned"));
  }

  /** Throws what undoes the whole transaction. */
  async #run({ session, defaults }: Connection, job: PostgresJob, limitMs: number): Promise<Ran | "aside"> {
    const isShort = limitMs < timeoutOf(job);
    const timeoutMs = isShort ? limitMs : timeoutOf(job);
    const tx = new UserTransaction(session, this.#line.options.schema, job.name);
    const failed = (error: unknown): unknown => (tx.failure ??= error);
    session
      .run([step(savepoint), ...asUser(session, defaults, isShort ? limitMs : timeoutMs + marginMs)])
      .catch(failed);
    const ran = await this.#call(session, job, tx, timeoutMs);
    if (isShort && (ran === "late" || tx.isSlow)) {
      // What it has under way the server breaks off.
      await tx.end();
      if (tx.failure !== undefined) throw tx.failure;
      await this.#undo(session, tx);
      return "aside";
    }
    if (ran === "late") {
      const error = job.expire?.(timeoutMs) ?? new Error(`The operation ${job.name} took longer than ${timeoutMs} ms.`);
      if (tx.calls > 0 || tx.failure !== undefined) session.destroy("an operation took too long");
      else await this.#undo(session, tx);
      return { error };
    }
    const calls = tx.calls;
    await tx.end();
    if (tx.failure !== undefined) throw tx.failure;
    if ("error" in ran || calls > 0) {
      await this.#undo(session, tx);
      const advice = "Await everything that uses it before the function returns.";
      return "error" in ran ? ran : { error: ended(job.name, "the operation has ended before it", advice) };
    }
    // If this fails, so does what follows.
    session.run([step(release)]).catch(failed);
    return ran;
  }

  async #undo(session: Session, tx: UserTransaction): Promise<void> {
    await tx.end();
    await session.run([step(rollBack), step(release)]);
  }

  async #call(session: Session, job: PostgresJob, tx: UserTransaction, timeoutMs: number): Promise<Ran | "late"> {
    const over = Promise.withResolvers<"late" | "lost">();
    const timer = setTimeout(() => over.resolve("late"), timeoutMs);
    session.onEnd(() => over.resolve("lost"));
    const called = (async () => await job.call(tx))().then(
      (value): Ran => ({ value }),
      (error: unknown): Ran => ({ error }),
    );
    const ran = await Promise.race([called, over.promise]);
    clearTimeout(timer);
    if (ran !== "late" && ran !== "lost") return ran;
    void tx.end();
    if (ran === "lost") throw tx.failure ?? new ConnectionLost("the connection ended in the middle of a transaction");
    return "late";
  }

  async #finish(
    { session, defaults }: Connection,
    { incarnation, atMs, jobs, outcomes, again }: Ending,
  ): Promise<TransactionId | undefined> {
    const id: TransactionId = { incarnation: -randomInt(1, 2 ** 47), number: 1 };
    const { statementTimeoutMs: limitMs } = this.#line.options;
    const last = finish(session, { incarnation, atMs, limitMs, ...defaults }, jobs, id);
    const [checked, written, ending] = await Promise.allSettled([
      session.run([step(checkConstraints)]),
      session.run(last),
      session.run([step(commit)]),
    ]);
    let seqs: number[] | undefined;
    if (ending.status === "fulfilled" && ending.value[0]?.tag === "COMMIT" && written.status === "fulfilled") {
      seqs = readSeqs(String(written.value.at(-1)?.rows[0]?.["put"]));
    } else if (checked.status === "rejected" && checked.reason instanceof ServerError && !isUndone(checked.reason)) {
      this.#blame(checked.reason, jobs, { outcomes, again });
      return undefined;
    } else {
      const why = [checked, written, ending].find((each) => each.status === "rejected")?.reason as unknown;
      const isKnown = [checked, written, ending].some(
        (each) => each.status === "rejected" && each.reason instanceof ServerError && !each.reason.isFatal,
      );
      if (!isKnown) seqs = await this.#resolve(id, atMs);
      if (seqs === undefined) throw why ?? new ConnectionLost("the transaction was rolled back");
    }
    for (const [index, { at, value }] of jobs.entries()) {
      outcomes[at] = { kind: "committed", value, seq: seqs[index] };
    }
    return id;
  }

  /** A constraint that is checked at the end does not hold. Whose fault it is shows when each runs alone. */
  #blame(
    reason: ServerError,
    jobs: readonly { readonly at: number }[],
    { outcomes, again }: Pick<Ending, "outcomes" | "again">,
  ): void {
    const [first, ...others] = jobs;
    if (others.length > 0) again(reason);
    else if (first !== undefined) outcomes[first.at] = { kind: "threw", error: postgresError(reason) };
  }

  /** The seqs if the transaction was committed; undefined if it was not, and never will be. Takes as long as the database is away. */
  async #resolve(id: TransactionId, atMs: number): Promise<number[] | undefined> {
    const line = this.#line;
    for (;;) {
      line.check("find out what became of a transaction in");
      let session: Session | undefined;
      try {
        session = await line.open();
        // It waits for a transaction that has put its own.
        await session.transact([settings(session, line.options.statementTimeoutMs), receipt(id, atMs)]);
        return undefined;
      } catch (error) {
        const isTaken = error instanceof ServerError && error.constraint === "receipt_pkey";
        if (isTaken && session !== undefined) {
          // Of two rows with nothing in them one was put by an earlier look, of which we have not heard.
          const seqs = await seqsOf(session, id).catch((failure: unknown) => failure);
          if (Array.isArray(seqs) || seqs === undefined) return seqs as number[] | undefined;
        } else if (!isAway(error) && !(error instanceof ServerError)) throw error;
      } finally {
        session?.close();
      }
      await sleep(pauseMs);
    }
  }
}

function timeoutOf({ timeoutMs = defaultTimeoutMs }: PostgresJob): number {
  return Math.min(timeoutMs, longestMs / 2);
}

interface Ending {
  readonly incarnation: number;
  readonly atMs: number;
  readonly jobs: readonly (Finished & { readonly at: number })[];
  readonly outcomes: Outcomes;
  readonly again: (why: unknown) => void;
}

/** Something has changed since the transaction began: it may be done again, from what there is now. */
export function isMeanwhile(error: unknown): boolean {
  if (isUndone(error)) return true;
  // The row of an operation that somebody is about to take away.
  if (error instanceof ServerError && error.sqlState === "55P03") return true;
  return error instanceof ServerError && readRefusal(error)?.kind === "unwanted";
}
