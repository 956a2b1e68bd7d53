/** Who is tied to whom, and who is known by which name. */
import { PerdureError } from "../../base/errors.ts";
import type { Pid } from "../../journal/types.ts";
import type { CommitBatch, MonitorRow, NameRow, ProcessKey } from "../port.ts";
import { number, text } from "../columns.ts";
import type { Row } from "../columns.ts";
import { pidOf } from "./connection.ts";
import type { Connection } from "./connection.ts";

const none: readonly never[] = [];

export function applyRelations(connection: Connection, batch: CommitBatch): void {
  const { sql } = connection;
  for (const { a, b } of batch.links ?? none) sql.putLink.run(Math.min(a, b), Math.max(a, b));
  for (const { a, b } of batch.linksGone ?? none) sql.deleteLink.run(Math.min(a, b), Math.max(a, b));
  for (const row of batch.monitors ?? none) sql.putMonitor.run(row.watcher, row.number, row.target);
  for (const row of batch.monitorsGone ?? none) sql.deleteMonitor.run(row.watcher, row.number);
  for (const name of batch.namesGone ?? none) sql.deleteName.run(name);
  for (const { name, process } of batch.names ?? none) {
    if (sql.putName.run(name, process).changes === 0) throw nameTaken(connection, name, process);
  }
  for (const row of batch.groupsGone ?? none) sql.deleteMember.run(row.name, row.process);
  for (const row of batch.groups ?? none) sql.putMember.run(row.name, row.process);
}

function nameTaken(connection: Connection, name: string, process: ProcessKey): PerdureError {
  const { path, sql } = connection;
  const holder = pidOf(connection, number(sql.nameHolder.get(name) ?? {}, "process"));
  return new PerdureError(
    "STORE_FENCED",
    `Cannot register ${pidOf(connection, process)} as ${JSON.stringify(name)} in the store ${path}: the name is ${holder}'s, so this node's picture of the store is wrong. Nothing of this commit was kept. Restart the engine.`,
    { details: { path, name, process } },
  );
}

export function readLinksOf({ sql }: Connection, process: ProcessKey): ProcessKey[] {
  return sql.linksOf.all(process).map((row) => number(row, "process"));
}

export function readMonitorsOf({ sql }: Connection, process: ProcessKey): MonitorRow[] {
  return sql.monitorsOf.all(process).map(readMonitor);
}

export function readWatchersOf({ sql }: Connection, process: ProcessKey): MonitorRow[] {
  return sql.watchersOf.all(process).map(readMonitor);
}

function readMonitor(row: Row): MonitorRow {
  return { watcher: number(row, "watcher"), number: number(row, "number"), target: number(row, "target") };
}

export function readRelations(
  connection: Connection,
  process: ProcessKey,
): { readonly links: readonly Pid[]; readonly monitors: readonly Pid[] } {
  return {
    links: readLinksOf(connection, process).map((key) => pidOf(connection, key)),
    monitors: readMonitorsOf(connection, process).map(({ target }) => pidOf(connection, target)),
  };
}

export function readName(row: Row): NameRow {
  return { name: text(row, "name"), process: number(row, "process"), pid: text(row, "pid") };
}
