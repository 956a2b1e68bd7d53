/**
 * The transactions port in memory, for the simulator: what a job can write is not tables but a map of facts, durable with the result
 * or not at all, as SQL is in SQLite.
 */
import { PerdureError } from "../../base/errors.ts";
import { inThisTurn } from "../in-this-turn.ts";
import type { TransactionBatch, TransactionJob, TransactionOutcome, Transactions } from "../transactions.ts";
import type { MemoryDisk } from "./disk.ts";

export interface MemoryTransaction {
  /** As this transaction has it. */
  get(key: string): unknown;
  put(key: string, value: unknown): void;
}

type Facts = Map<string, unknown>;

interface Written {
  readonly job: TransactionJob<MemoryTransaction>;
  readonly outcome: TransactionOutcome;
}

export class MemoryTransactions implements Transactions<MemoryTransaction> {
  readonly #disk: MemoryDisk;
  readonly #atomically: <T>(effect: () => T) => Promise<T>;
  #closed = false;

  /** `atomically` is where faults happen: before the effect, after it, or instead of it. */
  constructor(disk: MemoryDisk, atomically: <T>(effect: () => T) => Promise<T>) {
    this.#disk = disk;
    this.#atomically = atomically;
  }

  get isConcurrent(): boolean {
    return this.#disk.shared !== undefined;
  }

  async run(batch: TransactionBatch<MemoryTransaction>): Promise<readonly TransactionOutcome[]> {
    const facts: Facts = new Map();
    const written: Written[] = [];
    try {
      this.#check(batch);
      for (const job of batch.jobs) written.push({ job, outcome: await this.#job(batch, job, facts, written) });
      return await this.#atomically(() => this.#commit(batch, written, facts));
    } catch (error) {
      return batch.jobs.map(() => ({ kind: "failed", error: error as Error }));
    }
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  async #job(
    { incarnation }: TransactionBatch<MemoryTransaction>,
    job: TransactionJob<MemoryTransaction>,
    facts: Facts,
    before: readonly Written[],
  ): Promise<TransactionOutcome> {
    const isDone = before.some(
      (one) => one.outcome.kind === "committed" && one.job.process === job.process && one.job.number === job.number,
    );
    if (isDone || !this.#isWanted(job, incarnation)) return { kind: "unwanted" };
    const own: Facts = new Map();
    let ended = false;
    const checkOpen = (): void => {
      if (ended) throw over(job.name);
    };
    const tx: MemoryTransaction = {
      get: (key) => {
        checkOpen();
        return [own, facts, this.#disk.facts].find((one) => one.has(key))?.get(key);
      },
      put: (key, value) => {
        checkOpen();
        own.set(key, value);
      },
    };
    try {
      const called = job.call(tx);
      const value = called instanceof Promise ? await inThisTurn(called, job.name) : called;
      for (const [key, fact] of own) facts.set(key, fact);
      return { kind: "committed", value, seq: undefined };
    } catch (error) {
      return { kind: "threw", error };
    } finally {
      ended = true;
    }
  }

  /** All of it, or an error before any of it. */
  #commit(batch: TransactionBatch<MemoryTransaction>, written: readonly Written[], facts: Facts): TransactionOutcome[] {
    this.#check(batch);
    const disk = this.#disk;
    for (const { job, outcome } of written) {
      if (outcome.kind === "committed" && !this.#isWanted(job, batch.incarnation)) {
        const why = this.isConcurrent ? "has changed meanwhile" : "was written by its owner while it was lent";
        throw new PerdureError("STORE_FAILED", `The store ${disk.id} ${why}.`);
      }
    }
    for (const [key, fact] of facts) disk.facts.set(key, fact);
    disk.aliveAtMs = batch.atMs;
    disk.shared?.seen(batch.incarnation, batch.atMs);
    disk.writeCount++;
    return written.map(({ job: { process, number: operation }, outcome }) => {
      if (outcome.kind !== "committed") return outcome;
      disk.record(process).operations.delete(operation);
      const { value } = outcome;
      const input = { kind: "result", operation, ok: true, value } as const;
      return { kind: "committed", value, seq: disk.putInput({ process, input, atMs: batch.atMs }) };
    });
  }

  #check({ incarnation }: TransactionBatch<MemoryTransaction>): void {
    if (this.#closed) throw new PerdureError("STORE_FAILED", `The store ${this.#disk.id} was closed. Open it again.`);
    const { shared } = this.#disk;
    if (shared === undefined ? incarnation === this.#disk.incarnation : shared.isInForce(incarnation)) return;
    throw new PerdureError(
      "STORE_FENCED",
      `Incarnation ${incarnation} of the store ${this.#disk.id} was followed by a newer one. Nothing was kept.`,
    );
  }

  #isWanted({ process, number }: TransactionJob<MemoryTransaction>, incarnation: number): boolean {
    const { shared } = this.#disk;
    const record = this.#disk.processes.get(process);
    if (record === undefined || record.row.state === "exited" || !record.operations.has(number)) return false;
    return shared?.owns(incarnation, record.row) ?? true;
  }
}

function over(operation: string): PerdureError {
  return new PerdureError("TRANSACTION_ENDED", `The transaction of operation ${JSON.stringify(operation)} has ended.`);
}
