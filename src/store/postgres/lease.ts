/** Leases: which incarnations are alive, since when, until when; and how long none was. */
import { hostname } from "node:os";
import { pid } from "node:process";
import { number } from "../columns.ts";
import type { Row } from "../columns.ts";
import { encodeAbout, nodeSilenceMs } from "../nodes.ts";
import type { Lease, NodeInfo } from "../port.ts";
import { dropStandbys } from "./nodes.ts";
import { settings } from "./line.ts";
import type { Line } from "./line.ts";
import { checkNotMoved } from "./parts/moved.ts";
import { raised } from "./parts/raise.ts";
import { schemaVersion } from "./schema.ts";
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

const giveShardsBack = statement("UPDATE ~.shard SET owner = 0, clean = 1 WHERE owner = $1", "int8");

/** To be done behind `giveBack`. */
export function yieldAll(incarnation: number): Step {
  return step(giveShardsBack, incarnation);
}

// -- joining ----------------------------------------------------------------------------------------------------

const byToken = statement("SELECT incarnation, downtime_ms FROM ~.node WHERE token = $1", "text");
// Whoever else joins waits for this.
export const lockStore: Statement = statement("SELECT downtime_ms FROM ~.meta FOR UPDATE");
/**
 * If no lease is in force, all nodes are dead. It waits for the transactions that they have under way, and looks again at each whether
 * its lease is over then.
 */
const endAll = statement(
  `UPDATE ~.node SET state = 'dead' WHERE incarnation IN (
     SELECT incarnation FROM ~.node WHERE state = 'live'
       AND NOT EXISTS (SELECT 1 FROM ~.node WHERE state = 'live' AND expires_at > clock_timestamp())
     ORDER BY incarnation FOR UPDATE)
   AND state = 'live' AND expires_at <= clock_timestamp()`,
);
/** The last sign of life of those that have come to their end is put where it is found when their receipts are gone. */
const settleEnded = statement(
  `UPDATE ~.node AS n SET alive_number = -1, alive_at_ms = coalesce((SELECT r.at_ms FROM ~.receipt AS r
     WHERE r.incarnation = n.incarnation AND r.number > n.alive_number AND r.at_ms IS NOT NULL
     ORDER BY r.number DESC LIMIT 1), n.alive_at_ms)
   WHERE n.state <> 'live' AND n.alive_number >= 0`,
);
// While it was away, a newer release may have had the store.
const checkSchema = statement(
  `SELECT ${raised("newer", "0", "schema_version", "$1", "''")} FROM ~.meta WHERE schema_version > $1`,
  "int8",
);
const addDowntime = statement(
  `UPDATE ~.meta SET downtime_ms = downtime_ms + CASE WHEN EXISTS (SELECT 1 FROM ~.node WHERE state = 'live') THEN 0
     ELSE greatest(0, $1 - coalesce((SELECT max(alive_at_ms) FROM ~.node), $1)) END
   RETURNING downtime_ms`,
  "int8",
);
const insertNode = statement(
  `INSERT INTO ~.node (incarnation, token, state, session, lease_ms, expires_at, host, os_pid, id, name, release, downtime_ms, started_at_ms,
     alive_at_ms, alive_number, about, load)
   SELECT coalesce((SELECT max(incarnation) FROM ~.node), 0) + 1, $1, 'live', 1, $2,
     clock_timestamp() + CAST($2 AS double precision) * interval '1 millisecond', $3, $4, $6, $7, $8, downtime_ms, $5, $5, 0, $9, 0 FROM ~.meta
   RETURNING incarnation, downtime_ms`,
  ...(["text", "int8", "text", "int8", "int8", "text", "text", "text", "text"] as const),
);
// A node that was declared dead while its connection was lost may want to know what was done.
const forgetReceipts = statement(
  `DELETE FROM ~.receipt AS r WHERE (r.incarnation < 0 AND r.at_ms < $1)
     OR r.incarnation IN (SELECT incarnation FROM ~.node WHERE alive_number = -1 AND alive_at_ms < $1)`,
  "int8",
);
/** Whoever waits for the outcome of a write has given up by then. */
const keepReceiptsMs = 24 * 3600 * 1000;

/** If no node is alive, the dead are declared so, and the time without a node is counted up to now. Behind `lockStore`. */
function closeBooks(nowMs: number): Step[] {
  return [step(endAll), step(settleEnded), step(addDowntime, nowMs), ...burials(nowMs)];
}

const aliveNow = statement(
  "UPDATE ~.node SET alive_at_ms = greatest(alive_at_ms, $1), alive_number = -1 WHERE incarnation = (SELECT max(incarnation) FROM ~.node)",
  "int8",
);

/** The same for whoever owns nothing. The last node passes for alive up to now: its time counts on from here. */
export function takeStock(nowMs: number): Step[] {
  return [step(checkSchema, schemaVersion), ...closeBooks(nowMs), step(aliveNow, nowMs)];
}

export interface Claim {
  readonly nowMs: number;
  readonly leaseMs: number;
  /** Of this attempt to claim, and no other. */
  readonly token: string;
  readonly node: NodeInfo | undefined;
}

