/** What a node's share of a store is: as many shards as any other node has, or one more where they do not come out even. */
import type { ShardRow } from "../store/port.ts";

export interface Share {
  /** To be taken: nobody's, and this node's due. */
  readonly wanted: readonly number[];
  /** Another node has too few, and this one too many. */
  readonly givesUp: boolean;
}

/** `nodes`: the incarnations that are alive. Several may decide at the same time by the same rows: no shard goes to two of them. */
export function shareOf(shards: readonly ShardRow[], nodes: readonly number[], self: number): Share {
  const counts = new Map([self, ...nodes].map((node) => [node, 0]));
  for (const { owner } of shards) if (counts.has(owner)) counts.set(owner, (counts.get(owner) ?? 0) + 1);
  const owned = counts.get(self) ?? 0;
  counts.delete(self);
  const others = [...counts.values()];
  const all = others.length + 1;
  const least = Math.floor(shards.length / all);
  const free = shards.filter(({ owner }) => owner === 0).map(({ shard }) => shard);
  // What is left over when all have their least is for some: but first of all, for those who lack that.
  const lacking = others.reduce((sum, count) => sum + Math.max(0, least - count), 0);
  const lacks = Math.max(0, least - owned);
  const rich = others.filter((count) => count > least).length;
  const mayHaveMore = owned <= least && rich < shards.length % all && free.length > lacking + lacks;
  const wanted = free.slice(0, lacks + (mayHaveMore ? 1 : 0));
  const isPoor = others.some((count) => count < least);
  return { wanted, givesUp: wanted.length === 0 && free.length === 0 && owned > (isPoor ? least : least + 1) };
}
