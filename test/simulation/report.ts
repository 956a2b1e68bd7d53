/** What a series of runs has seen, as a table. */
import { faultKinds } from "./counts.ts";
import type { Counts } from "./counts.ts";

export function describeCounts(counts: Counts, elapsedMs: number): string {
  const { runs, turns, commits, cycles, closings, faults } = counts;
  const seconds = elapsedMs / 1_000;
  const known = new Set<string>(faultKinds);
  const more = Object.keys(faults).filter((kind) => !known.has(kind));
  const rows: (readonly [string, number])[] = [
    ["runs", runs],
    ["crashes and recoveries", counts.totalCycles],
    ["  of model processes", cycles.model],
    ["  of programs in QuickJS", cycles.quickjs],
    ["orderly closings and reopenings", closings],
    ["turns", turns],
    ["commits", commits],
    ...[...faultKinds, ...more.toSorted()].map((kind) => [kind, faults[kind] ?? 0] as const),
  ];
  const lines = rows.map(([name, times]) => `${name.padEnd(44)} ${String(times).padStart(10)}`);
  const rate = Math.round(counts.totalCycles / seconds);
  return `${lines.join("\n")}\n${seconds.toFixed(1)} s, ${rate} crashes and recoveries a second\n`;
}
