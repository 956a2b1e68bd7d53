import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Input } from "../journal/types.ts";
import { exit, process, startMs } from "../store/suite/samples.ts";
import { Stage } from "./batch.ts";
import { encodeCheckpoint } from "./checkpoint-body.ts";
import { Checkpoints } from "./checkpoints.ts";
import type { CheckpointsPorts } from "./checkpoints.ts";
import { awayLive, newLive, queueInput, relationsOf } from "./live.ts";
import type { Live } from "./live.ts";
import { problemOf, signalInput, Ties } from "./ties.ts";

const failure = { ...exit, reason: "error" as const };
const child = process(2, { parent: "p1", state: "exited", exit: failure });

/** A parent that was linked to its child at its checkpoint, put back: what it is told. `away`: the child is another node's, and linked to it still. */
async function toldAfterwards(waiting: readonly Input[], away?: Live): Promise<Input[]> {
  const committer = { stage: new Stage() } as CheckpointsPorts["committer"];
  const parent = newLive(process(1, { state: "crashed", exit: failure, trapsExits: true }));
  const none = { operations: [], timers: [], monitors: [], watchers: [], ends: [] };
  parent.checkpoint = { turn: 1, body: encodeCheckpoint({ ...none, links: [child.key], trapsExits: true }) };
  parent.lastTurn = 1;
  parent.inputs = waiting.map((input) => queueInput(input, startMs));
  if (away !== undefined) relationsOf(parent).links.add(away.row.key);
  const unexpected = (): never => assert.fail("not expected here");
  const ties = new Ties({
    committer,
    shared: false,
    cut: unexpected,
    held: () => undefined,
    find: () => undefined,
    deliver: unexpected,
    abandon: unexpected,
  });
  const checkpoints = new Checkpoints({
    committer,
    ties,
    attempts: {} as CheckpointsPorts["attempts"],
    edges: {} as CheckpointsPorts["edges"],
    random: { bytes: (count) => new Uint8Array(count) },
    store: {
      turns: () => Promise.resolve([]),
      getProcess: () => Promise.resolve(child),
      exported: () => Promise.resolve(undefined),
      load: unexpected,
    },
    shared: false,
    clock: { nowMs: () => startMs, after: unexpected },
    held: () => undefined,
    reach: () => Promise.resolve(away),
    timersSet: () => undefined,
  });
  await checkpoints.prepare(parent);
  assert.ok(checkpoints.restore(parent, failure, undefined));
  return parent.inputs.map(({ input }) => input).filter(({ kind }) => kind !== "restore");
}

describe("a process that is put back, and a link of then whose other end has ended", () => {
  const end = signalInput(child.pid, failure, true, "");

  test("is told of the end", async () => {
    assert.deepEqual(await toldAfterwards([]), [end]);
  });

  test("is told once if word of it is on its way", async () => {
    assert.deepEqual(await toldAfterwards([end]), [end]);
  });

  test("is told of the end also if what is on its way is word that the other end failed and is held", async () => {
    const held = signalInput(child.pid, failure, true, "message");
    assert.deepEqual(await toldAfterwards([held]), [held, end]);
  });
});

test("a process that is put back hears again of a child that is held on another node", async () => {
  const problem = problemOf({ culprit: "timer", aside: undefined, sender: "" });
  const held = awayLive({ ...child, state: "crashed", problem });
  assert.deepEqual(await toldAfterwards([], held), [signalInput(child.pid, failure, true, "timer")]);
});
