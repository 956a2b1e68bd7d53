/** The nodes that share a store: one has the lease, others stand by. See `../nodes.ts`. */
import { number, text } from "../columns.ts";
import type { Row } from "../columns.ts";
import { inOrder, nodeRenewalMs, nodeSilenceMs } from "../nodes.ts";
import type { NodeInfo, NodeRow } from "../nodes.ts";
import { settings } from "./line.ts";
import type { Line } from "./line.ts";
import { countUp } from "./parts/pending.ts";
import { statement, step } from "./wire/session.ts";
import type { Step } from "./wire/session.ts";

/** How long another writer is waited for: a row that says who is there is not worth more. */
const patienceMs = 500;

/** Who was not seen for so long has missed a renewal. */
const missedRenewalMs = 1.5 * nodeRenewalMs;

// Its last sign of life is where a claim looks for it, too.
const owner = statement(
  `SELECT node_id AS id, name, host, os_pid, release, incarnation, started_at_ms AS since_ms, coalesce((
     SELECT r.at_ms FROM ~.receipt AS r WHERE r.incarnation = n.incarnation AND r.number > n.alive_number AND r.at_ms IS NOT NULL
     ORDER BY r.number DESC LIMIT 1), n.alive_at_ms) AS seen_ms
   FROM ~.node AS n WHERE state = 'live' AND expires_at > clock_timestamp() AND node_id IS NOT NULL
   ORDER BY incarnation DESC LIMIT 1`,
);
const standbys = statement(
  "SELECT id, name, host, os_pid, release, 0 AS incarnation, since_ms, seen_ms FROM ~.standby WHERE seen_ms >= $1",
  "int8",
);

export async function listNodes(line: Line, nowMs: number): Promise<NodeRow[]> {
  const [active, standing] = await line.read([step(owner), step(standbys, nowMs - nodeSilenceMs)]);
  const rows = [
    ...(active?.rows ?? []).map((row) => readNode(row, "active")),
    ...(standing?.rows ?? []).map((row) => readNode(row, "standing-by")),
  ];
  return rows.sort(inOrder);
}

function readNode(row: Row, state: NodeRow["state"]): NodeRow {
  return {
    id: text(row, "id"),
    name: text(row, "name"),
    host: text(row, "host"),
    pid: number(row, "os_pid"),
    release: text(row, "release"),
    state,
    incarnation: number(row, "incarnation"),
    sinceMs: number(row, "since_ms"),
    seenMs: number(row, "seen_ms"),
  };
}

const lockTimeout = statement("SELECT set_config('lock_timeout', $1, true)", "text");
const putStandby = statement(
  `INSERT INTO ~.standby (id, name, host, os_pid, release, since_ms, seen_ms) VALUES ($1, $2, $3, $4, $5, $6, $6)
   ON CONFLICT (id) DO UPDATE SET name = excluded.name, host = excluded.host, os_pid = excluded.os_pid,
     release = excluded.release, seen_ms = excluded.seen_ms`,
  ...(["text", "text", "text", "int8", "text", "int8"] as const),
);

/** Of the same operating system process, from before it had lost the database: it could not take it away. */
const deleteOutlived = statement(
  "DELETE FROM ~.standby WHERE name = $1 AND host = $2 AND os_pid = $3 AND id <> $4 AND seen_ms < $5",
  ...(["text", "text", "int8", "text", "int8"] as const),
);

/** Not tried again: the next renewal will do. Returns what `change` was counted up to. */
export async function recordStandby(line: Line, nowMs: number, node: NodeInfo): Promise<number> {
  const { id, name, host, pid, release } = node;
  const session = await line.reader();
  const results = await session.transact([
    settings(session, line.options.statementTimeoutMs),
    step(lockTimeout, String(patienceMs)),
    countUp,
    step(putStandby, id, name, host, pid, release, nowMs),
    step(deleteOutlived, name, host, pid, id, nowMs - missedRenewalMs),
  ]);
  return number(results[2]?.rows[0] ?? {}, "count");
}

const deleteStandbys = statement("DELETE FROM ~.standby WHERE seen_ms < $1 OR id = $2", "int8", "text");
const deleteStandby = statement("DELETE FROM ~.standby WHERE id = $1", "text");

/** Part of a claim: those of the dead, and that of the new owner. */
export function forgetStandbys(nowMs: number, node: NodeInfo | undefined): Step {
  return step(deleteStandbys, nowMs - nodeSilenceMs, node?.id ?? null);
}

/** Where that fails, the row is soon taken for that of a dead node, which is as well. */
export async function forgetStandby(line: Line, id: string): Promise<void> {
  await line.once([step(deleteStandby, id)]).catch(() => undefined);
}
