/** A store that several nodes own: shards and leases, and what one node's commits do to processes of another. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Input } from "../../journal/types.ts";
import type { AwayBatch, CommitBatch, InboxRow, Lease, ProcessRow, Sharing, Store } from "../port.ts";
import type { SharedFixture, SharedSetup } from "./fixture.ts";
import { testRaces } from "./races.ts";
import { exit, message, operation, process, program, snapshot, startMs, timer, turn } from "./samples.ts";

const atMs = startMs;
const fenced = { code: "STORE_FENCED" };

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
  const whole = { links: none, monitors: none, cut: none, notified: none, moved: none, yielded: none };
  return { atMs, away: { atMs, ...whole, ...part } };
}

export function text(what: string): Input {
  return { kind: "message", from: "", body: { text: `j${JSON.stringify(what)}` } };
}

const nothing = { text: "u" };
const signal = (from: string, reason: "noproc" | "error" | "normal", value = nothing): Input => ({
  ...{ kind: "exit", from, reason, value },
  linked: true,
  held: "",
});
const down = (monitor: number, from: string, reason: "noproc" | "error" | "normal", value = nothing): Input => ({
  ...{ kind: "down", monitor, from, reason, value },
});
const failure = { atMs: atMs + 7, reason: "error" as const, value: { text: 'j"why"' } };

const inputsOf = (rows: readonly InboxRow[]): Input[] => rows.map(({ input }) => input);
const posted = async ({ sharing }: Node, limit = 100): Promise<Input[]> => inputsOf(await sharing.posted(limit));

export function testSharing(setup: SharedSetup): void {
  testJoining(setup);
  testShards(setup);
  testEnds(setup);
  testBorders(setup);
  testPosted(setup);
  testTies(setup);
  testExits(setup);
  testMoves(setup);
  testNames(setup);
  testTime(setup);
  testRaces(setup);
}

function testJoining(setup: SharedSetup): void {
  sharedRule(setup, "every claim joins, owns no shard, and has process keys of its own", async (fixture) => {
    const nodes = [await join(fixture), await join(fixture), await join(fixture)];
    for (const [index, { lease }] of nodes.entries()) {
      const { shared, downtimeMs, incarnation, nextProcessKey } = lease;
      assert.deepEqual({ shared, downtimeMs, incarnation }, { shared: true, downtimeMs: 0, incarnation: index + 1 });
      assert.ok(nextProcessKey >= 2 ** 31 * (index + 1), String(nextProcessKey));
      assert.ok(nextProcessKey + 2 ** 30 < (nodes[index + 1]?.lease.nextProcessKey ?? Infinity));
    }
    const [first] = nodes;
    assert.deepEqual(new Set((await first?.sharing.shards())?.map(({ owner }) => owner)), new Set([0]));
    assert.deepEqual(await first?.sharing.incarnations(), [1, 2, 3]);
  });

  sharedRule(
    setup,
    "a handle that claims again is another incarnation, and the first one's lease is over",
    async (fixture) => {
      const one = await join(fixture, [1]);
      const two = await join(fixture);
      assert.equal((await one.store.claim(atMs)).incarnation, 3);
      assert.deepEqual(await two.sharing.incarnations(), [2, 3]);
      assert.deepEqual(await two.sharing.reap(atMs), [1]);
    },
  );

  sharedRule(setup, "processes of many incarnations keep their rows apart", async (fixture) => {
    const one = await join(fixture, [1]);
    await one.store.putProgram(program, []);
    const far = one.lease.nextProcessKey + 2 ** 45;
    for (const key of [one.lease.nextProcessKey, far]) {
      const row = process(key, { shard: 1 });
      await one.store.commit({ atMs, newProcesses: [row], turns: [{ process: key, turn: turn(1) }] });
      assert.deepEqual((await one.store.load(key)).process, row);
      assert.deepEqual(await one.store.turns(key, 1, 9), [turn(1)]);
    }
  });
}

function testShards(setup: SharedSetup): void {
  sharedRule(setup, "a shard is acquired by one, and only if it is nobody's", async (fixture) => {
    const nodes = [await join(fixture), await join(fixture), await join(fixture)];
    const all = (await nodes[0]?.sharing.shards())?.map(({ shard }) => shard) ?? [];
    const acquired = await Promise.all(nodes.map(({ sharing }) => sharing.acquire(all, atMs)));
    const got = acquired.flat();
    assert.deepEqual(
      got.map(({ shard }) => shard).toSorted((a, b) => a - b),
      all,
    );
    assert.ok(got.every(({ clean }) => clean));
    const owners = new Map(
      nodes.flatMap(({ lease }, i) => acquired[i]?.map(({ shard }) => [shard, lease.incarnation]) ?? []),
    );
    assert.deepEqual(
      await nodes[1]?.sharing.shards(),
      all.map((shard) => ({ shard, owner: owners.get(shard) })),
    );
    assert.deepEqual(await nodes[2]?.sharing.acquire([999], atMs), []);
  });

  sharedRule(
    setup,
    "shards that are given up are free and clean, and their processes another's from then on",
    async (fixture) => {
      const [one, two] = await pair(fixture);
      await one.store.commit(away({ yielded: [1] }));
      await assert.rejects(one.store.commit({ atMs, turns: [{ process: 1, turn: turn(1) }] }), fenced);
      assert.deepEqual(await two.sharing.acquire([1], atMs), [{ shard: 1, clean: true }]);
      await two.store.commit({ atMs, turns: [{ process: 1, turn: turn(1) }] });
      assert.equal(await one.store.lastTurn(1), 1);
    },
  );

  sharedRule(setup, "a shard of somebody else cannot be given up", async (fixture) => {
    const [one, two] = await pair(fixture);
    await one.store.commit(away({ yielded: [2] })).catch(() => undefined);
    await two.store.commit({ atMs, turns: [{ process: 11, turn: turn(1) }] });
    assert.equal((await one.sharing.shards()).find(({ shard }) => shard === 2)?.owner, two.lease.incarnation);
  });

  sharedRule(setup, "a release gives all shards up in good order", async (fixture) => {
    const one = await join(fixture, [1, 3]);
    const two = await join(fixture);
    await one.store.release(atMs);
    assert.deepEqual(await two.sharing.incarnations(), [2]);
    assert.deepEqual(await two.sharing.acquire([1, 3], atMs), [
      { shard: 1, clean: true },
      { shard: 3, clean: true },
    ]);
    await assert.rejects(one.store.renew(atMs), fenced);
    await assert.rejects(one.sharing.acquire([2], atMs), fenced);
  });
}

function testEnds(setup: SharedSetup): void {
  sharedRule(
    setup,
    "a node is declared dead when its lease has run out, not before, and not by itself",
    async (fixture) => {
      const [one, two] = await pair(fixture);
      assert.deepEqual(await two.sharing.reap(atMs), []);
      await fixture.lapse(one.lease.incarnation);
      assert.deepEqual(await one.sharing.reap(atMs), []);
      assert.deepEqual(await two.sharing.reap(atMs), [one.lease.incarnation]);
      assert.deepEqual(await two.sharing.reap(atMs), []);
      assert.deepEqual(await two.sharing.incarnations(), [two.lease.incarnation]);
      assert.deepEqual(await two.sharing.acquire([1], atMs), [{ shard: 1, clean: false }]);
    },
  );

  sharedRule(setup, "a dead node writes nothing any more, but may read", async (fixture) => {
    const [one, two] = await pair(fixture);
    await fixture.lapse(one.lease.incarnation);
    await two.sharing.reap(atMs);
    const writes: (() => Promise<unknown>)[] = [
      () => one.store.commit({ atMs }),
      () => one.store.renew(atMs),
      () => one.store.release(atMs),
      () => one.store.putProgram({ ...program, hash: "other" }, []),
      () => one.sharing.acquire([1], atMs),
      () => one.sharing.claimName("a", 1),
      () => one.sharing.reservePid("p99"),
    ];
    for (const write of writes) await assert.rejects(write(), fenced);
    assert.deepEqual(await one.store.names(), []);
    assert.equal((await one.store.findProcess("p11"))?.key, 11);
    await two.store.post("p1", message, atMs);
    assert.deepEqual(await posted(one), []);
  });

  sharedRule(setup, "of several who declare a node dead, one does", async (fixture) => {
    const [one, two] = await pair(fixture);
    const three = await join(fixture);
    await fixture.lapse(one.lease.incarnation);
    const reaped = await Promise.all([two, three, two, three].map(({ sharing }) => sharing.reap(atMs)));
    assert.deepEqual(reaped.flat(), [one.lease.incarnation]);
  });

  sharedRule(setup, "shards given up before their node died are clean", async (fixture) => {
    const one = await join(fixture, [1, 2]);
    const two = await join(fixture);
    await one.store.commit(away({ yielded: [2] }));
    await fixture.crash(one.store);
    await fixture.lapse(one.lease.incarnation);
    await two.sharing.reap(atMs);
    assert.deepEqual(await two.sharing.acquire([1, 2], atMs), [
      { shard: 1, clean: false },
      { shard: 2, clean: true },
    ]);
  });
}

function testBorders(setup: SharedSetup): void {
  const writes: Readonly<Record<string, (row: ProcessRow) => CommitBatch>> = {
    "a turn": ({ key }) => ({ atMs, turns: [{ process: key, turn: turn(1) }] }),
    "an operation": ({ key }) => ({ atMs, operations: [operation(key, 1)] }),
    "a timer": ({ key }) => ({ atMs, timers: [timer(key, 1)] }),
    "a state": ({ key }) => ({ atMs, states: [{ process: key, state: "paused", problem: "" }] }),
    "whether it traps exits": ({ key }) => ({ atMs, traps: [{ process: key, on: true }] }),
    "an exit": ({ key }) => ({ atMs, exits: [{ process: key, exit }] }),
    "a snapshot": ({ key }) => ({ atMs, snapshots: [snapshot(key, 1)] }),
    "a move": ({ key }) => away({ moved: [{ process: key, shard: 1 }] }),
  };
  for (const [name, write] of Object.entries(writes)) {
    sharedRule(setup, `${name} of another node's process is refused, and all of the commit`, async (fixture) => {
      const [one, two] = await pair(fixture);
      const before = await two.store.load(11);
      await assert.rejects(
        one.store.commit({ ...write(process(11)), inbox: [{ process: 1, input: message, atMs }] }),
        fenced,
      );
      assert.deepEqual(await two.store.load(11), before);
      assert.deepEqual(await one.store.inbox(1), []);
      await two.store.commit(write(process(11)));
    });
  }

  sharedRule(setup, "a process of a shard that is nobody's is nobody's", async (fixture) => {
    const [one] = await pair(fixture);
    await one.store.commit({ atMs, newProcesses: [process(5, { shard: 3 })] });
    await assert.rejects(one.store.commit({ atMs, turns: [{ process: 5, turn: turn(1) }] }), fenced);
  });

  sharedRule(setup, "a node may give birth to processes of others, with what waits for them", async (fixture) => {
    const [one, two] = await pair(fixture);
    const row = process(5, { shard: 2, parent: "p1" });
    await one.store.commit({
      atMs,
      newProcesses: [row],
      inbox: [{ process: 5, input: text("start"), atMs }],
      links: [{ a: 1, b: 5 }],
    });
    assert.deepEqual(await two.store.findProcess("p5"), row);
    assert.deepEqual(await posted(two), [text("start")]);
    assert.deepEqual((await two.store.load(5)).links, [1]);
    await two.store.commit({ atMs, turns: [{ process: 5, turn: turn(1) }] });
  });

  sharedRule(setup, "recovery and timers are of own shards", async (fixture) => {
    const [one, two] = await pair(fixture);
    for (const [{ store }, key] of [
      [one, 1],
      [two, 11],
    ] as const) {
      const inbox = [{ process: key, input: message, atMs }];
      await store.commit({ atMs, operations: [operation(key, 1)], timers: [timer(key, 1), timer(key, 2)], inbox });
    }
    for (const [{ store }, key, shard] of [
      [one, 1, 1],
      [two, 11, 2],
    ] as const) {
      assert.deepEqual(await store.dueTimers("wall", 0, Infinity, 1), [timer(key, 1)]);
      assert.deepEqual(await store.dueTimers("wall", 0, Infinity, 9), [timer(key, 1), timer(key, 2)]);
      assert.deepEqual(await store.recover([shard]), {
        operations: [operation(key, 1)],
        withInbox: [key],
        damaged: [],
      });
      assert.deepEqual(await store.recover([3]), { operations: [], withInbox: [], damaged: [] });
    }
  });
}

function testPosted(setup: SharedSetup): void {
  sharedRule(setup, "what others put is handed out once, in order; what the owner puts is not", async (fixture) => {
    const [one, two] = await pair(fixture);
    const reader = await fixture.openReader();
    const put = (key: number, what: string) => ({ process: key, input: text(what), atMs });
    await two.store.commit({ atMs, inbox: [put(1, "a"), put(11, "own"), put(2, "b")] });
    await one.store.commit({ atMs, inbox: [put(1, "own"), put(11, "for two")] });
    await reader.post("p1", text("c"), atMs);
    await one.store.post("p2", text("d"), atMs);
    await two.store.commit({ atMs, inbox: [put(1, "e")] });
    assert.deepEqual(await posted(one, 2), ["a", "b"].map(text));
    assert.deepEqual(await posted(one, 2), ["c", "d"].map(text));
    assert.deepEqual(await posted(one), [text("e")]);
    assert.deepEqual(await posted(one), []);
    assert.deepEqual(await posted(two), [text("for two")]);
    assert.deepEqual(inputsOf(await one.store.inbox(1)), ["a", "own", "c", "e"].map(text));
  });

  sharedRule(setup, "rows come with their seqs, and those that were consumed do not come", async (fixture) => {
    const [one, two] = await pair(fixture);
    const inbox = ["a", "b", "c"].map((each) => ({ process: 1, input: text(each), atMs: atMs + 3 }));
    const { inboxSeqs } = await two.store.commit({ atMs, inbox });
    await one.store.commit({ atMs, inboxGone: inboxSeqs.slice(1, 2) });
    const rows = inbox.map((row, i) => ({ seq: inboxSeqs[i], ...row }));
    assert.deepEqual(await one.sharing.posted(9), [rows[0], rows[2]]);
  });

  sharedRule(setup, "what was put before a shard was acquired is found by recovery alone", async (fixture) => {
    const [one, two] = await pair(fixture);
    await two.store.commit({ atMs, inbox: [{ process: 1, input: text("before"), atMs }] });
    await one.store.commit(away({ yielded: [1] }));
    await one.store.post("p1", text("between"), atMs);
    await two.sharing.acquire([1], atMs);
    assert.deepEqual((await two.store.recover([1])).withInbox, [1]);
    await one.store.commit({ atMs, inbox: [{ process: 1, input: text("after"), atMs }] });
    assert.deepEqual(await posted(two), [text("after")]);
    assert.deepEqual(await posted(one), []);
    assert.deepEqual(inputsOf(await two.store.inbox(1)), ["before", "between", "after"].map(text));
  });

  sharedRule(setup, "one letter after the other is handed out, shard by shard", async (fixture) => {
    const one = await join(fixture, [1, 2, 3]);
    const two = await join(fixture);
    await one.store.putProgram(program, []);
    await one.store.commit({ atMs, newProcesses: [1, 2, 3].map((key) => process(key, { shard: key })) });
    const inbox = Array.from({ length: 30 }, (_, i) => ({ process: (i % 3) + 1, input: text(`${i}`), atMs }));
    await two.store.commit({ atMs, inbox });
    const rows: InboxRow[] = [];
    for (;;) {
      const page = await one.sharing.posted(4);
      rows.push(...page);
      if (page.length < 4) break;
    }
    for (const key of [1, 2, 3]) {
      const expected = inbox.filter((row) => row.process === key).map(({ input }) => input);
      assert.deepEqual(inputsOf(rows.filter((row) => row.process === key)), expected);
    }
    assert.equal(rows.length, 30);
  });

  sharedRule(setup, "a dead letter that is sent again reaches the owner", async (fixture) => {
    const [one, two] = await pair(fixture);
    await two.store.commit({ atMs, deadLetters: [{ process: 11, input: text("poison"), ...failure }] });
    const [letter] = await two.store.deadLetters(11, 0, 9);
    assert.equal(await two.store.takeDeadLetter(letter?.seq ?? 0, "p1", atMs), true);
    assert.deepEqual(await posted(one), [text("poison")]);
  });

  sharedRule(setup, "a node is told soon that others have put something there", async (fixture) => {
    const [one, two] = await pair(fixture);
    const told = new Promise<void>((resolve) => one.sharing.listen(resolve));
    const putting = async (): Promise<void> => {
      await two.store.commit({ atMs, inbox: [{ process: 1, input: message, atMs }] });
    };
    await Promise.all([told, putting()]);
  });
}

function testTies(setup: SharedSetup): void {
  sharedRule(
    setup,
    "a link to another node's process is seen from both ends, and breaks from both",
    async (fixture) => {
      const [one, two] = await pair(fixture);
      await one.store.commit(away({ links: [11, 12].map((target) => ({ process: 1, target, pid: `p${target}` })) }));
      assert.deepEqual((await one.store.load(1)).links, [11, 12]);
      assert.deepEqual((await two.store.load(11)).links, [1]);
      await two.store.commit({ atMs, exits: [{ process: 11, exit: failure }] });
      assert.deepEqual(await one.sharing.posted(9), [
        {
          seq: (await one.store.inbox(1))[0]?.seq,
          process: 1,
          input: signal("p11", "error", failure.value),
          atMs: failure.atMs,
          tie: 11,
        },
      ]);
      await one.store.commit({ atMs, exits: [{ process: 1, exit: failure }] });
      assert.deepEqual(await posted(two), [signal("p1", "error", failure.value)]);
      assert.deepEqual((await two.store.load(12)).links, []);
    },
  );

  sharedRule(setup, "monitors of another node's process tell of its end, each by its number", async (fixture) => {
    const [one, two] = await pair(fixture);
    const monitors = [
      [1, 5],
      [1, 6],
      [2, 5],
    ].map(([watcher = 0, number = 0]) => ({ watcher, number, target: 11, pid: "p11" }));
    await one.store.commit(away({ monitors }));
    assert.equal((await two.store.load(11)).watchers.length, 3);
    assert.deepEqual(
      (await one.store.load(1)).monitors.map(({ number }) => number),
      [5, 6],
    );
    await two.store.commit({ atMs, exits: [{ process: 11, exit: failure }] });
    const rows = await one.sharing.posted(9);
    assert.deepEqual(
      rows.map(({ process: key, input, tie }) => [key, input, tie]),
      [
        [1, down(5, "p11", "error", failure.value), 11],
        [1, down(6, "p11", "error", failure.value), 11],
        [2, down(5, "p11", "error", failure.value), 11],
      ],
    );
    assert.deepEqual(await one.store.inbox(1), rows.slice(0, 2));
    assert.deepEqual((await one.store.load(1)).inbox, rows.slice(0, 2));
    assert.deepEqual((await one.store.load(1)).monitors, []);
  });

  sharedRule(setup, "a tie with a process that has exited, or is not there, tells of that", async (fixture) => {
    const [one, two] = await pair(fixture);
    await two.store.commit({ atMs, exits: [{ process: 11, exit }] });
    await one.store.commit(
      away({
        links: [11, 99].map((target) => ({ process: 1, target, pid: `p${target}` })),
        monitors: [11, 99].map((target, i) => ({ watcher: 2, number: i + 1, target, pid: `p${target}` })),
      }),
    );
    const rows = await one.sharing.posted(9);
    assert.deepEqual(
      rows.map(({ process: key, input, tie }) => [key, input, tie]),
      [
        [1, signal("p11", "noproc"), 11],
        [1, signal("p99", "noproc"), 99],
        [2, down(1, "p11", "noproc"), 11],
        [2, down(2, "p99", "noproc"), 99],
      ],
    );
    const { links, monitors } = await one.store.load(1);
    assert.deepEqual([links, monitors, (await one.store.load(2)).monitors], [[], [], []]);
  });

  sharedRule(
    setup,
    "a link that is cut tells of no end any more, a monitor of the same process does",
    async (fixture) => {
      const [one, two] = await pair(fixture);
      const target = { target: 11, pid: "p11" };
      await one.store.commit(
        away({ links: [{ process: 1, ...target }], monitors: [{ watcher: 1, number: 1, ...target }] }),
      );
      await two.store.commit({ atMs, exits: [{ process: 11, exit }] });
      await one.store.commit({ ...away({ cut: [{ process: 1, from: 11 }] }), linksGone: [{ a: 1, b: 11 }] });
      assert.deepEqual(await posted(one), [down(1, "p11", "normal")]);
    },
  );

  sharedRule(setup, "what goes to a process that has exited is lost, or put elsewhere", async (fixture) => {
    const [one, two] = await pair(fixture);
    await two.store.commit({ atMs, exits: [{ process: 11, exit }] });
    const orElse = { process: 1, input: text("returned") };
    const { inboxSeqs } = await one.store.commit({
      atMs,
      inbox: [
        { process: 11, input: text("lost"), atMs },
        { process: 12, input: text("arrives"), atMs },
        { process: 11, input: text("bounces"), atMs, orElse },
        { process: 99, input: text("to nobody"), atMs },
        { process: 12, input: text("arrives too"), atMs, orElse },
        { process: 11, input: text("lost twice"), atMs, orElse: { process: 11, input: text("no") } },
      ],
    });
    const seqs = (await two.store.inbox(12)).map(({ seq }) => seq);
    assert.deepEqual(inboxSeqs, [0, seqs[0], 0, 0, seqs[1], 0]);
    assert.deepEqual(await posted(one), [text("returned")]);
    assert.deepEqual(await posted(two), ["arrives", "arrives too"].map(text));
    assert.deepEqual(await two.store.inbox(11), []);
  });
}

function testExits(setup: SharedSetup): void {
  sharedRule(setup, "who was told by the commit itself hears nothing more", async (fixture) => {
    const [one, two] = await pair(fixture);
    const monitors = [1, 2].map((number) => ({ watcher: 1, number, target: 11, pid: "p11" }));
    const links = [1, 2, 3].map((key) => ({ process: key, target: 11, pid: "p11" }));
    await one.store.commit(away({ links, monitors }));
    const told = { process: 11, links: [2], monitors: [[1, 1]] as const };
    await two.store.commit({ ...away({ notified: [told] }), exits: [{ process: 11, exit: failure }] });
    assert.deepEqual(
      (await one.sharing.posted(9)).map(({ process: key, input }) => [key, input]),
      [
        [1, signal("p11", "error", failure.value)],
        [3, signal("p11", "error", failure.value)],
        [1, down(2, "p11", "error", failure.value)],
      ],
    );
  });

  sharedRule(setup, "own processes that the commit did not tell hear it too", async (fixture) => {
    const [one] = await pair(fixture);
    await one.store.commit({ atMs, links: [{ a: 1, b: 2 }], monitors: [{ watcher: 3, number: 1, target: 1 }] });
    await one.store.commit({ atMs, exits: [{ process: 1, exit }] });
    assert.deepEqual(
      (await one.sharing.posted(9)).map(({ process: key, input }) => [key, input]),
      [
        [2, signal("p1", "normal")],
        [3, down(1, "p1", "normal")],
      ],
    );
  });

  sharedRule(setup, "processes that exit together tell the others, not each other", async (fixture) => {
    const [one, two] = await pair(fixture);
    await one.store.commit({ atMs, links: [{ a: 1, b: 2 }] });
    await two.store.commit(away({ links: [1, 2].map((target) => ({ process: 11, target, pid: `p${target}` })) }));
    await one.store.commit({ atMs, exits: [1, 2].map((key) => ({ process: key, exit: failure })) });
    assert.deepEqual(
      await posted(two),
      ["p1", "p2"].map((pid) => signal(pid, "error", failure.value)),
    );
    assert.deepEqual(await posted(one), []);
    assert.deepEqual([await one.store.inbox(1), await one.store.inbox(2)], [[], []]);
  });

  sharedRule(setup, "inputs that an exiting process never took go elsewhere; those it took do not", async (fixture) => {
    const [one, two] = await pair(fixture);
    const put = (what: string) => ({
      process: 11,
      input: text(what),
      atMs,
      orElse: { process: 1, input: text(`no ${what}`) },
    });
    const { inboxSeqs } = await one.store.commit({ atMs, inbox: [put("a"), put("b"), put("c"), put("d")] });
    await two.store.commit({ atMs, inboxGone: inboxSeqs.slice(0, 1) });
    await two.store.commit({ atMs, inboxGone: inboxSeqs.slice(2, 3), exits: [{ process: 11, exit }] });
    assert.deepEqual(await posted(one), ["no b", "no d"].map(text));
    assert.deepEqual(await two.store.inbox(11), []);
  });
}

function testMoves(setup: SharedSetup): void {
  sharedRule(
    setup,
    "a process that moves takes its timers along, and what waits for it is handed out",
    async (fixture) => {
      const [one, two] = await pair(fixture);
      await two.store.post("p1", text("a"), atMs);
      assert.deepEqual(await posted(one), [text("a")]);
      await one.store.commit({
        ...away({ moved: [{ process: 1, shard: 2 }] }),
        timers: [timer(1, 1)],
        inbox: [{ process: 1, input: text("b"), atMs }],
      });
      await one.store.commit({ atMs, inbox: [{ process: 1, input: text("c"), atMs }] });
      assert.equal((await two.store.getProcess(1))?.shard, 2);
      assert.deepEqual(await posted(two), ["a", "b", "c"].map(text));
      assert.deepEqual([await posted(one), await posted(two)], [[], []]);
      assert.deepEqual(await two.store.dueTimers("wall", 0, Infinity, 9), [timer(1, 1)]);
      assert.deepEqual(await one.store.dueTimers("wall", 0, Infinity, 9), []);
      await assert.rejects(one.store.commit({ atMs, turns: [{ process: 1, turn: turn(1) }] }), fenced);
      await two.store.commit({ atMs, turns: [{ process: 1, turn: turn(1) }] });
    },
  );
}

function testNames(setup: SharedSetup): void {
  sharedRule(setup, "a name is claimed by one, and everyone is told who that is", async (fixture) => {
    const [one, two] = await pair(fixture);
    for (let round = 0; round < 10; round++) {
      const name = `name ${round}`;
      const holders = await Promise.all([
        one.sharing.claimName(name, 1),
        two.sharing.claimName(name, 11),
        one.sharing.claimName(name, 2),
      ]);
      assert.equal(new Set(holders).size, 1);
      const row = (await one.store.names()).find((each) => each.name === name);
      assert.deepEqual([row?.process, row?.shard], [holders[0], (holders[0] ?? 0) > 10 ? 2 : 1]);
    }
    await one.store.commit({ atMs, namesGone: ["name 0"] });
    assert.equal(await two.sharing.claimName("name 0", 12), 12);
  });

  sharedRule(setup, "changes of names and groups are noticed by all, exits of members too", async (fixture) => {
    const [one, two] = await pair(fixture);
    const changes: Readonly<Record<string, () => Promise<unknown>>> = {
      claim: () => one.sharing.claimName("a", 1),
      names: () => one.store.commit({ atMs, names: [{ name: "b", process: 2 }] }),
      namesGone: () => one.store.commit({ atMs, namesGone: ["b"] }),
      groups: () => one.store.commit({ atMs, groups: [{ name: "g", process: 2 }] }),
      groupsGone: () => one.store.commit({ atMs, groupsGone: [{ name: "g", process: 2 }] }),
      exit: () => one.store.commit({ atMs, exits: [{ process: 1, exit }] }),
    };
    assert.equal(await two.sharing.namesChanged(), true);
    for (const [name, change] of Object.entries(changes)) {
      await change();
      assert.deepEqual([name, await two.sharing.namesChanged(), await two.sharing.namesChanged()], [name, true, false]);
    }
    await one.store.commit({ atMs, exits: [{ process: 2, exit }] });
    assert.equal(await two.sharing.namesChanged(), false);
  });

  sharedRule(setup, "a pid is kept for one node as long as it lives", async (fixture) => {
    const [one, two] = await pair(fixture);
    const kept = await Promise.all([one.sharing.reservePid("p50"), two.sharing.reservePid("p50")]);
    assert.deepEqual(kept.toSorted(), [false, true]);
    const [keeper, other] = kept[0] === true ? [one, two] : [two, one];
    assert.deepEqual([await keeper.sharing.reservePid("p50"), await other.sharing.reservePid("p50")], [true, false]);
    await fixture.crash(keeper.store);
    await fixture.lapse(keeper.lease.incarnation);
    await other.sharing.reap(atMs);
    assert.equal(await other.sharing.reservePid("p50"), true);
    await other.store.release(atMs);
    const three = await join(fixture);
    assert.equal(await three.sharing.reservePid("p50"), true);
  });

  sharedRule(setup, "a pid that a process has, or had, is kept for nobody", async (fixture) => {
    const [one, two] = await pair(fixture);
    assert.equal(await one.sharing.reservePid("p50"), true);
    await one.store.commit({ atMs, newProcesses: [process(50, { shard: 1 })] });
    assert.deepEqual([await one.sharing.reservePid("p50"), await two.sharing.reservePid("p50")], [false, false]);
    await one.store.commit({ atMs, exits: [{ process: 50, exit }] });
    await one.store.prune({ atMs, processes: [50], rows: 100 });
    assert.notEqual(await one.store.tombstone("p50"), undefined);
    assert.deepEqual([await one.sharing.reservePid("p50"), await two.sharing.reservePid("p50")], [false, false]);
  });
}

function testTime(setup: SharedSetup): void {
  sharedRule(setup, "time without a node counts only as long as there is none", async (fixture) => {
    const one = await join(fixture, [1], atMs);
    await one.store.renew(atMs + 1_000);
    const two = await join(fixture, [2], atMs + 2_000);
    await fixture.crash(one.store);
    await fixture.lapse(one.lease.incarnation);
    await two.sharing.reap(atMs + 3_000);
    assert.equal((await join(fixture, [], atMs + 4_000)).lease.downtimeMs, 0);
    await fixture.usurp();
    assert.equal((await join(fixture, [], atMs + 9_000)).lease.downtimeMs, 5_000);
  });

  sharedRule(setup, "nodes whose leases have all run out are dead for whoever joins then", async (fixture) => {
    const one = await join(fixture, [1], atMs);
    await fixture.crash(one.store);
    await fixture.lapse(one.lease.incarnation);
    const two = await join(fixture, [], atMs + 60_000);
    assert.equal(two.lease.downtimeMs, 60_000);
    assert.deepEqual(await two.sharing.acquire([1], atMs), [{ shard: 1, clean: false }]);
  });

  sharedRule(setup, "service time stood still for the processes of a dead node, and for no others", async (fixture) => {
    const [one, two] = await pair(fixture);
    const timers = (key: number) => [timer(key, 1), timer(key, 2, { clock: "service" })];
    await one.store.commit({ atMs: atMs + 1_000, timers: timers(1) });
    await two.store.commit({ atMs: atMs + 1_000, timers: timers(11) });
    await fixture.crash(one.store);
    await fixture.lapse(one.lease.incarnation);
    await two.store.renew(atMs + 8_000);
    await two.sharing.reap(atMs + 8_000);
    await two.sharing.acquire([1], atMs + 8_000);
    const [wall, service] = timers(1);
    assert.deepEqual(await two.store.timers(1), [wall, { ...service, dueMs: (service?.dueMs ?? 0) + 7_000 }]);
    assert.deepEqual(await two.store.timers(11), timers(11));
  });

  sharedRule(setup, "what is downtime for all is not put off besides", async (fixture) => {
    const [one, two] = await pair(fixture);
    await one.store.commit({ atMs: atMs + 1_000, timers: [timer(1, 1, { clock: "service", dueMs: 500 })] });
    await two.store.commit({ atMs: atMs + 3_000, timers: [timer(11, 1, { clock: "service", dueMs: 500 })] });
    for (const { store, lease } of [one, two]) {
      await fixture.crash(store);
      await fixture.lapse(lease.incarnation);
    }
    const three = await join(fixture, [1, 2], atMs + 10_000);
    assert.equal(three.lease.downtimeMs, 7_000);
    const due = await three.store.dueTimers("service", 0, Infinity, 9);
    assert.deepEqual(
      due.map((row) => [row.process, row.dueMs]),
      [
        [11, 500],
        [1, 2_500],
      ],
    );
  });
}
