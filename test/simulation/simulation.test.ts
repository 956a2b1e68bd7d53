import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Attempts } from "../../src/kernel/attempts.ts";
import { PostedMail } from "../../src/kernel/mail.ts";
import { Timers } from "../../src/kernel/timers.ts";
import type { CommitBatch, InboxRow, NewInboxRow, ProcessKey } from "../../src/store/port.ts";
import { describeFailure, runKinds, runSeed } from "./run.ts";
import type { Run, RunKind, RunOptions } from "./run.ts";
import type { MachineKind } from "./counts.ts";
import type { Sabotage } from "./simulation.ts";
import { runAll } from "./threads.ts";

const firstSeed = 1;
const seeds = 800;
const treeSeeds = 300;
const clusterSeeds = 300;
const chosenSeed = process.env["PERDURE_SEED"];

function passes(failures: readonly Run[]): void {
  assert.equal(failures.length, 0, `\n${failures.map((run) => describeFailure(run)).join("\n")}`);
}

describe("the kernel keeps its promises whatever goes wrong", () => {
  test(`in ${seeds} runs from seed ${firstSeed}`, async () => {
    const { counts, failures } = await runAll({ kinds: ["steps"], first: firstSeed, count: seeds });
    passes(failures);
    assert.equal(counts.runs, seeds);
  });

  test(`in ${treeSeeds} runs with trees of processes from seed ${firstSeed}`, async () => {
    const { counts, failures } = await runAll({ kinds: ["trees"], first: firstSeed, count: treeSeeds });
    passes(failures);
    assert.equal(counts.runs, treeSeeds);
  });

  test(`in ${clusterSeeds} runs of several nodes from seed ${firstSeed}`, async () => {
    const { counts, failures } = await runAll({ kinds: ["cluster"], first: firstSeed, count: clusterSeeds });
    passes(failures);
    assert.equal(counts.runs, clusterSeeds);
  });

  test("in the run of PERDURE_SEED", { skip: chosenSeed === undefined }, async () => {
    for (const kind of runKinds) {
      const run = await runSeed(Number(chosenSeed), { kind });
      passes(run.problem === undefined ? [] : [run]);
    }
  });
});

describe("one seed gives one run, alone or beside others", () => {
  const same = (machine: MachineKind, seeds: readonly number[], quickJs: number): void => {
    test(`with processes in ${machine}`, async () => {
      const together = await Promise.all(seeds.map((seed) => runSeed(seed, { quickJs })));
      for (const before of together) {
        const again = await runSeed(before.seed, { quickJs });
        assert.equal(again.machine, machine);
        assert.equal(again.fingerprint, before.fingerprint, `seed ${before.seed}`);
      }
    });
  };
  test("with several nodes", async () => {
    const together = await Promise.all(seedsFrom(7_000, 16).map((seed) => runSeed(seed, { kind: "cluster" })));
    for (const before of together) {
      const again = await runSeed(before.seed, { kind: "cluster" });
      assert.equal(again.fingerprint, before.fingerprint, `seed ${before.seed}`);
    }
  });

  same("model", seedsFrom(7_000, 40), 0);
  same("quickjs", seedsFrom(7_000, 15), 1);
});

describe("the simulator notices", () => {
  const notices = (what: string, commit: (batch: CommitBatch) => CommitBatch, kind: RunKind = "steps"): void => {
    test(what, async () => {
      for (let first = 1; first < 100; first += 10) {
        const runs = seedsFrom(first, 10).map((seed) => runSeed(seed, { kind, quickJs: 0, sabotage: { commit } }));
        if ((await Promise.all(runs)).some(({ problem }) => problem !== undefined)) return;
      }
      assert.fail("nobody noticed");
    });
  };
  notices("a commit that never reaches the disk", ({ atMs }) => ({ atMs }));
  notices("an input that stays in the inbox when it is consumed", (batch) => ({ ...batch, inboxGone: [] }));
  notices("an input that is written twice", (batch) => ({
    ...batch,
    inbox: [...(batch.inbox ?? []), ...(batch.inbox ?? [])],
  }));
  notices("an input that is not written", (batch) => ({ ...batch, inbox: [] }));
  notices("a turn that is not written", (batch) => ({ ...batch, turns: [] }));
  notices("an operation that is not written", (batch) => ({ ...batch, operations: [] }));
  notices("an operation that stays when it is done with", (batch) => ({ ...batch, operationsGone: [] }));
  notices("a timer that is not written", (batch) => ({ ...batch, timers: [] }));
  notices("a timer that stays when it has fired", (batch) => ({ ...batch, timersGone: [] }));
  notices("a timer that is due early", (batch) => ({
    ...batch,
    timers: (batch.timers ?? []).map((row) => ({ ...row, dueMs: row.dueMs - 1 })),
  }));
  notices("a log that is not written", (batch) => ({ ...batch, logs: [] }));
  notices("an exit that is not written", (batch) => ({ ...batch, exits: [] }));
  notices("a snapshot that is said to be of the turn after", (batch) => ({
    ...batch,
    snapshots: (batch.snapshots ?? []).map((row) => ({ ...row, turn: row.turn + 1 })),
  }));
  notices("a link that is not written", (batch) => ({ ...batch, links: [] }), "trees");
  notices("a link that stays when it is cut", (batch) => ({ ...batch, linksGone: [] }), "trees");
  notices("a monitor that is not written", (batch) => ({ ...batch, monitors: [] }), "trees");
  notices("a monitor that stays when it is taken back", (batch) => ({ ...batch, monitorsGone: [] }), "trees");
  notices("a name that is not written", (batch) => ({ ...batch, names: [] }), "trees");
  notices("a group that is not left", (batch) => ({ ...batch, groupsGone: [] }), "trees");
  notices("trapping exits that is not written", (batch) => ({ ...batch, traps: [] }), "trees");
  notices("a signal that is not written", (batch) => ({ ...batch, inbox: noSignals(batch) }), "trees");
  notices("a failure that is not written", (batch) => ({ ...batch, states: [] }), "trees");
});

