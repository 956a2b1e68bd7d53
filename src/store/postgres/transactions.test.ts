/** Transactions of user code on PostgreSQL: what becomes of those that get in each other's way, and of broken connections. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { PostgresTransaction } from "../transactions.ts";
import { atMs, benchTest } from "./transacting/harness.test.ts";
import type { Work } from "./transacting/harness.test.ts";

describe("in each other's way", () => {
  benchTest("a constraint that fails at the end is the fault of one, and the others commit", async (bench) => {
    await bench.at.byHand(bench.sql("CREATE TABLE ~.child (id int REFERENCES ~.mine DEFERRABLE INITIALLY DEFERRED)"));
    const outcomes = await bench.outcomes(
      (tx) => tx.run(bench.sql("INSERT INTO ~.mine VALUES (1, 'a')")),
      (tx) => tx.run(bench.sql("INSERT INTO ~.child VALUES (9)")),
      (tx) => tx.run(bench.sql("INSERT INTO ~.child VALUES (1)")),
    );
    assert.deepEqual(
      outcomes.map(({ kind }) => kind),
      ["committed", "threw", "committed"],
    );
    assert.equal((outcomes[1] as { error: { code: string } }).error.code, "23503");
  });

  benchTest("what two read and change at once comes out as if one had come after the other", async (bench) => {
    await bench.at.byHand(bench.sql("INSERT INTO ~.mine VALUES (1, '0'), (2, '0')"));
    const take =
      (from: number): Work =>
      async (tx) => {
        const rows = await tx.all<{ v: string }>(bench.sql("SELECT v FROM ~.mine"));
        await sleep(5);
        const sum = rows.reduce((total, { v }) => total + Number(v), 0);
        if (sum > 0) throw new Error("gone");
        await tx.run(bench.sql("UPDATE ~.mine SET v = '1' WHERE id = $1"), from);
      };
    // Not in one batch: each in a transaction of its own, on a connection of its own.
    const slow: Work = () => sleep(120);
    const runs = [
      bench.outcomes(slow),
      sleep(55).then(() => bench.outcomes(take(1))),
      sleep(60).then(() => bench.outcomes(take(2))),
    ];
    const kinds = (await Promise.all(runs)).flat().map(({ kind }) => kind);
    assert.deepEqual(kinds.toSorted(), ["committed", "committed", "threw"]);
  });

  benchTest("a deadlock undoes one of two, which is called again", async (bench) => {
    await bench.at.byHand(bench.sql("INSERT INTO ~.mine VALUES (1, ''), (2, '')"));
    const met = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const both = Promise.all(met.map(({ promise }) => promise));
    const change =
      (first: number, second: number): Work =>
      async (tx) => {
        const append = bench.sql("UPDATE ~.mine SET v = v || 'x' WHERE id = $1");
        await tx.run(append, first);
        met[first - 1]?.resolve();
        await both;
        await tx.run(append, second);
      };
    const one = bench.outcomes(change(1, 2));
    await met[0]?.promise;
    const two = bench.outcomes(change(2, 1));
    assert.deepEqual(
      (await Promise.all([one, two])).flat().map(({ kind }) => kind),
      ["committed", "committed"],
    );
    assert.deepEqual(await bench.mine(), ["xx", "xx"]);
  });

  benchTest("a slow operation holds up neither others nor the commits of its process", async (bench) => {
    const released = Promise.withResolvers<void>();
    const slow = bench.run(async (tx) => {
      await tx.run(bench.sql("INSERT INTO ~.mine VALUES (1, 'slow')"));
      await released.promise;
      return "slow";
    });
    const insert =
      (id: number): Work =>
      (tx) =>
        tx.run(bench.sql("INSERT INTO ~.mine VALUES ($1, 'quick')"), id);
    for (let id = 2; id < 5; id++) await bench.run(insert(id));
    await bench.store.commit({ atMs, logs: [{ process: 1, turn: 1, atMs, level: "info", text: "x" }] });
    assert.deepEqual(await bench.mine(), ["quick", "quick", "quick"]);
    released.resolve();
    assert.equal(await slow, "slow");
    await bench.check(4);
  });

  benchTest("a slow one of many leaves their transaction, and runs in one of its own", async (bench) => {
    const insert =
      (id: number): Work =>
      (tx) =>
        tx.run(bench.sql("INSERT INTO ~.mine VALUES ($1, 'x')"), id);
    const released = Promise.withResolvers<void>();
    let calls = 0;
    const waits: Work = async (tx) => {
      calls++;
      await insert(2)(tx);
      await released.promise;
    };
    const sleeps: Work = async (tx) => {
      await insert(4)(tx);
      // What the server breaks off is no error of the operation's own.
      await tx.run("SELECT pg_sleep(0.6)").catch(() => undefined);
    };
    const outcomes = bench.outcomes(insert(1), waits, insert(3), sleeps, insert(5));
    while ((await bench.mine()).length < 4) await sleep(20);
    assert.equal(calls, 2);
    released.resolve();
    assert.deepEqual(
      (await outcomes).map(({ kind }) => kind),
      ["committed", "committed", "committed", "committed", "committed"],
    );
    assert.equal((await bench.mine()).length, 5);
    await bench.check(5);
  });

  benchTest(
    "one that takes too long is cut off, whatever it waits for, and spoils nothing for the others",
    async (bench) => {
      const insert =
        (id: number): Work =>
        (tx) =>
          tx.run(bench.sql("INSERT INTO ~.mine VALUES ($1, 'x')"), id);
      let kept: PostgresTransaction | undefined;
      const outcomes = await bench.outcomes(
        insert(1),
        { work: (tx) => ((kept = tx), new Promise(() => {})), timeoutMs: 50 },
        insert(2),
        { work: (tx) => tx.run("SELECT pg_sleep(100)"), timeoutMs: 50 },
        insert(3),
      );
      assert.deepEqual(
        outcomes.map((outcome) => (outcome.kind === "threw" ? (outcome.error as Error).message : outcome.kind)),
        ["committed", "after 50 ms", "committed", "after 50 ms", "committed"],
      );
      await assert.rejects(async () => await kept?.run("SELECT 1"), { code: "TRANSACTION_ENDED" });
      assert.deepEqual(await bench.mine(), ["x", "x", "x"]);
    },
  );
});

describe("connections", () => {
  for (const direction of ["to-server", "to-client"] as const) {
    benchTest(`an operation commits once, whichever byte ${direction} its connection is cut after`, async (bench) => {
      const { proxy } = bench.at;
      const insert =
        (id: number): Work =>
        (tx) =>
          tx.run(bench.sql("INSERT INTO ~.mine VALUES ($1, $2)"), id, String(id));
      await bench.run(insert(1));
      const before = proxy.passed[direction];
      await bench.run(insert(2));
      const bytes = proxy.passed[direction] - before;
      let id = 2;
      let lost = 0;
      for (let afterBytes = 1; afterBytes <= bytes; afterBytes += Math.max(1, Math.floor(bytes / 60))) {
        proxy.set({ direction, afterBytes, what: "cut" });
        const own = ++id;
        const [outcome] = await bench.outcomes(insert(own));
        proxy.disarm();
        const isKept = (await bench.mine()).includes(String(own));
        if (outcome?.kind === "failed") {
          lost++;
          assert.equal((outcome.error as { code?: string }).code, "STORE_UNREACHABLE");
          assert.equal(isKept, false, `after ${afterBytes} bytes it is kept, and was reported lost`);
          // The kernel tries it again.
          const [again] = await bench.again(insert(own));
          assert.equal(again?.kind, "committed");
        } else {
          assert.equal(outcome?.kind, "committed");
          assert.equal(isKept, true);
        }
      }
      assert.ok(lost > 0, "no connection was cut in the middle");
      await bench.check(id);
    });
  }

  benchTest("what an old connection says late is not kept, if it was reported lost", async (bench) => {
    const { proxy } = bench.at;
    const insert =
      (id: number): Work =>
      (tx) =>
        tx.run(bench.sql("INSERT INTO ~.mine VALUES ($1, 'x')"), id);
    await bench.run(insert(1));
    // The last piece, which ends the transaction, is on its way for a long time.
    const run = bench.outcomes(async (tx) => {
      await insert(2)(tx);
      proxy.set({ direction: "to-server", afterBytes: 1, what: "late" });
    });
    const [outcome] = await run;
    assert.equal(outcome?.kind, "failed");
    await proxy.arrive();
    await sleep(100);
    assert.deepEqual(await bench.mine(), ["x"]);
    assert.equal((await bench.again(insert(3)))[0]?.kind, "committed");
    await bench.check(2);
  });

  benchTest("a database that is away is STORE_UNREACHABLE, and the next attempt finds it again", async (bench) => {
    const { proxy } = bench.at;
    const insert: Work = (tx) => tx.run(bench.sql("INSERT INTO ~.mine VALUES (1, 'x')"));
    proxy.refuse(true);
    const [outcome] = await bench.outcomes(insert);
    assert.equal(outcome?.kind === "failed" && (outcome.error as { code?: string }).code, "STORE_UNREACHABLE");
    proxy.refuse(false);
    assert.equal((await bench.again(insert))[0]?.kind, "committed");
    await bench.check(1);
  });
});
