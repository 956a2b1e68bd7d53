/** What goes wrong between nodes, and how a run's cluster is built. */
import type { FaultClass } from "../classes.ts";
import type { Dice } from "../dice.ts";
import type { Skew } from "../node.ts";

export interface ClusterProfile {
  readonly nodes: number;
  readonly shards: number;
  readonly leaseMs: number;
  /** Processes begin anywhere, or with their parents. */
  readonly isSpread: boolean;
  /** Times by number at which a node is stopped for longer than its lease, or not quite. */
  readonly zombies: number;
  /** Times at which a node cannot reach its store. */
  readonly partitions: number;
  /** Times at which a node that is well is taken for dead. */
  readonly suspicions: number;
  /** How far clocks may be from each other, in ms. */
  readonly skewMs: number;
  /** Times at which a node more joins, or one leaves for good. */
  readonly joins: number;
  readonly leaves: number;
  /** Times at which a process is moved. */
  readonly moves: number;
  /** How often what was posted comes late, and how late, in ms. */
  readonly lateMail: { readonly share: number; readonly longestMs: number };
  /** Hints that are lost. */
  readonly deafness: number;
  /** Nobody has to wait for the lease of a node that died: as if so much time had passed. */
  readonly hurry: number;
}

export const mostNodes = 5;

export function drawCluster(dice: Dice, nodes: number | undefined): ClusterProfile {
  const isCalm = dice.chance(0.08);
  const times = (share: number, most: number): number => (!isCalm && dice.chance(share) ? dice.int(1, most) : 0);
  const drawn = dice.int(2, mostNodes);
  const count = nodes ?? drawn;
  return {
    nodes: count,
    shards: dice.pick([count, 2 * count, 3 * count + 1, 8]),
    leaseMs: dice.pick([6_000, 8_000, 12_000]),
    isSpread: dice.chance(0.7),
    zombies: times(0.6, 5),
    partitions: times(0.5, 4),
    suspicions: times(0.3, 4),
    skewMs: !isCalm && dice.chance(0.4) ? dice.pick([5, 100, 3_000, 60_000, 7_200_000]) : 0,
    joins: times(0.4, 3),
    leaves: times(0.4, 2),
    moves: times(0.6, 30),
    lateMail: { share: dice.pick([0, 0, 0.5, 1]), longestMs: dice.pick([30, 300, 1_500]) },
    deafness: dice.pick([0, 0, 0.3, 1]),
    hurry: dice.pick([0, 0.8, 0.8, 1]),
  };
}

export function withoutClusterClasses(profile: ClusterProfile, without: readonly FaultClass[]): ClusterProfile {
  const has = (name: FaultClass): boolean => !without.includes(name);
  return {
    ...profile,
    zombies: has("zombies") ? profile.zombies : 0,
    partitions: has("partitions") ? profile.partitions : 0,
    suspicions: has("suspicions") ? profile.suspicions : 0,
    skewMs: has("skew") ? profile.skewMs : 0,
    joins: has("joins") ? profile.joins : 0,
    leaves: has("joins") ? profile.leaves : 0,
    moves: has("moves") ? profile.moves : 0,
    lateMail: has("deafness") ? profile.lateMail : { share: 0, longestMs: 1 },
    deafness: has("deafness") ? profile.deafness : 0,
  };
}

export function drawSkew(dice: Dice, skewMs: number): Skew {
  if (skewMs === 0) return { offsetMs: 0, drift: 0 };
  return { offsetMs: dice.int(-skewMs, skewMs), drift: dice.pick([0, 0, -0.01, 0.01]) };
}
