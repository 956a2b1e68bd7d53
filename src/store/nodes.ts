/** The part of the store port that is about the nodes that share a store: who they are, and whether they are still there. */

/** A node, as it names itself. */
export interface NodeInfo {
  /** Random; another one each time an engine opens the store. */
  readonly id: string;
  /** For people. Two nodes may have the same. */
  readonly name: string;
  readonly host: string;
  /** The operating system's process id. */
  readonly pid: number;
  /** The version of Perdure that it runs. */
  readonly release: string;
  /** What the machine is or has, such as `gpu`: processes may need it (`ProcessRow.needs`). */
  readonly labels: readonly string[];
  /** The entry file of the program that it was opened with; "" for none. */
  readonly file: string;
  /** The names of the host operations that it offers. */
  readonly operations: readonly string[];
}

/** `active`: it owns the store. */
export const nodeStates = ["active", "standing-by"] as const;

export interface NodeRow extends NodeInfo {
  readonly state: (typeof nodeStates)[number];
  /** Of its lease; 0 for one that stands by. */
  readonly incarnation: number;
  /** Since when it is what it is. */
  readonly sinceMs: number;
  /** Its last sign of life, by its own clock: an owner's are its commits and renewals. */
  readonly seenMs: number;
  /** How many processes it had in memory, as it said last (`Sharing.announce`); 0 before that. */
  readonly load: number;
}

/** What a node says of itself again and again. */
export type Announcement = Pick<NodeRow, "labels" | "file" | "operations" | "load">;

/** What of a node stands in one column, `about`. */
export function encodeAbout({ labels, file, operations }: Pick<NodeInfo, "labels" | "file" | "operations">): string {
  return JSON.stringify({ labels, file, operations });
}

/** A node that stands by and was not seen for so long (ms) is dead: it is not listed any more, and the next claim deletes its row. */
export const nodeSilenceMs = 15_000;

/** Shorter than that by enough that a renewal or two may fail (ms). */
export const nodeRenewalMs = 5_000;

export interface NodesReader {
  /**
   * The nodes there are: the owner first, as long as its lease is in force, if it has claimed the store with its name; then those that
   * stand by, in the order in which they began to, but for those that are dead by `nodeSilenceMs`.
   */
  nodes(nowMs: number): Promise<NodeRow[]>;
}

export interface NodesKeeper {
  /**
   * Puts the row of a node that stands by, or renews it. It needs no lease, and waits for no other writer for longer than a moment: then
   * it throws STORE_FAILED, and the next renewal will do. `claim` makes the row that of the owner; `release` and `close` take it away.
   */
  standBy(nowMs: number, node: NodeInfo): Promise<void>;
}

/** In the order in which they are listed. */
export function inOrder(a: NodeRow, b: NodeRow): number {
  if (a.state !== b.state) return a.state === "active" ? -1 : 1;
  return a.sinceMs - b.sinceMs || (a.id < b.id ? -1 : 1);
}

/** An owner as messages name it. */
export function describeOwner(name: string | undefined, pid: unknown, host: unknown): string {
  // The default name says it already.
  const isKnown = typeof pid !== "number" || name === `${pid}@${String(host)}`;
  const place = isKnown ? "" : ` (process ${pid} on ${String(host)})`;
  return `${name === undefined ? "another engine" : `the node ${name}`}${place}`;
}
