/** What callers outside asked under keys, and what became of it. */
import type { Pid } from "../../journal/types.ts";
import { checkKey } from "../key-conflict.ts";
import type { Asked, CommitBatch, EdgeEnd, EdgeRow, InboxRow, NewEdge, ProcessKey, ProcessRow } from "../port.ts";
import { compareTexts } from "./relations.ts";

interface StoredEdge {
  row: EdgeRow;
  /** The inbox row it was posted with. */
  readonly posted: number | undefined;
}

export type Edges = Map<string, StoredEdge>;

/** What is looked at of a disk. */
export interface EdgesDisk {
  readonly processes: ReadonlyMap<ProcessKey, { readonly row: ProcessRow; readonly edges: Edges }>;
  readonly inbox: Map<number, InboxRow>;
  record(process: ProcessKey): { readonly row: ProcessRow; readonly edges: Edges };
  putInput(row: Omit<InboxRow, "seq">): number;
}

const none: readonly never[] = [];

/** Posted inputs whose place a commit takes. What it consumes itself is gone by then. */
export function supersededBy(disk: EdgesDisk, { edges = none, inboxGone = none }: CommitBatch): number[] {
  const seqs = edges.flatMap(({ process, key, digest }) => {
    const before = disk.processes.get(process)?.edges.get(key);
    const posted = before?.row.digest === digest ? before.posted : undefined;
    return posted !== undefined && disk.inbox.has(posted) && !inboxGone.includes(posted) ? [posted] : [];
  });
  return [...new Set(seqs)];
}

export function applyEdges(disk: EdgesDisk, batch: CommitBatch): void {
  for (const seq of supersededBy(disk, batch)) disk.inbox.delete(seq);
  for (const edge of batch.edges ?? none) putEdge(disk, edge, undefined);
  for (const end of batch.edgeEnds ?? none) endEdge(disk, end);
}

function putEdge(
  disk: EdgesDisk,
  { process, key, digest, about, atMs, state }: NewEdge,
  posted: number | undefined,
): void {
  const { edges } = disk.record(process);
  if (edges.has(key)) return;
  edges.set(key, { row: { process, key, digest, about, atMs, state, answer: undefined }, posted });
}

function endEdge(disk: EdgesDisk, { process, key, digest, state, answer }: EdgeEnd): void {
  const edge = disk.processes.get(process)?.edges.get(key);
  if (edge === undefined || edge.row.digest !== digest) return;
  const before = edge.row.state;
  const isLost = before === "set-aside" || before === "forgotten";
  if (before === "open" || (state === "answered" && isLost)) edge.row = { ...edge.row, state, answer };
}

/** False if it was asked before. */
export function postOnce(
  disk: EdgesDisk,
  process: ProcessKey,
  asked: Asked,
  { pid, atMs, post }: { readonly pid: Pid; readonly atMs: number; readonly post: () => number },
): boolean {
  const before = disk.record(process).edges.get(asked.key);
  if (before === undefined) {
    putEdge(disk, { ...asked, process, atMs }, post());
    return true;
  }
  checkKey(pid, before.row, asked);
  return false;
}

export function pruneEdges(disk: EdgesDisk, beforeMs: number, limit: number): number {
  const old = [...disk.processes.values()]
    .flatMap(({ row, edges }) =>
      [...edges.values()].map((edge) => ({ edge: edge.row, exited: row.state === "exited", edges })),
    )
    .filter(({ edge, exited }) => edge.atMs < beforeMs && (edge.state !== "open" || exited))
    .sort((a, b) => a.edge.atMs - b.edge.atMs)
    .slice(0, limit);
  for (const { edge, edges } of old) edges.delete(edge.key);
  return old.length;
}

export function listEdges(edges: Edges, after: string, limit: number): EdgeRow[] {
  return [...edges.values()]
    .map(({ row }) => row)
    .filter(({ key }) => compareTexts(key, after) > 0)
    .sort((a, b) => compareTexts(a.key, b.key))
    .slice(0, limit);
}
