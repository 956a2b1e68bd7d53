/** Links, monitors, names and groups: who hears of whose end, and who is found under which name. */
import assert from "node:assert/strict";
import type { CommitBatch, ProcessKey, Store } from "../port.ts";
import { ownerRule } from "./fixture.ts";
import type { StoreSetup } from "./fixture.ts";
import { exit, monitor, process, startMs } from "./samples.ts";

const atMs = startMs;

export function testRelations(setup: StoreSetup): void {
  testLinks(setup);
  testMonitors(setup);
  testNames(setup);
  testNameChanges(setup);
  testGroups(setup);
  testExits(setup);
  testLasting(setup);
}

async function putProcesses(store: Store, count = 4): Promise<void> {
  await store.commit({ atMs, newProcesses: Array.from({ length: count }, (_, i) => process(i + 1)) });
}

async function linksOf(store: Store, ...keys: ProcessKey[]): Promise<(readonly ProcessKey[])[]> {
  return Promise.all(keys.map(async (key) => (await store.load(key)).links));
}

function testLinks(setup: StoreSetup): void {
  ownerRule(setup, "a link shows at both ends, whichever made it, in the order of the keys", async (store) => {
    await putProcesses(store);
    const links = [
      { a: 4, b: 2 },
      { a: 1, b: 2 },
      { a: 2, b: 3 },
    ];
    await store.commit({ atMs, links });
    assert.deepEqual(await linksOf(store, 1, 2, 3, 4), [[2], [1, 3, 4], [2], [2]]);
    assert.deepEqual((await store.relations(2)).links, ["p1", "p3", "p4"]);
  });

  ownerRule(
    setup,
    "linking twice, from either end, is one link, and one removal from either end ends it",
    async (store) => {
      await putProcesses(store, 3);
      for (const [a, b] of [
        [1, 2],
        [2, 1],
      ] as const) {
        await store.commit({
          atMs,
          links: [
            { a: 1, b: 2 },
            { a: 2, b: 1 },
            { a: 2, b: 3 },
          ],
        });
        assert.deepEqual(await linksOf(store, 1, 2), [[2], [1, 3]]);
        await store.commit({ atMs, linksGone: [{ a, b }] });
        assert.deepEqual(await linksOf(store, 1, 2, 3), [[], [3], [2]]);
      }
    },
  );

  ownerRule(setup, "a link that one commit puts and removes is not there", async (store) => {
    await putProcesses(store, 2);
    await store.commit({ atMs, links: [{ a: 1, b: 2 }], linksGone: [{ a: 2, b: 1 }] });
    assert.deepEqual(await linksOf(store, 1, 2), [[], []]);
  });
}

function testMonitors(setup: StoreSetup): void {
  ownerRule(setup, "a monitor shows with its watcher by number, and with its target by watcher", async (store) => {
    await putProcesses(store);
    const monitors = [monitor(1, 10, 3), monitor(1, 9, 2), monitor(4, 1, 3), monitor(1, 11, 3), monitor(3, 1, 3)];
    await store.commit({ atMs, monitors });
    const [first, third] = [await store.load(1), await store.load(3)];
    assert.deepEqual(first.monitors, [monitor(1, 9, 2), monitor(1, 10, 3), monitor(1, 11, 3)]);
    assert.deepEqual(first.watchers, []);
    assert.deepEqual(third.monitors, [monitor(3, 1, 3)]);
    assert.deepEqual(third.watchers, [monitor(1, 10, 3), monitor(1, 11, 3), monitor(3, 1, 3), monitor(4, 1, 3)]);
    assert.deepEqual(await store.relations(1), { links: [], monitors: ["p2", "p3", "p3"] });
  });

  ownerRule(setup, "a monitor is removed by its watcher and number; others stay", async (store) => {
    await putProcesses(store, 2);
    await store.commit({ atMs, monitors: [monitor(1, 1, 2), monitor(1, 2, 2), monitor(2, 1, 1)] });
    await store.commit({ atMs, monitorsGone: [{ watcher: 1, number: 1 }] });
    const { monitors, watchers } = await store.load(1);
    assert.deepEqual([monitors, watchers], [[monitor(1, 2, 2)], [monitor(2, 1, 1)]]);
  });

  ownerRule(setup, "a monitor put again stays as it was", async (store) => {
    await putProcesses(store, 3);
    await store.commit({ atMs, monitors: [monitor(1, 1, 2)] });
    await store.commit({ atMs, monitors: [monitor(1, 1, 2), monitor(1, 1, 3)] });
    assert.deepEqual((await store.load(1)).monitors, [monitor(1, 1, 2)]);
    assert.deepEqual((await store.load(3)).watchers, []);
  });
}

