/**
 * Checksums of what replay and the outside world depend on: turns, waiting inputs, arguments of operations.
 *
 * A checksum covers the body and, as its starting value, whose it is: so neither a changed byte nor a row that got under
 * another process or number passes for the real one. Of an operation it also covers columns beside the body.
 */
import { crc32 } from "node:zlib";
import type { Pid } from "../journal/types.ts";
import type { EdgeRow, OperationRow, ProcessKey } from "./port.ts";

/** `index` is the turn's or the operation's number, 0 for an input; `beside` is what is covered and lies outside the body. */
export function checksum(body: Uint8Array, process: ProcessKey, index: number, beside = ""): number {
  // Keys of shared stores have more than 32 bits.
  const high = Math.imul(Math.floor(process / 2 ** 31), 0xc2b2ae3d);
  return crc32(beside, crc32(body, (Math.imul(process, 0x9e3779b1) ^ Math.imul(index, 0x85ebca77) ^ high) >>> 0));
}

// -- what is covered besides the body, and where there is none, in its place ----------------------------------------

/** Of an operation: which function is called, and whether it may have been. */
export function operationIdentity({
  name,
  options,
  startedAtMs,
}: Pick<OperationRow, "name" | "options" | "startedAtMs">): string {
  return JSON.stringify([name, options, startedAtMs]);
}

export function restoreBody(from: number): Uint8Array {
  return Buffer.from(String(from));
}

export function edgeBody(
  { key, digest, state }: Pick<EdgeRow, "key" | "digest" | "state">,
  answer: Uint8Array | undefined,
): Uint8Array {
  return Buffer.concat([Buffer.from(`${digest}\0${state}\0${key}\0`), answer ?? new Uint8Array(0)]);
}

/** Of an input, if it tells of an end. */
export function tieIdentity(tie: ProcessKey | undefined, monitor: number | undefined): string {
  return tie === undefined ? "" : `${tie} ${monitor ?? "link"}`;
}

/** All of a tombstone but its value, as its checksum covers it. */
export interface Stone {
  readonly pid: Pid;
  readonly program: string;
  readonly entry: string;
  readonly argsDigest: string;
  readonly startedAtMs: number;
  readonly exitedAtMs: number;
  readonly prunedAtMs: number;
  readonly reason: string;
  readonly valueBytes: number;
}

/** `value`: undefined if it was not kept. */
export function stoneChecksum(stone: Stone, value: Uint8Array | undefined): number {
  const { pid, program, entry, argsDigest, startedAtMs, exitedAtMs, prunedAtMs, reason, valueBytes } = stone;
  const fields = [pid, program, entry, argsDigest, startedAtMs, exitedAtMs, prunedAtMs, reason, valueBytes];
  const ofFields = checksum(Buffer.from(JSON.stringify(fields)), 0, 0);
  return checksum(value ?? new Uint8Array(), ofFields, value === undefined ? 0 : 1);
}
