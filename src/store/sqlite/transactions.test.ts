import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { decodeValue, encodeValue } from "../../base/value.ts";
import { operation, process, program, startMs } from "../suite/samples.ts";
import { scratchTest } from "../suite/scratch.ts";
import type { Scratch } from "../suite/scratch.ts";
import type { Transaction, TransactionJob, TransactionOutcome, Transactions } from "../transactions.ts";
import { openMemoryTransactions, openSqliteTransactions } from "./index.ts";
import { createSchema, engineNames } from "./schema.ts";

type Work = (tx: Transaction) => unknown;

class Bench {
  readonly scratch: Scratch;
  readonly transactions: Transactions;
  readonly #incarnation: number;

  /** A store with a process of 20 operations, and tables of the user's. */
  static async open(scratch: Scratch): Promise<Bench> {
    const store = await scratch.open();
    const { incarnation } = await store.claim(startMs);
    await store.putProgram(program, []);
    const operations = Array.from({ length: 20 }, (_, index) => operation(1, index + 1));
    await store.commit({ atMs: startMs, newProcesses: [process(1)], operations });
    const bench = new Bench(scratch, openSqliteTransactions(scratch.path), incarnation);
    await bench.run((tx) =>
      tx.exec(`CREATE TABLE mine (id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO mine (v) VALUES ('one');
               CREATE TABLE other (id INTEGER PRIMARY KEY, v UNIQUE)`),
    );
    return bench;
  }

  constructor(scratch: Scratch, transactions: Transactions, incarnation: number) {
    this.scratch = scratch;
    this.transactions = transactions;
    this.#incarnation = incarnation;
  }

