/** Moving a live process to another node: which shard that means, and how it is asked for from anywhere. */
import { isPerdureError, PerdureError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import type { Input, Pid } from "../journal/types.ts";
import { exited } from "../kernel/errors.ts";
import type { NodeRow, ProcessKey, ProcessRow, StoreReader } from "../store/port.ts";
import { findProcess } from "./views.ts";

export interface Moved {
  /** The node's name. */
  readonly node: string;
  /** From the request to the moment at which the process went on there, in ms. */
  readonly tookMs: number;
  /** For how long of that it took no turns, at most, in ms: operations that run are given time to end. 0 if it was there already. */
  readonly stoodStillMs: number;
}

/** How long its node may take to let it go: operations that run are given time to end. */
const patienceMs = 30_000;
const lookMs = 10;

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

/** It would only come back. What host operations a node can offer it may learn when the process is there. Throws NODE_UNFIT. */
function checkFits({ pid, needs }: ProcessRow, { name, labels }: NodeRow): void {
  if (needs === "" || labels.includes(needs)) return;
  const has = labels.length === 0 ? "no label" : `the labels ${labels.join(", ")}`;
  throw new PerdureError(
    "NODE_UNFIT",
    `The process ${JSON.stringify(pid)} needs a node with the label ${needs}, and ${name} has ${has}. \`perdure nodes\` shows the labels of all.`,
    { details: { pid, node: name } },
  );
}

/** Asks whoever owns the process, by the store. Throws NODE_NOT_FOUND, NODE_UNFIT, PROCESS_NOT_FOUND, PROCESS_EXITED, MOVE_TIMEOUT. */
export async function moveBeside(store: StoreReader, pid: Pid, name: string, clock: Clock): Promise<Moved> {
  const sinceMs = clock.nowMs();
  const node = await findNode(store, name, sinceMs);
  let shard: number | undefined;
  for (let stillSinceMs: number | undefined; ;) {
    const beganMs = clock.nowMs();
    // In this order: what brings it to its new shard is taken by its new owner later.
    const row = await findProcess(store, pid);
    if (row.state === "exited") throw exited(pid);
    const posted = shard === undefined ? [] : await postedMoves(store, row.key);
    const isAsked = posted.some((each) => each.sinceMs === 0);
    if (isAsked) stillSinceMs = beganMs;
    if (posted.length === 0) {
      const next = await shardAt(store, row, node);
      const endMs = clock.nowMs();
      if (next === undefined)
        return { node: node.name, tookMs: endMs - sinceMs, stoodStillMs: endMs - (stillSinceMs ?? endMs) };
      checkFits(row, node);
      // That one may have become another's, before the process got there or since.
      if (shard === undefined || !(await isOf(store, shard, node))) {
        shard = next;
        await store.post(pid, { kind: "move", shard, sinceMs: 0 }, Math.trunc(beganMs));
        stillSinceMs ??= beganMs;
      }
    }
    const nowMs = clock.nowMs();
    if (nowMs - sinceMs > patienceMs) throw late(pid, node.name);
    // Its inbox may be long: it is looked at for no more than a part of the time.
    await new Promise<void>((resolve) => void clock.after(Math.max(lookMs, nowMs - beganMs), resolve));
  }
}

/** Requests to move, and arrivals, that its node has not heeded yet. */
async function postedMoves(store: StoreReader, process: ProcessKey): Promise<Extract<Input, { kind: "move" }>[]> {
  const rows = await store.inbox(process).catch((error: unknown) => {
    // Its owner finds it broken, and it can be moved all the same.
    if (isPerdureError(error, "JOURNAL_CORRUPT")) return [];
    throw error;
  });
  return rows.flatMap(({ input }) => (input.kind === "move" ? [input] : []));
}

async function isOf(store: StoreReader, shard: number, { incarnation }: NodeRow): Promise<boolean> {
  const shards = (await store.sharing?.shards()) ?? [];
  return shards.some((row) => row.shard === shard && row.owner === incarnation);
}

function late(pid: Pid, node: string): PerdureError {
  return new PerdureError(
    "MOVE_TIMEOUT",
    `The process ${pid} has not gone to ${node} within ${patienceMs} ms. It goes as soon as its own node lets it: see \`perdure ps\`. If that node is dead, another one takes the process over first.`,
    { details: { pid, node } },
  );
}
