/** Programs and the bytes they consist of, by hash. */
import type { ProgramRow } from "../port.ts";
import { bytes } from "../columns.ts";
import type { Connection } from "./connection.ts";
import { readProgram } from "../rows.ts";

export interface Blob {
  readonly hash: string;
  readonly bytes: Uint8Array;
}

export function putBlobs({ sql }: Connection, blobs: readonly Blob[]): void {
  for (const blob of blobs) sql.putBlob.run(blob.hash, blob.bytes);
}

export function putProgram(connection: Connection, row: ProgramRow, blobs: readonly Blob[]): void {
  putBlobs(connection, blobs);
  connection.sql.putProgram.run(
    row.hash,
    row.file,
    row.createdAtMs,
    row.bundle,
    row.sourceMap,
    row.prelude,
    row.engine,
    JSON.stringify(row.operations),
  );
}

export function findProgram({ sql }: Connection, hash: string): ProgramRow | undefined {
  const row = sql.program.get(hash);
  return row === undefined ? undefined : readProgram(row);
}

export function listPrograms({ sql }: Connection): ProgramRow[] {
  return sql.programs.all().map(readProgram);
}

export function findBlob({ sql }: Connection, hash: string): Uint8Array | undefined {
  const row = sql.blob.get(hash);
  return row === undefined ? undefined : bytes(row, "bytes");
}
