/** Opening a store: is it there, is it ours, can we use it, and if it is new, making it. */
import { randomUUID } from "node:crypto";
import { accessSync, closeSync, constants, existsSync, openSync, readSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DatabaseSync } from "node:sqlite";
import { PerdureError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";
import type { Mover } from "../migration/port.ts";
import { refusalToRead, refusalToWrite } from "../migration/refusals.ts";
import type { Store } from "../port.ts";
import { number, text } from "../columns.ts";
import type { Connection } from "./connection.ts";
import { corruptText, isBusy, isNotADatabase, isSqlError, newer, readOnlyAdvice, storeError } from "./errors.ts";
import { lockPath } from "./lock.ts";
import { applicationId, createSchema, schemaVersion } from "./schema.ts";
import { readMarks } from "./marks.ts";
import { SqliteMover } from "./mover.ts";
import { Seen } from "./seen.ts";
import { prepareStatements } from "./statements.ts";
import { SqliteStore } from "./store.ts";
import type { StoreMode } from "./store.ts";

export interface SqliteStoreOptions {
  /** `owner` may claim the store; `reader` reads and posts beside whoever owns it. Default `owner`. */
  readonly mode?: StoreMode;
  /** Make the store if the file does not exist. Default: true for an owner, false for a reader. */
  readonly create?: boolean;
  /** The file grows no further than this: then commits fail with STORE_FULL. Default: what the disk holds. */
  readonly maxSizeBytes?: number;
  /** Claim it even if it is an older copy of what was there before. Default: then a claim is STORE_RESTORED. */
  readonly acceptRestored?: boolean;
  /** How long a write waits for another program's transaction; the thread waits with it. Default 10,000. */
  readonly busyTimeoutMs?: number;
}

/** Beside a running node those are group commits, and take milliseconds. */
const defaultBusyTimeoutMs = 10_000;
const busyRetryMs = 20;
const pageSizeBytes = 4096;

const notFoundAdvice = "Correct the path, or start a program: that creates the store.";

/**
 * Opens the store in the file `path`.
 *
 * Throws STORE_NOT_FOUND, STORE_READ_ONLY, STORE_UNREADABLE (no Perdure store), STORE_NEWER, STORE_CORRUPT, STORE_FULL.
 */
export async function openSqliteStore(path: string, options: SqliteStoreOptions = {}): Promise<Store> {
  const mode = options.mode ?? "owner";
  return await openFile(path, { ...options, mode }, (connection, id) => {
    const marks = readMarks(connection.db);
    const refused = mode === "owner" ? refusalToWrite(connection.path, marks) : refusalToRead(connection.path, marks);
    if (refused !== undefined) throw refused;
    return new SqliteStore(connection, id, mode);
  });
}

/** Opens it as one end of a migration, whatever it was before. Throws the same. */
export async function openSqliteMover(path: string, options: { readonly create?: boolean } = {}): Promise<Mover> {
  return await openFile(path, options, (connection) => new SqliteMover(connection));
}

type Use<T> = (connection: Connection, id: string) => T;

async function openFile<T>(path: string, options: SqliteStoreOptions, use: Use<T>): Promise<T> {
  const mode = options.mode ?? "owner";
  const mayCreate = options.create ?? mode === "owner";
  const file = locate(path, mayCreate);
  const { busyTimeoutMs = defaultBusyTimeoutMs } = options;
  const untilMs = performance.now() + busyTimeoutMs;
  for (;;) {
    try {
      const { acceptRestored = false } = options;
      return open(file, { ...options, busyTimeoutMs, create: mayCreate, acceptRestored }, use);
    } catch (error) {
      // Two that turn a new file to a write-ahead log at once would wait for each other: SQLite refuses one, without waiting.
      if (!isBusy(error) || performance.now() >= untilMs) throw openError(file, error);
      await sleep(busyRetryMs);
    }
  }
}

type Known = Required<Pick<SqliteStoreOptions, "busyTimeoutMs" | "create" | "acceptRestored">> & SqliteStoreOptions;

function open<T>(file: string, options: Known, use: Use<T>): T {
  checkFormat(file);
  const db = new DatabaseSync(file, { timeout: options.busyTimeoutMs, enableForeignKeyConstraints: false });
  try {
    if (isEmpty(db)) {
      if (!options.create) throw refuse("STORE_NOT_FOUND", file, `the database is empty. ${notFoundAdvice}`);
      create(db);
    }
    const id = identify(file, db);
    configure(db, options.maxSizeBytes);
    const connection: Connection = {
      path: file,
      db,
      sql: prepareStatements(db),
      programIds: new Map(),
      lastTurns: new Map(),
      seen: new Seen(file, id, options.acceptRestored),
    };
    return use(connection, id);
  } catch (error) {
    db.close();
    throw error;
  }
}

function openError(file: string, error: unknown): PerdureError {
  if (isNotADatabase(error)) return notAStore(file, "its first bytes are not those of a database");
  // All that is run while a store is opened is fixed, so it is the schema that does not fit.
  if (isSqlError(error))
    return refuse("STORE_CORRUPT", file, corruptText(file, `its schema is not the one Perdure made: ${error.message}`));
  return storeError(file, "open", error);
}

/** Bytes 18 and 19 of a database say how it is written and read: 1 or 2. SQLite takes others for a release to come, and fails as it may. */
function checkFormat(file: string): void {
  if (!existsSync(file)) return;
  const header = Buffer.alloc(20);
  const fd = openSync(file, "r");
  try {
    if (readSync(fd, header, 0, header.length, 0) < header.length) return;
  } finally {
    closeSync(fd);
  }
  const isDatabase = header.toString("latin1", 0, 16) === "SQLite format 3\0";
  const isKnown = [18, 19].every((at) => header[at] === 1 || header[at] === 2);
  if (isDatabase && !isKnown)
    throw refuse("STORE_CORRUPT", file, corruptText(file, "its header names no known format"));
}

/** The store's real path, so that every way to a file leads to the same lock. */
function locate(path: string, create: boolean): string {
  const asked = resolve(path);
  const folder = dirname(asked);
  if (path === "" || path.includes("\0")) {
    throw new PerdureError(
      "ARGUMENT_INVALID",
      `${JSON.stringify(path)} is no path of a store. Name a file, such as "perdure.db".`,
    );
  }
  if (!existsSync(folder)) {
    throw refuse("STORE_NOT_FOUND", asked, `there is no folder ${folder}. Create it, or correct the path.`);
  }
  if (!existsSync(asked)) {
    if (!create) {
      throw refuse("STORE_NOT_FOUND", asked, `there is no such file. ${notFoundAdvice}`);
    }
    const file = join(realpathSync(folder), basename(asked));
    checkAccess(
      dirname(file),
      constants.W_OK,
      "STORE_READ_ONLY",
      file,
      `the folder cannot be written. ${readOnlyAdvice}`,
    );
    return file;
  }
  const file = realpathSync(asked);
  const info = statSync(file);
  if (!info.isFile())
    throw refuse("STORE_UNREADABLE", file, "it is no file. Name a file, such as perdure.db in that folder.");
  if (info.size === 0 && existsSync(lockPath(file))) throw notAStore(file, "the file is empty");
  if (info.size === 0 && !create) {
    throw refuse("STORE_NOT_FOUND", file, `the file is empty. ${notFoundAdvice}`);
  }
  checkAccess(
    file,
    constants.R_OK,
    "STORE_UNREADABLE",
    file,
    "this user may not read it. Check the file's permissions.",
  );
  checkAccess(file, constants.W_OK, "STORE_READ_ONLY", file, `the file cannot be written. ${readOnlyAdvice}`);
  // Its write-ahead log lives beside it, even for those who only read.
  checkAccess(
    dirname(file),
    constants.W_OK,
    "STORE_READ_ONLY",
    file,
    `its folder cannot be written. ${readOnlyAdvice}`,
  );
  return file;
}

function checkAccess(path: string, access: number, code: ErrorCode, file: string, reason: string): void {
  try {
    accessSync(path, access);
  } catch (cause) {
    throw refuse(code, file, reason, cause);
  }
}

function refuse(code: ErrorCode, path: string, reason: string, cause?: unknown): PerdureError {
  return new PerdureError(code, `Cannot open the store ${path}: ${reason}`, { cause, details: { path } });
}

/** A lock file beside it tells a store that was cut off or overwritten from a file that never was one. */
function notAStore(path: string, reason: string): PerdureError {
  if (existsSync(lockPath(path))) return refuse("STORE_CORRUPT", path, corruptText(path, reason));
  return refuse(
    "STORE_UNREADABLE",
    path,
    `${reason}, so it is not a Perdure store. It was left as it is; choose another path.`,
  );
}

function pragma(db: DatabaseSync, name: string): number {
  return number(db.prepare(`PRAGMA ${name}`).get() ?? {}, name);
}

function isEmpty(db: DatabaseSync): boolean {
  return (
    pragma(db, "application_id") === 0 &&
    number(db.prepare("SELECT count(*) AS n FROM sqlite_schema").get() ?? {}, "n") === 0
  );
}

/** Two engines may get here at once: the second one finds the first one's schema when it has its turn. */
function create(db: DatabaseSync): void {
  db.exec(
    `PRAGMA page_size = ${pageSizeBytes}; PRAGMA auto_vacuum = NONE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL`,
  );
  db.exec("BEGIN IMMEDIATE");
  if (isEmpty(db)) {
    db.exec(createSchema);
    db.prepare(
      "INSERT INTO meta (one, store_id, schema_version, incarnation, clean, signs, downtime_ms, pruned_key) VALUES (1, ?, ?, 0, 1, 0, 0, 0)",
    ).run(randomUUID(), schemaVersion);
  }
  db.exec("COMMIT");
}

/** Makes sure that this is a Perdure store this release understands, and returns its id. */
function identify(path: string, db: DatabaseSync): string {
  if (pragma(db, "application_id") !== applicationId) throw notAStore(path, "it is another program's database");
  const version = pragma(db, "user_version");
  if (version <= schemaVersion) {
    const meta = db.prepare("SELECT store_id, schema_version FROM meta").get() ?? {};
    if (number(meta, "schema_version") !== version) {
      throw refuse("STORE_CORRUPT", path, corruptText(path, "its schema versions disagree"));
    }
    if (isCutOff(path, pragma(db, "page_size"))) {
      throw refuse("STORE_CORRUPT", path, corruptText(path, "its last page is cut off"));
    }
    return text(meta, "store_id");
  }
  throw newer(path, version);
}

/** SQLite notices when whole pages are missing. A part of one may be, as long as the write-ahead log holds it. */
function isCutOff(path: string, pageSizeBytes: number): boolean {
  const log = statSync(`${path}-wal`, { throwIfNoEntry: false });
  return (log?.size ?? 0) === 0 && statSync(path).size % pageSizeBytes !== 0;
}

/** What every connection that writes is set to. */
export function configure(db: DatabaseSync, maxSizeBytes: number | undefined): void {
  const mode = text(db.prepare("PRAGMA journal_mode").get() ?? {}, "journal_mode");
  if (mode !== "wal") db.exec("PRAGMA journal_mode = WAL");
  db.exec(`
    PRAGMA synchronous = FULL;
    -- On macOS a plain fsync does not reach the disk's platters.
    PRAGMA fullfsync = ON;
    PRAGMA checkpoint_fullfsync = ON;
    -- 16 MiB: hot pages go back to the database once for many commits. And a burst's log does not keep its size for ever.
    PRAGMA wal_autocheckpoint = 4096;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA cache_size = -32768;
    PRAGMA temp_store = MEMORY;
    -- Damaged pages are noticed when they are read, and a damaged schema calls nothing.
    PRAGMA cell_size_check = ON;
    PRAGMA trusted_schema = OFF;
  `);
  if (maxSizeBytes !== undefined)
    db.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(maxSizeBytes / pageSizeBytes))}`);
}
