import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { commonPostgres, postgresUnavailable } from "../../test/support/postgres.ts";
import type { StoreReader } from "./port.ts";
import { openPostgresStore } from "./postgres/index.ts";
import type { PostgresStore, PostgresStoreOptions } from "./postgres/index.ts";
import { byHand } from "../../test/support/postgres-place.ts";
import { testStore } from "./suite.ts";
import type { StoreFixture, StoreSetup } from "./suite.ts";
import { testCommits } from "./suite/commits.ts";
import { testEdges } from "./suite/edges.ts";
import { testExports } from "./suite/exports.ts";
import { testLease } from "./suite/lease.ts";
import { testNodes } from "./suite/nodes.ts";

async function fixture(options: PostgresStoreOptions): Promise<StoreFixture> {
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
      await byHand(url, `UPDATE "${schema}".node SET expires_at = clock_timestamp() WHERE state = 'live'`);
    },
    usurp: () => byHand(url, `UPDATE "${schema}".node SET state = 'dead' WHERE state = 'live'`),
    dispose: async () => {
      await Promise.all(handles.map((handle) => handle.close()));
      await byHand(url, `DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
    },
  };
}

const unavailable = postgresUnavailable();
if (unavailable === undefined) {
  testStore("postgres", () => fixture({}));
  describe("postgres store without prepared statements", () => {
    const setup: StoreSetup = () => fixture({ prepare: false, notify: false });
    testCommits(setup);
    testEdges(setup);
    testLease(setup);
    testNodes(setup);
    testExports(setup);
  });
} else test("the store on PostgreSQL", { skip: unavailable });
