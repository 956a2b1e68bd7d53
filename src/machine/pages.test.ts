import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { apply, diff, pageBytes, wasmPageBytes } from "./pages.ts";

/** The part of every memory that is neither compared nor copied. */
const deadStackBytes = 512 * 1024;
const imageBytes = deadStackBytes + 2 * wasmPageBytes;

function memoryOf(sizeBytes: number, seed: number): Buffer {
  const memory = Buffer.alloc(sizeBytes);
  for (let offset = 0; offset < sizeBytes; offset += 997) memory[offset] = (offset * seed) & 0xff;
  return memory;
}

function grown(image: Buffer, wasmPages: number): Buffer {
  return Buffer.concat([image, Buffer.alloc(wasmPages * wasmPageBytes)]);
}

const above = (memory: Buffer): Buffer => memory.subarray(deadStackBytes);

test("a memory that equals its image differs in no page", () => {
  const image = memoryOf(imageBytes, 3);
  const delta = diff(Buffer.from(image), image);
  assert.deepEqual([delta.sizeBytes, delta.pages.length, delta.contents.length], [imageBytes, 0, 0]);
});

test("the lower half of the stack is neither compared nor restored", () => {
  const image = memoryOf(imageBytes, 3);
  const memory = Buffer.from(image);
  memory.fill(0xaa, 0, deadStackBytes);
  assert.equal(diff(memory, image).pages.length, 0);
  const target = Buffer.alloc(imageBytes, 0x55);
  apply(target, image, undefined);
  assert.ok(target.subarray(0, deadStackBytes).every((byte) => byte === 0x55));
  assert.deepEqual(above(target), above(image));
});

test("memory beyond the image differs only where it is not zero, and its size is kept", () => {
  const image = memoryOf(imageBytes, 3);
  const memory = grown(image, 2);
  assert.deepEqual([diff(memory, image).pages.length, diff(memory, image).sizeBytes], [0, memory.length]);
  memory[memory.length - 1] = 1;
  const delta = diff(memory, image);
  assert.deepEqual([...delta.pages], [memory.length / pageBytes - 1]);
});

test("a page that was cleared is a page that differs", () => {
  const image = memoryOf(imageBytes, 3);
  const memory = Buffer.from(image);
  memory.fill(0, imageBytes - pageBytes);
  const delta = diff(memory, image);
  assert.deepEqual([...delta.pages], [imageBytes / pageBytes - 1]);
  assert.ok(delta.contents.every((byte) => byte === 0));
});

test("applying to an instance with another process's remains leaves nothing of them", () => {
  const image = memoryOf(imageBytes, 3);
  const memory = grown(image, 1);
  memory[deadStackBytes] = 7;
  const target = Buffer.alloc(memory.length, 0xff);
  apply(target, image, diff(memory, image));
  assert.deepEqual(above(target), above(memory));
});

test("any change of any memory, grown or not, survives diff and apply; pages ascend and are not more than the changes", () => {
  const writes = fc.array(fc.record({ at: fc.nat(), byte: fc.nat(255) }), { maxLength: 12 });
  fc.assert(
    fc.property(writes, fc.nat(2), fc.nat(255), (changes, growth, remains) => {
      const image = memoryOf(imageBytes, 5);
      const memory = grown(image, growth);
      for (const { at, byte } of changes) memory[at % memory.length] = byte;
      const delta = diff(memory, image);
      assert.ok(delta.pages.length <= changes.length);
      assert.ok(delta.pages.every((page, index) => index === 0 || page > (delta.pages[index - 1] as number)));
      assert.equal(delta.contents.length, delta.pages.length * pageBytes);
      const target = Buffer.alloc(delta.sizeBytes, remains);
      apply(target, image, delta);
      assert.ok(above(target).equals(above(memory)));
    }),
    { numRuns: 60 },
  );
});
