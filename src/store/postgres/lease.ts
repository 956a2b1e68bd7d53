/** The lease: which incarnation owns the store, since when, until when, and how long nobody did. */
import { hostname } from "node:os";
import { pid } from "node:process";
import { PerdureError } from "../../base/errors.ts";
import { number, text } from "../columns.ts";
import type { Row } from "../columns.ts";
import { describeOwner } from "../nodes.ts";
import type { NodeInfo } from "../nodes.ts";
import type { Lease } from "../port.ts";
import { settings } from "./line.ts";
import type { Line } from "./line.ts";
import { forgetStandbys } from "./nodes.ts";
import { raised } from "./parts/raise.ts";
import { schemaVersion } from "./schema.ts";
import { ServerError } from "./wire/errors.ts";
import { statement, step } from "./wire/session.ts";
import type { Session, Statement, Step } from "./wire/session.ts";

const isOwn = "incarnation = $1 AND session = $2 AND state = 'live'";
const refuse = `SELECT ${raised("fenced", "0", "0", "0", "count(*)")} FROM own HAVING count(*) = 0`;

const fenceOnly = statement(
  `WITH own AS (SELECT 1 AS one FROM ~.node WHERE ${isOwn} FOR SHARE) ${refuse}`,
  "int8",
  "int8",
);
const fenceAndExtend = statement(
  `WITH own AS (UPDATE ~.node SET expires_at = clock_timestamp() + $3 * interval '1 millisecond',
                  alive_at_ms = coalesce($4, alive_at_ms), alive_number = CASE WHEN $4 IS NULL THEN alive_number ELSE $5 END
                WHERE ${isOwn} RETURNING 1 AS one) ${refuse}`,
  ...(["int8", "int8", "float8", "int8", "int8"] as const),
);
const fenceAndRelease = statement(
  `WITH own AS (UPDATE ~.node SET state = 'released' WHERE ${isOwn} RETURNING 1 AS one) ${refuse}`,
  "int8",
  "int8",
);

/** Fails the transaction unless this incarnation is live and this is its newest connection. */
export function fence(incarnation: number, session: number): Step {
  return step(fenceOnly, incarnation, session);
}

/** The same, and lets the lease last longer. A time is a sign of life, known from the receipt with this number on. */
export function extend(
  incarnation: number,
  session: number,
  {
    leaseMs,
    atMs,
    number: receipt,
  }: { readonly leaseMs: number; readonly atMs: number | null; readonly number: number },
): Step {
  return step(fenceAndExtend, incarnation, session, leaseMs, atMs, receipt);
}

export function giveBack(incarnation: number, session: number): Step {
  return step(fenceAndRelease, incarnation, session);
}

const newest = statement(
  `SELECT incarnation, token, state, host, os_pid, name, first_key,
     CASE WHEN state = 'live' AND expires_at > clock_timestamp() THEN 1 ELSE 0 END AS in_force,
     CAST(extract(epoch FROM expires_at) AS double precision) AS ends_s,
     (SELECT downtime_ms FROM ~.meta) AS downtime_ms
   FROM ~.node ORDER BY incarnation DESC LIMIT 1`,
);
// It waits for the transactions that its owner has under way, and looks again whether the lease is over then.
const takeOver = statement(
  "UPDATE ~.node SET state = 'dead' WHERE incarnation = $1 AND state = 'live' AND expires_at <= clock_timestamp()",
  "int8",
);
const checkOver = statement(
  `SELECT ${raised("fenced", "incarnation", "0", "0", "state")} FROM ~.node WHERE incarnation = $1 AND state = 'live'`,
  "int8",
);
// While it stood by, a newer release may have had the store.
const checkSchema = statement(
  `SELECT ${raised("newer", "0", "schema_version", "$1", "''")} FROM ~.meta WHERE schema_version > $1`,
  "int8",
);
const addDowntime = statement(
  `UPDATE ~.meta SET downtime_ms = downtime_ms + coalesce((
     SELECT greatest(0, $2 - coalesce((SELECT r.at_ms FROM ~.receipt AS r
       WHERE r.incarnation = n.incarnation AND r.number > n.alive_number AND r.at_ms IS NOT NULL
       ORDER BY r.number DESC LIMIT 1), n.alive_at_ms))
     FROM ~.node AS n WHERE n.incarnation = $1), 0)
   RETURNING downtime_ms`,
  "int8",
  "int8",
);
const insertNode = statement(
  `INSERT INTO ~.node (incarnation, token, state, session, lease_ms, expires_at, host, os_pid, node_id, name, release, first_key,
     started_at_ms, alive_at_ms, alive_number)
   SELECT $1, $2, 'live', 1, $3, clock_timestamp() + CAST($3 AS double precision) * interval '1 millisecond', $4, $5, $7, $8, $9,
     greatest(pruned_key, (SELECT coalesce(max(key), 0) FROM ~.process)) + 1, $6, $6, 0 FROM ~.meta
   RETURNING first_key`,
  ...(["int8", "text", "int8", "text", "int8", "int8", "text", "text", "text"] as const),
);
const forgetReceipts = statement(
  "DELETE FROM ~.receipt WHERE (incarnation > 0 AND incarnation < $1) OR (incarnation < 0 AND at_ms < $2)",
  "int8",
  "int8",
);
/** Whoever waits for the outcome of a write from outside has given up by then. */
const keepOutsideMs = 24 * 3600 * 1000;

