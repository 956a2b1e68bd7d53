/** Moving a live process to another node: which shard that means, and how it is asked for from anywhere. */
import { PerdureError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import type { Pid } from "../journal/types.ts";
import type { NodeRow, ProcessRow, StoreReader } from "../store/port.ts";
import { findProcess } from "./views.ts";

export interface Moved {
  /** The node's name. */
  readonly node: string;
  /** From the request to the moment from which the process is the other node's, in ms. */
  readonly tookMs: number;
}

/** How long its node may take to let it go: operations that run are given time to end. */
const patienceMs = 30_000;
const lookMs = 20;

/** The node that a name or an id stands for, among those that own a part of the store. Throws NODE_NOT_FOUND. */
export async function findNode(store: StoreReader, name: string, nowMs: number): Promise<NodeRow> {
  const nodes = await store.nodes(nowMs);
  const found = nodes.filter((node) => node.name === name || node.id === name);
  if (found.length === 1 && found[0] !== undefined) return found[0];
  const names = nodes.map((node) => node.name).join(", ");
  const problem = found.length === 0 ? "There is no node" : "There is more than one node";
  throw new PerdureError(
    "NODE_NOT_FOUND",
    `${problem} ${JSON.stringify(name)}. There ${nodes.length === 1 ? "is" : "are"}: ${names || "none"}. \`perdure nodes\` lists them with their ids.`,
    { details: { node: name } },
  );
}

/** A shard of that node's, for a process; undefined if the process is there already. Throws NODE_NOT_FOUND. */
export async function shardAt(store: StoreReader, row: ProcessRow, node: NodeRow): Promise<number | undefined> {
  const shards = (await store.sharing?.shards()) ?? [];
  const own = shards.filter(({ owner }) => owner === node.incarnation).map(({ shard }) => shard);
  if (row.shard !== undefined && own.includes(row.shard)) return undefined;
  const shard = own[row.key % Math.max(1, own.length)];
  if (shard !== undefined) return shard;
  throw new PerdureError(
    "NODE_NOT_FOUND",
    `The node ${node.name} owns no part of the store, so no process can live there. It may have just come, or the store's nodes do not share it.`,
    { details: { node: node.name } },
  );
}

/** Asks whoever owns the process, by the store. Throws NODE_NOT_FOUND, PROCESS_NOT_FOUND, PROCESS_EXITED, MOVE_TIMEOUT. */
export async function moveBeside(store: StoreReader, pid: Pid, name: string, clock: Clock): Promise<Moved> {
  const sinceMs = clock.nowMs();
  const node = await findNode(store, name, sinceMs);
  const shard = await shardAt(store, await findProcess(store, pid), node);
  const moved = (): Moved => ({ node: node.name, tookMs: clock.nowMs() - sinceMs });
  if (shard === undefined) return moved();
  await store.post(pid, { kind: "move", shard, sinceMs: 0 }, Math.trunc(sinceMs));
  while ((await findProcess(store, pid)).shard !== shard) {
    if (clock.nowMs() - sinceMs > patienceMs) throw late(pid, node.name);
    await new Promise<void>((resolve) => void clock.after(lookMs, resolve));
  }
  return moved();
}

function late(pid: Pid, node: string): PerdureError {
  return new PerdureError(
    "MOVE_TIMEOUT",
    `The process ${pid} has not gone to ${node} within ${patienceMs} ms. It goes as soon as its own node lets it: see \`perdure ps\`. If that node is dead, another one takes the process over first.`,
    { details: { pid, node } },
  );
}
