/** What the disk and SQLite can do by themselves, to compare the engine with. Runs in the calling process. */
import { closeSync, fdatasyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** The same settings as the engine's store has (`src/store/sqlite/open.ts`). */
const pragmas = `
  PRAGMA page_size = 4096; PRAGMA auto_vacuum = NONE; PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;
  PRAGMA wal_autocheckpoint = 4096; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -32768;
  PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;
`;
/** About what the journal keeps of a trivial step. */
const rowBytes = 48;

export class RawDatabase {
  readonly #db: DatabaseSync;
  readonly #insert;
  readonly #row = new Uint8Array(rowBytes).fill(7);
  #rows = 0;

  constructor(folder: string) {
    this.#db = new DatabaseSync(join(folder, "raw.db"));
    this.#db.exec(pragmas);
    this.#db.exec("CREATE TABLE step (seq INTEGER PRIMARY KEY, process INTEGER, turn INTEGER, body BLOB) STRICT");
    this.#insert = this.#db.prepare("INSERT INTO step (process, turn, body) VALUES (?, ?, ?)");
  }

  /** Rows a second when each transaction, synced, takes `batchRows` of them. */
  rowsPerSecond(batchRows: number, totalRows: number): number {
    const before = performance.now();
    for (let done = 0; done < totalRows; done += batchRows) {
      this.#db.exec("BEGIN IMMEDIATE");
      for (let i = 0; i < batchRows; i++) this.#insertRow();
      this.#db.exec("COMMIT");
    }
    return (Math.ceil(totalRows / batchRows) * batchRows * 1000) / (performance.now() - before);
  }

  /** ms of each of `count` transactions of one row. */
  commitTimes(count: number): number[] {
    return Array.from({ length: count }, () => {
      const before = performance.now();
      this.#db.exec("BEGIN IMMEDIATE");
      this.#insertRow();
      this.#db.exec("COMMIT");
      return performance.now() - before;
    });
  }

  close(): void {
    this.#db.close();
  }

  #insertRow(): void {
    this.#rows++;
    this.#insert.run(this.#rows % 1000, this.#rows, this.#row);
  }
}

/** How often a second one page can be appended to a file and synced. */
export function fdatasyncsPerSecond(folder: string, durationMs: number): number {
  const file = openSync(join(folder, "raw.bin"), "w");
  const page = Buffer.alloc(4096, 7);
  const before = performance.now();
  let count = 0;
  for (; performance.now() - before < durationMs; count++) {
    writeSync(file, page);
    fdatasyncSync(file);
  }
  const rate = (count * 1000) / (performance.now() - before);
  closeSync(file);
  return rate;
}

/**
 * How many transactions the write-ahead log of a store holds. To count those of a stretch of work, keep `pinLog` open
 * meanwhile: it keeps the log from being begun anew.
 */
export function countCommits(store: string): number {
  const log = readFileSync(`${store}-wal`);
  const frameBytes = 24 + log.readUInt32BE(8);
  const salts = log.subarray(16, 24);
  let commits = 0;
  for (let at = 32; at + frameBytes <= log.length; at += frameBytes) {
    if (!log.subarray(at + 8, at + 16).equals(salts)) break;
    // The last frame of a transaction holds the size of the database after it.
    if (log.readUInt32BE(at + 4) !== 0) commits++;
  }
  return commits;
}

/** A reader that stays: checkpoints cannot pass it, so the log only grows. Returns how to let it go. */
export function pinLog(store: string): () => void {
  const db = new DatabaseSync(store, { readOnly: true });
  db.exec("BEGIN");
  db.prepare("SELECT incarnation FROM meta").get();
  return () => db.close();
}
