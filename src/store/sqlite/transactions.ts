/**
 * The transactions port on SQLite: a second connection to the store's file, on the thread that runs user code.
 *
 * A batch is one transaction, and each job a savepoint in it. What a job does wrong is undone by its savepoint. A statement may
 * still end or spoil the whole transaction (`INSERT OR ROLLBACK`, a deferred foreign key, more than the disk has room for): then
 * nothing was kept, and each job gets a transaction of its own, so that only the one that did it suffers.
 */
import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import { PerdureError } from "../../base/errors.ts";
import type { Payload } from "../../base/value.ts";
import { encodeInput } from "../../journal/encoding.ts";
import { inThisTurn } from "../in-this-turn.ts";
import type { TransactionBatch, TransactionJob, TransactionOutcome, Transactions } from "../transactions.ts";
import { Authorizer } from "./authorizer.ts";
import { checksum } from "../checksum.ts";
import { blamesStatements, storeError } from "./errors.ts";
import { configure } from "./open.ts";
import { createSchema } from "./schema.ts";
import { SqliteTransaction, UserSql } from "./transaction.ts";

export interface SqliteTransactionsOptions {
  /** How long a transaction waits for another program's; the thread waits with it. Default 2,000. */
  readonly busyTimeoutMs?: number;
  /** As of a store (`SqliteStoreOptions`): the limit is each connection's. */
  readonly maxSizeBytes?: number;
}

/** Beside a running node only the command line writes, for microseconds. The kernel has lent the store. */
const defaultBusyTimeoutMs = 2_000;

/** Opens the store in the file `path` for transactions. Its owner is somebody else. Throws as `openSqliteStore` does. */
export function openSqliteTransactions(path: string, options: SqliteTransactionsOptions = {}): Transactions {
  if (!existsSync(path)) {
    throw new PerdureError("STORE_NOT_FOUND", `Cannot open the store ${path}: there is no such file any more.`, {
      details: { path },
    });
  }
  return open(path, options, (db) => new StoreLedger(path, db));
}

/** For an engine whose store is in memory: user SQL has a database that dies with it too. Results are not kept. */
export function openMemoryTransactions(): Transactions {
  return open(":memory:", {}, (db) => {
    // The same names are taken as in a file.
    db.exec(createSchema);
    return undefined;
  });
}

function open(
  path: string,
  { busyTimeoutMs: timeout = defaultBusyTimeoutMs, maxSizeBytes }: SqliteTransactionsOptions,
  ledger: (db: DatabaseSync) => StoreLedger | undefined,
): Transactions {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { timeout, enableForeignKeyConstraints: true, defensive: true });
    configure(db, maxSizeBytes);
    return new SqliteTransactions(path, db, ledger(db));
  } catch (error) {
    if (db?.isOpen) db.close();
    throw storeError(path, "open", error);
  }
}

/** What the engine writes of each job. Every table is named with its database, whatever else may have such a name. */
class StoreLedger {
  readonly #path: string;
  readonly #alive: StatementSync;
  readonly #take: StatementSync;
  readonly #keep: StatementSync;