  async outcomes(...works: Work[]): Promise<readonly TransactionOutcome[]> {
    const rows = this.scratch.byHand("SELECT number FROM operation ORDER BY number");
    const jobs = works.map((work, index): TransactionJob => {
      const call = (tx: Transaction) => {
        const result = work(tx);
        return result instanceof Promise ? result.then(encodeValue) : encodeValue(result);
      };
      return { process: 1, number: Number(rows[index]?.["number"]), name: `job ${index}`, call };
    });
    return await this.transactions.run({ incarnation: this.#incarnation, atMs: startMs, jobs });
  }

  /** What one job gives, or its error. */
  async run(work: Work): Promise<unknown> {
    const [outcome] = await this.outcomes(work);
    if (outcome?.kind === "committed") return decodeValue(outcome.value);
    throw outcome?.kind === "threw" || outcome?.kind === "failed" ? outcome.error : new Error(outcome?.kind);
  }
}

function benchTest(name: string, run: (bench: Bench) => Promise<void>): void {
  scratchTest(name, async (scratch) => {
    const bench = await Bench.open(scratch);
    try {
      await run(bench);
    } finally {
      await bench.transactions.close();
    }
  });
}

test("the engine's names are those of the schema, whatever is added to it", () => {
  const db = new DatabaseSync(":memory:");
  db.exec(createSchema);
  const rows = db.prepare("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'").all();
  assert.deepEqual([...engineNames].sort(), rows.map(({ name }) => String(name).toLowerCase()).sort());
  db.close();
});

const forbidden: Readonly<Record<string, string>> = {
  "reading a table of the engine's": "SELECT * FROM journal",
  "counting its rows": "SELECT count(*) FROM main.inbox",
  "reading nothing of its rows": "SELECT 1 FROM operation",
  "reading it in other letters": `SELECT * FROM "JouRnal"`,
  "reading it in a subquery": "SELECT (SELECT max(seq) FROM inbox) FROM mine",
  "reading it in a common table expression": "WITH j AS (SELECT * FROM journal) SELECT 1 FROM j",
  "reading it under the name of a view": "WITH v_turn AS (SELECT * FROM journal) SELECT * FROM v_turn",
  "reading a view of the engine's": "SELECT * FROM v_process",
  "copying from it": "INSERT INTO mine (v) SELECT body FROM journal",
  "explaining it": "EXPLAIN SELECT * FROM journal",
  "joining it": "SELECT * FROM mine JOIN process ON key = id",
  "updating from it": "UPDATE mine SET v = (SELECT incarnation FROM meta)",
  "returning from it": "DELETE FROM mine RETURNING (SELECT count(*) FROM timer)",
  "inserting into it": "INSERT INTO inbox (process, at_ms, crc, input) VALUES (1, 0, 0, x'')",
  "replacing in it": "INSERT OR REPLACE INTO journal VALUES (1, 1, 1, 0, 0, x'')",
  REPLACE: "REPLACE INTO name VALUES ('n', 1)",
  "updating it": "UPDATE meta SET incarnation = incarnation + 1",
  "deleting all of it": "DELETE FROM operation",
  "deleting by a common table expression":
    "WITH one AS (SELECT 1 AS n) DELETE FROM timer WHERE number IN (SELECT n FROM one)",
  "dropping it": "DROP TABLE journal",
  "dropping a view": "DROP VIEW v_process",
  "dropping an index": "DROP INDEX journal_by_turn",
  "altering it": "ALTER TABLE journal ADD COLUMN x",
  "renaming it": "ALTER TABLE journal RENAME TO mine2",
  "an index on it": "CREATE INDEX own ON journal (body)",
  "a trigger on it": "CREATE TRIGGER own AFTER INSERT ON journal BEGIN SELECT 1; END",
  "a trigger on a view of it": "CREATE TRIGGER own INSTEAD OF INSERT ON v_turn BEGIN SELECT 1; END",
  "a reserved table": "CREATE TABLE perdure_new (a)",
  "a reserved table in other letters": "CREATE TABLE Perdure_New (a)",
  "a reserved view": "CREATE VIEW perdure_v AS SELECT 1",
  "renaming to a reserved name": "ALTER TABLE mine RENAME TO perdure_mine",
  "a temporary table in its place": "CREATE TEMP TABLE operation (process, number)",
  "a temporary table": "CREATE TABLE temp.x (a)",
  "a temporary view in its place": "CREATE TEMP VIEW inbox AS SELECT 1",
  "a temporary trigger on it": "CREATE TEMP TRIGGER own AFTER DELETE ON operation BEGIN SELECT 1; END",
  "a foreign key to it": "CREATE TABLE child (a REFERENCES Process (key) ON DELETE CASCADE)",
  "a foreign key that would spoil the engine's statements": "CREATE TABLE child (a REFERENCES operation (name))",
  "a foreign key of a new column": "ALTER TABLE mine ADD COLUMN a REFERENCES meta (clean)",
  "its counters": "UPDATE sqlite_sequence SET seq = 0",
  "deleting its counters": "DELETE FROM sqlite_sequence",
  "its counters after a drop": "DROP TABLE mine; DELETE FROM sqlite_sequence",
  writable_schema: "PRAGMA writable_schema = ON",
  "pragmas that write": "PRAGMA user_version = 7",
  "pragmas that switch durability off": "PRAGMA synchronous = OFF",
  "pragmas that change the journal": "PRAGMA main.journal_mode = DELETE",
  "pragmas that switch foreign keys off": "PRAGMA foreign_keys = OFF",
  ATTACH: "ATTACH ':memory:' AS other_db",
  DETACH: "DETACH main",
  ANALYZE: "ANALYZE",
  BEGIN: "BEGIN",
  COMMIT: "COMMIT",
  END: "END",
  ROLLBACK: "ROLLBACK",
  SAVEPOINT: "SAVEPOINT mine",
  RELEASE: "RELEASE perdure_job",
  "ROLLBACK TO": "ROLLBACK TO perdure_job",
  "COMMIT after other statements":
    "INSERT INTO mine (v) VALUES (2); /* it's */ COMMIT; INSERT INTO mine (v) VALUES (3)",
  "COMMIT behind comments": "-- one\n/* two; */ ; COMMIT",
  load_extension: "SELECT load_extension('x')",
};

describe("user SQL must not touch what is the engine's:", () => {
  for (const [what, sql] of Object.entries(forbidden)) {
    benchTest(what, async (bench) => {
      const before = dump(bench);
      await assert.rejects(
        bench.run((tx) => tx.exec(sql)),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, "TRANSACTION_FORBIDDEN", error.message);
          return true;
        },
      );
      assert.deepEqual(dump(bench), before);
    });
  }

  const refusedAnyway: Readonly<Record<string, string>> = {
    "a table in its place": "CREATE TABLE journal (a)",
    "an index in its place": "CREATE INDEX log_by_process ON mine (v)",
    "a virtual table in its place": "CREATE VIRTUAL TABLE journal USING fts5 (a)",
    "renaming a table to its name": "ALTER TABLE mine RENAME TO journal",
    "the schema": "UPDATE sqlite_schema SET sql = ''",
    VACUUM: "VACUUM",
    "VACUUM INTO": "VACUUM INTO '/nowhere/copy.db'",
  };
  for (const [what, sql] of Object.entries(refusedAnyway)) {
    benchTest(`${what}, which SQLite itself refuses`, async (bench) => {
      const before = dump(bench);
      await assert.rejects(bench.run((tx) => tx.exec(sql)));
      assert.deepEqual(dump(bench), before);
    });
  }

  const bySomethingElse: Readonly<Record<string, readonly [setup: string, use: string]>> = {
    "a trigger that writes": [
      "CREATE TRIGGER t AFTER INSERT ON mine BEGIN DELETE FROM operation; END",
      "INSERT INTO mine (v) VALUES (1)",
    ],
    "a trigger of a trigger": [
      `CREATE TRIGGER t AFTER INSERT ON mine BEGIN INSERT INTO other (v) VALUES (1); END;
       CREATE TRIGGER u AFTER INSERT ON other BEGIN UPDATE meta SET incarnation = 9; END`,
      "INSERT INTO mine (v) VALUES (1)",
    ],
    "a trigger that reads": [
      "CREATE TRIGGER t AFTER INSERT ON mine BEGIN UPDATE mine SET v = (SELECT count(*) FROM journal); END",
      "INSERT INTO mine (v) VALUES (1)",
    ],
    "a view": ["CREATE VIEW v AS SELECT * FROM journal", "SELECT * FROM v"],
    "a view of the engine's, in a view": ["CREATE VIEW v AS SELECT * FROM v_turn", "SELECT count(*) FROM v"],
    "a full-text index": [
      "CREATE VIRTUAL TABLE f USING fts5 (body, content = 'journal', content_rowid = 'seq')",
      "INSERT INTO f (f) VALUES ('rebuild')",
    ],
  };
  for (const [what, [setup, use]] of Object.entries(bySomethingElse)) {
    benchTest(`by ${what}`, async (bench) => {
      await bench.run((tx) => tx.exec(setup));
      await assert.rejects(
        bench.run((tx) => tx.exec(use)),
        { code: "TRANSACTION_FORBIDDEN" },
      );
      await bench.run(() => "the engine's own statements still work");
    });
  }

  benchTest("by code that reading the values runs", async (bench) => {
    const query = "SELECT a, :one AS one FROM v";
    const work: Work = (tx) => {
      tx.exec("CREATE VIEW v AS SELECT 1 AS a");
      tx.get(query, { one: 1 });
      const values = {
        get one() {
          tx.exec("DROP VIEW v; CREATE VIEW v AS SELECT pid AS a FROM process");
          return 1;
        },
      };
      return tx.get(query, values);
    };
    await assert.rejects(bench.run(work), { code: "TRANSACTION_FORBIDDEN" });
  });

  benchTest("the operation may catch the error and go on", async (bench) => {
    await bench.run((tx) => {
      tx.run("INSERT INTO mine (v) VALUES ('kept')");
      assert.throws(() => tx.run("DELETE FROM journal"), { code: "TRANSACTION_FORBIDDEN" });
    });
    assert.equal(bench.scratch.byHand("SELECT 1 FROM mine WHERE v = 'kept'").length, 1);
  });
});

