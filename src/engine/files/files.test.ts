import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isPerdureError } from "../../base/errors.ts";
import { createMemoryStore } from "../../store/memory/index.ts";
import { edge, message, operation, startMs, timer } from "../../store/suite/samples.ts";
import {
  fileId,
  fullFile,
  fullStore,
  inPieces,
  linesOf,
  moverOf,
  programRow,
  resealed,
  targetOf,
} from "../../../test/support/process-file.ts";
import type { FileRecord } from "./format.ts";
import { importProcess } from "./import.ts";
import { readProcessFile } from "./read.ts";
import { exportProcess } from "./write.ts";

async function recordsOf(file: Uint8Array): Promise<FileRecord[]> {
  const records: FileRecord[] = [];
  for await (const { record } of readProcessFile(inPieces(file))) records.push(record);
  return records;
}

/** What reading ends with. */
async function outcome(file: Uint8Array): Promise<FileRecord[] | string> {
  try {
    return await recordsOf(file);
  } catch (error) {
    if (isPerdureError(error)) return error.code;
    throw error;
  }
}

test("what arrives is what left, row by row, and what came late with it", async () => {
  const before = await fullStore();
  const [file, store] = [await fullFile(), createMemoryStore()];
  await store.claim(startMs);
  const imported = await importProcess(readProcessFile(inPieces(file)), [targetOf(store)], false);
  assert.deepEqual(imported, { file: fileId, pid: "p1" });
  const [old, now] = [await before.load(1), await store.load(7)];
  assert.deepEqual(now.process, { ...old.process, key: 7 });
  assert.deepEqual(await store.turns(7, 1, 9), await before.turns(1, 1, 9));
  assert.deepEqual([now.snapshots, now.restores], [old.snapshots, old.restores]);
  // The result of operation 1 waits: it has no row any more.
  assert.deepEqual(now.operations, [operation(7, 2, { state: "quarantined", startedAtMs: startMs, deaths: 5 })]);
  // There service time stood 100 ms behind this store's.
  assert.deepEqual(now.timers, [timer(7, 1), timer(7, 2, { clock: "service", dueMs: startMs + 1_100.5 })]);
  assert.match(Buffer.from(now.checkpoint?.body ?? []).toString(), new RegExp(`"dueMs":${startMs + 600}`));
  assert.deepEqual(
    now.inbox.map(({ input }) => input.kind),
    ["message", "result", "message"],
  );
  const edges = (await store.edges(7, "", 9)).map(({ key, state, answer }) => [key, state, answer]);
  const answer = { text: 'j"poison"' };
  assert.deepEqual(edges, [
    ["a", "answered", answer],
    ["b", "open", undefined],
    ["c", "sent", undefined],
    ["late", "open", undefined],
  ]);
  assert.equal(edge(7, "a").digest, (await store.edge(7, "a"))?.digest);
  assert.deepEqual(
    (await store.deadLetters(7, 0, 9)).map(({ input }) => input),
    [{ ...message, body: { text: 'j"stays"' } }],
  );
  assert.deepEqual(
    (await store.logs(7, 0, 9)).map(({ text }) => text),
    ["said \ud83d"],
  );
  assert.equal((await store.imported(fileId))?.pid, "p1");
});

test("a reader that stops leaves the process in its store", async () => {
  const store = await fullStore();
  const parts = exportProcess(store, "p1", moverOf(store), { file: fileId, nowMs: startMs, withEngine: false });
  await parts.next();
  assert.equal((await store.findProcess("p1"))?.state, "moving");
  await parts.return();
  assert.equal((await store.findProcess("p1"))?.state, "running");
});

describe("a damaged process file", { concurrency: 2 }, () => {
  test("cut off anywhere is damaged, or has no seal", async () => {
    const file = await fullFile();
    const codes = new Set<string>();
    for (let length = 0; length < file.length; length++) {
      const found = await outcome(file.subarray(0, length));
      assert.ok(typeof found === "string", `cut off at ${length} of ${file.length}`);
      codes.add(found);
    }
    assert.deepEqual([...codes].sort(), ["FILE_DAMAGED", "FILE_UNSEALED"]);
  });

  test("with a bit flipped anywhere is damaged, or says the same", async () => {
    const file = await fullFile();
    const whole = await recordsOf(file);
    for (let at = 0; at < file.length; at++) {
      const flipped = Buffer.from(file);
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
      const found = await outcome(flipped);
      if (typeof found !== "string") assert.deepEqual(found, whole, `bit ${at % 8} of byte ${at}`);
      else assert.match(found, /^FILE_(?:DAMAGED|UNSEALED)$/);
    }
  });

  test("says what is wrong with it", async () => {
    const lines = linesOf(await fullFile());
    const changed = (from: RegExp, to: string): Buffer => resealed(lines.map((line) => line.replace(from, to)));
    const swapped = [...lines];
    const first = swapped.findIndex((line) => line.includes('"kind":"turn"'));
    [swapped[first], swapped[first + 1]] = [swapped[first + 1] as string, swapped[first] as string];
    const cases: readonly [Uint8Array, RegExp][] = [
      [Buffer.from("not a process file"), /does not hold what was written/],
      [resealed(lines.slice(1)), /it does not begin as a process file does/],
      [changed(/"version":1/, '"version":2'), /version is 2, and this release reads 1/],
      [changed(/^{"kind":"timer"/, '{"kind":"tumor"'), /there is no kind "tumor"/],
      [resealed(swapped), /turn 2 is not in its place/],
      [resealed(lines.filter((line) => !line.includes('"number":3,"timeMs"'))), /its journal is not whole/],
      [changed(/"clock":"wall"/, '"clock":"sand"'), /clock is none of wall, service/],
      [changed(/"entry":"order"/, '"entry":7'), /entry is no text/],
      [changed(/"state":"quarantined"/, '"state":"dead"'), /state is none of/],
      [changed(/"pid":"p1"/, '"pid":"@p1"'), /cannot be a process id/],
    ];
    for (const [file, message_] of cases)
      await assert.rejects(recordsOf(file), (error: Error & { code?: string }) => {
        assert.deepEqual([error.code, message_.test(error.message)], ["FILE_DAMAGED", true], error.message);
        return true;
      });
  });

  test("whose program is not what its hash says is refused", async () => {
    const lines = linesOf(await fullFile());
    const store = createMemoryStore();
    await store.claim(startMs);
    const other = resealed(lines.map((line) => line.replaceAll(programRow.hash, "0".repeat(64))));
    const engine = resealed(lines.map((line) => line.replaceAll(programRow.engine, "0".repeat(64))));
    const take = (file: Buffer) => importProcess(readProcessFile(inPieces(file)), [targetOf(store)], false);
    await assert.rejects(take(other), { code: "FILE_DAMAGED" });
    await assert.rejects(take(engine), { code: "ENGINE_BINARY" });
    assert.deepEqual(await store.programs(), []);
  });
});
