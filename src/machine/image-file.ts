/**
 * An image as the store caches it: eight hexadecimal digits, the CRC-32 of everything after them; a line of JSON (`format`,
 * `key`, pointers, whether the program is evaluated in it, size of the memory); a line break; zstd of the memory. A cache
 * only: what does not read back is built again.
 */
import { crc32, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { Image } from "./image.ts";
import { wasmPageBytes } from "./pages.ts";
import type { VmPointers } from "./vm.ts";

const format = 2;
const checksumDigits = 8;
const lineBreak = 0x0a;

interface Head extends Omit<Image, "memory" | "bundle"> {
  readonly format: number;
  readonly sizeBytes: number;
}

export function encodeImage(image: Image): Uint8Array {
  const { key, pointers, evaluated, memory } = image;
  const head: Head = { format, key, pointers, evaluated, sizeBytes: memory.length };
  const body = Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), zstdCompressSync(memory)]);
  return Buffer.concat([Buffer.from(checksum(body)), body]);
}

/** The image of that key, or undefined if these bytes are not one, of no more than `maxSizeBytes`. */
export function decodeImage(encoded: Uint8Array, key: string, bundle: string, maxSizeBytes: number): Image | undefined {
  const bytes = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  const body = bytes.subarray(checksumDigits);
  if (bytes.toString("latin1", 0, checksumDigits) !== checksum(body)) return undefined;
  try {
    const end = body.indexOf(lineBreak);
    const head = JSON.parse(body.toString("utf8", 0, end)) as Head;
    const { sizeBytes, pointers, evaluated } = head;
    if (head.format !== format || head.key !== key) return undefined;
    if (!(sizeBytes <= maxSizeBytes && sizeBytes % wasmPageBytes === 0)) return undefined;
    if (typeof evaluated !== "boolean" || !arePointers(pointers)) return undefined;
    const memory = zstdDecompressSync(body.subarray(end + 1), { maxOutputLength: sizeBytes });
    return memory.length === sizeBytes ? { key, pointers, evaluated, memory, bundle } : undefined;
  } catch {
    return undefined;
  }
}

const pointerNames: readonly (keyof VmPointers)[] = [
  "runtime",
  "context",
  "stackPointer",
  "undefined",
  "scratch",
  "argv",
  "dispatch",
];

function arePointers(pointers: VmPointers): boolean {
  return pointerNames.every((name) => Number.isSafeInteger(pointers[name]));
}

function checksum(body: Uint8Array): string {
  return crc32(body).toString(16).padStart(checksumDigits, "0");
}