/** All that the user's and the engine's tables hold, and the schema. */
function dump(bench: Bench): unknown {
  const tables = bench.scratch.byHand("SELECT name, sql FROM sqlite_schema WHERE type = 'table'");
  const rows = tables.map(({ name }) =>
    name === "meta" ? [] : bench.scratch.byHand(`SELECT * FROM "${String(name)}"`),
  );
  return { tables, rows, incarnation: bench.scratch.byHand("SELECT incarnation FROM meta") };
}

describe("user SQL may", () => {
  const allowed: Readonly<Record<string, string>> = {
    "make tables, indexes, views and triggers": `CREATE TABLE own (a); CREATE INDEX own_a ON own (a);
      CREATE VIEW own_v AS SELECT a FROM own; CREATE TRIGGER own_t AFTER INSERT ON own BEGIN INSERT INTO mine (v) VALUES (new.a); END;
      INSERT INTO own VALUES (1); DROP TRIGGER own_t; DROP VIEW own_v; DROP INDEX own_a; DROP TABLE own`,
    "change tables that count": `ALTER TABLE mine RENAME TO yours; ALTER TABLE yours ADD COLUMN w; ALTER TABLE yours DROP COLUMN w;
      INSERT INTO yours (v) VALUES (1); DROP TABLE yours`,
    "use full-text search": `CREATE VIRTUAL TABLE f USING fts5 (a); INSERT INTO f VALUES ('word'); SELECT * FROM f ('word'); DROP TABLE f`,
    "look at its schema":
      "PRAGMA table_info(mine); SELECT * FROM pragma_table_info('mine'); SELECT * FROM sqlite_schema",
    "use names like the engine's for other things":
      "CREATE TABLE own (journal); WITH jour AS (SELECT 1 AS inbox) SELECT inbox FROM jour",
    "have comments and empty statements": "; -- nothing\n /* and; nothing */ ; SELECT ';' /* open",
  };
  for (const [what, sql] of Object.entries(allowed)) {
    benchTest(what, async (bench) => {
      await bench.run((tx) => tx.exec(sql));
    });
  }
});

