import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { commonPostgres, postgresUnavailable } from "../../test/support/postgres.ts";
import type { StoreReader } from "./port.ts";
import { openPostgresStore } from "./postgres/index.ts";
import type { PostgresStore, PostgresStoreOptions } from "./postgres/index.ts";
import { byHand } from "../../test/support/postgres-place.ts";
import { testSharedStore } from "./suite.ts";
import type { SharedFixture, SharedSetup } from "./suite.ts";
import { testCommits } from "./suite/commits.ts";
import { testEdges } from "./suite/edges.ts";
import { testExports } from "./suite/exports.ts";
import { testLease } from "./suite/lease.ts";
import { testTies } from "./suite/ties.ts";
import { usedByOne } from "./suite/sole.ts";

async function fixture(options: PostgresStoreOptions): Promise<SharedFixture> {
  const { url } = await commonPostgres();
  const schema = `test_${randomUUID().replaceAll("-", "")}`;
  const handles: StoreReader[] = [];
  const open = async (more: PostgresStoreOptions): Promise<PostgresStore> => {
    const store = await openPostgresStore(url, { schema, readers: 1, ...options, ...more });
    handles.push(store);
    return store;
  };
  return {
    open: () => open({}),
    openReader: () => open({ mode: "reader" }),
    crash: async (store) => {
      (store as PostgresStore).destroy();
      // Time passes.
      const { incarnation } = (store as PostgresStore).sharing.owner;
      await byHand(
        url,
        `UPDATE "${schema}".node SET expires_at = clock_timestamp() WHERE incarnation = ${incarnation} AND state = 'live'`,
      );
    },
    lapse: (incarnation) =>
      byHand(url, `UPDATE "${schema}".node SET expires_at = clock_timestamp() WHERE incarnation = ${incarnation}`),
    usurp: () => byHand(url, `UPDATE "${schema}".node SET state = 'dead' WHERE state = 'live'`),
    dispose: async () => {
      await Promise.all(handles.map((handle) => handle.close()));
      await byHand(url, `DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
    },
  };
}

const unavailable = postgresUnavailable();
if (unavailable === undefined) {
  testSharedStore("postgres", () => fixture({ shards: 4 }));
  describe("postgres store without prepared statements", () => {
    const shared: SharedSetup = () => fixture({ shards: 4, prepare: false });
    const setup = usedByOne(shared);
    testCommits(setup);
    testEdges(setup);
    testLease(setup);
    testExports(setup);
    testTies(shared);
  });
} else test("the store on PostgreSQL", { skip: unavailable });
