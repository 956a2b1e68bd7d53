/** Who shares the store, for people: the nodes whose leases are in force, and those that stand by. */
import { encodeAbout, nodeSilenceMs } from "../nodes.ts";
import type { NodeInfo, NodeRow } from "../port.ts";
import { readNode } from "../rows.ts";
import type { Line } from "./line.ts";
import { statement, step } from "./wire/session.ts";
import type { Statement } from "./wire/session.ts";

const list = statement(
  `SELECT id, name, host, os_pid AS pid, release, about, load, 'active' AS state, incarnation, started_at_ms AS since_ms,
     coalesce((SELECT r.at_ms FROM ~.receipt AS r
       WHERE r.incarnation = n.incarnation AND r.number > n.alive_number AND r.at_ms IS NOT NULL
       ORDER BY r.number DESC LIMIT 1), alive_at_ms) AS seen_ms
   FROM ~.node AS n WHERE state = 'live' AND expires_at > clock_timestamp() AND id IS NOT NULL
   UNION ALL SELECT id, name, host, os_pid, release, about, 0, 'standing-by', 0, since_ms, seen_ms FROM ~.standby WHERE seen_ms >= $1
   ORDER BY state, since_ms, id`,
  "int8",
);

export async function listNodes(line: Line, nowMs: number): Promise<NodeRow[]> {
  return (await line.all(list, nowMs - nodeSilenceMs)).map(readNode);
}

const put = statement(
  `INSERT INTO ~.standby AS s (id, name, host, os_pid, release, about, since_ms, seen_ms)
   VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
   ON CONFLICT (id) DO UPDATE SET seen_ms = excluded.seen_ms`,
  ...(["text", "text", "text", "int8", "text", "text", "int8"] as const),
);

export async function recordStandby(line: Line, nowMs: number, node: NodeInfo): Promise<void> {
  const { id, name, host, pid, release } = node;
  await line.once([step(put, id, name, host, pid, release, encodeAbout(node), nowMs)]);
}

/** Those that were not seen since, and one that claims the store. */
export const dropStandbys: Statement = statement("DELETE FROM ~.standby WHERE seen_ms < $1 OR id = $2", "int8", "text");

export async function forgetStandby(line: Line, id: string): Promise<void> {
  await line.once([step(dropStandbys, Number.MIN_SAFE_INTEGER, id)]);
}
