/** Nodes of one store that get in each other's way, many times over: what comes of it is one of the orders in which they could have come. */
import assert from "node:assert/strict";
import type { InboxRow, ProcessKey, Store } from "../port.ts";
import type { SharedFixture, SharedSetup } from "./fixture.ts";
import { exit, process, program, startMs, turn } from "./samples.ts";
import { away, join, sharedRule, text } from "./shared.ts";
import type { Node } from "./shared.ts";

const atMs = startMs;
const rounds = 150;

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

/** Processes `first` … of a shard of the node's own. */
async function populate({ store }: Node, shard: number, first: number, count: number): Promise<void> {
  await store.commit({ atMs, newProcesses: range(first, count).map((key) => process(key, { shard })) });
}

async function duo(fixture: SharedFixture, count = rounds): Promise<[Node, Node]> {
  const [one, two] = [await join(fixture, [1]), await join(fixture, [2])];
  await one.store.putProgram(program, []);
  await Promise.all([populate(one, 1, 1_001, count), populate(two, 2, 2_001, count)]);
  return [one, two];
}

async function all({ sharing }: Node): Promise<InboxRow[]> {
  const rows: InboxRow[] = [];
  for (;;) {
    const page = await sharing.posted(50);
    rows.push(...page);
    if (page.length < 50) return rows;
  }
}

async function assertWhole(store: Store): Promise<void> {
  const faults: string[] = [];
  await store.audit(
    ({ rule, detail }) => faults.push(`${rule}: ${detail}`),
    () => undefined,
  );
  assert.deepEqual(faults, []);
}

/** Whether the work is under way; its failure is for whoever awaits it. */
function watched(work: Promise<unknown>): { readonly is: boolean } {
  const state = { is: true };
  const end = (): void => void (state.is = false);
  work.then(end, end);
  return state;
}

/** What each process was told, in order. */
function byProcess(rows: readonly InboxRow[]): Map<ProcessKey, string[]> {
  const told = new Map<ProcessKey, string[]>();
  for (const { process: key, input, tie } of rows) {
    const what = input.kind === "down" ? `down ${input.monitor} ${tie}` : `${input.kind} ${tie}`;
    told.set(key, [...(told.get(key) ?? []), what]);
  }
  return told;
}

export function testRaces(setup: SharedSetup): void {
  testTying(setup);
  testEnds(setup);
  testCrossing(setup);
  testPosts(setup);
  testHandovers(setup);
  testDeaths(setup);
}

function testTying(setup: SharedSetup): void {
  sharedRule(setup, "a link or a monitor made while its target exits tells of that exactly once", async (fixture) => {
    const [one, two] = await duo(fixture);
    const three = await join(fixture, [3]);
    await populate(three, 3, 3_001, rounds);
    const tie = (key: number, target: number) =>
      away({
        links: [{ process: key, target, pid: `p${target}` }],
        monitors: [7, 8].map((number) => ({ watcher: key, number, target, pid: `p${target}` })),
      });
    await Promise.all(
      range(1, rounds).flatMap((i) => [
        one.store.commit(tie(1_000 + i, 2_000 + i)),
        two.store.commit({ atMs, exits: [{ process: 2_000 + i, exit }] }),
        three.store.commit(tie(3_000 + i, 2_000 + i)),
      ]),
    );
    for (const [node, first] of [
      [one, 1_001],
      [three, 3_001],
    ] as const) {
      const told = byProcess(await all(node));
      for (const key of range(first, rounds)) {
        const target = 2_000 + (key % 1_000);
        assert.deepEqual(told.get(key), [`exit ${target}`, `down 7 ${target}`, `down 8 ${target}`], `process ${key}`);
        const { links, monitors, inbox } = await node.store.load(key);
        assert.deepEqual([links, monitors, inbox.length], [[], [], 3]);
      }
    }
    await assertWhole(one.store);
  });
}

