/**
 * The transactions port: how user code writes to the store's own database. Beside `Store`, since it works on a thread of its own,
 * under the owner's lease: the kernel lends it the store for one batch at a time. Where several nodes own the store nothing is lent:
 * transactions run beside the commits, and what decides is the operation's row at the end.
 *
 * Rules every implementation keeps:
 * - A batch is one transaction: one sync for all its jobs. It is refused as a whole (`failed`, with STORE_FENCED) if `incarnation`
 *   is no longer the one in force.
 * - What a job did, the end of its operation's row and the result's row in the inbox are durable together, or none of it is.
 * - A job whose operation has no row any more is `unwanted`: it does not run. In a shared store the same goes for one whose process is not
 *   the incarnation's any more. Where transactions run beside the commits this may turn out when it has run: then nothing of it is kept.
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
 * What a transactional operation works with on SQLite, until it ends. Results come at once. On PostgreSQL it is a `PostgresTransaction`.
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

/**
 * A value for `$1`, `$2` … on PostgreSQL. The server takes it for the type that the statement wants there; where it cannot tell, cast
 * (`$1::int`). A Date is a point in time, bytes are a `bytea`, an array is an array.
 */
export type PostgresParam = null | boolean | number | bigint | string | Date | Uint8Array | readonly PostgresParam[];

/**
 * What a column holds on PostgreSQL, by its type: `boolean`; `smallint`, `integer`, `real`, `double precision` as numbers, `bigint` as a
 * number where a number can hold it, else as a bigint; `bytea` as bytes; `timestamptz` as a Date, to the millisecond; `json` and `jsonb`
 * as what they say. Everything else is the text that PostgreSQL shows: `numeric`, `timestamp`, `date`, arrays.
 */
export type PostgresValue = unknown;

export type PostgresRow = Record<string, PostgresValue>;

/**
 * What a transactional operation works with on PostgreSQL, until it ends: the same as `Transaction`, but results are promises, and values
 * are for `$1`, `$2` …
 *
 * The transaction is serializable: what it reads is as if it ran alone. When another one gets in its way it is rolled back, and the operation
 * is called again. Statements run in the order of the calls.
 *
 * Each method rejects with a `PostgresError`, with TRANSACTION_FORBIDDEN for what is not the operation's to do, and TRANSACTION_ENDED
 * after the operation's end. An error that is caught leaves what was written before that call in place.
 */
export interface PostgresTransaction {
  /** Runs one statement. */
  run(sql: string, ...params: readonly PostgresParam[]): Promise<PostgresChanges>;
  /** The first row, if there is one. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the row is typed by whoever wrote the SQL
  get<Row = PostgresRow>(sql: string, ...params: readonly PostgresParam[]): Promise<Row | undefined>;
  /** All rows. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the row is typed by whoever wrote the SQL
  all<Row = PostgresRow>(sql: string, ...params: readonly PostgresParam[]): Promise<Row[]>;
  /** Runs any number of statements, separated by semicolons: all of them or none. */
  exec(sql: string): Promise<void>;
}

export interface PostgresChanges {
  /** Rows that the statement inserted, changed, deleted or selected. */
  readonly changes: number;
}

/** The server's own words about a statement it has refused. */
export interface PostgresError extends Error {
  readonly name: "PostgresError";
  /** SQLSTATE: five characters, such as `23505` for a violated unique key. */
  readonly code: string;
  readonly detail?: string;
  readonly hint?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly constraint?: string;
  /** Where in the statement, in characters from 1. */
  readonly position?: number;
}

export type AnyTransaction = Transaction | PostgresTransaction;

/** One operation's part of a transaction. */
export interface TransactionJob<Tx = Transaction> {
  readonly process: ProcessKey;
  /** The operation's. */
  readonly number: number;
  /** Its name, for errors. */
  readonly name: string;
  /**
   * Does the work and gives the result. Where results come at once, a promise must settle without any other work of the event loop in
   * between.
   */
  call(tx: Tx): Payload | Promise<Payload>;
  /** How long that may take, where it may take long. Default: what the store thinks fit. */
  readonly timeoutMs?: number | undefined;
  /** It has taken longer than so many ms, and is over: gives the error it fails with. */
  expire?(timeoutMs: number): Error;
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
  /** Nothing of it was kept: the operation has no row, so nobody waits for it. */
  | { readonly kind: "unwanted" }
  /** Not this job but the store has failed. Nothing was kept, nor will be; another attempt may succeed. */
  | { readonly kind: "failed"; readonly error: Error };

export interface Transactions<Tx = Transaction> {
  /** Many batches may be run at a time, beside the owner's commits; nobody need wait for one to end. Else one at a time, with the store lent. */
  readonly isConcurrent?: boolean;
  /** Never rejects. The outcomes are in the order of the jobs. */
  run(batch: TransactionBatch<Tx>): Promise<readonly TransactionOutcome[]>;
  /** Resolves when the handle is free, and nothing is under way. May be called twice. */
  close(): Promise<void>;
}
