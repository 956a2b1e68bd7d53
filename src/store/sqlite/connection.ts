/** An open database, its prepared statements, and what every part of the store does with them. */
import type { DatabaseSync } from "node:sqlite";
import { PerdureError } from "../../base/errors.ts";
import type { Pid } from "../../journal/types.ts";
import type { ProcessKey } from "../port.ts";
import { number, text } from "../columns.ts";
import type { Seen } from "./seen.ts";
import type { Statements } from "./statements.ts";

export interface Connection {
  readonly path: string;
  readonly db: DatabaseSync;
  readonly sql: Statements;
  /** Program hash → `program.id`: processes are written with the short one. */
  readonly programIds: Map<string, number>;
  /** The last turn of processes that were written lately, so that checking for gaps costs no search. */
  readonly lastTurns: Map<ProcessKey, number>;
  readonly seen: Seen;
}

/** Runs `write` in one transaction, synced to disk when this returns; if it throws, nothing of it remains. */
export function transaction<T>(connection: Connection, write: () => T): T {
  const { db, sql } = connection;
  sql.begin.run();
  try {
    const result = write();
    sql.commit.run();
    return result;
  } catch (error) {
    // Some failures (disk full, I/O errors) have rolled back already.
    if (db.isTransaction) sql.rollback.run();
    // What was learnt inside the transaction went with it.
    connection.programIds.clear();
    connection.lastTurns.clear();
    throw error;
  }
}

/** All that `read` reads is of one moment. */
export function atOnce<T>({ db }: Connection, read: () => T): T {
  db.exec("BEGIN");
  try {
    return read();
  } finally {
    if (db.isTransaction) db.exec("COMMIT");
  }
}

/** What people know a process by. */
export function pidOf({ sql }: Connection, process: ProcessKey): Pid {
  const row = sql.pidOf.get(process);
  return row === undefined ? `number ${process}` : text(row, "pid");
}

export function requireProcess(connection: Connection, process: ProcessKey): void {
  if (connection.sql.pidOf.get(process) === undefined) throw processNotFound(connection, pidOf(connection, process));
}

export function processNotFound({ path }: Connection, pid: Pid): PerdureError {
  return new PerdureError("PROCESS_NOT_FOUND", `There is no process ${pid} in the store ${path}.`, {
    details: { path, pid },
  });
}

/** The kernel decides who lives; a commit that contradicts the store shows that its picture is wrong. */
export function notAlive(connection: Connection, process: ProcessKey): PerdureError {
  requireProcess(connection, process);
  const { path } = connection;
  return new PerdureError(
    "PROCESS_EXITED",
    `Cannot change the state of process ${pidOf(connection, process)} in the store ${path}: it has already exited. Nothing of this commit was kept.`,
    { details: { path, process } },
  );
}

export function programId({ programIds, sql }: Connection, hash: string): number | undefined {
  const known = programIds.get(hash);
  if (known !== undefined) return known;
  const row = sql.programId.get(hash);
  if (row === undefined) return undefined;
  const id = number(row, "id");
  programIds.set(hash, id);
  return id;
}