  constructor(path: string, db: DatabaseSync) {
    this.#path = path;
    this.#alive = db.prepare("UPDATE main.meta SET alive_at_ms = ? WHERE incarnation = ?");
    this.#take = db.prepare(`DELETE FROM main.operation WHERE process = ?1 AND number = ?2
      AND EXISTS (SELECT 1 FROM main.process WHERE key = ?1 AND state <> 'exited')`);
    this.#keep = db.prepare("INSERT INTO main.inbox (process, at_ms, crc, input) VALUES (?, ?, ?, ?)");
  }

  /** A sign of life, and the fence. */
  check({ incarnation, atMs }: TransactionBatch): void {
    if (Number(this.#alive.run(atMs, incarnation).changes) === 1) return;
    throw new PerdureError(
      "STORE_FENCED",
      `This node may not write to the store ${this.#path}: its incarnation ${incarnation} was followed by a newer one. Nothing of this transaction was kept. Restart the engine.`,
      { details: { path: this.#path, incarnation } },
    );
  }

  /** False if nobody waits for the operation. */
  take({ process, number }: TransactionJob): boolean {
    return Number(this.#take.run(process, number).changes) === 1;
  }

  /** Returns the seq of the result's row. */
  keep({ process, number }: TransactionJob, value: Payload, atMs: number): number {
    const body = encodeInput({ kind: "result", operation: number, ok: true, value });
    return Number(this.#keep.run(process, atMs, checksum(body, process, 0), body).lastInsertRowid);
  }
}

/** Nothing was kept; with the jobs one by one, more will be. */
const apart = Symbol("apart");

class SqliteTransactions implements Transactions {
  readonly #path: string;
  readonly #db: DatabaseSync;
  readonly #sql: UserSql;
  readonly #ledger: StoreLedger | undefined;
  #running: Promise<readonly TransactionOutcome[]> | undefined;

  constructor(path: string, db: DatabaseSync, ledger: StoreLedger | undefined) {
    this.#path = path;
    this.#db = db;
    this.#ledger = ledger;
    this.#sql = new UserSql(db, new Authorizer(db));
  }

  async run(batch: TransactionBatch): Promise<readonly TransactionOutcome[]> {
    if (this.#running !== undefined) throw new Error("a batch of transactions began before the last one had ended");
    this.#running = this.#run(batch);
    try {
      return await this.#running;
    } finally {
      this.#running = undefined;
    }
  }

  async close(): Promise<void> {
    await this.#running;
    if (this.#db.isOpen) this.#db.close();
  }

  async #run(batch: TransactionBatch): Promise<readonly TransactionOutcome[]> {
    const { jobs } = batch;
    const together = await this.#transaction(batch, jobs);
    if (together !== apart) return together;
    const outcomes: TransactionOutcome[] = [];
    for (const job of jobs) {
      const alone = await this.#transaction(batch, [job]);
      if (alone !== apart) outcomes.push(...alone);
    }
    return outcomes;
  }

  /** One transaction. A single job is never told to go apart. */
  async #transaction(
    batch: TransactionBatch,
    jobs: readonly TransactionJob[],
  ): Promise<readonly TransactionOutcome[] | typeof apart> {
    const outcomes: TransactionOutcome[] = [];
    const db = this.#db;
    let hasBegun = false;
    try {
      db.exec("BEGIN IMMEDIATE");
      this.#ledger?.check(batch);
      hasBegun = true;
      for (const job of jobs) {
        const outcome = await this.#job(job, batch.atMs);
        outcomes.push(outcome);
        if (!db.isTransaction) return jobs.length > 1 ? apart : outcomes;
      }
      db.exec("COMMIT");
      return outcomes;
    } catch (error) {
      this.#rollBack();
      if (hasBegun && jobs.length > 1) return apart;
      if (hasBegun && blamesStatements(error)) return [{ kind: "threw", error }];
      return jobs.map(() => ({ kind: "failed", error: storeError(this.#path, "write", error) }));
    }
  }

  #rollBack(): void {
    try {
      // Some failures (disk full, I/O errors) have rolled back already.
      if (this.#db.isOpen && this.#db.isTransaction) this.#db.exec("ROLLBACK");
    } catch {
      // The failure that led here is the one to tell of; one that lasts shows at the next transaction.
    }
  }

  /** Throws what is wrong with the store; what is wrong with the job is its outcome. */
  async #job(job: TransactionJob, atMs: number): Promise<TransactionOutcome> {
    const db = this.#db;
    db.exec("SAVEPOINT perdure_job");
    if (this.#ledger?.take(job) === false) {
      db.exec("RELEASE perdure_job");
      return { kind: "unwanted" };
    }
    const tx = new SqliteTransaction(this.#sql, job.name);
    let value: Payload;
    try {
      const called = job.call(tx);
      value = called instanceof Promise ? await inThisTurn(called, job.name) : called;
      tx.end();
      tx.check();
      this.#sql.checkSchema();
    } catch (error) {
      tx.end();
      if (tx.failure !== undefined) throw tx.failure;
      this.#undo();
      return { kind: "threw", error };
    }
    // It may have caught the error.
    if (tx.failure !== undefined) throw tx.failure;
    const seq = this.#ledger?.keep(job, value, atMs);
    db.exec("RELEASE perdure_job");
    return { kind: "committed", value, seq };
  }

  /** A virtual table may not be able to go back to the savepoint: then the transaction is over. */
  #undo(): void {
    try {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK TO perdure_job; RELEASE perdure_job");
    } catch {
      this.#rollBack();
    }
  }
}
