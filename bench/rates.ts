/** How the rate of something, and what it costs whom, is shown. */
import type { Spent } from "./children/cpu.ts";
import { median, spread } from "./harness.ts";

/** Rows of these have a rate, CPU time in all, and that of the threads that do the work. */
export const rateHead: readonly string[] = [
  "",
  "per second",
  "CPU µs each",
  "of these, guests",
  "kernel",
  "main",
  "others",
];

const threads = ["guests", "kernel", "main", "garbage collector, compiler and others"] as const;

export function rates(runs: readonly Spent[], items: number): number[] {
  return runs.map(({ elapsedMs }) => (items * 1000) / elapsedMs);
}

/** `items` were done in each run. */
export function rateRow(what: string, runs: readonly Spent[], items: number): string[] {
  const micros = (ofRun: (run: Spent) => number): number[] => runs.map((run) => ofRun(run) / items);
  const known = threads.map((name) => micros((run) => run.threads[name]?.cpuMicros ?? 0));
  const isKnown = Object.keys(runs[0]?.threads ?? {}).length > 0;
  return [
    what,
    spread(rates(runs, items)),
    spread(
      micros(({ cpuMicros }) => cpuMicros),
      1,
    ),
    ...known.map((each) => (isKnown ? median(each).toFixed(1) : "")),
  ];
}
