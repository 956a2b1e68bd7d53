/** What every benchmark needs: rounds that interleave the variants they compare, medians, folders, and how a result looks. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** One target of the design and what was measured against it. */
export interface Verdict {
  readonly what: string;
  readonly target: string;
  readonly figure: string;
  readonly met: boolean;
}

export interface Table {
  readonly caption: string;
  /** Column heads; the first column is text, the others are figures. */
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface Outcome {
  readonly verdicts: readonly Verdict[];
  readonly tables: readonly Table[];
}

export interface Context {
  /** Fewer rounds and smaller numbers: to see whether the benchmark works, not to quote. */
  readonly quick: boolean;
  /** A folder of its own, on the disk that is measured. Gone afterwards. */
  readonly folder: string;
  /** Says what is going on. */
  progress(text: string): void;
}

export interface Benchmark {
  readonly name: string;
  readonly title: string;
  /** What is measured and how, for the report: Markdown. */
  readonly measures: string;
  /** Runs with `--long`, or when it is named. */
  readonly isLong?: boolean;
  /** After so long something hangs. */
  readonly limitMs: number;
  run(context: Context): Promise<Outcome>;
}

// -- numbers ------------------------------------------------------------------------------------------------------

/** The value below which a share `at` of `values` lies; `values` must not be empty. */
export function quantile(values: readonly number[], at: number): number {
  const sorted = Float64Array.from(values).toSorted();
  const value = sorted[Math.min(sorted.length - 1, Math.floor(at * sorted.length))];
  if (value === undefined) throw new Error("there is no quantile of nothing");
  return value;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The median of `b / a` over rounds in which both were measured one after the other. */
export function medianRatio(b: readonly number[], a: readonly number[]): number {
  return median(b.map((value, round) => value / (a[round] ?? Number.NaN)));
}

/** "median (least … most)". */
export function spread(values: readonly number[], digits = 0): string {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `${fixed(median(values), digits)} (${fixed(low, digits)} … ${fixed(high, digits)})`;
}

/** With thousands apart, so that large figures can be read. */
export function fixed(value: number, digits = 0): string {
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export const mebibytes = (sizeBytes: number): string => `${fixed(sizeBytes / 1024 / 1024)} MiB`;

// -- rounds -------------------------------------------------------------------------------------------------------

type Variants = Readonly<Record<string, () => Promise<unknown>>>;
type Results<V extends Variants> = { [K in keyof V]: Awaited<ReturnType<V[K]>>[] };

/** After so long, rounds end early, but not before there are `leastRounds` of them: on a busy machine too, an end is in sight. */
const roundsBudgetMs = 60_000;
const leastRounds = 3;

/** Runs all variants once a round, A B A B, so that whatever else the machine does disturbs them alike. */
export async function interleave<V extends Variants>(
  context: Context,
  roundCount: number,
  variants: V,
): Promise<Results<V>> {
  const names = Object.keys(variants);
  const results = Object.fromEntries(names.map((name) => [name, [] as unknown[]]));
  const before = performance.now();
  for (let round = 1; round <= roundCount; round++) {
    if (round > leastRounds && performance.now() - before > roundsBudgetMs) break;
    for (const name of names) {
      context.progress(`round ${round} of ${roundCount}: ${name}`);
      results[name]?.push(await variants[name]?.());
    }
  }
  return results as Results<V>;
}

/** Calls `work` with 0 to `count` - 1, at most `atOnce` at a time. */
export async function forEachOf(
  count: number,
  atOnce: number,
  work: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, lane));
}

export const pause = (delayMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, delayMs));

// -- folders ------------------------------------------------------------------------------------------------------

/** On many systems the folder for temporary files is in memory, where a sync costs nothing: so not there. */
const defaultFolder = fileURLToPath(new URL("../node_modules/.cache/perdure-bench/", import.meta.url));

export function makeFolder(): string {
  const parent = process.env["BENCH_DIR"] ?? defaultFolder;
  mkdirSync(parent, { recursive: true });
  return mkdtempSync(join(parent, "run-"));
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

export function programFile(name: string): string {
  return fileURLToPath(new URL(`./programs/${name}.ts`, import.meta.url));
}
