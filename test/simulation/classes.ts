/** Classes of faults that a run can do without: to see which of them a failure needs, or how a run goes that nothing disturbs. */
import type { FaultProfile } from "./faults.ts";

/** What each class comes to in a profile. */
const classes = {
  crashes: ["storeCrash", "portCrash", "crashes"],
  errors: ["storeReject"],
  stalls: ["storeStall", "storeLate", "storeLateWrites"],
  full: ["fillings"],
  closings: ["closings"],
  jumps: ["jumps", "hurryMs"],
  fencings: ["fencings"],
  rots: ["rots", "unloadable"],
  evictions: ["evict"],
  limits: ["fatal"],
  damage: ["damage"],
  machine: ["machineFailure"],
  hangs: ["hang"],
  slowness: ["longestTurnMs", "turnMicros", "longestAwayMs"],
} as const satisfies Record<string, readonly (keyof FaultProfile)[]>;

/**
 * What only clusters know (`cluster/profile.ts`). `zombies`: nodes that are stopped and go on. `partitions`: nodes that cannot reach their
 * store. `suspicions`: nodes that are taken for dead and are not. `skew`: clocks that differ. `joins`: nodes that come, or go for good.
 * `moves`: processes that are moved. `deafness`: hints that are lost.
 */
const clusterClasses = ["zombies", "partitions", "suspicions", "skew", "joins", "moves", "deafness"] as const;

export type FaultClass = keyof typeof classes | "killers" | "reports" | (typeof clusterClasses)[number];

/** `killers`: operations that take their node down. `reports`: what a host says late, twice or to nobody. */
export const faultClasses: readonly FaultClass[] = [
  ...(Object.keys(classes) as (keyof typeof classes)[]),
  "killers",
  "reports",
  ...clusterClasses,
];

export function withoutClasses(profile: FaultProfile, without: readonly FaultClass[]): FaultProfile {
  const nothing: Partial<Record<keyof FaultProfile, number>> = {};
  for (const name of without) {
    if (!(name in classes)) continue;
    for (const field of classes[name as keyof typeof classes]) nothing[field] = 0;
  }
  return {
    ...profile,
    ...nothing,
    killers: profile.killers && !without.includes("killers"),
    lateReports: without.includes("reports") ? 0 : profile.lateReports,
  };
}
