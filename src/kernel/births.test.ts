import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { exit, process, startMs } from "../store/suite/samples.ts";
import { Births } from "./births.ts";
import type { BirthsPorts } from "./births.ts";
import type { Known } from "./registry.ts";

/** `freeAtMs`: until then another node keeps every pid. */
function fixture(
  known: readonly Known[] = [],
  freeAtMs = startMs,
  hasLeft = (): boolean => false,
): { births: Births; reserved: string[]; nowMs(): number } {
  let nowMs = startMs;
  const reserved: string[] = [];
  const reservePid = (pid: string): Promise<boolean> => {
    if (nowMs >= freeAtMs) reserved.push(pid);
    return Promise.resolve(nowMs >= freeAtMs);
  };
  const births = new Births({
    sharing: { reservePid } as BirthsPorts["sharing"],
    registry: {
      begins: () => undefined,
      beginLooking: () => undefined,
      endLooking: () => undefined,
      named: () => undefined,
      hasLeft: () => hasLeft(),
      knownOrDamaged: (pid) => Promise.resolve(known.find((one) => "pid" in one && one.pid === pid)),
    },
    shards: {} as BirthsPorts["shards"],
    clock: {
      nowMs: () => nowMs,
      after: (ms, fn) => {
        nowMs += ms;
        queueMicrotask(fn);
        return () => undefined;
      },
    },
    isOver: () => false,
    failed: () => assert.fail("not expected here"),
    place: undefined,
    placement: {} as BirthsPorts["placement"],
  });
  return { births, reserved, nowMs: () => nowMs };
}

describe("a pid that another node keeps", () => {
  test("of what was exported is asked for only by whoever brings it back", async () => {
    const exported = { pid: "p1", process: 1, file: "f", exportedAtMs: startMs } as Known;
    const { births, reserved } = fixture([exported]);
    assert.deepEqual([await births.reserve("p1"), await births.reserve("p1", true), reserved], [false, true, ["p1"]]);
  });

  test("is waited for until that begins the process, or dies, however long", async () => {
    const freeAtMs = startMs + 60_000;
    const { births, reserved, nowMs } = fixture([], freeAtMs);
    assert.equal(await births.reserve("p1"), true);
    assert.deepEqual([reserved, nowMs() >= freeAtMs], [["p1"], true]);
  });
});

test("a pid that another node keeps is waited for no longer than whoever asks has patience", async () => {
  const { births, reserved, nowMs } = fixture([], Infinity);
  assert.equal(await births.reserve("p1", true, 1_000), undefined);
  assert.deepEqual([reserved, nowMs()], [[], startMs + 1_000]);
});

test("a pid is not free if its process has begun and gone while the store answered", async () => {
  const known: Known[] = [];
  const { births, reserved } = fixture(known, startMs, () => known.push(process(1, { pid: "p1" })) > 0);
  assert.deepEqual([await births.reserve("p1"), reserved], [false, ["p1"]]);
});

describe("a server that follows on another", () => {
  const cases = [
    ["is kept a pid if that one has ended", process(1, { pid: "s", state: "exited", exit }), true],
    ["is kept none if that one lives: it would be nobody's", process(1, { pid: "s" }), false],
    ["is kept none if that one was exported", { ...process(1, { pid: "s" }), file: "f" } as unknown as Known, false],
    ["is kept none if that one is not known", undefined, false],
  ] as const;
  for (const [what, previous, isKept] of cases) {
    test(what, async () => {
      const { births, reserved } = fixture(previous === undefined ? [] : [previous]);
      await births.keep("s~2", "server");
      assert.deepEqual([reserved, births.mayBegin("s~2")], [isKept ? ["s~2"] : [], isKept]);
      births.letGo("s~2");
      assert.equal(births.mayBegin("s~2"), false);
    });
  }
});
