/** Transactions: what user code writes and its result are durable together, or not at all. */
import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe } from "node:test";
import type { Payload } from "../../base/value.ts";
import type { Store } from "../port.ts";
import type { TransactionBatch, TransactionJob, TransactionOutcome, Transactions } from "../transactions.ts";
import { ownerRule } from "./fixture.ts";
import type { StoreFixture } from "./fixture.ts";
import { exit, operation, process, startMs } from "./samples.ts";

/** How a test writes in a transaction of this store's kind, and what it finds afterwards. */
export interface TransactionsFixture<Tx> extends StoreFixture {
  transactions(store: Store): Promise<Transactions<Tx>>;
  put(tx: Tx, key: string, value: number): void | Promise<void>;
  get(tx: Tx, key: string): number | undefined | Promise<number | undefined>;
  /** A job may await what it likes. */
  readonly mayAwait?: boolean;
  /** What is durable. */
  facts(): Promise<Readonly<Record<string, number>>>;
}

const atMs = startMs + 1000;
const value: Payload = { text: 'j"well"' };

export function testTransactions<Tx>(name: string, setup: () => Promise<TransactionsFixture<Tx>>): void {
  describe(`${name} transactions`, () => {
    testTogether(setup);
    testFailures(setup);
    testRefusals(setup);
  });
}

interface Ready<Tx> {
  readonly store: Store;
  readonly fixture: TransactionsFixture<Tx>;
  readonly transactions: Transactions<Tx>;
  run(jobs: readonly TransactionJob<Tx>[], changes?: Partial<TransactionBatch<Tx>>): Promise<string[]>;
  /** A job of operation `number` of process 1. */
  job(number: number, work: (tx: Tx) => Payload | Promise<Payload>): TransactionJob<Tx>;
  /** Numbers of the operations without an outcome. */
  pending(): Promise<number[]>;
  /** Operations whose result waits. */
  results(): Promise<number[]>;
}

/** A store with a process that has three operations. */
function transactionRule<Tx>(
  setup: () => Promise<TransactionsFixture<Tx>>,
  name: string,
  test: (ready: Ready<Tx>) => Promise<void>,
): void {
  ownerRule(setup, name, async (store, given) => {
    const fixture = given as TransactionsFixture<Tx>;
    await store.commit({ atMs, newProcesses: [process(1)], operations: [1, 2, 3].map((n) => operation(1, n)) });
    const transactions = await fixture.transactions(store);
    const inbox = async () => (await store.inbox(1)).flatMap(({ input }) => (input.kind === "result" ? input : []));
    try {
      await test({
        store,
        fixture,
        transactions,
        run: async (jobs, changes) => (await transactions.run({ incarnation: 1, atMs, jobs, ...changes })).map(said),
        job: (number, call) => ({ process: 1, number, name: `operation ${number}`, call }),
        pending: async () => (await store.operations(1)).map(({ number }) => number),
        results: async () => (await inbox()).map((input) => input.operation),
      });
    } finally {
      await transactions.close();
    }
  });
}

export function said(outcome: TransactionOutcome): string {
  if (outcome.kind === "threw" || outcome.kind === "failed") {
    const { message, code } = outcome.error as Error & { code?: string };
    return `${outcome.kind} ${code ?? message}`;
  }
  return outcome.kind;
}

function testTogether<Tx>(setup: () => Promise<TransactionsFixture<Tx>>): void {
  transactionRule(
    setup,
    "what a job writes, its result and the end of its operation are durable together",
    async (ready) => {
      const { store, fixture, transactions, job } = ready;
      const jobs = [job(2, async (tx) => (await fixture.put(tx, "a", 5), value))];
      const [outcome] = await transactions.run({ incarnation: 1, atMs, jobs });
      const [row, ...others] = await store.inbox(1);
      assert.deepEqual(outcome, { kind: "committed", value, seq: row?.seq });
      assert.deepEqual(others, []);
      assert.deepEqual(row, {
        seq: row?.seq,
        process: 1,
        atMs,
        input: { kind: "result", operation: 2, ok: true, value },
      });
      assert.deepEqual(await ready.pending(), [1, 3]);
      assert.deepEqual(await fixture.facts(), { a: 5 });
    },
  );

  transactionRule(setup, "jobs see what those before them have written", async ({ run, job, fixture, results }) => {
    const add = async (tx: Tx): Promise<Payload> => {
      await fixture.put(tx, "sum", ((await fixture.get(tx, "sum")) ?? 0) + 1);
      return value;
    };
    assert.deepEqual(await run([job(1, add), job(2, add), job(3, async (tx) => await Promise.resolve(add(tx)))]), [
      "committed",
      "committed",
      "committed",
    ]);
    assert.deepEqual(await fixture.facts(), { sum: 3 });
    assert.deepEqual(await results(), [1, 2, 3]);
  });

  transactionRule(setup, "the owner goes on committing between transactions, and seqs stay in order", async (ready) => {
    const { store, run, job, results } = ready;
    await run([job(1, () => value)]);
    const [seq = 0] = (await store.inbox(1)).map((row) => row.seq);
    const { inboxSeqs } = await store.commit({
      atMs,
      inbox: [{ process: 1, atMs, input: { kind: "result", operation: 9, ok: true, value } }],
    });
    await run([job(2, () => value)]);
    assert.ok((inboxSeqs[0] ?? 0) > seq);
    assert.deepEqual(await results(), [1, 9, 2]);
    await store.commit({ atMs, inboxGone: [seq] });
    assert.deepEqual(await results(), [9, 2]);
  });

  transactionRule(setup, "the owner notices that something was written", async ({ store, run, job }) => {
    await store.changedByOthers();
    await run([job(1, () => value)]);
    assert.equal(await store.changedByOthers(), true);
  });

  transactionRule(setup, "a transaction is a sign of life", async ({ store, fixture, transactions, run, job }) => {
    // Commits go on beside it.
    if (transactions.isConcurrent === true) return;
    await run([job(1, () => value)], { atMs: atMs + 5_000 });
    await fixture.crash(store);
    assert.equal((await (await fixture.open()).claim(atMs + 7_000)).downtimeMs, 2_000);
  });
}

