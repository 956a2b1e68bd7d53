import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeValue } from "../base/value.ts";
import type { TransactionBatch, TransactionOutcome, Transactions } from "../store/transactions.ts";
import { operation } from "./definition.ts";
import type { HostFunction } from "./definition.ts";
import { harness, outcome, quiet } from "./harness.test.ts";
import type { Harness } from "./harness.test.ts";

const add = operation({ mode: "transactional", concurrency: 2 }, (tx, a: number, b: number) => {
  if (b < 0) throw new RangeError("less");
  return tx.run("SELECT 1").changes + a + b;
}) as unknown as HostFunction;

const tx = {
  run: () => ({ changes: 0, lastInsertRowid: 0 }),
  get: () => undefined,
  all: () => [],
  exec: () => undefined,
};

/** Calls the jobs as a store does, or says what it is told to. */
class FakeTransactions implements Transactions {
  readonly batches: TransactionBatch[] = [];
  closed = 0;
  say: ((batch: TransactionBatch) => Promise<TransactionOutcome[]>) | undefined;

  async run(batch: TransactionBatch): Promise<readonly TransactionOutcome[]> {
    this.batches.push(batch);
    if (this.say !== undefined) return await this.say(batch);
    const outcomes: TransactionOutcome[] = [];
    for (const [index, job] of batch.jobs.entries()) {
      try {
        outcomes.push({ kind: "committed", value: await job.call(tx), seq: 70 + index });
      } catch (error) {
        outcomes.push({ kind: "threw", error });
      }
    }
    return outcomes;
  }

  async close(): Promise<void> {
    this.closed++;
  }
}

function bench(open?: () => Transactions): { readonly store: FakeTransactions; readonly own: Harness } {
  const store = new FakeTransactions();
  return { store, own: harness({ add }, { transactions: open ?? (() => store) }) };
}

const kinds = (own: Harness, token: string): string[] => own.of(token).map(({ kind }) => kind);

test("an attempt asks to enter, runs when the store is lent, and its result is reported with its row before the store is returned", async () => {
  const { store, own } = bench();
  const tokens = [own.start("add", [1, 2]), own.start("add", [3, -4])];
  await quiet();
  assert.deepEqual(
    own.reports(),
    tokens.map((token) => ({ token, kind: "enter" })),
  );
  own.runner.transact({ token: "loan", incarnation: 3, attempts: tokens });
  await quiet();
  assert.deepEqual(
    own
      .reports()
      .slice(2)
      .map(({ token }) => token),
    [...tokens, "loan"],
  );
  assert.deepEqual(own.of(tokens[0] as string).at(-1), {
    token: tokens[0],
    kind: "done",
    ok: true,
    value: encodeValue(3),
    seq: 70,
  });
  assert.throws(() => outcome(own.of(tokens[1] as string)), { name: "RangeError", message: "less" });
  assert.equal(store.batches[0]?.incarnation, 3);
  assert.equal(own.runner.counts().active, 0);
});

test("an attempt holds its slot while it waits for the store", async () => {
  const { own } = bench();
  const tokens = [1, 2, 3].map((a) => own.start("add", [a, 0]));
  await quiet();
  assert.deepEqual(
    tokens.map((token) => kinds(own, token)),
    [["enter"], ["enter"], []],
  );
  own.runner.transact({ token: "loan", incarnation: 1, attempts: tokens.slice(0, 2) });
  await quiet();
  assert.deepEqual(kinds(own, tokens[2] as string), ["enter"]);
});

test("one that was taken back before is left out; one that commits all the same is reported", async () => {
  const { store, own } = bench();
  const [early, late] = [own.start("add", [1, 1]), own.start("add", [2, 2])];
  await quiet();
  own.runner.abort(early);
  store.say = async ({ jobs }) => {
    assert.equal(jobs.length, 1);
    own.runner.abort(late);
    return [{ kind: "committed", value: encodeValue(4), seq: 9 }];
  };
  own.runner.transact({ token: "loan", incarnation: 1, attempts: [early, late] });
  await quiet();
  assert.deepEqual([kinds(own, early), kinds(own, late)], [["enter"], ["enter", "done"]]);
  assert.equal(own.of("loan").length, 1);
});

test("what the store does wrong is attempted again, with growing waits; a store that does not open too", async () => {
  const failing = bench();
  failing.store.say = async ({ jobs }) => jobs.map(() => ({ kind: "failed", error: new Error("busy") }));
  const closed = bench(() => {
    throw new Error("no such file");
  });
  for (const { own } of [failing, closed]) {
    const delays = await Promise.all(
      [1, 3, 30].map(async (attempt) => {
        const token = own.start("add", [1, 1], { attempt });
        await quiet();
        own.runner.transact({ token: `loan ${attempt}`, incarnation: 1, attempts: [token] });
        await quiet();
        const last = own.of(token).at(-1);
        return last?.kind === "retry" ? last.delayMs : assert.fail(JSON.stringify(last));
      }),
    );
    assert.deepEqual(delays, [250, 1_000, 30_000]);
  }
});

test("an operation without a row in the store is said to be gone", async () => {
  const { store, own } = bench();
  store.say = async () => [{ kind: "unwanted" }];
  const token = own.start("add", [1, 1]);
  await quiet();
  own.runner.transact({ token: "loan", incarnation: 1, attempts: [token] });
  await quiet();
  assert.deepEqual(kinds(own, token), ["enter", "gone"]);
});

test("a drain drops what waits for the store, waits for what runs, and a loan that comes later is returned at once", async () => {
  const { store, own } = bench();
  const [running, waiting] = [own.start("add", [1, 1]), own.start("add", [2, 2])];
  await quiet();
  const gate = Promise.withResolvers<TransactionOutcome[]>();
  store.say = () => gate.promise;
  own.runner.transact({ token: "loan 1", incarnation: 1, attempts: [running] });
  let drained = false;
  const end = own.runner.drain(1_000).then(() => (drained = true));
  await quiet();
  assert.equal(drained, false);
  gate.resolve([{ kind: "committed", value: encodeValue(2), seq: 1 }]);
  await end;
  assert.deepEqual([kinds(own, running), kinds(own, waiting)], [["enter", "done"], ["enter"]]);
  own.runner.transact({ token: "loan 2", incarnation: 1, attempts: [waiting] });
  await quiet();
  assert.deepEqual([kinds(own, "loan 1"), kinds(own, "loan 2")], [["returned"], ["returned"]]);
  await own.runner.close();
  assert.equal(store.closed, 1);
});
