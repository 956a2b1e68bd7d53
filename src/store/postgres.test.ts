import { describe, test } from "node:test";
import { commonPostgres, postgresUnavailable } from "../../test/support/postgres.ts";
import { openPostgresTransactions } from "./postgres/index.ts";
import type { PostgresStoreOptions } from "./postgres/index.ts";
import type { PostgresTransaction } from "./transactions.ts";
import { byHand, rowsByHand } from "../../test/support/postgres-place.ts";
import { testSharedStore, testSharedTransactions, testTransactions } from "./suite.ts";
import type { SharedSetup, SharedTransactionsFixture } from "./suite.ts";
import { testCommits } from "./suite/commits.ts";
import { testEdges } from "./suite/edges.ts";
import { testExports } from "./suite/exports.ts";
import { testLease } from "./suite/lease.ts";
import { testTies } from "./suite/ties.ts";
import { newSchema, postgresFixture } from "./suite/places.ts";
import { usedByOne } from "./suite/sole.ts";

/** With a table of the user's, in a schema of his own. */
async function withFacts(options: PostgresStoreOptions): Promise<SharedTransactionsFixture<PostgresTransaction>> {
  const { url } = await commonPostgres();
  const schema = newSchema();
  const store = await postgresFixture({ ...options, schema });
  const facts = `${schema}_user.fact`;
  return {
    ...store,
    transactions: async () => {
      await byHand(url, `CREATE SCHEMA ${schema}_user`);
      await byHand(url, `CREATE TABLE ${facts} (key text PRIMARY KEY, value bigint)`);
      return openPostgresTransactions(url, { ...options, schema });
    },
    put: async (tx, key, value) => {
      const sql = `INSERT INTO ${facts} VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2`;
      await tx.run(sql, key, value);
    },
    get: async (tx, key) => (await tx.get<{ value: number }>(`SELECT value FROM ${facts} WHERE key = $1`, key))?.value,
    mayAwait: true,
    facts: async () => {
      const rows = await rowsByHand(url, `SELECT key, value FROM ${facts}`);
      return Object.fromEntries(rows.map(({ key, value }) => [String(key), Number(value)]));
    },
    dispose: async () => {
      await store.dispose();
      await byHand(url, `DROP SCHEMA IF EXISTS ${schema}_user CASCADE`);
    },
  };
}

const unavailable = postgresUnavailable();
if (unavailable === undefined) {
  testSharedStore("postgres", () => postgresFixture({ shards: 4 }));
  for (const prepare of [true, false]) {
    const name = prepare ? "postgres" : "postgres without prepared statements,";
    testTransactions(name, async () => {
      const given = await withFacts({ shards: 4, prepare });
      return { ...given, ...(await usedByOne(async () => given)()) };
    });
    testSharedTransactions(`${name} shared`, () => withFacts({ shards: 4, prepare }));
  }
  describe("postgres store without prepared statements", () => {
    const shared: SharedSetup = () => postgresFixture({ shards: 4, prepare: false });
    const setup = usedByOne(shared);
    testCommits(setup);
    testEdges(setup);
    testLease(setup);
    testExports(setup);
    testTies(shared);
  });
} else test("the store on PostgreSQL", { skip: unavailable });
