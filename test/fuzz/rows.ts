/** Fuzzing of what lies in the store: journal, checkpoints, snapshots, images; and of what threads say to each other. */
import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import {
  decodeInput,
  decodePayload,
  decodeTurn,
  encodeInput,
  encodePayload,
  encodeTurn,
} from "../../src/journal/encoding.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../../src/kernel/checkpoint-body.ts";
import type { CheckpointBody } from "../../src/kernel/checkpoint-body.ts";
import type { Image } from "../../src/machine/image.ts";
import { decodeImage, encodeImage } from "../../src/machine/image-file.ts";
import { diff, pageBytes, wasmPageBytes } from "../../src/machine/pages.ts";
import { decodeSnapshot, encodeSnapshot } from "../../src/machine/snapshot.ts";
import { requestsAsText, resultsAsText } from "../../src/machine/thread-text.ts";
import type { TurnRequest, TurnResult } from "../../src/machine/port.ts";
import { arbitraryCommand, arbitraryInput, arbitraryPayload, arbitraryTurn } from "../arbitrary-turns.ts";
import { survives } from "./case.ts";
import { damagedBytes } from "./damage.ts";

/** What decodes is encoded to what decodes to the same. */
function checkCodec<T>(encode: (value: T) => Uint8Array, decode: (bytes: Uint8Array) => T): (bytes: Buffer) => void {
  return (damaged) => {
    // Not a Buffer, whose slices are views.
    const bytes = Uint8Array.from(damaged);
    const found = survives(["JOURNAL_CORRUPT"], () => ({ value: decode(bytes) }));
    if (found === undefined) return;
    const once = encode(found.value);
    assert.deepEqual(encode(decode(once)), once);
  };
}

export const turnBytes: fc.Arbitrary<Buffer> = damagedBytes(arbitraryTurn.map((turn) => encodeTurn(turn)));
export const checkTurn: (bytes: Buffer) => void = checkCodec(encodeTurn, decodeTurn);
export const inputBytes: fc.Arbitrary<Buffer> = damagedBytes(arbitraryInput.map((input) => encodeInput(input)));
export const checkInput: (bytes: Buffer) => void = checkCodec(encodeInput, decodeInput);
export const payloadBytes: fc.Arbitrary<Buffer> = damagedBytes(arbitraryPayload.map((value) => encodePayload(value)));
export const checkPayload: (bytes: Buffer) => void = checkCodec(encodePayload, decodePayload);

const natural = fc.nat(1_000);
const pair = fc.tuple(natural, natural);
const checkpoint: fc.Arbitrary<CheckpointBody> = fc.record({
  operations: fc.array(natural, { maxLength: 3 }),
  timers: fc.array(
    fc.record({
      number: natural,
      clock: fc.constantFrom("wall", "service"),
      dueMs: fc.double({ noNaN: true, noDefaultInfinity: true }),
    }),
    { maxLength: 3 },
  ),
  links: fc.array(natural, { maxLength: 3 }),
  monitors: fc.array(pair, { maxLength: 3 }),
  watchers: fc.array(pair, { maxLength: 3 }),
  trapsExits: fc.boolean(),
  ends: fc.array(fc.tuple(fc.constantFrom("exit", "down"), fc.string(), natural, fc.string()), { maxLength: 3 }),
});

export const checkpointBytes: fc.Arbitrary<Buffer> = damagedBytes(checkpoint.map((body) => encodeCheckpoint(body)));
export const checkCheckpoint: (bytes: Buffer) => void = checkCodec(encodeCheckpoint, decodeCheckpoint);

const imageBytes = 512 * 1024 + 2 * wasmPageBytes;
const maxSizeBytes = 4 * 1024 * 1024;
const pointers = { runtime: 1, context: 2, stackPointer: 3, undefined: 4, scratch: 5, argv: 6, dispatch: 7 };
const image: Image = {
  key: "ab".repeat(32),
  memory: Buffer.alloc(imageBytes, 7),
  pointers,
  evaluated: true,
  bundle: "",
};
const turn = 7;

function snapshotOf(pages: readonly number[]): Uint8Array {
  const memory = Buffer.concat([image.memory, Buffer.alloc(wasmPageBytes)]);
  for (const page of pages) memory.fill(page & 0xff, page * pageBytes, page * pageBytes + 9);
  return encodeSnapshot({ turn, delta: diff(memory, image.memory) }, image);
}

const snapshot = fc.constantFrom([], [128], [128, 130, 160], [129, 170]).map((pages) => snapshotOf(pages));

/** With a checksum that fits, more often than not: what else is wrong must be found too. */
export const snapshotBytes: fc.Arbitrary<Buffer> = fc
  .tuple(damagedBytes(snapshot), fc.integer({ min: 0, max: 3 }))
  .map(([bytes, mends]) => {
    if (mends > 0 && bytes.length >= 12) bytes.writeUInt32LE(crc32(bytes.subarray(12)), 8);
    return bytes;
  });

export function checkSnapshot(bytes: Buffer): void {
  const found = survives(["SNAPSHOT_CORRUPT"], () => decodeSnapshot(bytes, image, turn, maxSizeBytes));
  if (found === undefined) return;
  const again = decodeSnapshot(encodeSnapshot(found, image), image, turn, maxSizeBytes);
  assert.deepEqual(again, found);
}

const imageFile = Buffer.from(encodeImage(image));

export const imageFileBytes: fc.Arbitrary<Buffer> = fc
  .tuple(damagedBytes(fc.constant(imageFile)), fc.integer({ min: 0, max: 3 }))
  .map(([bytes, mends]) => {
    if (mends > 0 && bytes.length >= 8) bytes.write(crc32(bytes.subarray(8)).toString(16).padStart(8, "0"), 0);
    return bytes;
  });

export function checkImageFile(bytes: Buffer): void {
  const found = survives([], () => decodeImage(bytes, image.key, "", maxSizeBytes));
  if (found !== undefined) assert.deepEqual(decodeImage(encodeImage(found), image.key, "", maxSizeBytes), found);
}

export const threadRequests: fc.Arbitrary<TurnRequest[]> = fc.array(
  fc.record({
    process: natural,
    turn: natural,
    timeMs: fc.maxSafeNat(),
    inputs: fc.array(arbitraryInput, { maxLength: 3 }),
  }) as fc.Arbitrary<unknown> as fc.Arbitrary<TurnRequest>,
  { maxLength: 3 },
);

/** What can be said in text arrives as it was; the rest goes another way. */
export function checkRequests(requests: TurnRequest[]): void {
  const text = survives([], () => requestsAsText(requests));
  if (text !== undefined) assert.deepEqual(JSON.parse(text), withoutPrototypes(requests));
}

export const threadResults: fc.Arbitrary<TurnResult[]> = fc.array(
  fc.record({
    process: natural,
    outcome: fc.record({ kind: fc.constant("done"), commands: fc.array(arbitraryCommand, { maxLength: 3 }) }),
  }) as fc.Arbitrary<unknown> as fc.Arbitrary<TurnResult>,
  { maxLength: 3 },
);

export function checkResults(results: TurnResult[]): void {
  const text = survives([], () => resultsAsText(results));
  if (text !== undefined) assert.deepEqual(JSON.parse(text), withoutPrototypes(results));
}

/** fast-check's records have no prototype at times. */
function withoutPrototypes(value: unknown): unknown {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(withoutPrototypes);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withoutPrototypes(each)]));
}
