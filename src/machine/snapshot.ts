/**
 * A snapshot: a process's memory after one of its turns, encoded for the store.
 *
 * ```
 * offset  size  field
 *      0     4  magic "PDSN"
 *      4     1  format version, 1
 *      5     1  key id, 0: not encrypted
 *      6     2  zero
 *      8     4  CRC-32 of everything from offset 12 on
 *     12    32  image key (SHA-256): the image the pages differ from
 *     44     8  turn number (float64): the state is the one after this turn
 *     52     4  memory size in bytes
 *     56     4  number of pages n
 *     60     …  zstd of: n page numbers (u32, ascending), then n pages of 4,096 bytes, each XORed with the image's page of that
 *               number if the image has one: most pages differ in a few bytes, and zeros cost next to nothing
 * ```
 * All integers are little-endian. A snapshot is read back only if the CRC matches, the image key is the one at hand, the
 * memory has whole WebAssembly pages, not fewer than the image's and not more than a machine may have, page numbers ascend
 * and lie within it, and the decompressed length is exactly n × 4,100. Anything else is SNAPSHOT_CORRUPT, and the process
 * falls back to an older snapshot or to replaying its journal. Sizes are checked before anything of that size is allocated.
 */
import { constants, crc32, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { PerdureError } from "../base/errors.ts";
import type { Image } from "./image.ts";
import { pageBytes, wasmPageBytes } from "./pages.ts";
import type { Delta } from "./pages.ts";

const headerBytes = 60;
const magic = 0x4e534450;
const version = 1;
const notEncrypted = 0;
const pageWords = pageBytes / 4;
/** What differs from the image is mostly zero after the XOR: more effort finds little more. */
const quickly = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

export interface Snapshot {
  readonly turn: number;
  readonly delta: Delta;
}

export function encodeSnapshot(snapshot: Snapshot, image: Image): Uint8Array {
  const { pages, contents, sizeBytes } = snapshot.delta;
  const body = Buffer.concat([Buffer.from(pages.buffer, pages.byteOffset, pages.byteLength), contents]);
  xorWithImage(body.subarray(4 * pages.length), pages, image);
  const packed = zstdCompressSync(body, quickly);
  const out = Buffer.alloc(headerBytes + packed.length);
  out.writeUInt32LE(magic, 0);
  out.writeUInt8(version, 4);
  out.writeUInt8(notEncrypted, 5);
  out.write(image.key, 12, 32, "hex");
  out.writeDoubleLE(snapshot.turn, 44);
  out.writeUInt32LE(sizeBytes, 52);
  out.writeUInt32LE(pages.length, 56);
  packed.copy(out, headerBytes);
  out.writeUInt32LE(crc32(out.subarray(12)), 8);
  return out;
}

/** Throws SNAPSHOT_CORRUPT, also for a memory of more than `maxSizeBytes`. */
export function decodeSnapshot(encoded: Uint8Array, image: Image, turn: number, maxSizeBytes: number): Snapshot {
  const bytes = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  if (bytes.length < headerBytes) throw corrupt("it is truncated");
  if (bytes.readUInt32LE(0) !== magic) throw corrupt("it does not begin as one");
  if (bytes.readUInt8(4) !== version) throw corrupt(`its format version ${bytes.readUInt8(4)} is unknown`);
  if (bytes.readUInt8(5) !== notEncrypted) throw corrupt(`its key ${bytes.readUInt8(5)} is unknown`);
  if (bytes.readUInt16LE(6) !== 0) throw corrupt("its header holds something unknown");
  if (crc32(bytes.subarray(12)) !== bytes.readUInt32LE(8)) throw corrupt("its checksum does not match");
  if (bytes.toString("hex", 12, 44) !== image.key) throw corrupt("it belongs to another image");
  if (bytes.readDoubleLE(44) !== turn) throw corrupt(`it is of turn ${bytes.readDoubleLE(44)}, not ${turn}`);
  const sizeBytes = bytes.readUInt32LE(52);
  const count = bytes.readUInt32LE(56);
  const sizeFits = sizeBytes >= image.memory.length && sizeBytes <= maxSizeBytes && sizeBytes % wasmPageBytes === 0;
  if (!sizeFits) throw corrupt(`it is of a memory of ${sizeBytes} bytes`);
  if (count > sizeBytes / pageBytes) throw corrupt(`it has ${count} pages, more than its memory`);
  const expectedBytes = count * (4 + pageBytes);
  const body = unpack(bytes.subarray(headerBytes), expectedBytes);
  const pages = Uint32Array.from({ length: count }, (_, index) => body.readUInt32LE(4 * index));
  for (const [index, page] of pages.entries()) {
    if (page <= (pages[index - 1] ?? -1) || (page + 1) * pageBytes > sizeBytes)
      throw corrupt(`page number ${page} is out of order`);
  }
  const contents = body.subarray(4 * count);
  xorWithImage(contents, pages, image);
  return { turn, delta: { sizeBytes, pages, contents } };
}

/** What can be said without the image: why these are not the bytes of a snapshot, if they are not. */
export function snapshotFault(encoded: Uint8Array): string | undefined {
  const bytes = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  if (bytes.length < headerBytes || bytes.readUInt32LE(0) !== magic) return "it does not begin as one";
  return crc32(bytes.subarray(12)) === bytes.readUInt32LE(8) ? undefined : "its checksum does not match";
}

/** Its own inverse. Word by word. */
function xorWithImage(contents: Buffer, pages: Uint32Array, image: Image): void {
  const words = wordsOf(contents);
  const before = wordsOf(image.memory);
  for (let index = 0; index < pages.length; index++) {
    const offset = (pages[index] as number) * pageWords;
    if (offset >= before.length) break;
    const start = index * pageWords;
    for (let word = 0; word < pageWords; word++)
      words[start + word] = (words[start + word] as number) ^ (before[offset + word] as number);
  }
  if (words.buffer !== contents.buffer) contents.set(new Uint8Array(words.buffer));
}

/** A view, or a copy where a view cannot be. */
function wordsOf(bytes: Uint8Array): Int32Array {
  const { buffer, byteOffset, length } = byteOffsetFits(bytes) ? bytes : Uint8Array.from(bytes);
  return new Int32Array(buffer, byteOffset, length / 4);
}

function byteOffsetFits({ byteOffset }: Uint8Array): boolean {
  return byteOffset % Int32Array.BYTES_PER_ELEMENT === 0;
}

function unpack(packed: Buffer, expectedBytes: number): Buffer {
  let body: Buffer;
  try {
    body = zstdDecompressSync(packed, { maxOutputLength: expectedBytes + 1 });
  } catch (error) {
    throw corrupt("it does not decompress", error);
  }
  if (body.length !== expectedBytes) throw corrupt(`it holds ${body.length} bytes, expected ${expectedBytes}`);
  return body;
}

function corrupt(what: string, cause?: unknown): PerdureError {
  return new PerdureError("SNAPSHOT_CORRUPT", `A snapshot cannot be used: ${what}.`, { cause });
}
