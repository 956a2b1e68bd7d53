/** A store that several nodes own: shards and leases, and what one node's commits do to processes of another. */
import assert from "node:assert/strict";
import type { CommitBatch, ProcessRow } from "../port.ts";
import type { SharedSetup } from "./fixture.ts";
import { away, join, pair, posted, sharedRule, text } from "./shared.ts";
import { exit, message, operation, process, program, snapshot, startMs, timer, turn } from "./samples.ts";

const atMs = startMs;
const fenced = { code: "STORE_FENCED" };

export function testSharing(setup: SharedSetup): void {
  testJoining(setup);
  testShards(setup);
  testEnds(setup);
  testBorders(setup);
  testNames(setup);
  testPids(setup);
  testTime(setup);
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

  sharedRule(setup, "what a node announces is shown to all, and says nothing of another's row", async (fixture) => {
    const [one, two] = [await fixture.open(), await fixture.open()];
    const about = { host: "box", pid: 1, release: "0.1.0", labels: ["gpu"], file: "", operations: [] };
    await one.claim(atMs, { id: "a", name: "a", ...about });
    await two.claim(atMs, { id: "b", name: "b", ...about });
    const news = { labels: ["gpu"], file: "/srv/a.ts", operations: ["x.ts#y", "x.ts#z"], load: 7 };
    await one.sharing?.announce(news);
    const rows = await (await fixture.openReader()).nodes(atMs);
    const told = rows.map(({ name, labels, file, operations, load }) => ({ name, labels, file, operations, load }));
    const { labels, file, operations } = about;
    assert.deepEqual(told, [
      { name: "a", ...news },
      { name: "b", labels, file, operations, load: 0 },
    ]);
    await fixture.lapse(1);
    await two.sharing?.reap(atMs);
    await assert.rejects(one.sharing?.announce(news) ?? Promise.resolve(), fenced);
  });

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
    "a move": ({ key }) => away({ moved: [{ process: key, shard: 1, input: message }] }),
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
}

function testPids(setup: SharedSetup): void {
  sharedRule(setup, "a pid is kept for one node as long as it lives", async (fixture) => {
    const [one, two] = await pair(fixture);
    const kept = await Promise.all([one.sharing.reservePid("p50"), two.sharing.reservePid("p50")]);
    assert.equal(kept.filter(Boolean).length, 1);
    const [keeper, other] = kept[0] ? [one, two] : [two, one];
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

  sharedRule(
    setup,
    "a pid that was exported is kept for its return only, by one node until it is back",
    async (fixture) => {
      const [one, two] = await pair(fixture);
      const exported = { file: "f", sha256: "00", serviceMs: 0, inboxSeq: 0 };
      await one.store.commit({ atMs, newProcesses: [process(50, { shard: 1 })] });
      await one.store.commit({ atMs, departures: [{ process: 50, exported }] });
      assert.deepEqual([await one.sharing.reservePid("p50"), await two.sharing.reservePid("p50")], [false, false]);
      const kept = [await one.sharing.reservePid("p50", true), await two.sharing.reservePid("p50", true)];
      assert.deepEqual(kept, [true, false]);
      const came = process(51, { pid: "@import:f", shard: 1, state: "moving" });
      assert.equal(await one.sharing.reservePid("@import:f"), true);
      await one.store.commit({ atMs, newProcesses: [came] });
      await one.store.commit({ atMs, arrivals: [{ process: 51, pid: "p50", state: "running", files: ["f"] }] });
      assert.equal(await two.sharing.reservePid("p50", true), false);
      // Nobody keeps any longer what has begun, and is gone.
      assert.equal(await two.sharing.reservePid("@import:f"), true);
      await one.store.commit({ atMs, departures: [{ process: 51, exported }] });
      assert.equal(await two.sharing.reservePid("p50", true), true);
    },
  );
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
