/**
 * The transactions port: how user code writes to the store's own database. Beside `Store`, since it works on a thread of its own,
 * under the owner's lease: the kernel lends it the store for one batch at a time.
 *
 * Rules every implementation keeps:
 * - A batch is one transaction: one sync for all its jobs. It is refused as a whole (`failed`, with STORE_FENCED) if `incarnation`
 *   is no longer the one in force.
 * - What a job did, the end of its operation's row and the result's row in the inbox are durable together, or none of it is.
 * - A job whose operation has no row any more is `unwanted`: it does not run.
 * - A job that throws leaves nothing behind, and does no harm to the others.
 * - Jobs run one after the other, in order; each sees what those before it have written.
 * - A job that is called again, because the transaction as a whole could not be committed, finds nothing of the first time.
 */
import type { Payload } from "../base/value.ts";
import type { ProcessKey } from "../journal/types.ts";

/** What a column holds. Integers are numbers where a number can hold them, else bigints. */
export type SqlValue = null | number | bigint | string | Uint8Array;

export type SqlRow = Record<string, SqlValue>;

/** Values for `?`, in order; or one object with values for `:name`, `$name` and `@name`. */
export type SqlParams = readonly SqlValue[] | readonly [Readonly<Record<string, SqlValue>>];

export interface SqlChanges {
  /** Rows that the statement inserted, changed or deleted; those that triggers did are not counted. */
  readonly changes: number;
  readonly lastInsertRowid: number | bigint;
}

/**
 * What a transactional operation works with, until it ends. On SQLite results come at once; on a database across the network they
 * will be promises, so code that is to run on both awaits them.
 *
 * Each method throws SQLite's own errors, TRANSACTION_FORBIDDEN for what is not the operation's to touch, and TRANSACTION_ENDED
 * after the operation's end. An error that is caught leaves what was written before it in place.
 */
export interface Transaction {
  /** Runs one statement. */
  run(sql: string, ...params: SqlParams): SqlChanges;
  /** The first row, if there is one. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the row is typed by whoever wrote the SQL
  get<Row = SqlRow>(sql: string, ...params: SqlParams): Row | undefined;
  /** All rows. */
  all<Row = SqlRow>(sql: string, ...params: SqlParams): Row[];
  /** Runs any number of statements, separated by semicolons. */
  exec(sql: string): void;
}

/** One operation's part of a transaction. */
export interface TransactionJob<Tx = Transaction> {
  readonly process: ProcessKey;
  /** The operation's. */
  readonly number: number;
  /** Its name, for errors. */
  readonly name: string;
  /** Does the work and gives the result. A promise must settle without any other work of the event loop in between. */
  call(tx: Tx): Payload | Promise<Payload>;
}

export interface TransactionBatch<Tx = Transaction> {
  /** Of the lease under which this is done. */
  readonly incarnation: number;
  readonly atMs: number;
  readonly jobs: readonly TransactionJob<Tx>[];
}

export type TransactionOutcome =
  /** `seq` is the result's row in the inbox; undefined where results are not kept. */
  | { readonly kind: "committed"; readonly value: Payload; readonly seq: number | undefined }
  /** The job threw; nothing of it was kept. */
  | { readonly kind: "threw"; readonly error: unknown }
  /** It was not called: the operation has no row, so nobody waits for it. */
  | { readonly kind: "unwanted" }
  /** Not this job but the store has failed. Nothing was kept; another attempt may succeed. */
  | { readonly kind: "failed"; readonly error: Error };

export interface Transactions<Tx = Transaction> {
  /** Never rejects. The outcomes are in the order of the jobs. One batch at a time. */
  run(batch: TransactionBatch<Tx>): Promise<readonly TransactionOutcome[]>;
  /** Resolves when the batch under way is through and the handle is free. May be called twice. */
  close(): Promise<void>;
}
