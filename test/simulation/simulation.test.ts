import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CommitBatch } from "../../src/store/port.ts";
import { describeFailure, runKinds, runSeed } from "./run.ts";
import type { Run, RunKind } from "./run.ts";
import type { MachineKind } from "./counts.ts";
import { runAll } from "./threads.ts";

const firstSeed = 1;
const seeds = 2_000;
const treeSeeds = 600;
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

function noSignals({ inbox = [] }: CommitBatch): NonNullable<CommitBatch["inbox"]> {
  return inbox.filter(({ input }) => input.kind !== "exit" && input.kind !== "down");
}

function seedsFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}
