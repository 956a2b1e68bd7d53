/** Pruning in memory: what SQLite does by queries, on the disk's maps. Rows go at once, but no faster than they are asked to. */
import { encodePayload } from "../../journal/encoding.ts";
import { nextGeneration } from "../generations.ts";
import { maxTombstoneValueBytes } from "../port.ts";
import type {
  FinishedPlace,
  FinishedRow,
  ProcessExit,
  ProcessKey,
  ProcessRow,
  PruneReport,
  PruneRequest,
  Store,
  TombstonePlace,
} from "../port.ts";
import type { MemoryDisk } from "./disk.ts";

type Ended = ProcessRow & { readonly exit: ProcessExit };

function compare(a: FinishedPlace, b: FinishedPlace): number {
  return a.atMs - b.atMs || a.key - b.key;
}

function allFinished(disk: MemoryDisk): Ended[] {
  return [...disk.processes.values()]
    .flatMap(({ row }) => (row.state === "exited" && row.exit !== undefined ? [row as Ended] : []))
    .sort((a, b) => compare(placeOf(a), placeOf(b)));
}

function placeOf({ key, exit }: Ended): FinishedPlace {
  return { atMs: exit.atMs, key };
}

export function finished(
  disk: MemoryDisk,
  after: FinishedPlace | undefined,
  untilMs: number,
  limit: number,
): FinishedRow[] {
  return allFinished(disk)
    .filter((row) => row.exit.atMs <= untilMs && (after === undefined || compare(placeOf(row), after) > 0))
    .slice(0, limit)
    .map((row) => ({ ...placeOf(row), pid: row.pid, reason: row.exit.reason, held: isHeld(disk, row) }));
}

export function finishedBeyond(disk: MemoryDisk, count: number): FinishedPlace | undefined {
  const row = allFinished(disk).toReversed()[count];
  return row === undefined ? undefined : placeOf(row);
}

export function prune(disk: MemoryDisk, { atMs, processes, rows }: PruneRequest): PruneReport {
  const pruned = processes.filter((process) => pruneProcess(disk, process, atMs));
  return { pruned, ...deleteRemains(disk, rows) };
}

function pruneProcess(disk: MemoryDisk, process: ProcessKey, atMs: number): boolean {
  const record = disk.processes.get(process);
  if (record?.row.state !== "exited" || isHeld(disk, record.row)) return false;
  const { row } = record;
  const { pid, program, entry, argsDigest, startedAtMs, exit } = row as Ended;
  if (row.parent === "") {
    const valueBytes = encodePayload(exit.value).length;
    const value = valueBytes <= maxTombstoneValueBytes ? exit.value : undefined;
    const ending = { atMs: exit.atMs, reason: exit.reason, value };
    const about = { pid, program, entry, argsDigest, startedAtMs };
    disk.tombstones.set(pid, { ...about, prunedAtMs: atMs, exit: ending, valueBytes });
  }
  for (const input of disk.inbox.values()) if (input.process === process) disk.inbox.delete(input.seq);
  disk.forget(process, pid, record.turns.length);
  return true;
}

function isHeld(disk: MemoryDisk, { key, pid, parent, role }: ProcessRow): boolean {
  if (parent === "" && role === "server" && disk.record(key).edges.size > 0) return true;
  for (const letter of disk.deadLetters.values()) if (letter.process === key) return true;
  for (const { ties, row } of disk.processes.values()) {
    if (ties.includes(key) || (parent !== "" && row.parent === pid)) return true;
  }
  return false;
}

function deleteRemains(disk: MemoryDisk, rows: number): Pick<PruneReport, "rows" | "left"> {
  // As in SQLite the newest line of all stays, so that its seq does not come again.
  const newestLog = disk.logs.at(-1)?.seq ?? 0;
  let left = rows;
  let waiting = 0;
  for (const process of [...disk.remains.keys()].sort((a, b) => a - b)) {
    if (left === 0) break;
    const turns = Math.min(left, disk.remains.get(process) ?? 0);
    disk.remains.set(process, (disk.remains.get(process) ?? 0) - turns);
    left -= turns;
    const logs = disk.logs.filter((row) => row.process === process);
    const going = new Set(logs.filter(({ seq }) => seq < newestLog).slice(0, left));
    if (going.size > 0) disk.logs = disk.logs.filter((row) => !going.has(row));
    left -= going.size;
    if (left === 0) continue;
    if (going.size === logs.length) disk.remains.delete(process);
    else waiting++;
  }
  return { rows: rows - left, left: disk.remains.size > waiting };
}

export function pruneTombstones(
  disk: MemoryDisk,
  untilMs: number,
  before: TombstonePlace | undefined,
  limit: number,
): Awaited<ReturnType<Store["pruneTombstones"]>> {
  const places = [...disk.tombstones.values()]
    .map(({ pid, exit }) => ({ atMs: exit.atMs, pid }))
    .filter(({ atMs }) => atMs <= untilMs)
    .sort((a, b) => -comparePids(a, b))
    .filter((place) => before === undefined || comparePids(place, before) < 0)
    .slice(0, limit);
  const parents = new Set([...disk.processes.values()].map(({ row }) => row.parent));
  let dropped = 0;
  for (const { pid } of places) {
    const next = nextGeneration(pid);
    if (parents.has(pid) || disk.keys.has(next) || disk.tombstones.has(next)) continue;
    disk.tombstones.delete(pid);
    dropped++;
  }
  return { dropped, next: places.length < limit ? undefined : places.at(-1) };
}

function comparePids(a: TombstonePlace, b: TombstonePlace): number {
  return a.atMs - b.atMs || (a.pid < b.pid ? -1 : a.pid > b.pid ? 1 : 0);
}

export function prunePrograms(disk: MemoryDisk, untilMs: number, keep: readonly string[]): number {
  const used = new Set([...disk.processes.values()].map(({ row }) => row.program));
  const programs = [...disk.programs.values()];
  // What was put later stands later, but for one that was put again.
  const isNewest = (hash: string, file: string): boolean =>
    programs
      .filter((row) => row.file === file)
      .sort((a, b) => a.createdAtMs - b.createdAtMs)
      .at(-1)?.hash === hash;
  const unused = programs.filter(
    ({ hash, file, createdAtMs }) =>
      createdAtMs <= untilMs && !used.has(hash) && !keep.includes(hash) && !isNewest(hash, file),
  );
  for (const { hash } of unused) disk.programs.delete(hash);
  if (unused.length === 0) return 0;
  const blobs = new Set(
    [...disk.programs.values()].flatMap(({ bundle, sourceMap, prelude, engine }) => [
      bundle,
      sourceMap,
      prelude,
      engine,
    ]),
  );
  for (const hash of disk.blobs.keys()) if (!blobs.has(hash)) disk.blobs.delete(hash);
  return unused.length;
}