function testEnds(setup: SharedSetup): void {
  sharedRule(
    setup,
    "processes tied to each other that exit on their nodes at once leave nothing behind",
    async (fixture) => {
      const [one, two] = await duo(fixture);
      await one.store.commit(
        away({
          links: range(1, rounds).map((i) => ({ process: 1_000 + i, target: 2_000 + i, pid: `p${2_000 + i}` })),
          monitors: range(1, rounds).map((i) => ({
            watcher: 1_000 + i,
            number: 1,
            target: 2_001 + (i % rounds),
            pid: "p",
          })),
        }),
      );
      // Each in its own order, several to a commit.
      const ends = (node: Node, keys: number[]): Promise<unknown>[] =>
        range(0, rounds / 5).map((i) =>
          node.store.commit({ atMs, exits: keys.slice(5 * i, 5 * i + 5).map((key) => ({ process: key, exit })) }),
        );
      await Promise.all([...ends(one, range(1_001, rounds)), ...ends(two, range(2_001, rounds).reverse())]);
      assert.deepEqual([await all(one), await all(two)], [[], []]);
      await assertWhole(one.store);
    },
  );

  sharedRule(
    setup,
    "what is sent while its receiver exits arrives, is lost with it, or goes elsewhere",
    async (fixture) => {
      const [one, two] = await duo(fixture);
      const results = await Promise.all(
        range(1, rounds).map(async (i) => {
          const orElse = { process: 1_000 + i, input: text(`back ${i}`) };
          const [, { inboxSeqs }] = await Promise.all([
            two.store.commit({ atMs, exits: [{ process: 2_000 + i, exit }] }),
            one.store.commit({ atMs, inbox: [{ process: 2_000 + i, input: text(`to ${i}`), atMs, orElse }] }),
            two.store.post(`p${2_000 + i}`, text("from outside"), atMs).catch(() => undefined),
          ]);
          return inboxSeqs;
        }),
      );
      assert.equal(results.length, rounds);
      const back = await all(one);
      assert.deepEqual(
        back.map((row) => [row.process, row.input]).toSorted(([a], [b]) => Number(a) - Number(b)),
        range(1, rounds).map((i) => [1_000 + i, text(`back ${i}`)]),
      );
      assert.deepEqual(await all(two), []);
      await assertWhole(one.store);
    },
  );
}

function testCrossing(setup: SharedSetup): void {
  sharedRule(setup, "commits that concern the same processes of both nodes all come through", async (fixture) => {
    const [one, two] = await duo(fixture, 6);
    const [mine, theirs] = [range(1_001, 6), range(2_001, 6)];
    const crossing = (node: Node, own: number[], others: number[]): Promise<unknown>[] =>
      range(0, 60).map((i) =>
        node.store.commit({
          ...away({
            links: [{ process: own[i % 6] ?? 0, target: others[(i * 5) % 6] ?? 0, pid: "p" }],
            monitors: [{ watcher: own[(i * 5) % 6] ?? 0, number: i, target: others[i % 6] ?? 0, pid: "p" }],
          }),
          states: own.toReversed().map((key) => ({ process: key, state: "running", problem: "" })),
          inbox: others.map((key) => ({ process: key, input: text(`${i}`), atMs })),
          names: [{ name: `name ${i % 3} of ${own[0]}`, process: own[0] ?? 0 }],
        }),
      );
    await Promise.all([...crossing(one, mine, theirs), ...crossing(two, theirs, mine)]);
    for (const node of [one, two]) {
      const told = byProcess(await all(node));
      assert.deepEqual(
        [...told.values()].map(({ length }) => length),
        range(0, 6).map(() => 60),
      );
    }
    await assertWhole(one.store);
  });
}

