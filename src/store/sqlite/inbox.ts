/** Inputs that no turn has taken yet. */
import { PerdureError } from "../../base/errors.ts";
import { decodeInput, encodeInput } from "../../journal/encoding.ts";
import type { Input, Pid } from "../../journal/types.ts";
import { decodeExported } from "../exports-encoding.ts";
import { processExported } from "../exports.ts";
import type { InboxRow, ProcessKey } from "../port.ts";
import { checksum } from "../checksum.ts";
import { verified } from "./checksum.ts";
import { bytes, number, text } from "../columns.ts";
import type { Row } from "../columns.ts";
import { processNotFound } from "./connection.ts";
import type { Connection } from "./connection.ts";

/** Returns its seq. */
export function putInput({ sql }: Connection, process: ProcessKey, input: Input, atMs: number): number {
  const body = encodeInput(input);
  return Number(sql.putInput.run(process, atMs, checksum(body, process, 0), body).lastInsertRowid);
}

/** Returns its seq. From outside the owner: whether the process still takes inputs is decided in the same transaction. */
export function postInput(connection: Connection, pid: Pid, input: Input, atMs: number): number {
  const row = connection.sql.stateOf.get(pid);
  if (row === undefined && connection.sql.hasTombstone.get(pid) === undefined) throw absent(connection, pid);
  if (row === undefined || text(row, "state") === "exited") {
    throw new PerdureError("PROCESS_EXITED", `Process ${pid} has exited and takes no more inputs. Start another one.`, {
      details: { path: connection.path, pid },
    });
  }
  return putInput(connection, number(row, "key"), input, atMs);
}

function absent(connection: Connection, pid: Pid): PerdureError {
  const body = connection.sql.exported.get(pid)?.["body"];
  return body instanceof Uint8Array ? processExported(decodeExported(body)) : processNotFound(connection, pid);
}

export function readInboxOf(connection: Connection, process: ProcessKey): InboxRow[] {
  return connection.sql.inboxOf.all(process).map((row) => readInboxRow(connection, row));
}

export function readInboxRow(connection: Connection, row: Row): InboxRow {
  const seq = number(row, "seq");
  const process = number(row, "process");
  const stored = { body: bytes(row, "input"), crc: number(row, "crc"), process, index: 0 };
  const input = verified(connection, stored, { noun: "Waiting input", detail: "seq", value: seq }, decodeInput);
  return { seq, process, input, atMs: number(row, "at_ms") };
}
