/** Transactions of user code on PostgreSQL: what its SQL may do, what becomes of its mistakes, and of broken connections. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeValue, encodeValue } from "../../base/value.ts";
import { operation, process, program, startMs } from "../suite/samples.ts";
import type { PostgresTransaction, TransactionJob, TransactionOutcome, Transactions } from "../transactions.ts";
import { openPostgresTransactions } from "./index.ts";
import type { PostgresStore } from "./index.ts";
import { place, skip } from "../../../test/support/postgres-place.ts";
import type { Place } from "../../../test/support/postgres-place.ts";

const atMs = startMs;

type Work = (tx: PostgresTransaction) => unknown;

interface Order {
  readonly work: Work;
  readonly timeoutMs?: number;
}

/** A store with a process of as many operations as are called, and a schema of the user's. */
class Bench {
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

function benchTest(name: string, run: (bench: Bench, t: TestContext) => Promise<void>): void {
  test(name, { skip }, async (t) => {
    await run(await Bench.open(t), t);
  });
}

describe("values", () => {
  benchTest("values go by what the statement wants, and come back by the columns' types", async (bench) => {
    const row = await bench.run((tx) =>
      tx.get(
        `SELECT $1::bool AS yes, $2::int AS small, $3::bigint AS number, $4::bigint AS large, $5::float8 AS part, $6::numeric AS exact,
           $7::text AS words, $8::bytea AS bytes, $9::timestamptz AS at, $10::jsonb AS json, $11::int AS nothing, $12::text[] AS list,
           (SELECT sum(n) FROM unnest($13::int[]) AS t (n)) AS sum, $14::date AS day, $15::timestamptz AS ever, $16::bytea AS none`,
        ...[true, -5, 2 ** 40, 2n ** 62n, 0.1, "12.340", "ä\"\\'", new Uint8Array([0, 255, 92])],
        ...[new Date(1_700_000_000_123), JSON.stringify({ a: [1, null] }), null, ["x", 'y"\\,', null], [1, 2, 3]],
        ...["2024-02-29", "infinity", new Uint8Array()],
      ),
    );
    assert.deepEqual(row, {
      yes: true,
      small: -5,
      number: 2 ** 40,
      large: 2n ** 62n,
      part: 0.1,
      exact: "12.340",
      words: "ä\"\\'",
      bytes: new Uint8Array([0, 255, 92]),
      at: new Date(1_700_000_000_123),
      json: { a: [1, null] },
      nothing: null,
      list: '{x,"y\\"\\\\,",NULL}',
      sum: 6,
      day: "2024-02-29",
      ever: "infinity",
      none: new Uint8Array(),
    });
  });

  benchTest("points in time come back to the millisecond, in whatever zone and century", async (bench) => {
    const times = [
      "1969-12-31T23:59:59.999Z",
      "0001-01-01T00:00:00Z",
      "-000043-03-15T12:00:00Z",
      "+012024-02-29T01:02:03.4Z",
    ];
    for (const zone of ["UTC", "Asia/Kolkata", "America/St_Johns"]) {
      const seen = await bench.run(async (tx) => {
        await tx.run("SELECT set_config('TimeZone', $1, true)", zone);
        const rows = await Promise.all(
          times.map((time) => tx.get<{ at: Date }>("SELECT $1::timestamptz AS at", new Date(time))),
        );
        return rows.map((row) => row?.at.getTime());
      });
      assert.deepEqual(
        seen,
        times.map((time) => new Date(time).getTime()),
      );
    }
  });

  benchTest("what is no value is refused before it is sent", async (bench) => {
    for (const value of [undefined, { a: 1 }, Symbol("s"), new Date(Number.NaN), [undefined]]) {
      await assert.rejects(
        bench.run((tx) => tx.run("SELECT $1", value as never)),
        {
          code: "ARGUMENT_INVALID",
          message: /The value for \$1 is/,
        },
      );
    }
  });
});

describe("statements", () => {
  benchTest("each method says what it should", async (bench) => {
    const said = await bench.run(async (tx) => {
      await tx.exec(
        bench.sql(
          "INSERT INTO ~.mine VALUES (1, 'a;b'), (2, $$;$$); -- none;\n/* ; /* ; */ */ UPDATE ~.mine SET v = 'c' WHERE id = 2;",
        ),
      );
      return {
        changes: (await tx.run(bench.sql("UPDATE ~.mine SET v = v || $1"), "!")).changes,
        first: await tx.get(bench.sql("SELECT id, v FROM ~.mine ORDER BY id;")),
        none: await tx.get(bench.sql("SELECT id FROM ~.mine WHERE id = 9")),
        all: await tx.all(bench.sql("DELETE FROM ~.mine WHERE id = $1 RETURNING v"), 2),
        empty: (await tx.run("-- nothing")).changes,
      };
    });
    assert.deepEqual(said, { changes: 2, first: { id: 1, v: "a;b!" }, none: undefined, all: [{ v: "c!" }], empty: 0 });
    assert.deepEqual(await bench.mine(), ["a;b!"]);
  });

  benchTest("an error says what the server says, and leaves what was written before it", async (bench) => {
    const insert = bench.sql("INSERT INTO ~.mine VALUES ($1, $2)");
    const caught = (await bench.run(async (tx) => {
      await tx.run(insert, 1, "a");
      const error = await tx.run(insert, 1, "b").catch((failure: unknown) => failure);
      await assert.rejects(tx.exec(bench.sql("INSERT INTO ~.mine VALUES (7, 'x'); SELECT nonsense")), {
        code: "42703",
      });
      await tx.run(insert, 2, "c");
      return error;
    })) as Record<string, unknown>;
    const { name, code, message, detail, constraint, table } = caught;
    assert.deepEqual([name, code, constraint, table], ["PostgresError", "23505", "mine_pkey", "mine"]);
    assert.match(`${String(message)} ${String(detail)}`, /duplicate key.*Key \(id\)=\(1\)/);
    assert.deepEqual(await bench.mine(), ["a", "c"]);
    const error = await bench.run((tx) => tx.run("SELECT $1::int", "x")).catch((failure: unknown) => failure as Error);
    assert.equal((error as Error).name, "PostgresError");
  });

  benchTest("calls that are made at once are done in their order", async (bench) => {
    await bench.run(async (tx) => {
      const insert = bench.sql("INSERT INTO ~.mine VALUES ($1, $2)");
      const calls = Array.from({ length: 10 }, (_, n) => tx.run(insert, n % 9, String(n)));
      const outcomes = await Promise.allSettled(calls);
      assert.deepEqual(
        outcomes.map(({ status }) => status === "fulfilled"),
        Array.from({ length: 10 }, (_, n) => n < 9),
      );
    });
    assert.equal((await bench.mine()).length, 9);
  });

  benchTest("an operation that ends before its statements is rolled back", async (bench) => {
    const work: Work = (tx) => void tx.run(bench.sql("INSERT INTO ~.mine VALUES (1, 'a')"));
    await assert.rejects(bench.run(work), { code: "TRANSACTION_ENDED" });
    assert.deepEqual(await bench.mine(), []);
  });

  const endings = [
    "COMMIT",
    "end",
    "/* */ ROLLBACK",
    "-- x\nAbort",
    "BEGIN",
    "START TRANSACTION",
    "SAVEPOINT s",
    "RELEASE perdure_call",
  ];
  const others = [
    "PREPARE TRANSACTION 'x'",
    "PREPARE p AS SELECT 1",
    "DEALLOCATE ALL",
    "SET search_path = x",
    "set transaction read only",
  ];
  const more = ["SET SESSION AUTHORIZATION x", "RESET ALL", "COPY ~.mine FROM STDIN", "LISTEN x", "DISCARD ALL"];
  const engines = [
    "DELETE FROM #.journal",
    'SELECT * FROM "#" . inbox',
    "DROP SCHEMA # CASCADE",
    "SELECT 1 FROM #.node",
  ];
  benchTest("what is not the operation's to do is refused, and the rest of it goes on", async (bench) => {
    for (const sql of [...endings, ...others, ...more, ...engines]) {
      const text = bench.sql(sql).replaceAll("#", bench.at.schema);
      await bench.run(async (tx) => {
        await assert.rejects(tx.run(text), { code: "TRANSACTION_FORBIDDEN" }, text);
        await assert.rejects(tx.exec(`SELECT 1; ${text}`), { code: "TRANSACTION_FORBIDDEN" }, text);
      });
    }
    // The server itself lets no code of its own end the transaction.
    await assert.rejects(
      bench.run((tx) => tx.exec("DO $$ BEGIN COMMIT; END $$")),
      { code: "2D000" },
    );
    await assert.rejects(
      bench.run((tx) => tx.run("SELECT 1; COMMIT")),
      { code: "ARGUMENT_INVALID" },
    );
  });

  benchTest("nothing that one operation has set reaches another", async (bench) => {
    await bench.run(async (tx) => {
      await tx.run("SELECT set_config('search_path', $1, false), set_config('DateStyle', 'German', false)", bench.user);
      await tx.run("SELECT pg_advisory_lock(77)");
      await tx.exec("CREATE TEMP TABLE mine (id int); SET LOCAL statement_timeout = 1; SET CONSTRAINTS ALL DEFERRED");
    });
    const [first, second] = await bench.outcomes(
      async (tx) => {
        await tx.exec(bench.sql("SET LOCAL search_path = ~; SET LOCAL synchronous_commit = off"));
        return (await tx.get("SELECT pg_try_advisory_xact_lock(77) AS got, to_regclass('pg_temp.mine') AS temp")) ?? {};
      },
      async (tx) => {
        await tx.run("SELECT pg_sleep(0.01)");
        return (await tx.get("SELECT current_schemas(false)::text AS path, '2020-02-01'::date AS day")) ?? {};
      },
    );
    const values = [first, second].map((outcome) => outcome?.kind === "committed" && decodeValue(outcome.value));
    assert.deepEqual(values, [
      { got: true, temp: null },
      { path: "{public}", day: "2020-02-01" },
    ]);
  });

  benchTest("a function in plain SQL may hold semicolons", async (bench) => {
    const body = `CREATE FUNCTION ~.f(n int) RETURNS int LANGUAGE sql BEGIN ATOMIC; SELECT 1; SELECT CASE WHEN n > 1 THEN n ELSE 0 END; END`;
    const value = await bench.run(async (tx) => {
      await tx.exec(bench.sql(`${body}; SELECT 1`));
      return (await tx.get<{ f: number }>(bench.sql("SELECT ~.f(5) AS f")))?.f;
    });
    assert.equal(value, 5);
  });
});

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
