/** What the tests of transactions of user code share: a store, a schema of the user's, and operations that are called. */
import { test } from "node:test";
import type { TestContext } from "node:test";
import { decodeValue, encodeValue } from "../../../base/value.ts";
import { operation, process, program, startMs } from "../../suite/samples.ts";
import type { PostgresTransaction, TransactionJob, TransactionOutcome, Transactions } from "../../transactions.ts";
import { openPostgresTransactions } from "../index.ts";
import type { PostgresStore } from "../index.ts";
import assert from "node:assert/strict";
import { place, skip } from "../../../../test/support/postgres-place.ts";
import type { Place } from "../../../../test/support/postgres-place.ts";

export const atMs: number = startMs;

export type Work = (tx: PostgresTransaction) => unknown;

export interface Order {
  readonly work: Work;
  readonly timeoutMs?: number;
}

/** A store with a process of as many operations as are called, and a schema of the user's. */
export class Bench {
  readonly at: Place;
  readonly store: PostgresStore;
  readonly user: string;
  readonly transactions: Transactions<PostgresTransaction>;
  #operations = 0;

  static async open(t: TestContext): Promise<Bench> {
    const at = await place(t);
    const store = await at.direct();
    await store.claim(atMs);
    await store.sharing.acquire([1]);
    await store.putProgram(program, []);
    await store.commit({ atMs, newProcesses: [process(1, { shard: 1 }), process(2, { shard: 1 })] });
    const bench = new Bench(at, store);
    await at.byHand(`CREATE SCHEMA ${bench.user}`);
    await at.byHand(`CREATE TABLE ${bench.user}.mine (id int PRIMARY KEY, v text)`);
    t.after(async () => {
      at.proxy.disarm();
      await bench.transactions.close();
      await at.byHand(`DROP SCHEMA ${bench.user} CASCADE`);
    });
    return bench;
  }

  constructor(at: Place, store: PostgresStore) {
    this.at = at;
    this.store = store;
    this.user = `${at.schema}_user`;
    this.transactions = openPostgresTransactions(at.proxy.through(at.url), { schema: at.schema });
  }

  /** Works in one batch, each of an operation of its own. `~` stands for the user's schema in SQL by `sql`. */
  async outcomes(...orders: readonly (Work | Order)[]): Promise<readonly TransactionOutcome[]> {
    const jobs: TransactionJob<PostgresTransaction>[] = [];
    for (const order of orders) {
      const { work, timeoutMs } = typeof order === "function" ? { work: order, timeoutMs: undefined } : order;
      const call = async (tx: PostgresTransaction) => encodeValue(await work(tx));
      const number = ++this.#operations;
      const expire = (ms: number): Error => new Error(`after ${ms} ms`);
      jobs.push({ process: 1, number, name: `job ${number}`, call, timeoutMs, expire });
    }
    await this.store.commit({ atMs, operations: jobs.map(({ number }) => operation(1, number)) });
    return await this.transactions.run({ incarnation: 1, atMs, jobs });
  }

  /** Another attempt of the last operation. */
  async again(work: Work): Promise<readonly TransactionOutcome[]> {
    const call = async (tx: PostgresTransaction) => encodeValue(await work(tx));
    const jobs = [{ process: 1, number: this.#operations, name: "again", call }];
    return await this.transactions.run({ incarnation: 1, atMs, jobs });
  }

  /** What one work gives, or its error. */
  async run(work: Work, timeoutMs?: number): Promise<unknown> {
    const [outcome] = await this.outcomes({ work, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    if (outcome?.kind === "committed") return decodeValue(outcome.value);
    throw outcome?.kind === "threw" || outcome?.kind === "failed" ? outcome.error : new Error(outcome?.kind);
  }

  sql(text: string): string {
    return text.replaceAll("~", this.user);
  }

  async mine(): Promise<string[]> {
    const rows = await this.at.byHand(`SELECT v FROM ${this.user}.mine ORDER BY id`);
    return rows.map(({ v }) => String(v));
  }

  /** Nothing waits for an outcome, and each result is there once. */
  async check(results: number): Promise<void> {
    assert.deepEqual(await this.store.operations(1), []);
    const told = (await this.store.inbox(1)).map(({ input }) => (input.kind === "result" ? input.operation : 0));
    assert.equal(told.length, results);
    assert.equal(new Set(told).size, results);
  }
}

export function benchTest(name: string, run: (bench: Bench, t: TestContext) => Promise<void>): void {
  test(name, { skip }, async (t) => {
    await run(await Bench.open(t), t);
  });
}
