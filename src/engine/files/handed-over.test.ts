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
  return {
    store,
    handovers,
    nowMs,
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
  await assert.rejects(takeHandedOver(taker), /died/);
  assert.deepEqual(await taker.handovers.outcome(id), { state: "waiting" });
  taker.handovers.ended = ended;
  await takeHandedOver(taker);
  assert.deepEqual(await taker.handovers.outcome(id), { state: "imported" });
});

test("a file with a fault is refused for its fault; a store with one lets it wait", async (t) => {
  const failures: (Error | undefined)[] = [
    new PerdureError("STORE_UNREACHABLE", "away"),
    new Error("cannot be"),
    new PerdureError("IMPORT_REFUSED", "once"),
  ];
  const taker = await fixture(t, () => failures.shift());
  const id = await taker.hand(await fullFile());
  for (const message of ["away", "cannot be"]) {
    await assert.rejects(takeHandedOver(taker), { message });
    assert.deepEqual(await taker.handovers.outcome(id), { state: "waiting" });
  }
  await takeHandedOver(taker);
  assert.equal(taker.cancelled, 3);
  assert.deepEqual(await taker.handovers.outcome(id), { state: "refused", code: "IMPORT_REFUSED", message: "once" });
  const damaged = await taker.hand((await fullFile()).subarray(0, -50));
  await takeHandedOver(taker);
  const outcome = await taker.handovers.outcome(damaged);
  assert.ok(outcome.state === "refused" && outcome.code.startsWith("FILE_"), JSON.stringify(outcome));
});

test("a file that ends one node after the other is refused at last", async (t) => {
  const taker = await fixture(t);
  const id = await taker.hand(await fullFile());
  const dying: Taker = {
    ...taker,
    target: () => ({
      ...taker.target(),
      begin: () => Promise.resolve(7),
      put: () => Promise.reject(new Error("died")),
    }),
  };
  for (let time = 0; time < 5; time++) await assert.rejects(takeHandedOver(dying), /died/);
  await takeHandedOver(dying);
  const outcome = await taker.handovers.outcome(id);
  assert.ok(outcome.state === "refused" && /failed 5 times/.test(outcome.message), JSON.stringify(outcome));
});
