/** Programs and the bytes they consist of, by hash. */
import type { ProgramRow } from "../port.ts";
import { statement, step } from "./wire/session.ts";
import type { Step } from "./wire/session.ts";

export interface Blob {
  readonly hash: string;
  readonly bytes: Uint8Array;
}

const upsertBlob = statement(
  `INSERT INTO ~.blob AS b (hash, bytes) VALUES ($1, $2)
   ON CONFLICT (hash) DO UPDATE SET bytes = excluded.bytes WHERE b.bytes <> excluded.bytes`,
  "text",
  "bytea",
);
const upsertProgram = statement(
  `INSERT INTO ~.program (hash, file, created_at_ms, bundle, source_map, prelude, engine, operations)
   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
   ON CONFLICT (hash) DO UPDATE SET file = excluded.file, created_at_ms = excluded.created_at_ms, bundle = excluded.bundle,
     source_map = excluded.source_map, prelude = excluded.prelude, engine = excluded.engine, operations = excluded.operations`,
  ...(["text", "text", "int8", "text", "text", "text", "text", "text"] as const),
);

export function putBlobs(blobs: readonly Blob[]): Step[] {
  return blobs.map(({ hash, bytes }) => step(upsertBlob, hash, bytes));
}

export function putProgram(row: ProgramRow, blobs: readonly Blob[]): Step[] {
  const { hash, file, createdAtMs, bundle, sourceMap, prelude, engine, operations } = row;
  const put = [hash, file, createdAtMs, bundle, sourceMap, prelude, engine, JSON.stringify(operations)];
  return [...putBlobs(blobs), step(upsertProgram, ...put)];
}
