/** Fuzzing of process files: damaged bytes, and damaged lines under right checksums. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { isPerdureError } from "../../src/base/errors.ts";
import type { ErrorCode } from "../../src/base/errors.ts";
import { importProcess } from "../../src/engine/files/import.ts";
import { readProcessFile } from "../../src/engine/files/read.ts";
import { createMemoryStore } from "../../src/store/memory/index.ts";
import { startMs } from "../../src/store/suite/samples.ts";
import { fullFile, inPieces, linesOf, resealed, targetOf } from "../support/process-file.ts";
import { damagedBytes, damagedText } from "./damage.ts";

const file = await fullFile();
const lines = linesOf(file);

const line = damagedText(fc.constantFrom(...lines)).map((text) => text.replaceAll("\n", " "));

/** One line, or a few, are other than they were; or one is gone or there twice. */
const resealedLines: fc.Arbitrary<Buffer> = fc
  .array(fc.tuple(fc.nat(lines.length - 1), fc.constantFrom("other", "gone", "twice"), line), {
    minLength: 1,
    maxLength: 3,
  })
  .map((changes) => {
    const changed: string[][] = lines.map((each) => [each]);
    for (const [at, what, other] of changes)
      changed[at] = what === "gone" ? [] : what === "twice" ? [lines[at] as string, lines[at] as string] : [other];
    return resealed(changed.flat());
  });

export const fileBytes: fc.Arbitrary<Buffer> = fc.oneof(
  { arbitrary: damagedBytes(fc.constant(file)), weight: 2 },
  { arbitrary: damagedText(fc.constant(`${lines.join("\n")}\n`)).map((text) => gzipSync(text)), weight: 2 },
  { arbitrary: resealedLines, weight: 5 },
);

const refusals: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["FILE_DAMAGED", "FILE_UNSEALED", "ENGINE_BINARY"]);

/** Whatever it says, no store stumbles over it: it is refused before, or the process is there. */
export async function checkFile(bytes: Buffer): Promise<void> {
  const store = createMemoryStore();
  await store.claim(startMs);
  try {
    const { pid } = await importProcess(readProcessFile(inPieces(bytes)), [targetOf(store)], false);
    assert.equal((await store.findProcess(pid))?.key, 7);
  } catch (error) {
    assert.ok(
      isPerdureError(error) && refusals.has(error.code),
      error instanceof Error ? (error.stack ?? "") : String(error),
    );
  }
}
