/** SQL of operations: the values that go and come, what it may do, and what its errors say. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import { decodeValue } from "../../../base/value.ts";
import { benchTest } from "./harness.test.ts";
import type { Work } from "./harness.test.ts";

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

  benchTest("they are planned as the database is set up, and not as the store's own", async (bench) => {
    for (let time = 0; time < 2; time++) {
      const changed = await bench.run((tx) =>
        tx.all(
          `SELECT name FROM pg_settings WHERE setting <> reset_val AND name IN ('enable_seqscan', 'jit', 'plan_cache_mode')`,
        ),
      );
      assert.deepEqual(changed, []);
    }
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
      await tx.exec("CREATE TEMP TABLE mine (id int); SET LOCAL lock_timeout = 77; SET CONSTRAINTS ALL DEFERRED");
    });
    const [first, second] = await bench.outcomes(
      async (tx) => {
        await tx.exec(
          bench.sql("SET LOCAL search_path = ~; SET LOCAL lock_timeout = 77; SET LOCAL synchronous_commit = off"),
        );
        return (await tx.get("SELECT pg_try_advisory_xact_lock(77) AS got, to_regclass('pg_temp.mine') AS temp")) ?? {};
      },
      async (tx) => {
        return (
          (await tx.get(
            "SELECT current_schemas(false)::text AS path, '2020-02-01'::date AS day, current_setting('lock_timeout') AS lock",
          )) ?? {}
        );
      },
    );
    const values = [first, second].map((outcome) => outcome?.kind === "committed" && decodeValue(outcome.value));
    assert.deepEqual(values, [
      { got: true, temp: null },
      { path: "{public}", day: "2020-02-01", lock: "0" },
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