function testNames(setup: StoreSetup): void {
  ownerRule(setup, "names are listed in the order of their code points, with whose they are", async (store) => {
    await putProcesses(store, 2);
    const names = ["b", "é", "B", "\u{1f642}", "\uffee", "a b", "'"];
    await store.commit({ atMs, names: names.map((name, i) => ({ name, process: (i % 2) + 1 })) });
    assert.deepEqual(
      await store.names(),
      [
        ["'", 1],
        ["B", 1],
        ["a b", 2],
        ["b", 1],
        ["é", 2],
        ["\uffee", 1],
        ["\u{1f642}", 2],
      ].map(([name, key]) => ({ name, process: key, pid: `p${key}` })),
    );
  });

  ownerRule(
    setup,
    "a name that another process has is STORE_FENCED, and nothing of the commit is kept",
    async (store) => {
      await putProcesses(store, 2);
      await store.commit({ atMs, names: [{ name: "x", process: 1 }] });
      const taken = { code: "STORE_FENCED", message: /"x"/ };
      await assert.rejects(
        store.commit({
          atMs,
          names: [
            { name: "y", process: 2 },
            { name: "x", process: 2 },
          ],
        }),
        taken,
      );
      const twice = [1, 2].map((key) => ({ name: "y", process: key }));
      await assert.rejects(store.commit({ atMs, names: twice }), { code: "STORE_FENCED", message: /"y"/ });
      assert.deepEqual(await store.names(), [{ name: "x", process: 1, pid: "p1" }]);
    },
  );
}

function testNameChanges(setup: StoreSetup): void {
  ownerRule(
    setup,
    "a name given again to its process stays, and one taken away can be given in the same commit",
    async (store) => {
      await putProcesses(store, 2);
      await store.commit({
        atMs,
        names: [
          { name: "x", process: 1 },
          { name: "x", process: 1 },
        ],
      });
      await store.commit({ atMs, names: [{ name: "x", process: 1 }] });
      assert.deepEqual(await store.names(), [{ name: "x", process: 1, pid: "p1" }]);
      await store.commit({ atMs, namesGone: ["x"], names: [{ name: "x", process: 2 }] });
      assert.deepEqual(await store.names(), [{ name: "x", process: 2, pid: "p2" }]);
    },
  );

  ownerRule(setup, "an exit in the same commit does not free a name: it has to be taken away", async (store) => {
    await putProcesses(store, 2);
    await store.commit({ atMs, names: [{ name: "x", process: 1 }] });
    const handOver: CommitBatch = { atMs, names: [{ name: "x", process: 2 }], exits: [{ process: 1, exit }] };
    await assert.rejects(store.commit(handOver), { code: "STORE_FENCED" });
    await store.commit({ ...handOver, namesGone: ["x"] });
    assert.deepEqual(await store.names(), [{ name: "x", process: 2, pid: "p2" }]);
  });

  ownerRule(setup, "thousands of names and members come whole", async (store) => {
    await putProcesses(store, 3);
    const rows = Array.from({ length: 2500 }, (_, i) => ({
      name: `n${String(i).padStart(5, "0")}`,
      process: (i % 3) + 1,
    }));
    const members = [1, 2, 3].flatMap((key) => rows.slice(0, 700).map(({ name }) => ({ name, process: key })));
    await store.commit({ atMs, names: rows.toReversed(), groups: members });
    const shown = (row: { name: string; process: number }): unknown => ({ ...row, pid: `p${row.process}` });
    assert.deepEqual(await store.names(), rows.map(shown));
    assert.deepEqual(
      await store.groups(),
      rows.slice(0, 700).flatMap(({ name }) => [1, 2, 3].map((key) => shown({ name, process: key }))),
    );
  });
}

