/**
 * An image as the store caches it: a line of JSON (`format`, `key`, pointers, whether the program is evaluated in it, CRC-32
 * of the memory), a line break, zstd of the memory. A cache only: what does not read back is built again.
 */
import { crc32, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { Image } from "./image.ts";

const format = 1;
const lineBreak = 0x0a;

export function encodeImage(image: Image): Uint8Array {
  const { key, pointers, evaluated, memory } = image;
  const head = JSON.stringify({ format, key, pointers, evaluated, crc: crc32(memory), sizeBytes: memory.length });
  return Buffer.concat([Buffer.from(`${head}\n`), zstdCompressSync(memory)]);
}

export function decodeImage(encoded: Uint8Array, key: string, bundle: string): Image | undefined {
  const bytes = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  try {
    const end = bytes.indexOf(lineBreak);
    const head = JSON.parse(bytes.toString("utf8", 0, end)) as Omit<Image, "memory" | "bundle"> & {
      format: number;
      crc: number;
      sizeBytes: number;
    };
    if (head.format !== format || head.key !== key) return undefined;
    const memory = zstdDecompressSync(bytes.subarray(end + 1), { maxOutputLength: head.sizeBytes });
    if (memory.length !== head.sizeBytes || crc32(memory) !== head.crc) return undefined;
    return { key, pointers: head.pointers, evaluated: head.evaluated, memory, bundle };
  } catch {
    return undefined;
  }
}
