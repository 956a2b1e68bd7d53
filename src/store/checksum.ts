/**
 * Checksums of what replay and the outside world depend on: turns, waiting inputs, arguments of operations.
 *
 * A checksum covers the body and, as its starting value, whose it is: so neither a changed byte nor a row that got under
 * another process or number passes for the real one. Of an operation it also covers columns beside the body.
 */
import { crc32 } from "node:zlib";
import type { ProcessKey } from "./port.ts";

/** `index` is the turn's or the operation's number, 0 for an input; `beside` is what is covered and lies outside the body. */
export function checksum(body: Uint8Array, process: ProcessKey, index: number, beside = ""): number {
  return crc32(beside, crc32(body, (Math.imul(process, 0x9e3779b1) ^ Math.imul(index, 0x85ebca77)) >>> 0));
}
