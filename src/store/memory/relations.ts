/** Who is tied to whom, and who is known by which name. Both ends know of a tie, so that an exit finds it from either. */
import type { Pid } from "../../journal/types.ts";
import type { CommitBatch, MonitorRow, NameRow, ProcessKey, ProcessRow } from "../port.ts";

export interface Relations {
  readonly links: Set<ProcessKey>;
  /** Its own, by number, and those that others have on it. */
  readonly monitors: Map<number, MonitorRow>;
  readonly watchers: Set<MonitorRow>;
  readonly names: Set<string>;
  readonly groups: Set<string>;
}

/** What is needed of a disk. */
export interface RelatedDisk {
  readonly processes: ReadonlyMap<ProcessKey, { readonly row: ProcessRow; readonly relations: Relations }>;
  readonly names: Map<string, ProcessKey>;
}

const none: readonly never[] = [];

export function newRelations(): Relations {
  return { links: new Set(), monitors: new Map(), watchers: new Set(), names: new Set(), groups: new Set() };
}

/** `isLost`: it is somebody else's, who has seen its end. */
export function applyRelations(
  disk: RelatedDisk,
  batch: CommitBatch,
  isLost: (row: ProcessRow) => boolean = () => false,
): void {
  const of = (process: ProcessKey): Relations | undefined => disk.processes.get(process)?.relations;
  for (const { a, b } of batch.links ?? none) {
    of(a)?.links.add(b);
    of(b)?.links.add(a);
  }
  for (const { a, b } of batch.linksGone ?? none) {
    of(a)?.links.delete(b);
    of(b)?.links.delete(a);
  }
  for (const { watcher, number, target } of batch.monitors ?? none) {
    if (of(watcher)?.monitors.has(number) === true) continue;
    const row = { watcher, number, target };
    of(watcher)?.monitors.set(number, row);
    of(target)?.watchers.add(row);
  }
  for (const row of batch.monitorsGone ?? none) removeMonitor(disk, of(row.watcher)?.monitors.get(row.number));
  for (const name of batch.namesGone ?? none) {
    const holder = disk.names.get(name);
    if (holder !== undefined) of(holder)?.names.delete(name);
    disk.names.delete(name);
  }
  const isEnded = (process: ProcessKey): boolean => {
    const row = disk.processes.get(process)?.row;
    return row?.state === "exited" && isLost(row);
  };
  for (const { name, process } of batch.names ?? none) {
    if (isEnded(process)) continue;
    disk.names.set(name, process);
    of(process)?.names.add(name);
  }
  for (const { name, process } of batch.groupsGone ?? none) of(process)?.groups.delete(name);
  for (const { name, process } of batch.groups ?? none) if (!isEnded(process)) of(process)?.groups.add(name);
}

function removeMonitor({ processes }: RelatedDisk, row: MonitorRow | undefined): void {
  if (row === undefined) return;
  processes.get(row.watcher)?.relations.monitors.delete(row.number);
  processes.get(row.target)?.relations.watchers.delete(row);
}

/** What an exit does. */
export function cutRelations(disk: RelatedDisk, process: ProcessKey): void {
  const relations = disk.processes.get(process)?.relations;
  if (relations === undefined) return;
  for (const other of relations.links) disk.processes.get(other)?.relations.links.delete(process);
  for (const row of [...relations.monitors.values(), ...relations.watchers]) removeMonitor(disk, row);
  for (const name of relations.names) disk.names.delete(name);
  relations.links.clear();
  relations.names.clear();
  relations.groups.clear();
}

export function linksOf({ links }: Relations): ProcessKey[] {
  return [...links].sort((a, b) => a - b);
}

export function monitorsOf({ monitors }: Relations): MonitorRow[] {
  return [...monitors.values()].sort((a, b) => a.number - b.number);
}

export function watchersOf({ watchers }: Relations): MonitorRow[] {
  return [...watchers].sort((a, b) => a.watcher - b.watcher || a.number - b.number);
}

/** As people read it. */
export function relationsOf(
  { processes }: RelatedDisk,
  process: ProcessKey,
): { readonly links: Pid[]; readonly monitors: Pid[] } {
  const relations = processes.get(process)?.relations;
  if (relations === undefined) return { links: [], monitors: [] };
  const pidsOf = (keys: readonly ProcessKey[]): Pid[] => keys.flatMap((key) => processes.get(key)?.row.pid ?? []);
  return { links: pidsOf(linksOf(relations)), monitors: pidsOf(monitorsOf(relations).map(({ target }) => target)) };
}

/** All names, or all members of groups, by name and key. */
export function listNames({ processes }: RelatedDisk, kind: "names" | "groups"): NameRow[] {
  const rows: NameRow[] = [];
  for (const { row, relations } of processes.values()) {
    for (const name of relations[kind])
      rows.push({ name, process: row.key, pid: row.pid, ...(row.shard === undefined ? {} : { shard: row.shard }) });
  }
  return rows.sort((a, b) => compareTexts(a.name, b.name) || a.process - b.process);
}

/** As databases do: by code points, not by halves of surrogate pairs. */
export function compareTexts(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
