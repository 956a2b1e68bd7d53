import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { PerdureError } from "../../base/errors.ts";
import { fileId, fullFile, inPieces, targetOf } from "../../../test/support/process-file.ts";
import { createMemoryStore } from "../../store/memory/index.ts";
import { startMs } from "../../store/suite/samples.ts";
import { HandoverFolder } from "../../store/sqlite/handovers.ts";
import { takeHandedOver } from "./handed-over.ts";
import type { Taker } from "./handed-over.ts";

interface Fixture extends Taker {
  readonly cancelled: number;
  readonly dropped: string[];
  /** Messages, in order. */
  readonly waiting: string[];
  hand(bytes: Uint8Array): Promise<string>;
}

async function fixture(t: TestContext, failure?: () => Error | undefined): Promise<Fixture> {
  const folder = await mkdtemp(path.join(tmpdir(), "perdure-handed-"));
  t.after(() => rm(folder, { recursive: true }));
  const store = createMemoryStore();
  await store.claim(startMs);
  const handovers = new HandoverFolder(path.join(folder, "perdure.db"));
  const nowMs = (): number => Date.now();
  const to = targetOf(store);
  const count = { cancelled: 0 };
  const dropped: string[] = [];
  const waiting: string[] = [];
  return {
    store,
    handovers,
    nowMs,
    isStopped: () => false,
    dropped,
    waiting,
    drop: (file) => Promise.resolve(void dropped.push(file)),
    waits: (_, error) => void waiting.push((error as Error).message),
    target: () => ({
      ...to,
      begin: async (...words) => {
        const error = failure?.();
        if (error !== undefined) throw error;
        return await to.begin(...words);
      },
      cancel: () => Promise.resolve(void count.cancelled++),
    }),
    hand: (bytes) => handovers.handOver({ file: fileId, paused: false, bytes: inPieces(bytes), nowMs }),
    get cancelled() {
      return count.cancelled;
    },
  };
}

test("what was imported by a node that died before it could say so is imported, and not refused", async (t) => {
  const taker = await fixture(t);
  const id = await taker.hand(await fullFile());
  const { ended } = taker.handovers;
  taker.handovers.ended = () => Promise.reject(new Error("died"));
  await takeHandedOver(taker);
  assert.deepEqual(taker.waiting, ["died"]);
  assert.deepEqual(await taker.handovers.outcome(id), { state: "waiting" });
  taker.handovers.ended = ended;
  await takeHandedOver(taker);
  assert.deepEqual(await taker.handovers.outcome(id), { state: "imported" });
});

test("a file with a fault is refused for its fault; what passes lets it wait, however often", async (t) => {
  const passing = new PerdureError("IMPORT_REFUSED", "in a while", { details: { passing: true } });
  const passes = [...Array(3).keys()].flatMap(() => [
    new PerdureError("STORE_UNREACHABLE", "away"),
    new Error("cannot be"),
    passing,
  ]);
  const failures: Error[] = [...passes, new PerdureError("IMPORT_REFUSED", "once")];
  const taker = await fixture(t, () => failures.shift());
  const id = await taker.hand(await fullFile());
  for (const { message } of passes) {
    await takeHandedOver(taker);
    assert.equal(taker.waiting.at(-1), message);
    assert.deepEqual(await taker.handovers.outcome(id), { state: "waiting" });
    assert.deepEqual((await taker.handovers.waiting(Date.now()))[0]?.begins, 0);
  }
  await takeHandedOver(taker);
  assert.equal(taker.cancelled, passes.length + 1);
  assert.deepEqual(await taker.handovers.outcome(id), { state: "refused", code: "IMPORT_REFUSED", message: "once" });
  const damaged = await taker.hand((await fullFile()).subarray(0, -50));
  await takeHandedOver(taker);
  const outcome = await taker.handovers.outcome(damaged);
  assert.ok(outcome.state === "refused" && outcome.code.startsWith("FILE_"), JSON.stringify(outcome));
});

test("a file that waits on stands in the way of no other", async (t) => {
  let fails = true;
  const taker = await fixture(t, () => (fails ? new Error("cannot be") : undefined));
  const cut = (await fullFile()).subarray(0, 20);
  const ids: string[] = [];
  for (const bytes of [cut, await fullFile(), cut]) ids.push(await taker.hand(bytes));
  await takeHandedOver(taker);
  const states = async (): Promise<string[]> =>
    (await Promise.all(ids.map((id) => taker.handovers.outcome(id)))).map(({ state }) => state);
  assert.deepEqual([await states(), taker.waiting], [["refused", "waiting", "refused"], ["cannot be"]]);
  fails = false;
  await takeHandedOver(taker);
  assert.deepEqual(await states(), ["gone", "imported", "gone"]);
});

test("a file that ends one node after the other is refused at last, and what they have left goes", async (t) => {
  const taker = await fixture(t);
  const id = await taker.hand(await fullFile());
  for (const when of ["begin", "put", "begin", "put", "put"] as const) {
    const died = (): Promise<never> => Promise.reject(new PerdureError("ENGINE_FAILED", "died"));
    const dying = (): ReturnType<Taker["target"]> => ({
      ...taker.target(),
      begin: () => Promise.resolve(7),
      [when]: died,
      cancel: died,
    });
    await takeHandedOver({ ...taker, target: dying });
    assert.deepEqual(await taker.handovers.outcome(id), { state: "waiting" });
  }
  assert.deepEqual(taker.dropped, []);
  await takeHandedOver(taker);
  const outcome = await taker.handovers.outcome(id);
  assert.ok(outcome.state === "refused" && /failed 5 times/.test(outcome.message), JSON.stringify(outcome));
  assert.deepEqual(taker.dropped, [fileId]);
});

test("a node that stops leaves a file in the middle to the next one, and begins no other", async (t) => {
  const taker = await fixture(t);
  const ids = [await taker.hand(await fullFile()), await taker.hand(await fullFile())];
  let looks = 0;
  await takeHandedOver({ ...taker, isStopped: () => looks++ > 0 });
  const begins = async (): Promise<number[]> => (await taker.handovers.waiting(Date.now())).map((each) => each.begins);
  assert.deepEqual([await begins(), taker.cancelled, taker.waiting], [[0, 0], 1, []]);
  await takeHandedOver(taker);
  const ends = await Promise.all(ids.map((id) => taker.handovers.outcome(id)));
  assert.equal(ends.filter(({ state }) => state === "imported").length, 1);
});
