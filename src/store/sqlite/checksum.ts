/**
 * Checksums of what replay and the outside world depend on: turns, waiting inputs, arguments of operations.
 *
 * A checksum covers the body and, as its starting value, whose it is: so neither a changed byte nor a row that got under
 * another process or number passes for the real one. Of an operation it also covers columns beside the body.
 */
import { crc32 } from "node:zlib";
import { PerdureError } from "../../base/errors.ts";
import type { ProcessKey } from "../port.ts";
import { pidOf } from "./connection.ts";
import type { Connection } from "./connection.ts";

/** `index` is the turn's or the operation's number, 0 for an input; `beside` is what is covered and lies outside the body. */
export function checksum(body: Uint8Array, process: ProcessKey, index: number, beside = ""): number {
  return crc32(beside, crc32(body, (Math.imul(process, 0x9e3779b1) ^ Math.imul(index, 0x85ebca77)) >>> 0));
}

export interface StoredBody {
  readonly body: Uint8Array;
  readonly crc: number;
  readonly process: ProcessKey;
  readonly index: number;
  readonly beside?: string;
}

/** What a row is to people: as in "Turn 3", and as the detail `turn: 3` of an error. */
export interface RowName {
  readonly noun: string;
  readonly detail: "turn" | "operation" | "seq" | "key";
  readonly value: number | string;
}

/** Decodes a body that passes its checksum; throws JOURNAL_CORRUPT for any other. */
export function verified<T>(
  connection: Connection,
  stored: StoredBody,
  name: RowName,
  decode: (body: Uint8Array) => T,
): T {
  const { body, crc, process, index, beside } = stored;
  if (crc !== checksum(body, process, index, beside)) {
    throw journalCorrupt(connection, process, name, "its bytes are not those that were written");
  }
  try {
    return decode(body);
  } catch (error) {
    throw journalCorrupt(connection, process, name, error instanceof Error ? error.message : String(error), error);
  }
}

export function journalCorrupt(
  connection: Connection,
  process: ProcessKey,
  { noun, detail, value }: RowName,
  reason: string,
  cause?: unknown,
): PerdureError {
  const { path } = connection;
  const pid = pidOf(connection, process);
  return new PerdureError(
    "JOURNAL_CORRUPT",
    `${noun} ${value} of process ${pid} is damaged in the store ${path}: ${reason}. Other processes are not affected. Restore a backup of the store, or give this process up with: perdure kill ${pid}`,
    { cause, details: { path, pid, process, [detail]: value } },
  );
}
