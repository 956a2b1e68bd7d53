/** The nodes that share a store: one owns the file, others on the same machine may stand by. See `../nodes.ts`. */
import { encodeAbout, nodeSilenceMs } from "../nodes.ts";
import type { NodeInfo, NodeRow } from "../nodes.ts";
import { number } from "../columns.ts";
import { readNode } from "../rows.ts";
import { transaction } from "./connection.ts";
import type { Connection } from "./connection.ts";
import { isStoreOwned } from "./ownership.ts";

/** How long another writer is waited for. SQLite waits with the whole thread, and a row that says who is there is not worth that. */
const patienceMs = 50;

/** Part of the claim's transaction: whoever owned the store before does no more. */
export function recordOwner({ sql }: Connection, nowMs: number, incarnation: number, node: NodeInfo | undefined): void {
  sql.deleteDeadNodes.run(nowMs - nodeSilenceMs);
  if (node !== undefined) put(sql, node, "active", incarnation, nowMs);
}

export function recordStandby(connection: Connection, nowMs: number, node: NodeInfo): void {
  shortly(connection, () => put(connection.sql, node, "standing-by", 0, nowMs));
}

/** Where that fails, the row is soon taken for that of a dead node, which is as well. */
export function forgetNode(connection: Connection, id: string): void {
  try {
    shortly(connection, () => connection.sql.deleteNode.run(id));
  } catch {
    // It is closing: whatever is wrong with the store is the next one's to find.
  }
}

function shortly(connection: Connection, write: () => void): void {
  const { db } = connection;
  const usualMs = number(db.prepare("PRAGMA busy_timeout").get() ?? {}, "timeout");
  db.exec(`PRAGMA busy_timeout = ${patienceMs}`);
  try {
    transaction(connection, write);
  } finally {
    db.exec(`PRAGMA busy_timeout = ${usualMs}`);
  }
}

function put(
  sql: Connection["sql"],
  node: NodeInfo,
  state: NodeRow["state"],
  incarnation: number,
  nowMs: number,
): void {
  const { id, name, host, pid, release } = node;
  sql.putNode.run({ id, name, host, pid, release, about: encodeAbout(node), state, incarnation, now: nowMs });
}

/** `isOwner`: this handle is. Of any other owner the lock says whether it lives. */
export function listNodes(connection: Connection, nowMs: number, isOwner: boolean): NodeRow[] {
  const rows = connection.sql.nodes.all(nowMs - nodeSilenceMs).map(readNode);
  const isOwned = isOwner || !rows.some(({ state }) => state === "active") || isStoreOwned(connection.path);
  return isOwned ? rows : rows.filter(({ state }) => state !== "active");
}
