/** The nodes that share a store in memory: see `../nodes.ts`. */
import { inOrder, nodeSilenceMs } from "../nodes.ts";
import type { Announcement, NodeInfo, NodeRow } from "../nodes.ts";

/** What is needed of a disk. */
export interface SharedDisk {
  readonly nodes: Map<string, NodeRow>;
  readonly incarnation: number;
  readonly owner: object | undefined;
  readonly aliveAtMs: number | undefined;
  /** Of a store that several own: when an incarnation whose lease is in force was last seen. */
  readonly shared: { seenMs(incarnation: number): number | undefined } | undefined;
}

/** The store was claimed at `nowMs`: whoever owned it before does no more. */
export function recordOwner(disk: SharedDisk, nowMs: number, node: NodeInfo | undefined): void {
  for (const row of disk.nodes.values()) {
    const isOver = row.state === "active" && disk.shared?.seenMs(row.incarnation) === undefined;
    if (isOver || isDead(row, nowMs)) disk.nodes.delete(row.id);
  }
  if (node === undefined) return;
  const { incarnation } = disk;
  disk.nodes.set(node.id, { ...node, state: "active", incarnation, sinceMs: nowMs, seenMs: nowMs, load: 0 });
}

export function recordStandby(disk: SharedDisk, nowMs: number, node: NodeInfo): void {
  const before = disk.nodes.get(node.id);
  const sinceMs = before?.state === "standing-by" ? before.sinceMs : nowMs;
  disk.nodes.set(node.id, { ...node, state: "standing-by", incarnation: 0, sinceMs, seenMs: nowMs, load: 0 });
}

/** An owner has something to say of itself. */
export function recordNews(disk: SharedDisk, incarnation: number, news: Announcement): void {
  for (const row of disk.nodes.values()) {
    if (row.state === "active" && row.incarnation === incarnation) disk.nodes.set(row.id, { ...row, ...news });
  }
}

export function listNodes(disk: SharedDisk, nowMs: number): NodeRow[] {
  const standing = [...disk.nodes.values()].filter((row) => row.state === "standing-by" && !isDead(row, nowMs));
  return [...ownersOf(disk), ...standing].sort(inOrder);
}

function ownersOf(disk: SharedDisk): NodeRow[] {
  const { shared } = disk;
  if (shared === undefined) return [ownerOf(disk) ?? []].flat();
  return [...disk.nodes.values()].flatMap((row) => {
    const seenMs = row.state === "active" ? shared.seenMs(row.incarnation) : undefined;
    return seenMs === undefined ? [] : [{ ...row, seenMs }];
  });
}

/** The owner, if it has said who it is. */
export function ownerOf(disk: SharedDisk): NodeRow | undefined {
  if (disk.owner === undefined) return undefined;
  const row = [...disk.nodes.values()].find(
    ({ state, incarnation }) => state === "active" && incarnation === disk.incarnation,
  );
  return row === undefined ? undefined : { ...row, seenMs: disk.aliveAtMs ?? row.seenMs };
}

function isDead({ state, seenMs }: NodeRow, nowMs: number): boolean {
  return state === "standing-by" && seenMs < nowMs - nodeSilenceMs;
}
