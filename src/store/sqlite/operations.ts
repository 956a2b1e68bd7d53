/** Operations without an outcome yet. */
import { decodePayload, encodePayload } from "../../journal/encoding.ts";
import { operationStates } from "../port.ts";
import type { OperationRow, ProcessKey } from "../port.ts";
import { checksum, operationIdentity } from "../checksum.ts";
import { verified } from "./checksum.ts";
import { bytes, number, text, word } from "../columns.ts";
import type { Row } from "../columns.ts";
import type { Connection } from "./connection.ts";

export function putOperation({ sql }: Connection, row: OperationRow): void {
  const args = encodePayload(row.args);
  sql.putOperation.run(
    row.process,
    row.number,
    row.name,
    row.state,
    row.attempt,
    row.notBeforeMs,
    row.startedAtMs,
    row.deaths,
    row.createdAtMs,
    row.lastError,
    row.options,
    checksum(args, row.process, row.number, operationIdentity(row)),
    args,
  );
}

export function readOperationsOf(connection: Connection, process: ProcessKey): OperationRow[] {
  return connection.sql.operationsOf.all(process).map((row) => readOperation(connection, row));
}

export function readOperation(connection: Connection, row: Row): OperationRow {
  const process = number(row, "process");
  const index = number(row, "number");
  const name = text(row, "name");
  const options = text(row, "options");
  const startedAtMs = number(row, "started_at_ms");
  const beside = operationIdentity({ name, options, startedAtMs });
  const stored = { body: bytes(row, "args"), crc: number(row, "crc"), process, index, beside };
  return {
    process,
    number: index,
    name,
    args: verified(connection, stored, { noun: "Operation", detail: "operation", value: index }, decodePayload),
    options,
    state: word(row, "state", operationStates),
    attempt: number(row, "attempt"),
    notBeforeMs: number(row, "not_before_ms"),
    startedAtMs,
    deaths: number(row, "deaths"),
    lastError: text(row, "last_error"),
    createdAtMs: number(row, "created_at_ms"),
  };
}
