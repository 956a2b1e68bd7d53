/** Nodes that own a store together, and what the tests of that have in common. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Input } from "../../journal/types.ts";
import type { AwayBatch, CommitBatch, InboxRow, Lease, Sharing, Store } from "../port.ts";
import type { SharedFixture, SharedSetup } from "./fixture.ts";
import { process, program, startMs } from "./samples.ts";

const atMs = startMs;

/** A handle that has joined, and what it was given. */
export interface Node {
  readonly store: Store;
  readonly sharing: Sharing;
  readonly lease: Lease;
}

export type Run = (fixture: SharedFixture) => Promise<void>;

export function sharedRule(setup: SharedSetup, name: string, run: Run): void {
  test(name, async () => {
    const fixture = await setup();
    try {
      await run(fixture);
    } finally {
      await fixture.dispose();
    }
  });
}

export async function join(fixture: SharedFixture, shards: readonly number[] = [], nowMs = atMs): Promise<Node> {
  const store = await fixture.open();
  const lease = await store.claim(nowMs);
  const { sharing } = store;
  assert.ok(sharing !== undefined);
  if (shards.length > 0) {
    const acquired = await sharing.acquire(shards, nowMs);
    assert.deepEqual(
      acquired.map(({ shard }) => shard),
      shards,
    );
  }
  return { store, sharing, lease };
}

/** Two nodes: processes 1 … in shard 1 are the first's, 11 … in shard 2 the second's. */
export async function pair(fixture: SharedFixture): Promise<[Node, Node]> {
  const [one, two] = [await join(fixture, [1]), await join(fixture, [2])];
  await one.store.putProgram(program, []);
  await one.store.commit({ atMs, newProcesses: [1, 2, 3, 4].map((key) => process(key, { shard: 1 })) });
  await two.store.commit({ atMs, newProcesses: [11, 12, 13, 14].map((key) => process(key, { shard: 2 })) });
  return [one, two];
}

export function away(part: Partial<AwayBatch>): CommitBatch {
  const none: readonly never[] = [];
  const whole = { links: none, monitors: none, cut: none, refused: none, notified: none, moved: none, yielded: none };
  return { atMs, away: { atMs, ...whole, ...part } };
}

export function text(what: string): Input {
  return { kind: "message", from: "", body: { text: `j${JSON.stringify(what)}` } };
}

export const inputsOf = (rows: readonly InboxRow[]): Input[] => rows.map(({ input }) => input);

/** What others have put for the node's processes since it looked last. */
export const posted = async ({ sharing }: Node, limit = 100): Promise<Input[]> => inputsOf(await sharing.posted(limit));
