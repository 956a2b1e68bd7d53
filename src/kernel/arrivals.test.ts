import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PerdureError } from "../base/errors.ts";
import { process, startMs } from "../store/suite/samples.ts";
import { Arrivals, isPassing } from "./arrivals.ts";
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

interface Options {
  /** The node itself begins such a process. */
  readonly isReserved?: boolean;
  readonly shards?: Partial<ArrivalsPorts["shards"]>;
  readonly store?: Partial<ArrivalsPorts["store"]>;
  readonly askToDrop?: ArrivalsPorts["askToDrop"];
}

interface Fixture {
  readonly arrivals: Arrivals;
  readonly stage: Stage;
  /** What the kernel fails with. */
  readonly failures: readonly unknown[];
  nowMs(): number;
}

/** Of a node whose store says at each look what `births` says. */
function fixture(births: ArrivalsPorts["births"], options: Options = {}): Fixture {
  let nowMs = startMs;
  const stage = new Stage();
  const failures: unknown[] = [];
  const registry = {
    reserve: () => undefined,
    unreserve: () => undefined,
    activateKey: () => Promise.reject(new Error("the store does not answer")),
    known: () => Promise.resolve(undefined),
    named: () => undefined,
    isReserved: () => options.isReserved ?? false,
    discard: () => undefined,
  };
  const arrivals = new Arrivals({
    store: {
      findProcess: () => Promise.resolve(undefined),
      imported: () => Promise.resolve(undefined),
      ...options.store,
    },
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
    shards: {
      hasFirst: true,
      isShared: true,
      isMine: () => false,
      keep: () => 1,
      release: () => undefined,
      ...options.shards,
    },
    askToDrop: options.askToDrop ?? (() => assert.fail("there is nothing to drop")),
    checkOpen: () => undefined,
    newKey: () => 7,
    timersSet: () => undefined,
    run: (work: Promise<unknown>) => void work.catch((error: unknown) => failures.push(error)),
    awaited: { commit: () => Promise.resolve() },
  } as unknown as ArrivalsPorts);
  return { arrivals, stage, failures, nowMs: () => nowMs };
}

/** What it rejects with. */
async function failure(work: Promise<unknown>): Promise<PerdureError> {
  const error: unknown = await work.catch((reason: unknown) => reason);
  assert.ok(error instanceof PerdureError);
  return error;
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
    for (const { arrivals, stage } of [
      fixture({ reserve: no, ask: yes }),
      fixture({ reserve: yes, ask: yes }, { isReserved: true }),
    ]) {
      await arrivals.begin("f", row);
      await assert.rejects(arrivals.finish("f", last), { code: "PROCESS_ID_CONFLICT" });
      assert.equal(stage.arrivals.length, 0);
    }
  });

  test("fails only for a while if another node keeps what it needs, or has not given it a share yet", async () => {
    const busy = fixture({ reserve: yes, ask: no });
    const poor = fixture({ reserve: yes, ask: yes }, { shards: { keep: () => undefined } });
    for (const { arrivals } of [busy, poor]) assert.ok(isPassing(await failure(arrivals.begin("f", row))));
    const kept = fixture({ reserve: () => Promise.resolve(undefined), ask: yes });
    await kept.arrivals.begin("f", row);
    assert.ok(isPassing(await failure(kept.arrivals.finish("f", last))));
    assert.equal(kept.stage.arrivals.length, 0);
    const conflict = fixture({ reserve: no, ask: yes });
    await conflict.arrivals.begin("f", row);
    assert.ok(!isPassing(await failure(conflict.arrivals.finish("f", last))));
  });

  test("keeps nothing if the other one was done a moment ago: what it kept a pid for has begun, and goes", async () => {
    let isImported = false;
    const before = { file: "f", pid: "p1", atMs: startMs };
    const { arrivals, stage } = fixture(
      { reserve: yes, ask: () => Promise.resolve((isImported = true)) },
      { store: { imported: () => Promise.resolve(isImported ? before : undefined) } },
    );
    await assert.rejects(arrivals.begin("f", row), { code: "IMPORT_REFUSED", message: /it was imported at/ });
    assert.deepEqual([stage.newProcesses.length, stage.departures], [1, [{ process: 7 }]]);
  });
});

test("a process that has arrived stays, whatever happens when it is loaded", async () => {
  const { arrivals, stage, failures } = fixture({ reserve: yes, ask: yes });
  await arrivals.begin("f", row);
  await arrivals.finish("f", last);
  assert.deepEqual(
    [stage.arrivals.length, stage.departures, failures],
    [1, [], [new Error("the store does not answer")]],
  );
});

test("what is left of an import goes by whoever owns it", async () => {
  const asked: string[] = [];
  const left = process(5, { pid: "@import:f", state: "moving" });
  const askToDrop = (file: string): Promise<void> => Promise.resolve(void asked.push(file));
  for (const isMine of [true, false]) {
    const store = { findProcess: () => Promise.resolve(left) };
    const options = { store, shards: { isMine: () => isMine }, askToDrop };
    const { arrivals, stage } = fixture({ reserve: yes, ask: yes }, options);
    await arrivals.abandon("f");
    assert.deepEqual(stage.departures, isMine ? [{ process: 5 }] : []);
  }
  assert.deepEqual(asked, ["f"]);
});