describe("values", () => {
  benchTest("come back as they went in, with integers as numbers where they fit", async (bench) => {
    const values = [null, 1, -1.5, 2n ** 60n, "é🙂", new Uint8Array([0, 255])];
    const result = await bench.run((tx) => {
      tx.exec("CREATE TABLE own (id INTEGER PRIMARY KEY, v)");
      for (const value of values) tx.run("INSERT INTO own (v) VALUES (?)", value);
      return tx.all("SELECT v FROM own ORDER BY id").map(({ v }) => v);
    });
    assert.deepEqual(result, values);
  });

  benchTest("may be named", async (bench) => {
    const work: Work = (tx) => tx.get("SELECT :a + @b AS sum", { a: 1, b: 2 });
    assert.deepEqual(await bench.run(work), { sum: 3 });
  });

  benchTest(
    "run says how many rows it changed, and the last one's id; get gives undefined for no row",
    async (bench) => {
      const work: Work = (tx) => [
        tx.run("INSERT INTO mine (v) VALUES (?), (?)", 1, 2),
        tx.run("UPDATE mine SET v = 0").changes,
        tx.get("SELECT 1 FROM mine WHERE id = 99"),
        tx.all("SELECT 1 FROM mine WHERE id = 99"),
      ];
      assert.deepEqual(await bench.run(work), [{ changes: 2, lastInsertRowid: 3 }, 3, undefined, []]);
    },
  );

  benchTest("a second statement is refused where only the first would run", async (bench) => {
    await assert.rejects(
      bench.run((tx) => tx.run("UPDATE mine SET v = 1; UPDATE mine SET v = 2")),
      { code: "ARGUMENT_INVALID" },
    );
    await bench.run((tx) => tx.run("UPDATE mine SET v = 1; -- and that is all"));
  });
});

describe("a job that spoils the whole transaction suffers alone:", () => {
  const spoilers: Readonly<Record<string, Work>> = {
    "by OR ROLLBACK": (tx) => tx.exec("INSERT OR ROLLBACK INTO other (id) VALUES (1)"),
    "by OR ROLLBACK that it catches": (tx) => {
      assert.throws(() => tx.exec("INSERT OR ROLLBACK INTO other (id) VALUES (1)"), /UNIQUE/);
      assert.throws(() => tx.exec("INSERT INTO mine (v) VALUES ('outside any transaction')"), {
        code: "TRANSACTION_ENDED",
      });
    },
    "by RAISE(ROLLBACK)": (tx) => tx.exec("INSERT INTO guarded VALUES (-1)"),
    "by a foreign key that is checked at the end": (tx) => tx.exec("INSERT INTO child VALUES (77)"),
    "by a virtual table that cannot be rolled back": (tx) =>
      tx.exec(`CREATE VIRTUAL TABLE f USING fts5 (pid, content = 'process', content_rowid = 'key');
               INSERT INTO f (f) VALUES ('rebuild')`),
  };
  for (const [how, spoil] of Object.entries(spoilers)) {
    benchTest(how, async (bench) => {
      await bench.run((tx) =>
        tx.exec(`INSERT INTO other (id) VALUES (1); CREATE TABLE guarded (n);
          CREATE TRIGGER positive BEFORE INSERT ON guarded WHEN new.n < 0 BEGIN SELECT RAISE(ROLLBACK, 'negative'); END;
          CREATE TABLE child (parent REFERENCES other (id) DEFERRABLE INITIALLY DEFERRED)`),
      );
      const before = bench.scratch.byHand("SELECT count(*) AS n FROM inbox")[0]?.["n"];
      const add: Work = (tx) => tx.run("INSERT INTO mine (v) VALUES ('added')").changes;
      const outcomes = await bench.outcomes(add, spoil, add);
      assert.deepEqual(
        outcomes.map(({ kind }) => kind),
        ["committed", "threw", "committed"],
      );
      assert.equal(bench.scratch.byHand("SELECT 1 FROM mine WHERE v = 'added'").length, 2);
      assert.equal(bench.scratch.byHand("SELECT 1 FROM mine WHERE v LIKE 'outside%'").length, 0);
      assert.equal(bench.scratch.byHand("SELECT count(*) AS n FROM inbox")[0]?.["n"], Number(before) + 2);
    });
  }
});

