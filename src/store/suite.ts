/**
 * What every store must do: the rules of `port.ts`, as tests. Each implementation runs them:
 *
 *     testStore("sqlite", async () => ({ open, openReader, crash, usurp, dispose }));
 */
import { describe } from "node:test";
import { testCommits } from "./suite/commits.ts";
import { testEdges } from "./suite/edges.ts";
import { testExports } from "./suite/exports.ts";
import type { SharedSetup, StoreSetup } from "./suite/fixture.ts";
import { testHandovers, testSharedHandovers } from "./suite/handovers.ts";
import { testInbox, testNoticing } from "./suite/inbox.ts";
import { testLease, testSoleOwnership } from "./suite/lease.ts";
import { testLives } from "./suite/lives.ts";
import { testNodes, testSoleNode } from "./suite/nodes.ts";
import { testPosted } from "./suite/posted.ts";
import { testModel } from "./suite/property.ts";
import { testRaces } from "./suite/races.ts";
import { testReads } from "./suite/reads.ts";
import { testRecovery } from "./suite/recovery.ts";
import { testRetention } from "./suite/retention.ts";
import { testRelations } from "./suite/relations.ts";
import { testSharing } from "./suite/sharing.ts";
import { testTies } from "./suite/ties.ts";
import { usedByOne } from "./suite/sole.ts";

export type { SharedFixture, SharedSetup, StoreFixture, StoreSetup } from "./suite/fixture.ts";
export { testSharedTransactions } from "./suite/shared-transactions.ts";
export type { SharedTransactionsFixture } from "./suite/shared-transactions.ts";
export { testTransactions } from "./suite/transactions.ts";
export type { TransactionsFixture } from "./suite/transactions.ts";

/** `setup` is called for each test and gives an empty store, which has one owner at a time. */
export function testStore(name: string, setup: StoreSetup): void {
  describe(`${name} store`, () => {
    describe("ownership", () => {
      testSoleOwnership(setup);
      testSoleNode(setup);
    });
    testOwned(setup);
    describe("noticing", () => testNoticing(setup));
  });
}

/** The same for a store that several nodes own: of at least 3 shards. */
export function testSharedStore(name: string, setup: SharedSetup): void {
  describe(`${name} store`, () => {
    describe("sharing", () => testSharing(setup));
    describe("posted inputs", () => testPosted(setup));
    describe("ties across nodes", () => testTies(setup));
    describe("races", () => testRaces(setup));
    describe("handovers to several", () => testSharedHandovers(setup));
    testOwned(usedByOne(setup));
  });
}

function testOwned(setup: StoreSetup): void {
  describe("owner", () => {
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
    describe("handovers", () => testHandovers(setup));
    describe("model", () => testModel(setup));
  });
}