function testFailures<Tx>(setup: () => Promise<TransactionsFixture<Tx>>): void {
  transactionRule(setup, "a job that throws leaves nothing behind, and the others commit", async (ready) => {
    const { run, job, fixture } = ready;
    const outcomes = await run([
      job(1, async (tx) => (await fixture.put(tx, "a", 1), value)),
      job(2, async (tx) => {
        await fixture.put(tx, "a", 2);
        await fixture.put(tx, "b", 2);
        throw new Error("no");
      }),
      job(3, async (tx) => (await fixture.put(tx, "c", (await fixture.get(tx, "a")) ?? 0), value)),
    ]);
    assert.deepEqual(outcomes, ["committed", "threw no", "committed"]);
    assert.deepEqual(await fixture.facts(), { a: 1, c: 1 });
    assert.deepEqual(await ready.pending(), [2]);
    assert.deepEqual(await ready.results(), [1, 3]);
  });

  transactionRule(setup, "a job that awaits anything else is rolled back", async ({ run, job, fixture, pending }) => {
    const outcomes = await run([
      job(1, async (tx) => {
        await fixture.put(tx, "a", 1);
        await new Promise((resolve) => setTimeout(resolve, 5));
        return value;
      }),
      job(2, async (tx) => (await fixture.put(tx, "b", 1), value)),
    ]);
    if (fixture.mayAwait === true) {
      assert.deepEqual(outcomes, ["committed", "committed"]);
      return;
    }
    assert.deepEqual(outcomes, ["threw TRANSACTION_AWAITED", "committed"]);
    assert.deepEqual(await fixture.facts(), { b: 1 });
    assert.deepEqual(await pending(), [1, 3]);
  });

  transactionRule(
    setup,
    "a transaction is of no use after its job, however that ended",
    async ({ run, job, fixture }) => {
      const kept: Tx[] = [];
      const late: Promise<unknown>[] = [];
      await run([
        job(1, (tx) => (kept.push(tx), value)),
        job(2, (tx) => {
          kept.push(tx);
          throw new Error("no");
        }),
        job(3, async (tx) => {
          const rest = nextTurn().then(() => fixture.put(tx, "late", 1));
          late.push(rest.catch((error: unknown) => error));
          if (fixture.mayAwait !== true) await rest;
          return value;
        }),
      ]);
      for (const tx of kept) {
        await assert.rejects(async () => await fixture.put(tx, "a", 1), { code: "TRANSACTION_ENDED" });
      }
      for (const error of await Promise.all(late)) assert.equal((error as { code?: string }).code, "TRANSACTION_ENDED");
      assert.deepEqual(await fixture.facts(), {});
    },
  );
}

function testRefusals<Tx>(setup: () => Promise<TransactionsFixture<Tx>>): void {
  transactionRule(
    setup,
    "after the lease was lost nothing is kept, and all is to be attempted again",
    async (ready) => {
      const { run, job, fixture } = ready;
      await fixture.usurp();
      const put = job(1, async (tx) => (await fixture.put(tx, "a", 1), value));
      assert.deepEqual(await run([put, job(2, () => value)]), ["failed STORE_FENCED", "failed STORE_FENCED"]);
      assert.deepEqual(await fixture.facts(), {});
      assert.deepEqual(await ready.pending(), [1, 2, 3]);
    },
  );

  transactionRule(
    setup,
    "a job whose operation has no row is not called",
    async ({ store, run, job, fixture, results }) => {
      await store.commit({ atMs, operationsGone: [{ process: 1, number: 2 }] });
      let called = false;
      const outcomes = await run([
        job(2, () => ((called = true), value)),
        job(3, async (tx) => (await fixture.put(tx, "c", 1), value)),
        job(3, () => ((called = true), value)),
      ]);
      assert.deepEqual(outcomes, ["unwanted", "committed", "unwanted"]);
      assert.equal(called, false);
      assert.deepEqual(await results(), [3]);
    },
  );

  transactionRule(setup, "an exited process's operations are not called", async ({ store, run, job }) => {
    await store.commit({ atMs, exits: [{ process: 1, exit }] });
    assert.deepEqual(await run([job(1, () => assert.fail("it was called"))]), ["unwanted"]);
  });
}
