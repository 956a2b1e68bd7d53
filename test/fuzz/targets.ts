/** All that is fuzzed, and how. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import fc from "fast-check";
import {
  checkCheckpoint,
  checkImageFile,
  checkInput,
  checkPayload,
  checkRequests,
  checkResults,
  checkSnapshot,
  checkTurn,
  checkpointBytes,
  imageFileBytes,
  inputBytes,
  payloadBytes,
  snapshotBytes,
  threadRequests,
  threadResults,
  turnBytes,
} from "./rows.ts";
import { checkFile, fileBytes } from "./files.ts";
import { anyPayload, checkShown, checkValue, laughs } from "./values.ts";
import { anyConfig, anyDuration, anyWord, checkAnyConfig, checkDuration, checkWord } from "./words.ts";

export interface Target {
  /** A rule. */
  readonly name: string;
  /** Cases of a quick run. */
  readonly cases: number;
  /** Throws a failure with the seed and the smallest case. */
  run(options: { readonly seed: number; readonly cases: number }): void | Promise<void>;
}

function target<T>(name: string, cases: number, from: fc.Arbitrary<T>, check: (value: T) => void): Target {
  return {
    name,
    cases,
    run: ({ seed, cases: numRuns }) => fc.assert(fc.property(from, check), { seed, numRuns }),
  };
}

export const values: readonly Target[] = [
  target("an encoded value decodes to a value, or is corrupt", 3_000, anyPayload, checkValue),
  target("every value can be shown", 600, anyPayload, checkShown),
  target("a value that holds the same again and again can be shown", 1, laughs, checkShown),
];

export const rows: readonly Target[] = [
  target("a journal row is a turn, or is corrupt", 2_000, turnBytes, checkTurn),
  target("a stored input is one, or is corrupt", 2_000, inputBytes, checkInput),
  target("a stored value is one, or is corrupt", 2_000, payloadBytes, checkPayload),
  target("a checkpoint is one, or is corrupt", 2_000, checkpointBytes, checkCheckpoint),
  target("a snapshot is one, or is corrupt", 500, snapshotBytes, checkSnapshot),
  target("an image file is an image, or none", 500, imageFileBytes, checkImageFile),
  target("turns go to a thread as they are", 500, threadRequests, checkRequests),
  target("results come from a thread as they are", 500, threadResults, checkResults),
];

export const words: readonly Target[] = [
  target("a duration is a length of time, or is refused", 3_000, anyDuration, checkDuration),
  target("an argument is a value, whatever its text", 2_000, anyWord, checkWord),
  target("a configuration fits, or says what does not", 2_000, anyConfig, checkAnyConfig),
];

export const files: readonly Target[] = [
  {
    name: "a process file is one, or is refused before a store stumbles over it",
    cases: 300,
    run: ({ seed, cases: numRuns }) => fc.assert(fc.asyncProperty(fileBytes, checkFile), { seed, numRuns }),
  },
];

/** In a process of its own: a command takes the whole of one. */
export const commandLines: readonly Target[] = [
  { name: "a command line is answered by one clear line and a code", cases: 100, run: runCommandLines },
];

export const targets: readonly Target[] = [...values, ...rows, ...words, ...files, ...commandLines];

const script = fileURLToPath(new URL("command-lines.ts", import.meta.url));

async function runCommandLines({ seed, cases }: { readonly seed: number; readonly cases: number }): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), "perdure-fuzz-"));
  try {
    await promisify(execFile)(process.execPath, [script, folder, String(seed), String(cases)]);
  } finally {
    await rm(folder, { recursive: true });
  }
}
