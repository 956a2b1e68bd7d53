/** What is known of processes beside their rows: their names, their nodes, and whether they have one that fits. */
import { describeWanted, fitting } from "../kernel/fitting.ts";
import type { NodeRow, ProcessKey, ProcessRow, ShardRow, StoreReader } from "../store/port.ts";

export interface Directory {
  /** The names that a process is registered under. */
  readonly names: ReadonlyMap<ProcessKey, readonly string[]>;
  /** Nodes by the shards they own. */
  readonly nodes: ReadonlyMap<number, string>;
  /** What node a process waits for, to follow on "waits for"; "" if there is one that may run it. */
  lacks(row: Pick<ProcessRow, "needs" | "program">): string;
}

export async function readDirectory(store: StoreReader): Promise<Directory> {
  const nowMs = Date.now();
  const [rows, nodes, shards] = await Promise.all([
    store.names(),
    store.nodes(nowMs),
    store.sharing === undefined ? [] : store.sharing.shards(),
  ]);
  const names = new Map<ProcessKey, string[]>();
  for (const { name, process } of rows) names.set(process, [...(names.get(process) ?? []), name]);
  const active = nodes.filter(({ state }) => state === "active");
  const running =
    store.sharing === undefined
      ? active
      : active.filter(({ incarnation }) => shards.some(({ owner }) => owner === incarnation));
  return { names, nodes: byShard(shards, active), lacks: await lacking(store, running) };
}

/** Which node owns which shard, by name. */
function byShard(shards: readonly ShardRow[], nodes: readonly NodeRow[]): ReadonlyMap<number, string> {
  const names = new Map(nodes.map(({ incarnation, name }) => [incarnation, name]));
  return new Map(shards.flatMap(({ shard, owner }) => (names.has(owner) ? [[shard, names.get(owner) ?? ""]] : [])));
}

async function lacking(store: StoreReader, nodes: readonly NodeRow[]): Promise<Directory["lacks"]> {
  // Where no node is, or one owns all, the label alone decides.
  const programs = store.sharing === undefined || nodes.length === 0 ? [] : await store.programs();
  const byHash = new Map(programs.map((program) => [program.hash, program]));
  return ({ needs, program }) => {
    const wanted = byHash.get(program);
    if ((needs === "" && nodes.length === 0) || fitting(nodes, needs, wanted).length > 0) return "";
    return describeWanted(nodes, needs, wanted);
  };
}