describe("the simulator notices in clusters", () => {
  /** `bug`: what is done behind the kernels' backs, and how that is undone. `from`: the first seed; what is rare begins close to where it strikes. */
  const notices = (
    what: string,
    sabotage: () => Sabotage,
    bug: () => () => void = () => () => undefined,
    { lean = {}, from = 1 }: { readonly lean?: RunOptions["lean"]; readonly from?: number } = {},
  ): void => {
    test(what, async () => {
      const undo = bug();
      try {
        for (let first = from; first < from + 600; first += 8) {
          const runs = seedsFrom(first, 8).map((seed) =>
            runSeed(seed, { kind: "cluster", sabotage: sabotage(), lean, lateMail: "unlink" in lean }),
          );
          if ((await Promise.all(runs)).some(({ problem }) => problem !== undefined)) return;
        }
      } finally {
        undo();
      }
      assert.fail("nobody noticed");
    });
  };
  const changing = (commit: NonNullable<Sabotage["commit"]>) => (): Sabotage => ({ commit });
  const nothing = (): Sabotage => ({});

  notices("a notice of an exit that is not put", () => ({ owners: { notices: 0 } }));
  notices("a notice of an exit that is put twice", () => ({ owners: { notices: 2 } }));
  notices("posted rows that are never handed out", () => ({ posting: () => [] }));
  notices("posted rows that are handed out twice", () => {
    let last: InboxRow[] = [];
    return {
      posting: (rows) => {
        const both = [...last, ...rows];
        last = rows;
        return both;
      },
    };
  });
  notices("a commit of one that was fenced and is accepted", () => ({ owners: { acceptsFenced: true } }));
  notices(
    "a shard that is given up before its last turn is committed",
    changing((batch, disk) => {
      const [{ process } = { process: 0 }] = batch.turns ?? [];
      const shard = disk.processes.get(process)?.row.shard;
      if (batch.away === undefined || shard === undefined) return batch;
      return { ...batch, away: { ...batch.away, yielded: [shard] } };
    }),
  );
  notices(
    "a message to a process of another node that is lost",
    changing((batch, disk) => {
      const isOwn = (process: ProcessKey): boolean => {
        const { owners, processes } = disk;
        const row = processes.get(process)?.row;
        return row === undefined || owners?.owns(owners.committing, row) !== false;
      };
      return { ...batch, inbox: (batch.inbox ?? []).filter(({ process }) => isOwn(process)) };
    }),
  );
  notices(
    "a cut that is passed over",
    changing((batch) => (batch.away === undefined ? batch : { ...batch, away: { ...batch.away, cut: [] } })),
    () => {
      const { cut } = PostedMail.prototype;
      PostedMail.prototype.cut = () => undefined;
      return () => (PostedMail.prototype.cut = cut);
    },
    { lean: { unlink: 4, spawn: 2, crash: 2, link: 4 }, from: 497 },
  );
  notices(
    "a verdict for one that has ended, which nobody answers",
    changing((batch) => ({ ...batch, inbox: (batch.inbox ?? []).map(withoutElse) })),
    () => () => undefined,
    { lean: { pause: 20, resume: 20, exit: 10 }, from: 345 },
  );
  notices("timers that are not taken up with their shard", nothing, () => {
    const { forget } = Timers.prototype;
    Timers.prototype.forget = () => undefined;
    return () => (Timers.prototype.forget = forget);
  });
  notices("operations that are not recovered when their node was declared dead", nothing, () => {
    const { recover } = Attempts.prototype;
    Attempts.prototype.recover = function (this: Attempts, live, operation, afterCrash) {
      if (!afterCrash) recover.call(this, live, operation, afterCrash);
    };
    return () => (Attempts.prototype.recover = recover);
  });
});

function withoutElse(given: NewInboxRow): NewInboxRow {
  const { orElse: _, ...row } = given;
  return row;
}

function noSignals({ inbox = [] }: CommitBatch): NonNullable<CommitBatch["inbox"]> {
  return inbox.filter(({ input }) => input.kind !== "exit" && input.kind !== "down");
}

function seedsFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}