function testGroups(setup: StoreSetup): void {
  ownerRule(setup, "a process may be in many groups and a group have many members, each once", async (store) => {
    await putProcesses(store, 3);
    const groups = [
      { name: "b", process: 3 },
      { name: "a", process: 3 },
      { name: "b", process: 1 },
      { name: "b", process: 3 },
    ];
    await store.commit({ atMs, groups });
    await store.commit({ atMs, groups });
    const members = async (): Promise<string[]> => (await store.groups()).map(({ name, pid }) => `${name} ${pid}`);
    assert.deepEqual(await members(), ["a p3", "b p1", "b p3"]);
    await store.commit({ atMs, groupsGone: [{ name: "b", process: 3 }], groups: [{ name: "b", process: 2 }] });
    assert.deepEqual(await members(), ["a p3", "b p1", "b p2"]);
  });

  ownerRule(setup, "a member that leaves and joins in one commit is one", async (store) => {
    await putProcesses(store, 1);
    const member = [{ name: "a", process: 1 }];
    await store.commit({ atMs, groupsGone: member, groups: member });
    assert.deepEqual(await store.groups(), [{ name: "a", process: 1, pid: "p1" }]);
  });
}

/** Processes 1, 2 and 3, each tied to both others in every way. */
const ties: CommitBatch = {
  atMs,
  links: [
    { a: 1, b: 2 },
    { a: 1, b: 3 },
    { a: 2, b: 3 },
  ],
  monitors: [1, 2, 3].flatMap((watcher) =>
    [1, 2, 3].filter((target) => target !== watcher).map((target) => monitor(watcher, target, target)),
  ),
  names: [1, 2, 3].map((key) => ({ name: `name ${key}`, process: key })),
  groups: [1, 2, 3].map((key) => ({ name: "all", process: key })),
};

function testExits(setup: StoreSetup): void {
  for (const gone of [1, 2, 3]) {
    const [low = 0, high = 0] = [1, 2, 3].filter((key) => key !== gone);
    ownerRule(setup, `the exit of process ${gone} of 3 removes its ties at both ends, and no others`, async (store) => {
      await putProcesses(store, 3);
      await store.commit(ties);
      await store.commit({ atMs, exits: [{ process: gone, exit }] });
      const { links, monitors, watchers } = await store.load(gone);
      assert.deepEqual([links, monitors, watchers], [[], [], []]);
      assert.deepEqual(await store.relations(gone), { links: [], monitors: [] });
      for (const [one, other] of [
        [low, high],
        [high, low],
      ] as const) {
        const load = await store.load(one);
        assert.deepEqual(load.links, [other]);
        assert.deepEqual(load.monitors, [monitor(one, other, other)]);
        assert.deepEqual(load.watchers, [monitor(other, one, one)]);
      }
      const left = [low, high];
      assert.deepEqual(
        await store.names(),
        left.map((key) => ({ name: `name ${key}`, process: key, pid: `p${key}` })),
      );
      assert.deepEqual(
        await store.groups(),
        left.map((key) => ({ name: "all", process: key, pid: `p${key}` })),
      );
    });
  }

  ownerRule(setup, "an exit also removes ties that its own commit put", async (store) => {
    await putProcesses(store, 3);
    await store.commit({ ...ties, exits: [1, 2].map((key) => ({ process: key, exit })) });
    const { links, monitors, watchers } = await store.load(3);
    assert.deepEqual([links, monitors, watchers], [[], [], []]);
    assert.deepEqual([(await store.names()).length, (await store.groups()).length], [1, 1]);
  });
}

function testLasting(setup: StoreSetup): void {
  ownerRule(
    setup,
    "ties are there after a crash, and removing what is not there does nothing",
    async (store, fixture) => {
      await putProcesses(store, 3);
      await store.commit(ties);
      const all = async (from: Store): Promise<unknown> => [
        await from.load(1),
        await from.load(2),
        await from.names(),
        await from.groups(),
      ];
      const before = await all(store);
      await store.commit({
        atMs,
        linksGone: [{ a: 1, b: 9 }],
        monitorsGone: [
          { watcher: 9, number: 1 },
          { watcher: 1, number: 9 },
        ],
        namesGone: ["nothing"],
        groupsGone: [
          { name: "all", process: 9 },
          { name: "nothing", process: 1 },
        ],
      });
      assert.deepEqual(await all(store), before);
      await fixture.crash(store);
      const next = await fixture.open();
      assert.deepEqual(await all(next), before);
      assert.deepEqual(await next.relations(9), { links: [], monitors: [] });
    },
  );
}
