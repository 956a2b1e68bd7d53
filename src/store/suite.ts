/**
 * What every store must do: the rules of `port.ts`, as tests. Each implementation runs them:
 *
 *     testStore("sqlite", async () => ({ open, openReader, crash, usurp, dispose }));
 */
import { describe } from "node:test";
import { testCommits } from "./suite/commits.ts";
import { testEdges } from "./suite/edges.ts";
import { testExports } from "./suite/exports.ts";
import type { StoreSetup } from "./suite/fixture.ts";
import { testInbox } from "./suite/inbox.ts";
import { testLease } from "./suite/lease.ts";
import { testLives } from "./suite/lives.ts";
import { testNodes } from "./suite/nodes.ts";
import { testModel } from "./suite/property.ts";
import { testReads } from "./suite/reads.ts";
import { testRecovery } from "./suite/recovery.ts";
import { testRetention } from "./suite/retention.ts";
import { testRelations } from "./suite/relations.ts";

export type { StoreFixture, StoreSetup } from "./suite/fixture.ts";
export { testTransactions } from "./suite/transactions.ts";
export type { TransactionsFixture } from "./suite/transactions.ts";

/** `setup` is called for each test and gives an empty store. */
export function testStore(name: string, setup: StoreSetup): void {
  describe(`${name} store`, () => {
    describe("lease", () => testLease(setup));
    describe("nodes", () => testNodes(setup));
    describe("commit", () => testCommits(setup));
    describe("inbox", () => testInbox(setup));
    describe("recovery", () => testRecovery(setup));
    describe("reading", () => testReads(setup));
    describe("relations", () => testRelations(setup));
    describe("lives", () => testLives(setup));
    describe("edges", () => testEdges(setup));
    describe("retention", () => testRetention(setup));
    describe("exports", () => testExports(setup));
    describe("model", () => testModel(setup));
  });
}
