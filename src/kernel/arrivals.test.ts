import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { process, startMs } from "../store/suite/samples.ts";
import { Arrivals } from "./arrivals.ts";
import type { ArrivalsPorts, LastRows } from "./arrivals.ts";
import { Stage } from "./batch.ts";

const { key: _, state: __, problem: ___, ...row } = process(1);
const last: LastRows = {
  operations: [],
  timers: [],
  checkpoints: [],
  snapshots: [],
  arrival: { process: 7, pid: "p1", state: "running", files: ["f"] },
};

interface Fixture {
  readonly arrivals: Arrivals;
  readonly stage: Stage;
  nowMs(): number;
}

/** Of a node whose store says at each look what `births` says; `isReserved`: the node itself begins such a process. */
function fixture(births: ArrivalsPorts["births"], isReserved = false): Fixture {
  let nowMs = startMs;
  const stage = new Stage();
  const registry = {
    known: () => Promise.resolve(undefined),
    named: () => undefined,
    isReserved: () => isReserved,
    discard: () => undefined,
  };
  const arrivals = new Arrivals({
    store: { findProcess: () => Promise.resolve(undefined), imported: () => Promise.resolve(undefined) },
    clock: {
      nowMs: () => nowMs,
      after: (ms: number, fn: () => void) => {
        nowMs += ms;
        queueMicrotask(fn);
        return () => undefined;
      },
    },
    committer: { stage },
    registry,
    names: { pidOf: () => undefined },
    births,
    shards: { hasFirst: true, isShared: true, isMine: () => false, keep: () => 1, release: () => undefined },
    askToDrop: () => assert.fail("there is nothing to drop"),
    checkOpen: () => undefined,
    newKey: () => 7,
    timersSet: () => undefined,
    awaited: { commit: () => Promise.resolve() },
  } as unknown as ArrivalsPorts);
  return { arrivals, stage, nowMs: () => nowMs };
}

const yes = () => Promise.resolve(true);
const no = () => Promise.resolve(false);

describe("an import at the same moment as another one", () => {
  test("begins when no other node begins it, and is refused when one does not let go", async () => {
    const asked: string[] = [];
    const free = fixture({ reserve: yes, ask: (pid) => Promise.resolve(asked.push(pid) === 3) });
    assert.equal(await free.arrivals.begin("f", row), 7);
    assert.deepEqual([asked, free.stage.newProcesses.length], [Array(3).fill("@import:f"), 1]);
    const taken = fixture({ reserve: yes, ask: no });
    for (let time = 0; time < 2; time++)
      await assert.rejects(taken.arrivals.begin("f", row), { code: "IMPORT_REFUSED", message: /just being imported/ });
    assert.ok(taken.nowMs() > startMs);
    assert.equal(taken.stage.newProcesses.length, 0);
  });

  test("is a conflict at its end if the pid is another's by then, on another node or on this one", async () => {
    for (const { arrivals, stage } of [fixture({ reserve: no, ask: yes }), fixture({ reserve: yes, ask: yes }, true)]) {
      await arrivals.begin("f", row);
      await assert.rejects(arrivals.finish("f", last), { code: "PROCESS_ID_CONFLICT" });
      assert.equal(stage.arrivals.length, 0);
    }
  });
});
