/** What SQLite's failures mean to the people who run a store: which code, what happened, what to do. */
import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { isPerdureError, PerdureError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";
import { ColumnDamaged } from "../columns.ts";
import { schemaVersion } from "./schema.ts";

const resultCode = {
  sql: 1,
  busy: 5,
  locked: 6,
  noMemory: 7,
  readonly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  constraint: 19,
  notADatabase: 26,
};

const storeFailures = new Set<number>([
  resultCode.busy,
  resultCode.locked,
  resultCode.noMemory,
  resultCode.ioError,
  resultCode.corrupt,
  resultCode.full,
  resultCode.cannotOpen,
  resultCode.notADatabase,
]);

/** Below this much free space an I/O error is put down to the disk being full: not every ENOSPC reaches us as SQLITE_FULL. */
const scarceBytes = 1 << 20;

interface SqliteFailure extends Error {
  readonly errcode: number;
}

function isSqliteFailure(error: unknown): error is SqliteFailure {
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number";
}

/** SQLite's primary result code, or 0 when the error is none of SQLite's. */
function primaryCode(error: unknown): number {
  return isSqliteFailure(error) ? error.errcode & 0xff : 0;
}

export function isBusy(error: unknown): boolean {
  const code = primaryCode(error);
  return code === resultCode.busy || code === resultCode.locked;
}

/** A virtual table found its own data damaged: that is the user's table, not the store. */
const corruptVirtualTable = 267;

/** The store has failed, or could not be had: whatever the statement was, it may succeed another time. */
export function isStoreFailure(error: unknown): error is Error {
  return storeFailures.has(primaryCode(error)) && (error as SqliteFailure).errcode !== corruptVirtualTable;
}

/** What the statements before it did is to blame; the store is as it was, and the next attempt would end the same way. */
export function blamesStatements(error: unknown): error is Error {
  return primaryCode(error) !== 0 && !isStoreFailure(error);
}

/** A statement does not fit the schema. */
export function isSqlError(error: unknown): error is Error {
  return primaryCode(error) === resultCode.sql;
}

export function isNotADatabase(error: unknown): boolean {
  return primaryCode(error) === resultCode.notADatabase;
}

/** The columns whose uniqueness a statement violated, as in `journal.process, journal.turn`; "" for any other error. */
export function violatedKey(error: unknown): string {
  if (primaryCode(error) !== resultCode.constraint) return "";
  return /^UNIQUE constraint failed: (.*)$/.exec((error as Error).message)?.[1] ?? "";
}

interface Diagnosis {
  readonly code: ErrorCode;
  /** What happened and what to do about it. */
  readonly text: string;
}

/** Turns whatever a store's code threw into a PerdureError. `doing` completes "Cannot … the store". */
export function storeError(path: string, doing: string, error: unknown): PerdureError {
  if (isPerdureError(error)) return error;
  const { code, text } = diagnose(path, error);
  return new PerdureError(code, `Cannot ${doing} the store ${path}: ${text}`, { cause: error, details: { path } });
}

function diagnose(path: string, error: unknown): Diagnosis {
  const reason = error instanceof Error ? error.message : String(error);
  switch (primaryCode(error)) {
    case resultCode.busy:
    case resultCode.locked:
      return {
        code: "STORE_FAILED",
        text: "another program kept it locked too long, perhaps a backup or a shell with an open transaction. This write was not kept, everything committed is safe. End that program's transaction and try again.",
      };
    case resultCode.readonly:
      return { code: "STORE_READ_ONLY", text: `it cannot be written (${reason}). ${readOnlyAdvice}` };
    case resultCode.full:
      return { code: "STORE_FULL", text: fullText };
    case resultCode.ioError:
      if (isDiskFull(path)) return { code: "STORE_FULL", text: fullText };
      return {
        code: "STORE_FAILED",
        text: `the file system reported an error (${reason}). This write was not kept, everything committed is safe as far as the disk is. Look at the system's log, then start again.`,
      };
    case resultCode.corrupt:
    case resultCode.notADatabase:
      return { code: "STORE_CORRUPT", text: corruptText(path, reason) };
    case resultCode.cannotOpen:
      return {
        code: "STORE_UNREADABLE",
        text: `the file system does not let it be opened (${reason}). Check the permissions of the file, of "-wal" and "-shm" beside it, and of the folder ${dirname(path)}.`,
      };
    default:
      if (error instanceof ColumnDamaged || isOutOfRange(error)) {
        return { code: "STORE_CORRUPT", text: corruptText(path, reason) };
      }
      return { code: "STORE_FAILED", text: `${reason}. This write was not kept, everything committed is safe.` };
  }
}

export function newer(path: string, version: number): PerdureError {
  return new PerdureError(
    "STORE_NEWER",
    `Cannot open the store ${path}: a newer release wrote it (schema ${version}, this one knows ${schemaVersion}). Nothing was changed. Install the newer release.`,
    { details: { path } },
  );
}

export const readOnlyAdvice =
  "Everything committed is safe. Make the file and its folder writable for this user, or copy the store to where they are.";

const fullText =
  "the disk is full. This write was not kept, everything committed is safe. Free some space, then start again.";

export function corruptText(path: string, reason: string): string {
  return `it is damaged (${reason}). Nothing was changed. Stop every program that uses it, copy ${path} and the files beside it away, then restore a backup, or rescue what can be read with: sqlite3 ${path} ".recover" | sqlite3 rescued.db`;
}

/** node:sqlite throws it for an integer that no number can hold; Perdure never writes one. */
function isOutOfRange(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ERR_OUT_OF_RANGE";
}

function isDiskFull(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dirname(path));
    return bavail * bsize < scarceBytes;
  } catch {
    return false;
  }
}
