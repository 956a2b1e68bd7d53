/** Rows that fail their checksum are never handed out. */
import { PerdureError } from "../../base/errors.ts";
import { checksum } from "../checksum.ts";
import type { ProcessKey } from "../port.ts";
import { pidOf } from "./connection.ts";
import type { Connection } from "./connection.ts";

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