/** Each incarnation gives out keys of its own. */
export const keysOfIncarnation: number = 2 ** 31;

/** Throws ConnectionLost, ServerError. May be called again with the same token when its outcome is not known. */
export async function join(line: Line, session: Session, { nowMs, leaseMs, token, node }: Claim): Promise<Lease> {
  const [known] = (await session.run([step(byToken, token)]))[0]?.rows ?? [];
  if (known !== undefined) return leaseOf(known, leaseMs);
  const results = await session.transact([
    patience(line, session),
    step(lockStore),
    step(checkSchema, schemaVersion),
    step(checkNotMoved),
    ...closeBooks(nowMs),
    step(dropStandbys, nowMs - nodeSilenceMs, node?.id ?? ""),
    step(
      insertNode,
      token,
      leaseMs,
      node?.host ?? hostname(),
      node?.pid ?? pid,
      nowMs,
      node?.id ?? null,
      node?.name ?? null,
      node?.release ?? null,
      node === undefined ? "" : encodeAbout(node),
    ),
    step(forgetReceipts, nowMs - keepReceiptsMs),
  ]);
  return leaseOf(results.at(-2)?.rows[0] ?? {}, leaseMs);
}

function leaseOf(row: Row, leaseMs: number): Lease {
  const incarnation = number(row, "incarnation");
  const downtimeMs = number(row, "downtime_ms");
  const nextProcessKey = incarnation * keysOfIncarnation;
  // Two renewals may fail before the lease runs out.
  const renewMs = Math.ceil(leaseMs / 3);
  return { incarnation, nextProcessKey, downtimeMs, cleanShutdown: true, shared: true, renewMs };
}

/** Longer than a transaction of a node that is thought dead can last. */
function patience(line: Line, session: Session): Step {
  return settings(session, 2 * line.options.statementTimeoutMs);
}

// -- the dead ---------------------------------------------------------------------------------------------------

const isDead = "n.state = 'dead' AND n.incarnation = s.owner";
// From its last sign of life on, service time stood still for them.
const putOff = statement(
  `UPDATE ~.timer AS t SET due_ms = t.due_ms + greatest(0, $1 - m.downtime_ms - (n.alive_at_ms - n.downtime_ms))
   FROM ~.node AS n, ~.shard AS s, ~.meta AS m WHERE ${isDead} AND t.shard = s.shard AND t.clock = 'service'`,
  "int8",
);
const freeShards = statement(
  `UPDATE ~.shard AS s SET owner = 0, clean = 0 WHERE s.shard IN (
     SELECT s.shard FROM ~.shard AS s JOIN ~.node AS n ON ${isDead} ORDER BY s.shard FOR UPDATE OF s)`,
);
const freePids = statement(
  "DELETE FROM ~.reserved AS r WHERE NOT EXISTS (SELECT 1 FROM ~.node AS n WHERE n.incarnation = r.incarnation AND n.state = 'live')",
);

/** What nodes leave that have just been declared dead. */
function burials(nowMs: number): Step[] {
  return [step(putOff, nowMs), step(freeShards), step(freePids)];
}

const lapsed = statement(
  `SELECT incarnation FROM ~.node WHERE state = 'live' AND expires_at <= clock_timestamp() AND incarnation <> $1
   ORDER BY incarnation`,
  "int8",
);
const end = statement(
  `UPDATE ~.node SET state = 'dead' WHERE incarnation = $1 AND state = 'live' AND expires_at <= clock_timestamp()
   RETURNING incarnation`,
  "int8",
);

/** Declares nodes dead whose leases have run out, but `self`. Answers which. Takes no more than a look if there are none. */
export async function reap(line: Line, self: number, nowMs: number): Promise<number[]> {
  const dead: number[] = [];
  for (const row of await line.all(lapsed, self)) {
    const incarnation = number(row, "incarnation");
    const results = await line.retrying("take over", async () => {
      const session = await line.reader();
      return session.transact([patience(line, session), step(end, incarnation), step(settleEnded), ...burials(nowMs)]);
    });
    // If the answer was lost, it is nobody's to tell: its shards are free.
    if (results[1]?.rows.length === 1) dead.push(incarnation);
  }
  return dead;
}

export const isLive: Statement = statement(
  "SELECT 1 AS one FROM ~.node WHERE state = 'live' AND expires_at > clock_timestamp() LIMIT 1",
);
export const nextSession: Statement = statement(
  "UPDATE ~.node SET session = $2 WHERE incarnation = $1 AND session < $2 AND state = 'live' RETURNING session",
  "int8",
  "int8",
);
/** Its lease is over from now on: nobody need wait for that. */
export const closeNode: Statement = statement(
  "UPDATE ~.node SET expires_at = clock_timestamp() WHERE incarnation = $1 AND state = 'live'",
  "int8",
);
export const liveNodes: Statement = statement(
  "SELECT incarnation FROM ~.node WHERE state = 'live' AND expires_at > clock_timestamp() ORDER BY incarnation",
);
