/** The lease: who owns the store, since which incarnation, and how long nobody did. */
import { hostname } from "node:os";
import { pid } from "node:process";
import { PerdureError } from "../../base/errors.ts";
import { describeOwner } from "../nodes.ts";
import type { NodeInfo } from "../nodes.ts";
import type { Lease } from "../port.ts";
import { number } from "../columns.ts";
import { transaction } from "./connection.ts";
import type { Connection } from "./connection.ts";
import { newer } from "./errors.ts";
import { acquireOwnerLock, lockPath } from "./lock.ts";
import type { OwnerLock } from "./lock.ts";
import { checkNotMoved } from "./marks.ts";
import { recordOwner } from "./nodes.ts";
import { isStoreOwned } from "./ownership.ts";
import { schemaVersion } from "./schema.ts";

/** Matches no store: what a handle without a lease presents. */
const noIncarnation = -1;

export interface HeldLease {
  readonly lease: Lease;
  readonly lock: OwnerLock;
}

/** Throws STORE_IN_USE. */
export function takeOwnerLock(connection: Connection): OwnerLock {
  // To find out by taking it would take as long as the lock is waited for, and a node that stands by asks again and again.
  const lock = isStoreOwned(connection.path) ? undefined : acquireOwnerLock(connection.path);
  if (lock === undefined) throw inUse(connection);
  return lock;
}

export function claim(connection: Connection, nowMs: number, node: NodeInfo | undefined): HeldLease {
  const lock = takeOwnerLock(connection);
  try {
    const lease = transaction(connection, () => takeLease(connection, nowMs, node));
    noteSigns(connection);
    return { lock, lease };
  } catch (error) {
    lock.release();
    throw error;
  }
}

function takeLease(connection: Connection, nowMs: number, node: NodeInfo | undefined): Lease {
  const { sql, path } = connection;
  const before = sql.readMeta.get() ?? {};
  // While it stood by, a newer release may have had the store.
  const version = number(before, "schema_version");
  if (version > schemaVersion) throw newer(path, version);
  checkNotMoved(connection);
  connection.seen.check(number(before, "signs"));
  sql.claim.run({ now: nowMs, pid, host: hostname() });
  const meta = sql.readMeta.get() ?? {};
  const incarnation = number(meta, "incarnation");
  recordOwner(connection, nowMs, incarnation, node);
  return {
    incarnation,
    nextProcessKey: number(sql.lastProcessKey.get() ?? {}, "key") + 1,
    downtimeMs: number(meta, "downtime_ms"),
    cleanShutdown: number(before, "clean") === 1,
  };
}

function inUse(connection: Connection): PerdureError {
  const { name, owner_pid: ownerPid, owner_host: ownerHost } = connection.sql.owner.get() ?? {};
  const ownerName = typeof name === "string" ? name : undefined;
  const owner = describeOwner(ownerName, ownerPid, ownerHost);
  return new PerdureError(
    "STORE_IN_USE",
    `The store ${connection.path} is owned by ${owner}. Stop that one first, or give this one a store of its own. If you are sure that no engine runs, look for who holds ${lockPath(connection.path)} open.`,
    { details: { path: connection.path, owner, ownerPid, ownerHost } },
  );
}

/** First in every transaction of the owner: records that it lives, and refuses it if its lease is void. */
export function signOfLife(connection: Connection, lease: Lease | undefined, nowMs: number): void {
  const { changes } = connection.sql.alive.run(nowMs, lease?.incarnation ?? noIncarnation);
  if (changes === 0) throw fenced(connection, lease);
}

export function renew(connection: Connection, lease: Lease | undefined, nowMs: number): void {
  transaction(connection, () => signOfLife(connection, lease, nowMs));
  noteSigns(connection);
}

export function noteSigns({ sql, seen }: Connection): void {
  seen.note(number(sql.readMeta.get() ?? {}, "signs"));
}

/** The same for writes that carry no time. */
export function checkLease(connection: Connection, lease: Lease | undefined): void {
  if (connection.sql.fence.get(lease?.incarnation ?? noIncarnation) === undefined) throw fenced(connection, lease);
}

export function release(connection: Connection, lease: Lease | undefined, nowMs: number, nodeId: string): void {
  const { sql } = connection;
  transaction(connection, () => {
    const { changes } = sql.release.run(nowMs, lease?.incarnation ?? noIncarnation);
    if (changes === 0) throw fenced(connection, lease);
    sql.deleteNode.run(nodeId);
  });
  noteSigns(connection);
}

function fenced(connection: Connection, lease: Lease | undefined): PerdureError {
  const why =
    lease === undefined
      ? "it has not claimed the store, or has released it. Claim it first"
      : `its incarnation ${lease.incarnation} was followed by a newer one. Restart the engine`;
  return new PerdureError(
    "STORE_FENCED",
    `This node may not write to the store ${connection.path}: ${why}. Nothing of this write was kept.`,
    { details: { path: connection.path, incarnation: lease?.incarnation } },
  );
}
