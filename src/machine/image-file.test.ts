import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, zstdCompressSync } from "node:zlib";
import { decodeImage, encodeImage } from "./image-file.ts";
import type { Image } from "./image.ts";
import { wasmPageBytes } from "./pages.ts";

const key = "12".repeat(32);
const maxSizeBytes = 4 * 1024 * 1024;
const memory = Buffer.alloc(2 * wasmPageBytes);
memory.write("a program, evaluated", 70_000);
const pointers = { runtime: 11, context: 12, stackPointer: 13, undefined: 14, scratch: 15, argv: 16, dispatch: 17 };
const image: Image = { key, memory, pointers, evaluated: true, bundle: "the bundle" };

const decode = (bytes: Uint8Array): Image | undefined => decodeImage(bytes, key, "the bundle", maxSizeBytes);

/** A file with a checksum that fits. */
function file(head: unknown, packed: Uint8Array = zstdCompressSync(memory)): Buffer {
  const body = Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), packed]);
  return Buffer.concat([Buffer.from(crc32(body).toString(16).padStart(8, "0")), body]);
}

const head = { format: 2, key, pointers, evaluated: true, sizeBytes: memory.length };

test("what was encoded is decoded, whether the program is evaluated in it or not", () => {
  for (const evaluated of [true, false])
    assert.deepEqual(decode(encodeImage({ ...image, evaluated })), { ...image, evaluated });
  assert.deepEqual(decode(file(head)), image);
});

test("every change of a byte gives undefined, in the head as in the memory", () => {
  const bytes = Buffer.from(encodeImage(image));
  for (let offset = 0; offset < bytes.length; offset++) {
    for (const flip of [1, 2, 4, 8, 16, 32, 64, 128, 255]) {
      bytes[offset] = (bytes[offset] as number) ^ flip;
      assert.equal(decode(bytes), undefined, `byte ${offset} ^ ${flip}`);
      bytes[offset] = (bytes[offset] as number) ^ flip;
    }
  }
});

test("every truncation gives undefined, and so does nothing at all", () => {
  const bytes = encodeImage(image);
  for (let length = 0; length < bytes.length; length++) assert.equal(decode(bytes.subarray(0, length)), undefined);
});

const others: readonly (readonly [what: string, bytes: Buffer])[] = [
  ["another format", file({ ...head, format: 1 })],
  ["another key", file({ ...head, key: "34".repeat(32) })],
  ["another size", file({ ...head, sizeBytes: wasmPageBytes })],
  ["a larger size", file({ ...head, sizeBytes: 3 * wasmPageBytes })],
  ["no size", file({ ...head, sizeBytes: undefined })],
  ["a size of no whole WebAssembly pages", file({ ...head, sizeBytes: 5000 }, zstdCompressSync(Buffer.alloc(5000)))],
  ["a size of 4 GiB", file({ ...head, sizeBytes: 2 ** 32 })],
  ["a head that is null", file(null)],
  ["no zstd", file(head, Buffer.from("memory"))],
];
for (const [what, bytes] of others) {
  test(`a whole file with ${what} gives undefined`, () => assert.equal(decode(bytes), undefined));
}

test("a small file that unpacks to a large memory is refused before it is unpacked", () => {
  const bomb = file(head, zstdCompressSync(Buffer.alloc(256 * 1024 * 1024)));
  const before = process.memoryUsage().arrayBuffers;
  assert.equal(decode(bomb), undefined);
  assert.ok(process.memoryUsage().arrayBuffers - before < 16 * 1024 * 1024);
});
