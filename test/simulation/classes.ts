/** Classes of faults that a run can do without: to see which of them a failure needs, or how a run goes that nothing disturbs. */
import type { FaultProfile } from "./faults.ts";

/** What each class comes to in a profile. */
const classes = {
  crashes: ["storeCrash", "portCrash", "crashes"],
  errors: ["storeReject"],
  stalls: ["storeStall", "storeLate"],
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

export type FaultClass = keyof typeof classes | "killers" | "reports";

/** `killers`: operations that take their node down. `reports`: what a host says late, twice or to nobody. */
export const faultClasses: readonly FaultClass[] = [
  ...(Object.keys(classes) as (keyof typeof classes)[]),
  "killers",
  "reports",
];

export function withoutClasses(profile: FaultProfile, without: readonly FaultClass[]): FaultProfile {
  const nothing: Partial<Record<keyof FaultProfile, number>> = {};
  for (const name of without) {
    if (name === "killers" || name === "reports") continue;
    for (const field of classes[name]) nothing[field] = 0;
  }
  return {
    ...profile,
    ...nothing,
    killers: profile.killers && !without.includes("killers"),
    lateReports: without.includes("reports") ? 0 : profile.lateReports,
  };
}
