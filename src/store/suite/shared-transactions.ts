/** Transactions where several nodes own the store: they run beside the commits, and what counts is whose the operation is at the end. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import type { Payload } from "../../base/value.ts";
import type { TransactionJob, Transactions } from "../transactions.ts";
import type { SharedFixture } from "./fixture.ts";
import { exit, operation, startMs } from "./samples.ts";
import { away, pair, posted, sharedRule } from "./shared.ts";
import type { Node } from "./shared.ts";
import { said } from "./transactions.ts";
import type { TransactionsFixture } from "./transactions.ts";

const atMs = startMs + 1000;
const value: Payload = { text: 'j"well"' };

export type SharedTransactionsFixture<Tx> = SharedFixture & TransactionsFixture<Tx>;

type Setup<Tx> = () => Promise<SharedTransactionsFixture<Tx>>;

/** For a store that several nodes own. */
export function testSharedTransactions<Tx>(name: string, setup: Setup<Tx>): void {
  describe(`${name} transactions`, () => {
    testOwners(setup);
    testChanges(setup);
    testBeside(setup);
  });
}

/** Two nodes. Processes 1 and 11 have an operation each; the first is the one's, the second the other's. */
function nodesRule<Tx>(
  setup: Setup<Tx>,
  name: string,
  run: (one: Node, two: Node, transactions: Transactions<Tx>, fixture: TransactionsFixture<Tx>) => Promise<void>,
): void {
  sharedRule(setup, name, async (given) => {
    const fixture = given as SharedTransactionsFixture<Tx>;
    const [one, two] = await pair(fixture);
    await one.store.commit({ atMs, operations: [operation(1, 1)] });
    await two.store.commit({ atMs, operations: [operation(11, 1)] });
    const transactions = await fixture.transactions(one.store);
    try {
      await run(one, two, transactions, fixture);
    } finally {
      await transactions.close();
    }
  });
}

function jobOf<Tx>(process: number, call: TransactionJob<Tx>["call"]): TransactionJob<Tx> {
  return { process, number: 1, name: "operation", call };
}

function testOwners<Tx>(setup: Setup<Tx>): void {
  nodesRule(setup, "another node's operation is not called", async (one, _, transactions) => {
    const { incarnation } = one.lease;
    const jobs = [jobOf(11, () => assert.fail("it was called"))];
    assert.deepEqual((await transactions.run({ incarnation, atMs, jobs })).map(said), ["unwanted"]);
  });

  nodesRule(setup, "its owner hears of a result by the outcome alone", async (one, two, transactions) => {
    const { incarnation } = one.lease;
    const [outcome] = await transactions.run({ incarnation, atMs, jobs: [jobOf(1, () => value)] });
    const [row] = await one.store.inbox(1);
    assert.deepEqual(outcome, { kind: "committed", value, seq: row?.seq });
    assert.deepEqual([await posted(one), await posted(two)], [[], []]);
  });
}

function testChanges<Tx>(setup: Setup<Tx>): void {
  const changes: Record<string, (one: Node, two: Node, fixture: SharedTransactionsFixture<Tx>) => Promise<unknown>> = {
    "the operation is taken back": (one) => one.store.commit({ atMs, operationsGone: [{ process: 1, number: 1 }] }),
    "the process exits": (one) => one.store.commit({ atMs, exits: [{ process: 1, exit }] }),
    "the process moves to another node": (one) => {
      const input = { kind: "message", from: "", body: value } as const;
      return one.store.commit(away({ moved: [{ process: 1, shard: 2, input }] }));
    },
    "its shard is given up": (one) => one.store.commit(away({ yielded: [1] })),
    "the node is taken for dead": async (one, two, fixture) => {
      await fixture.lapse(one.lease.incarnation);
      assert.deepEqual(await two.sharing.reap(atMs + 60_000), [one.lease.incarnation]);
    },
  };
  for (const [what, change] of Object.entries(changes)) {
    nodesRule(setup, `nothing is kept if, while it runs, ${what}`, async (one, two, transactions, fixture) => {
      const { incarnation } = one.lease;
      const [begun, changed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const call = async (tx: Tx): Promise<Payload> => {
        await fixture.put(tx, "a", 1);
        begun.resolve();
        if (fixture.mayAwait === true) await changed.promise;
        return value;
      };
      const running = transactions.run({ incarnation, atMs, jobs: [jobOf(1, call)] });
      await begun.promise;
      await change(one, two, fixture as SharedTransactionsFixture<Tx>);
      changed.resolve();
      const [outcome] = await running;
      assert.match(outcome?.kind ?? "", /^(?:unwanted|failed)$/);
      assert.deepEqual(await fixture.facts(), {});
      assert.deepEqual(
        (await one.store.inbox(1)).filter(({ input }) => input.kind === "result"),
        [],
      );
    });
  }
}

function testBeside<Tx>(setup: Setup<Tx>): void {
  nodesRule(
    setup,
    "commits that concern others of the node's processes are in nobody's way",
    async (one, two, transactions, fixture) => {
      const { incarnation } = one.lease;
      const call = async (tx: Tx): Promise<Payload> => {
        await fixture.put(tx, "a", 1);
        if (fixture.mayAwait !== true) return value;
        // Everything that the node and others write while processes wait for the operation.
        await one.store.renew(atMs);
        await one.store.commit({ atMs, states: [{ process: 2, state: "paused", problem: "" }] });
        const input = { kind: "message", from: "", body: value } as const;
        await two.store.commit({
          atMs,
          inbox: [
            { process: 1, input, atMs },
            { process: 2, input, atMs },
          ],
        });
        await one.store.commit({ atMs, exits: [{ process: 3, exit }] });
        return value;
      };
      assert.deepEqual((await transactions.run({ incarnation, atMs, jobs: [jobOf(1, call)] })).map(said), [
        "committed",
      ]);
      assert.deepEqual(await fixture.facts(), { a: 1 });
    },
  );
}
