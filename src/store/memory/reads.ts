/** What the memory store shows of a disk, where that takes more than a look. */
import { PerdureError } from "../../base/errors.ts";
import type { Pid, TimerClock } from "../../journal/types.ts";
import { processExported } from "../exports.ts";
import type {
  DeadLetterRow,
  ExportedRow,
  ImportedRow,
  InboxRow,
  LogRow,
  ProcessFilter,
  ProcessKey,
  ProcessLoad,
  ProcessRow,
  ProcessState,
  Recovery,
  TimerRow,
} from "../port.ts";
import type { MemoryDisk, ProcessRecord } from "./disk.ts";
import { compareTexts, linksOf, monitorsOf, watchersOf } from "./relations.ts";

type Numbered = { readonly number: number };

export function sorted<T extends Numbered>(rows: ReadonlyMap<number, T> = new Map()): T[] {
  return [...rows.values()].sort(byNumber);
}

const byNumber = (a: Numbered, b: Numbered): number => a.number - b.number;

export function readLoad(disk: MemoryDisk, process: ProcessKey): ProcessLoad {
  const { row, turns, operations, timers, snapshots, relations, checkpoint, restores } = disk.record(process);
  return {
    process: row,
    snapshots,
    operations: [...operations.values()].sort(byNumber),
    timers: [...timers.values()].sort(byNumber),
    inbox: inboxOf(disk, process),
    links: linksOf(relations),
    monitors: monitorsOf(relations),
    watchers: watchersOf(relations),
    checkpoint,
    restores,
    lastTurn: turns.length,
    lastTimeMs: disk.readTurns(process, turns.length, 1)[0]?.timeMs ?? 0,
  };
}

export function recover(disk: MemoryDisk, shards?: readonly number[]): Recovery {
  const isMeant = ({ shard }: ProcessRow): boolean =>
    shards === undefined || (shard !== undefined && shards.includes(shard));
  const withInbox = new Set(
    [...disk.inbox.values()].map((row) => row.process).filter((key) => isMeant(disk.record(key).row)),
  );
  const records = recordsOf(disk).filter(({ row }) => isMeant(row));
  return {
    operations: records.flatMap((record) => [...record.operations.values()].sort(byNumber)),
    damaged: [],
    withInbox: [...withInbox].sort((a, b) => a - b),
  };
}

export function readDueTimers(
  disk: MemoryDisk,
  clock: TimerClock,
  afterMs: number,
  untilMs: number,
  limit: number,
  isOwn: (row: ProcessRow) => boolean,
): TimerRow[] {
  const due: TimerRow[] = [];
  for (const { row: process, timers } of disk.processes.values()) {
    if (timers.size === 0 || !isOwn(process)) continue;
    for (const row of timers.values()) {
      if (row.clock === clock && row.dueMs > afterMs && row.dueMs <= untilMs) due.push(row);
    }
  }
  due.sort((a, b) => a.dueMs - b.dueMs || a.process - b.process || a.number - b.number);
  const lastDueMs = due[Math.max(1, limit) - 1]?.dueMs ?? untilMs;
  return due.filter((row) => row.dueMs <= lastDueMs);
}

export function listProcesses(disk: MemoryDisk, filter: ProcessFilter): ProcessRow[] {
  const matches = (row: ProcessRow): boolean =>
    (filter.states === undefined || filter.states.includes(row.state)) &&
    (filter.reasons === undefined || (row.exit !== undefined && filter.reasons.includes(row.exit.reason))) &&
    (filter.parent === undefined || filter.parent === row.parent) &&
    (filter.label === undefined || filter.label === row.label) &&
    (filter.role === undefined || filter.role === row.role) &&
    (filter.entry === undefined || filter.entry === row.entry) &&
    (filter.program === undefined || filter.program === row.program) &&
    (filter.before === undefined || row.key < filter.before);
  return recordsOf(disk)
    .map(({ row }) => row)
    .filter(matches)
    .reverse()
    .slice(0, filter.limit);
}

export function countProcesses(disk: MemoryDisk): Record<ProcessState, number> {
  const counts = { running: 0, paused: 0, crashed: 0, broken: 0, moving: 0, exited: 0 };
  for (const { row } of disk.processes.values()) counts[row.state]++;
  return counts;
}

/** In order of their keys. */
function recordsOf(disk: MemoryDisk): ProcessRecord[] {
  return [...disk.processes.values()].sort((a, b) => a.row.key - b.row.key);
}

/** Throws PROCESS_NOT_FOUND, PROCESS_EXITED, PROCESS_EXPORTED. */
export function receiverOf(disk: MemoryDisk, pid: Pid): ProcessKey {
  const key = disk.keys.get(pid);
  const exported = disk.exported.get(pid);
  if (key === undefined && exported !== undefined) throw processExported(exported);
  if (key === undefined && !disk.tombstones.has(pid)) {
    throw new PerdureError("PROCESS_NOT_FOUND", `There is no process ${pid} in the store ${disk.id}.`);
  }
  if (key === undefined || disk.record(key).row.state === "exited") {
    throw new PerdureError("PROCESS_EXITED", `Process ${pid} has exited and takes no more inputs. Start another one.`);
  }
  return key;
}

export function listLogs(disk: MemoryDisk, process: ProcessKey | undefined, after: number, limit: number): LogRow[] {
  return disk.logs
    .filter((row) => row.seq > after && (process === undefined || row.process === process))
    .filter((row) => disk.processes.has(row.process))
    .slice(0, limit);
}

export function listDeadLetters(
  disk: MemoryDisk,
  process: ProcessKey | undefined,
  after: number,
  limit: number,
): DeadLetterRow[] {
  return [...disk.deadLetters.values()]
    .filter((row) => row.seq > after && (process === undefined || row.process === process))
    .slice(0, limit);
}

export function inboxOf(disk: MemoryDisk, process: ProcessKey): InboxRow[] {
  return [...disk.inbox.values()].filter((row) => row.process === process);
}

export function findExported(disk: MemoryDisk, of: Pid | ProcessKey): ExportedRow | undefined {
  if (typeof of === "string") return disk.exported.get(of);
  return [...disk.exported.values()].find(({ process }) => process === of);
}

export function listImports(disk: MemoryDisk, pid: Pid): ImportedRow[] {
  return [...disk.imported.values()].filter((row) => row.pid === pid).sort((a, b) => compareTexts(a.file, b.file));
}
