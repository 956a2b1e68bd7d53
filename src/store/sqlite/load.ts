/** All that brings a process to life, read at once. */
import type { ProcessKey, ProcessLoad } from "../port.ts";
import { number } from "../columns.ts";
import { processNotFound } from "./connection.ts";
import type { Connection } from "./connection.ts";
import { readInboxOf } from "./inbox.ts";
import { readLastTurn } from "./journal.ts";
import { readCheckpoint, readRestores } from "./lives.ts";
import { readOperationsOf } from "./operations.ts";
import { readLinksOf, readMonitorsOf, readWatchersOf } from "./relations.ts";
import { readProcess, readSnapshot, readTimer } from "../rows.ts";
import { has } from "./statements.ts";

export function readLoad(connection: Connection, process: ProcessKey): ProcessLoad {
  const { sql } = connection;
  const row = sql.processByKey.get(process);
  if (row === undefined) throw processNotFound(connection, `number ${process}`);
  const shown = readProcess(row);
  const last = readLastTurn(connection, process);
  const bits = number(sql.belongings.get(process) ?? {}, "bits");
  const list = <T>(bit: number, read: () => T[]): T[] => ((bits & bit) === 0 ? [] : read());
  return {
    process: shown,
    snapshots: list(has.snapshots, () => sql.snapshots.all(process).map(readSnapshot)),
    operations: list(has.operations, () => readOperationsOf(connection, process)),
    timers: list(has.timers, () => sql.timersOf.all(process).map(readTimer)),
    inbox: list(has.inbox, () => readInboxOf(connection, process)),
    links: list(has.links, () => readLinksOf(connection, process)),
    monitors: list(has.monitors, () => readMonitorsOf(connection, process)),
    watchers: list(has.monitors, () => readWatchersOf(connection, process)),
    checkpoint: (bits & has.checkpoint) === 0 ? undefined : readCheckpoint(connection, process),
    restores: shown.life === 1 ? [] : readRestores(connection, process),
    lastTurn: last?.number ?? 0,
    lastTimeMs: last?.timeMs ?? 0,
  };
}
