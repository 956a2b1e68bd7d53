import { describe, test } from "node:test";
import { postgresUnavailable } from "../../test/support/postgres.ts";
import { testSharedStore } from "./suite.ts";
import type { SharedSetup } from "./suite.ts";
import { testCommits } from "./suite/commits.ts";
import { testEdges } from "./suite/edges.ts";
import { testExports } from "./suite/exports.ts";
import { testLease } from "./suite/lease.ts";
import { postgresFixture } from "./suite/places.ts";
import { testTies } from "./suite/ties.ts";
import { usedByOne } from "./suite/sole.ts";

const unavailable = postgresUnavailable();
if (unavailable === undefined) {
  testSharedStore("postgres", () => postgresFixture({ shards: 4 }));
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