export interface Claim {
  readonly nowMs: number;
  readonly leaseMs: number;
  /** Of this attempt to claim, and no other. */
  readonly token: string;
  readonly node: NodeInfo | undefined;
}

/** Throws STORE_IN_USE. To be refused like this costs no connection: a node that stands by asks again and again. */
export async function checkFree(line: Line, token: string): Promise<void> {
  const row = (await line.once([step(newest)]))[0]?.rows[0];
  if (row !== undefined && text(row, "token") !== token && number(row, "in_force") === 1) throw inUse(line, row);
}

/** Throws STORE_IN_USE, ConnectionLost, ServerError. May be called again with the same token when its outcome is not known. */
export async function claim(line: Line, session: Session, request: Claim): Promise<Lease> {
  for (;;) {
    const before = (await session.run([step(newest)]))[0]?.rows[0];
    if (before !== undefined && text(before, "token") === request.token) {
      return await readBack(session, request.leaseMs, before);
    }
    if (before !== undefined && number(before, "in_force") === 1) throw inUse(line, before);
    try {
      return await take(line, session, request, before);
    } catch (error) {
      // Another one was faster, or its owner came back: look again.
      if (!(error instanceof ServerError) || !isOvertaken(error)) throw error;
    }
  }
}

function isOvertaken({ sqlState, constraint, primary }: ServerError): boolean {
  return (sqlState === "23505" && constraint === "node_pkey") || primary.includes("perdure|fenced|");
}

async function take(line: Line, session: Session, request: Claim, before: Row | undefined): Promise<Lease> {
  const { nowMs, leaseMs, token, node } = request;
  const last = before === undefined ? 0 : number(before, "incarnation");
  const incarnation = last + 1;
  const results = await session.transact([
    // Longer than a transaction of the one before can last.
    settings(session, 2 * line.options.statementTimeoutMs),
    step(checkSchema, schemaVersion),
    step(takeOver, last),
    step(checkOver, last),
    step(addDowntime, last, nowMs),
    step(insertNode, incarnation, token, leaseMs, ...whoIs(node), nowMs, ...callsItself(node)),
    step(forgetReceipts, incarnation, nowMs - keepOutsideMs),
    forgetStandbys(nowMs, node),
  ]);
  return {
    incarnation,
    nextProcessKey: number(results[5]?.rows[0] ?? {}, "first_key"),
    downtimeMs: number(results[4]?.rows[0] ?? {}, "downtime_ms"),
    cleanShutdown: before === undefined || text(before, "state") === "released",
    renewMs: renewalMs(leaseMs),
  };
}

function whoIs(node: NodeInfo | undefined): readonly [string, number] {
  return node === undefined ? [hostname(), pid] : [node.host, node.pid];
}

function callsItself(node: NodeInfo | undefined): readonly [string | null, string | null, string | null] {
  return node === undefined ? [null, null, null] : [node.id, node.name, node.release];
}

/** Two may fail before the lease runs out. */
function renewalMs(leaseMs: number): number {
  return Math.ceil(leaseMs / 3);
}

const stateOf = statement("SELECT state FROM ~.node WHERE incarnation = $1", "int8");

/** The claim was done, and its answer was lost. */
async function readBack(session: Session, leaseMs: number, row: Row): Promise<Lease> {
  const incarnation = number(row, "incarnation");
  const before = (await session.run([step(stateOf, incarnation - 1)]))[0]?.rows[0];
  return {
    incarnation,
    nextProcessKey: number(row, "first_key"),
    downtimeMs: number(row, "downtime_ms"),
    cleanShutdown: before === undefined || text(before, "state") === "released",
    renewMs: renewalMs(leaseMs),
  };
}

function inUse(line: Line, row: Row): PerdureError {
  const { path } = line.place;
  const [ownerPid, ownerHost] = [number(row, "os_pid"), text(row, "host")];
  const owner = describeOwner(row["name"] === null ? undefined : text(row, "name"), ownerPid, ownerHost);
  return new PerdureError(
    "STORE_IN_USE",
    `The store ${path} is owned by ${owner}. Stop that one first, or give this one a store of its own. If that engine is dead, its lease runs out by itself: try again in a few seconds.`,
    { details: { path, owner, ownerPid, ownerHost, leaseEndsMs: number(row, "ends_s") * 1000 } },
  );
}

export const isLive: Statement = statement(
  "SELECT 1 AS one FROM ~.node WHERE state = 'live' AND expires_at > clock_timestamp() LIMIT 1",
);
export const nextSession: Statement = statement(
  "UPDATE ~.node SET session = $2 WHERE incarnation = $1 AND session < $2 AND state = 'live' RETURNING session",
  "int8",
  "int8",
);
export const closeNode: Statement = statement(
  "UPDATE ~.node SET state = 'closed' WHERE incarnation = $1 AND state = 'live'",
  "int8",
);
