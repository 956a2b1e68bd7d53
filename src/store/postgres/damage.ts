/** Rows that fail their checksum are never handed out. */
import { PerdureError } from "../../base/errors.ts";
import type { Pid } from "../../journal/types.ts";
import { checksum } from "../checksum.ts";
import type { ProcessKey } from "../port.ts";

export interface StoredBody {
  readonly body: Uint8Array;
  readonly crc: number;
  readonly process: ProcessKey;
  /** Whose the checksum says it is, if that is not whose row it is. */
  readonly of?: ProcessKey;
  readonly index: number;
  readonly beside?: string;
}

/** What a row is to people: as in "Turn 3", and as the detail `turn: 3` of an error. */
export interface RowName {
  readonly noun: string;
  readonly detail: "turn" | "operation" | "seq" | "key";
  readonly value: number | string;
}

/** Thrown where a row is read. Whose it is, in words, has to be looked up: see `journalCorrupt`. */
export class DamagedRow extends Error {
  readonly process: ProcessKey;
  readonly row: RowName;

  constructor(process: ProcessKey, row: RowName, reason: string, cause?: unknown) {
    super(reason, { cause });
    this.process = process;
    this.row = row;
  }
}

/** Decodes a body that passes its checksum; throws DamagedRow for any other. */
export function verified<T>(stored: StoredBody, name: RowName, decode: (body: Uint8Array) => T): T {
  const { body, crc, process, of, index, beside } = stored;
  if (crc !== checksum(body, of ?? process, index, beside)) {
    throw new DamagedRow(process, name, "its bytes are not those that were written");
  }
  try {
    return decode(body);
  } catch (error) {
    throw new DamagedRow(process, name, error instanceof Error ? error.message : String(error), error);
  }
}

export function journalCorrupt(path: string, pid: Pid, damaged: DamagedRow): PerdureError {
  const { process, row } = damaged;
  return new PerdureError(
    "JOURNAL_CORRUPT",
    `${row.noun} ${row.value} of process ${pid} is damaged in the store ${path}: ${damaged.message}. Other processes are not affected. Restore a backup of the store, or give this process up with: perdure kill ${pid}`,
    { cause: damaged.cause, details: { path, pid, process, [row.detail]: row.value } },
  );
}
