import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { isPerdureError } from "../base/errors.ts";
import type { Image } from "./image.ts";
import { apply, diff, pageBytes, wasmPageBytes } from "./pages.ts";
import { decodeSnapshot, encodeSnapshot } from "./snapshot.ts";

const imageBytes = 512 * 1024 + 4 * wasmPageBytes;
const maxSizeBytes = 4 * 1024 * 1024;
const firstPage = 128;

function imageOf(key: string): Image {
  const memory = Buffer.alloc(imageBytes);
  for (let offset = 0; offset < imageBytes; offset += 61) memory[offset] = offset & 0xff;
  const pointers = { runtime: 1, context: 2, stackPointer: 3, undefined: 4, scratch: 5, argv: 6, dispatch: 7 };
  return { key, memory, pointers, evaluated: true, bundle: "" };
}

const image = imageOf("ab".repeat(32));

function changed(pages: readonly number[], wasmPages = 0): Buffer {
  const memory = Buffer.concat([image.memory, Buffer.alloc(wasmPages * wasmPageBytes)]);
  for (const page of pages) memory.fill(page & 0xff, page * pageBytes + 10, page * pageBytes + 40);
  return memory;
}

function encoded(memory: Buffer, turn = 7): Buffer {
  return Buffer.from(encodeSnapshot({ turn, delta: diff(memory, image.memory) }, image));
}

function decode(bytes: Uint8Array, turn = 7, against = image) {
  return decodeSnapshot(bytes, against, turn, maxSizeBytes);
}

function isCorrupt(bytes: Uint8Array, turn = 7, against = image): boolean {
  try {
    decode(bytes, turn, against);
    return false;
  } catch (error) {
    if (!isPerdureError(error, "SNAPSHOT_CORRUPT")) throw error;
    return true;
  }
}

/** The snapshot with another header field or body, and the checksum that makes it look whole. */
function forged(bytes: Buffer, change: (copy: Buffer) => Buffer | void): Buffer {
  const copy = Buffer.from(bytes);
  const result = change(copy) ?? copy;
  result.writeUInt32LE(crc32(result.subarray(12)), 8);
  return result;
}

test("what was encoded is decoded: any pages, in memories of the image's size and larger ones", () => {
  const page = fc.integer({ min: firstPage, max: imageBytes / pageBytes + 15 });
  fc.assert(
    fc.property(fc.uniqueArray(page, { maxLength: 20 }), fc.nat(1000), (pages, turn) => {
      const memory = changed(pages, 1);
      const snapshot = decode(encoded(memory, turn), turn);
      assert.equal(snapshot.turn, turn);
      const target = Buffer.alloc(snapshot.delta.sizeBytes);
      apply(target, image.memory, snapshot.delta);
      assert.ok(target.subarray(firstPage * pageBytes).equals(memory.subarray(firstPage * pageBytes)));
    }),
    { numRuns: 40 },
  );
});

test("encoding changes neither the memory nor the image", () => {
  const memory = changed([130, 140]);
  const [memoryBefore, imageBefore] = [Buffer.from(memory), Buffer.from(image.memory)];
  decode(encoded(memory));
  assert.ok(memory.equals(memoryBefore) && image.memory.equals(imageBefore));
});

test("every change of every single byte is SNAPSHOT_CORRUPT", () => {
  const bytes = encoded(changed([130, 131, 150]));
  for (let offset = 0; offset < bytes.length; offset++) {
    for (let flip = 1; flip < 256; flip++) {
      bytes[offset] = (bytes[offset] as number) ^ flip;
      assert.ok(isCorrupt(bytes), `byte ${offset} ^ ${flip}`);
      bytes[offset] = (bytes[offset] as number) ^ flip;
    }
  }
  assert.ok(!isCorrupt(bytes));
});

test("every truncation, and anything appended, is SNAPSHOT_CORRUPT", () => {
  const bytes = encoded(changed([130, 131, 150]));
  for (let length = 0; length < bytes.length; length++) assert.ok(isCorrupt(bytes.subarray(0, length)), `${length}`);
  assert.ok(isCorrupt(Buffer.concat([bytes, Buffer.alloc(1)])));
});

test("arbitrary bytes are SNAPSHOT_CORRUPT", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => assert.ok(isCorrupt(bytes))));
});

test("a snapshot of another turn or another image is SNAPSHOT_CORRUPT", () => {
  const bytes = encoded(changed([130]));
  assert.ok(isCorrupt(bytes, 8));
  assert.ok(isCorrupt(bytes, 7, imageOf("cd".repeat(32))));
});

const size = (value: number) => (copy: Buffer) => void copy.writeUInt32LE(value, 52);
const count = (value: number) => (copy: Buffer) => void copy.writeUInt32LE(value, 56);
const body = (content: Buffer, pages: number) => (copy: Buffer) => {
  count(pages)(copy);
  return Buffer.concat([copy.subarray(0, 60), zstdCompressSync(content)]);
};
const numbers = (...pages: number[]): Buffer => {
  const table = Buffer.alloc(pages.length * (4 + pageBytes));
  for (const [index, page] of pages.entries()) table.writeUInt32LE(page, 4 * index);
  return table;
};

const forgeries: readonly (readonly [what: string, change: (copy: Buffer) => Buffer | void])[] = [
  ["a memory of 4 GiB", size(2 ** 32 - wasmPageBytes)],
  ["a memory just beyond what a machine may have", size(maxSizeBytes + wasmPageBytes)],
  ["a memory smaller than the image's", size(imageBytes - wasmPageBytes)],
  ["a memory of no whole WebAssembly pages", size(imageBytes + pageBytes)],
  ["four billion pages", count(2 ** 32 - 1)],
  ["one page more than the memory has", count(imageBytes / pageBytes + 1)],
  ["more pages than its body", count(2)],
  ["fewer pages than its body", count(0)],
  ["pages in descending order", body(numbers(140, 130), 2)],
  ["the same page twice", body(numbers(130, 130), 2)],
  ["a page beyond the memory", body(numbers(imageBytes / pageBytes), 1)],
  ["a page whose offset overflows 32 bits", body(numbers(2 ** 32 - 1), 1)],
  ["a body that is no zstd", (copy) => Buffer.concat([copy.subarray(0, 60), Buffer.from("no zstd at all")])],
  ["a body that is cut off", (copy) => copy.subarray(0, copy.length - 3)],
  ["no body", (copy) => copy.subarray(0, 60)],
];
for (const [what, change] of forgeries) {
  test(`with a valid checksum, ${what} is SNAPSHOT_CORRUPT`, () => {
    assert.ok(isCorrupt(forged(encoded(changed([130])), change)));
  });
}

test("a small body that unpacks to a large one is refused before it is unpacked", () => {
  const bomb = forged(encoded(changed([130])), body(Buffer.alloc(256 * 1024 * 1024), imageBytes / pageBytes));
  const before = process.memoryUsage().arrayBuffers;
  assert.ok(isCorrupt(bomb));
  assert.ok(process.memoryUsage().arrayBuffers - before < 16 * 1024 * 1024);
});