function testPosts(setup: SharedSetup): void {
  sharedRule(setup, "what many post at once is handed out once each, in the order of each poster", async (fixture) => {
    const [one, two] = await duo(fixture, 4);
    const three = await join(fixture);
    const reader = await fixture.openReader();
    const count = 60;
    const sent = (who: string, i: number) => ({ process: 1_001 + (i % 4), input: text(`${who} ${i}`), atMs });
    const posting = Promise.all([
      ...[two, three].map(({ store }, who) =>
        Promise.all(
          range(0, count).map((i) => store.commit({ atMs, inbox: [sent(`node ${who}`, i), sent(`twice ${who}`, i)] })),
        ),
      ),
      (async () => {
        for (let i = 0; i < count; i++) await reader.post(`p${1_001 + (i % 4)}`, text(`reader ${i}`), atMs);
      })(),
    ]);
    const rows: InboxRow[] = [];
    const underway = watched(posting);
    while (underway.is) {
      rows.push(...(await one.sharing.posted(7)));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await posting;
    rows.push(...(await all(one)));
    assert.equal(new Set(rows.map(({ seq }) => seq)).size, 5 * count);
    assert.equal(rows.length, 5 * count);
    const last = new Map<string, number>();
    for (const { input } of rows) {
      const said = input.kind === "message" ? (JSON.parse((input.body.text ?? "").slice(1)) as string) : "";
      const [, who = "", i] = /^(.*) (\d+)$/.exec(said) ?? [];
      assert.equal(Number(i), (last.get(who) ?? -1) + 1, said);
      last.set(who, Number(i));
    }
  });
}

function testHandovers(setup: SharedSetup): void {
  sharedRule(
    setup,
    "what is posted while a shard goes from hand to hand is found by recovery or handed out, not both",
    async (fixture) => {
      const [one, two] = await duo(fixture, 1);
      const found = new Set<number>();
      const handed: number[] = [];
      let owner = one;
      const posting = (async () => {
        const reader = await fixture.openReader();
        for (let i = 0; i < 80; i++) await reader.post("p1001", text(`${i}`), atMs);
      })();
      const underway = watched(posting);
      while (underway.is) {
        handed.push(...(await owner.sharing.posted(100)).map(({ seq }) => seq));
        const next = owner === one ? two : one;
        await owner.store.commit(away({ yielded: [1] }));
        await next.sharing.acquire([1], atMs);
        for (const { seq } of await next.store.inbox(1_001)) found.add(seq);
        owner = next;
      }
      await posting;
      handed.push(...(await all(owner)).map(({ seq }) => seq));
      const seqs = (await one.store.inbox(1_001)).map(({ seq }) => seq);
      assert.equal(seqs.length, 80);
      for (const seq of seqs) assert.ok(found.has(seq) || handed.includes(seq), `${seq} was found by nobody`);
      assert.equal(new Set(handed).size, handed.length);
    },
  );
}

function testDeaths(setup: SharedSetup): void {
  sharedRule(
    setup,
    "a commit under way when its node is declared dead is whole and before, or fenced",
    async (fixture) => {
      const two = await join(fixture, [2]);
      await two.store.putProgram(program, []);
      await populate(two, 2, 2_001, 1);
      for (let round = 1; round <= 12; round++) {
        const key = 1_000 + round;
        const one = await join(fixture, [1]);
        await populate(one, 1, key, 1);
        await fixture.lapse(one.lease.incarnation);
        const commits = range(1, 6).map((number) =>
          one.store.commit({
            atMs,
            turns: [{ process: key, turn: turn(number) }],
            inbox: [{ process: 2_001, input: text(`${round} ${number}`), atMs }],
          }),
        );
        const taking = (async () => {
          await two.sharing.reap(atMs);
          const acquired = await two.sharing.acquire([1], atMs);
          return { acquired, turns: await two.store.lastTurn(key) };
        })();
        const results = await Promise.allSettled(commits);
        const kept = results.filter(({ status }) => status === "fulfilled").length;
        const { acquired, turns } = await taking;
        if (acquired.length === 0) {
          // A commit let the lease last longer first.
          assert.equal(kept, 6);
          await one.store.release(atMs);
          await two.sharing.acquire([1], atMs);
        } else {
          assert.equal(turns, kept);
          for (const { status } of results.slice(0, kept)) assert.equal(status, "fulfilled");
          for (const result of results.slice(kept)) {
            assert.equal(result.status === "rejected" && (result.reason as { code?: unknown }).code, "STORE_FENCED");
          }
          await assert.rejects(one.store.commit({ atMs }), { code: "STORE_FENCED" });
        }
        assert.equal((await all(two)).length, kept);
        await one.store.close();
        await two.store.commit(away({ yielded: [1] }));
      }
    },
  );
}
