/** How shards are divided among the nodes of a store: as evenly as whole shards can be, and none has none while another has two. */
import type { ShardRow } from "../store/port.ts";

export interface Share {
  /** How many of those that nobody owns the node may take. */
  readonly take: number;
  /** It has one more than it should: others need it. */
  readonly giveUp: boolean;
}

/**
 * `owned`: how many the node itself has. `yields`: what is free is left to those who have too few, who are about to take it; else it goes
 * to whoever may have one more.
 */
export function shareOf(
  shards: readonly ShardRow[],
  nodes: readonly number[],
  owned: number,
  { yields }: { readonly yields: boolean },
): Share {
  const count = Math.max(1, nodes.length);
  const [least, most] = [Math.floor(shards.length / count), Math.ceil(shards.length / count)];
  const free = shards.filter(({ owner }) => owner === 0).length;
  const needy = nodes.filter((node) => shards.filter(({ owner }) => owner === node).length < least).length;
  const others = needy - (owned < least ? 1 : 0);
  const limit = others > 0 && yields ? least : most;
  const take = Math.min(free, Math.max(0, limit - owned));
  return { take, giveUp: take === 0 && (owned > most || (others > 0 && owned > least && free === 0)) };
}
