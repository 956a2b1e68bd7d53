/** What the ends of processes mean to those of other nodes that are tied to them, or send them something; and processes that move. */
import assert from "node:assert/strict";
import type { Input } from "../../journal/types.ts";
import type { SharedSetup } from "./fixture.ts";
import { away, pair, posted, sharedRule, text } from "./shared.ts";
import { exit, startMs, timer, turn } from "./samples.ts";

const atMs = startMs;
const fenced = { code: "STORE_FENCED" };
const nothing = { text: "u" };
type Reason = "noconnection" | "noproc" | "error" | "normal";
const signal = (from: string, reason: Reason, value = nothing): Input => ({
  ...{ kind: "exit", from, reason, value },
  linked: true,
  held: "",
});
const down = (monitor: number, from: string, reason: Reason, value = nothing): Input => ({
  ...{ kind: "down", monitor, from, reason, value },
});
const failure = { atMs: atMs + 7, reason: "error" as const, value: { text: 'j"why"' } };

export function testTies(setup: SharedSetup): void {
  testLinks(setup);
  testLateTies(setup);
  testEnded(setup);
  testUnheard(setup);
  testExits(setup);
  testDepartures(setup);
  testMoves(setup);
}

function testLinks(setup: SharedSetup): void {
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
}

function testLateTies(setup: SharedSetup): void {
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

function testEnded(setup: SharedSetup): void {
  sharedRule(setup, "who links again to one whose end waits for it is told once", async (fixture) => {
    const [one, two] = await pair(fixture);
    const link = away({ links: [{ process: 1, target: 11, pid: "p11" }] });
    await one.store.commit(link);
    await two.store.commit({ atMs, exits: [{ process: 11, exit: failure }] });
    await one.store.commit(link);
    assert.deepEqual(await posted(one), [signal("p11", "error", failure.value)]);
  });

  sharedRule(setup, "who cuts a link and makes it again is told anew that the other one has ended", async (fixture) => {
    const [one, two] = await pair(fixture);
    const links = [{ process: 1, target: 11, pid: "p11" }];
    await one.store.commit(away({ links }));
    await two.store.commit({ atMs, exits: [{ process: 11, exit: failure }] });
    await one.store.commit({ ...away({ links, cut: [{ process: 1, from: 11 }] }), linksGone: [{ a: 1, b: 11 }] });
    assert.deepEqual(await posted(one), [signal("p11", "noproc")]);
  });

  sharedRule(setup, "a name that another node's process is given when it has exited is not kept", async (fixture) => {
    const [one, two] = await pair(fixture);
    await two.store.commit({ atMs, exits: [{ process: 11, exit }] });
    const named = [
      { name: "a", process: 11 },
      { name: "b", process: 12 },
    ];
    await one.store.commit({ atMs, names: named, groups: named });
    for (const list of [await one.store.names(), await one.store.groups()])
      assert.deepEqual(
        list.map(({ name, process }) => ({ name, process })),
        [{ name: "b", process: 12 }],
      );
  });
}

function testUnheard(setup: SharedSetup): void {
  const held: Input = {
    ...{ kind: "exit", from: "p11", reason: "error", value: nothing },
    linked: true,
    held: "message",
  };
  const word = { process: 1, input: held, atMs, tie: 11, orElse: { process: 11, input: text("let go") } };
  const cut = { ...away({ cut: [{ process: 1, from: 11 }] }), linksGone: [{ a: 1, b: 11 }] };

  sharedRule(setup, "what goes through a link comes back when that is cut before, or has been", async (fixture) => {
    const [one, two] = await pair(fixture);
    await one.store.commit(away({ links: [{ process: 1, target: 11, pid: "p11" }] }));
    await two.store.commit({ atMs, inbox: [word] });
    assert.deepEqual([await posted(one), await posted(two)], [[held], []]);
    await one.store.commit(cut);
    assert.deepEqual([await one.store.inbox(1), await posted(two)], [[], [text("let go")]]);
    const { inboxSeqs } = await two.store.commit({ atMs, inbox: [word] });
    assert.deepEqual(inboxSeqs, [0]);
    assert.deepEqual([await posted(one), await posted(two)], [[], [text("let go")]]);
  });

  sharedRule(setup, "what goes through a link that is made again with the cut stays", async (fixture) => {
    const [one, two] = await pair(fixture);
    const tied = { atMs, inbox: [{ ...word, process: 2, tie: 1 }], links: [{ a: 1, b: 2 }] };
    await one.store.commit(tied);
    await one.store.commit({ ...away({ cut: [{ process: 2, from: 1 }] }), ...tied });
    assert.deepEqual([(await one.store.inbox(2)).length, await posted(two)], [1, [text("let go")]]);
  });

  sharedRule(setup, "what is refused goes elsewhere; what is taken does not", async (fixture) => {
    const [one, two] = await pair(fixture);
    await one.store.commit(away({ links: [{ process: 1, target: 11, pid: "p11" }] }));
    const { inboxSeqs } = await two.store.commit({ atMs, inbox: [word, word] });
    await one.store.commit({ atMs, inboxGone: inboxSeqs.slice(0, 1) });
    await one.store.commit(away({ refused: inboxSeqs }));
    assert.deepEqual([await one.store.inbox(1), await posted(two)], [[], [text("let go")]]);
    await two.store.commit({ atMs, exits: [{ process: 11, exit }] });
    assert.deepEqual(await posted(one), [signal("p11", "normal")]);
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

function testDepartures(setup: SharedSetup): void {
  sharedRule(setup, "who is tied to a process that leaves for another store hears of that", async (fixture) => {
    const [one, two] = await pair(fixture);
    await one.store.commit({ atMs, links: [{ a: 1, b: 2 }] });
    await two.store.commit(
      away({
        links: [{ process: 11, target: 1, pid: "p1" }],
        monitors: [{ watcher: 12, number: 3, target: 1, pid: "p1" }],
      }),
    );
    const exported = { file: "f", sha256: "0", serviceMs: atMs, inboxSeq: 0 };
    const told = { process: 1, links: [2], monitors: [] };
    await one.store.commit({ ...away({ notified: [told] }), departures: [{ process: 1, exported }] });
    const rows = await two.sharing.posted(9);
    assert.deepEqual(
      rows.map(({ process: key, input, tie }) => [key, input, tie]),
      [
        [11, signal("p1", "noconnection"), 1],
        [12, down(3, "p1", "noconnection"), 1],
      ],
    );
    assert.deepEqual([await posted(one), (await two.store.load(11)).links], [[], []]);
  });
}

function testMoves(setup: SharedSetup): void {
  sharedRule(setup, "what is put for others is handed out, whoever owns its process by then", async (fixture) => {
    const [one] = await pair(fixture);
    const row = (what: string) => ({ process: 1, input: text(what), atMs });
    await one.store.commit({ atMs, inbox: [row("kept"), { ...row("away"), away: true }] });
    assert.deepEqual(await posted(one), [text("away")]);
  });

  sharedRule(
    setup,
    "a process that moves takes its timers along, and what waits for it is handed out",
    async (fixture) => {
      const [one, two] = await pair(fixture);
      await two.store.post("p1", text("a"), atMs);
      assert.deepEqual(await posted(one), [text("a")]);
      await one.store.commit({
        ...away({ moved: [{ process: 1, shard: 2, input: text("moved") }] }),
        timers: [timer(1, 1)],
        inbox: [{ process: 1, input: text("b"), atMs }],
      });
      await one.store.commit({ atMs, inbox: [{ process: 1, input: text("c"), atMs }] });
      assert.equal((await two.store.getProcess(1))?.shard, 2);
      assert.deepEqual(await posted(two), ["a", "b", "moved", "c"].map(text));
      assert.deepEqual([await posted(one), await posted(two)], [[], []]);
      assert.deepEqual(await two.store.dueTimers("wall", 0, Infinity, 9), [timer(1, 1)]);
      assert.deepEqual(await one.store.dueTimers("wall", 0, Infinity, 9), []);
      await assert.rejects(one.store.commit({ atMs, turns: [{ process: 1, turn: turn(1) }] }), fenced);
      await two.store.commit({ atMs, turns: [{ process: 1, turn: turn(1) }] });
    },
  );
}
