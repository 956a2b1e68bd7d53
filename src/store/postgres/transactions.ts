/**
 * The transactions port on PostgreSQL: connections of its own, on the thread that runs user code, beside the owner's commits.
 *
 * What is due at the same time shares a transaction and its sync, each operation in a savepoint. Where they get in each other's or somebody
 * else's way (a conflict of serialization, a deadlock, a constraint that fails at the end), each is called again in a transaction of its own; and
 * so is one that takes its time, so that the others need not wait for it. A transaction that takes its time does not hold up others either:
 * after a moment the next one begins, on another connection.
 */
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { PostgresTransaction, TransactionBatch, TransactionOutcome, Transactions } from "../transactions.ts";
import { fenced, maxUndone } from "./errors.ts";
import { Line } from "./line.ts";
import { lineOptions } from "./open.ts";
import type { PostgresStoreOptions } from "./open.ts";
import { readRefusal } from "./parts/raise.ts";
import { Lane } from "./transacting/lane.ts";
import type { Outcomes, PostgresBatch, PostgresJob } from "./transacting/lane.ts";
import { ServerError } from "./wire/errors.ts";

/** How many transactions run at once. */
const lanes = 4;
/** What has lasted for so long is not waited for. */
const slowMs = 50;
/** Operations that share a transaction, and how long one of them may take. */
const together = 16;
const togetherMs = 200;
const longestPauseMs = 100;

/** Opens the store at this URL for transactions; connections are made when they are needed. Throws ARGUMENT_INVALID. */
export function openPostgresTransactions(
  url: string,
  options: Pick<PostgresStoreOptions, "schema" | "prepare" | "retryMs" | "connectTimeoutMs"> = {},
): Transactions<PostgresTransaction> {
  return new PostgresTransactions(new Line(lineOptions(url, options)));
}

interface Waiting {
  readonly batch: PostgresBatch;
  /** A single job that was in a transaction with others before. */
  readonly isAlone: boolean;
  readonly resolve: (outcomes: readonly TransactionOutcome[]) => void;
}

class PostgresTransactions implements Transactions<PostgresTransaction> {
  readonly isConcurrent = true;
  readonly #line: Line;
  readonly #idle: Lane[];
  readonly #running = new Map<Promise<void>, { readonly sinceMs: number }>();
  #queue: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(line: Line) {
    this.#line = line;
    this.#idle = Array.from({ length: lanes }, () => new Lane(line));
  }

  run(batch: TransactionBatch<PostgresTransaction>): Promise<readonly TransactionOutcome[]> {
    if (batch.jobs.length === 0) return Promise.resolve([]);
    return new Promise((resolve) => {
      this.#queue.push({ batch, isAlone: false, resolve });
      // Others may be due at the same time.
      if (this.#queue.length === 1) queueMicrotask(() => this.#pump());
    });
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#line.close();
    this.#pump();
    while (this.#running.size > 0) await Promise.all(this.#running.keys());
  }

  #pump(): void {
    clearTimeout(this.#timer);
    while (this.#queue.length > 0) {
      const lane = this.#idle.at(-1);
      if (lane === undefined) return;
      const leftMs = this.#patienceMs();
      if (leftMs > 0 && !this.#line.isClosed) {
        this.#timer = setTimeout(() => this.#pump(), leftMs);
        return;
      }
      this.#idle.pop();
      const work = this.#work(lane, this.#take());
      this.#running.set(work, { sinceMs: performance.now() });
      void work.then(() => {
        this.#running.delete(work);
        this.#idle.push(lane);
        this.#pump();
      });
    }
  }

  /** How long until the transactions under way count as slow. */
  #patienceMs(): number {
    const sinceMs = Math.max(...[...this.#running.values()].map((each) => each.sinceMs));
    return sinceMs + slowMs - performance.now();
  }

  /** Those that go into the next transaction. */
  #take(): Waiting[] {
    const taken: Waiting[] = [];
    let count = 0;
    for (const waiting of this.#queue) {
      const { incarnation, jobs } = waiting.batch;
      count += jobs.length;
      const goes = taken.length === 0 || (count <= together && !waiting.isAlone && !taken[0]?.isAlone);
      if (!goes || (taken[0] !== undefined && incarnation !== taken[0].batch.incarnation)) break;
      taken.push(waiting);
    }
    this.#queue = this.#queue.slice(taken.length);
    return taken;
  }

  /** Never rejects. */
  async #work(lane: Lane, taken: readonly Waiting[]): Promise<void> {
    const [first] = taken;
    if (first === undefined) return;
    const jobs = taken.flatMap(({ batch }) => batch.jobs);
    const atMs = Math.max(...taken.map(({ batch }) => batch.atMs));
    const batch = { incarnation: first.batch.incarnation, atMs, jobs };
    const [job] = jobs;
    if (job !== undefined && jobs.length === 1) {
      first.resolve([await this.#alone(lane, batch, job)]);
      return;
    }
    const { outcomes } = await this.#attempt(lane, batch, togetherMs);
    // The first of those that are called again is to be the next.
    const again: Waiting[] = [];
    for (const waiting of taken) {
      const own = outcomes.splice(0, waiting.batch.jobs.length);
      void Promise.all(
        own.map((outcome, at) => (outcome === undefined ? apart(waiting.batch, at, again) : Promise.resolve(outcome))),
      ).then(waiting.resolve);
    }
    this.#queue.unshift(...again);
  }

  /** Whoever undoes it has got on: so it gets its turn, sooner or later. */
  async #alone(lane: Lane, batch: PostgresBatch, job: PostgresJob): Promise<TransactionOutcome> {
    for (let attempt = 1; ; attempt++) {
      const { outcomes, why } = await this.#attempt(lane, batch, Infinity);
      if (outcomes[0] !== undefined) return outcomes[0];
      if (attempt === maxUndone) {
        return { kind: "failed", error: this.#line.error(`commit ${JSON.stringify(job.name)} to`, why) };
      }
      await sleep(randomInt(Math.min(2 ** attempt, longestPauseMs)));
    }
  }

  async #attempt(
    lane: Lane,
    batch: PostgresBatch,
    limitMs: number,
  ): Promise<{ readonly outcomes: Outcomes; readonly why: unknown }> {
    let why: unknown;
    try {
      this.#line.check("write to");
      const outcomes = await lane.transact(batch, limitMs, (reason) => (why = reason));
      return { outcomes, why };
    } catch (error) {
      const failed = { kind: "failed", error: this.#errorOf(error, batch.incarnation) } as const;
      return { outcomes: batch.jobs.map(() => failed), why: error };
    }
  }

  #errorOf(error: unknown, incarnation: number): Error {
    const isFenced = error instanceof ServerError && readRefusal(error)?.kind === "fenced";
    return isFenced ? fenced({ ...this.#line.place, incarnation }) : this.#line.error("write to", error);
  }
}

/** The outcome of one job of a batch, in a transaction of its own. */
function apart(batch: PostgresBatch, at: number, queue: Waiting[]): Promise<TransactionOutcome> {
  return new Promise((resolve) => {
    queue.push({
      batch: { ...batch, jobs: batch.jobs.slice(at, at + 1) },
      isAlone: true,
      resolve: ([outcome]) => outcome !== undefined && resolve(outcome),
    });
  });
}