describe("when the store fails", () => {
  scratchTest("a locked store is waited for, and then the jobs are to be attempted again", async (scratch) => {
    const { transactions } = await Bench.open(scratch);
    await transactions.close();
    const impatient = openSqliteTransactions(scratch.path, { busyTimeoutMs: 20 });
    const bench = new Bench(scratch, impatient, 1);
    const other = new DatabaseSync(scratch.path);
    other.exec("BEGIN IMMEDIATE");
    const [outcome] = await bench.outcomes((tx) => tx.run("DELETE FROM mine"));
    assert.equal(outcome?.kind, "failed");
    other.exec("ROLLBACK");
    other.close();
    assert.equal((await bench.outcomes((tx) => tx.run("DELETE FROM mine")))[0]?.kind, "committed");
    await impatient.close();
  });

  benchTest(
    "what has no room is attempted again, whatever it makes of the error, and is kept out of others' way",
    async (bench) => {
      const pages = Number(bench.scratch.byHand("PRAGMA page_count")[0]?.["page_count"]);
      const limited = openSqliteTransactions(bench.scratch.path, { maxSizeBytes: (pages + 4) * 4096 });
      const full = new Bench(bench.scratch, limited, 1);
      const add: Work = (tx) => tx.run("INSERT INTO mine (v) VALUES ('small')").changes;
      const fill: Work = (tx) => {
        assert.throws(() => tx.run("INSERT INTO mine (v) VALUES (zeroblob(1000000))"), /full/);
        return "never mind";
      };
      const outcomes = await full.outcomes(add, fill, add);
      assert.deepEqual(
        outcomes.map((outcome) =>
          outcome.kind === "failed" ? (outcome.error as { code?: string }).code : outcome.kind,
        ),
        ["committed", "STORE_FULL", "committed"],
      );
      assert.equal(bench.scratch.byHand("SELECT 1 FROM mine WHERE v = 'small'").length, 2);
      await limited.close();
    },
  );

  test("a file that is gone is not made anew", () => {
    const path = "/nowhere/store.db";
    assert.throws(() => openSqliteTransactions(path), { code: "STORE_NOT_FOUND" });
    assert.ok(!existsSync(path));
  });
});

test("in memory, user SQL has a database of its own, with the engine's names taken, and results are not kept", async () => {
  const transactions = openMemoryTransactions();
  const job = (work: Work): TransactionJob => ({
    process: 1,
    number: 1,
    name: "job",
    call: (tx) => encodeValue(work(tx)),
  });
  const jobs = [
    job((tx) => tx.exec("CREATE TABLE mine (v); INSERT INTO mine VALUES (7)")),
    job((tx) => tx.get("SELECT v FROM mine")),
    job((tx) => tx.exec("DELETE FROM journal")),
    job((tx) => tx.exec("CREATE TABLE journal (v)")),
  ];
  const outcomes = await transactions.run({ incarnation: 1, atMs: 0, jobs });
  assert.deepEqual(
    outcomes.map((outcome) => (outcome.kind === "threw" ? (outcome.error as { code?: string }).code : outcome)),
    [
      { kind: "committed", value: encodeValue(undefined), seq: undefined },
      { kind: "committed", value: encodeValue({ v: 7 }), seq: undefined },
      "TRANSACTION_FORBIDDEN",
      "TRANSACTION_FORBIDDEN",
    ],
  );
  await transactions.close();
  await transactions.close();
});
