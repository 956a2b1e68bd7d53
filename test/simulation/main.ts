/**
 * Simulates the kernel: nodes that die, disks that fail, clocks that jump. Every run is decided by its seed alone.
 *
 *     npm run simulate -- --seeds 100000            so many runs, from a seed that is drawn and printed
 *     npm run simulate -- --minutes 10              as many as fit into the time
 *     npm run simulate -- --cycles 1000000          until nodes have died and recovered so often
 *     npm run simulate -- --quickjs 0.5             so large a share of runs with real programs in QuickJS; default 0.05
 *     npm run simulate -- --cycles 1000000 --quickjs 50000    so many of the cycles with them, at least
 *     npm run simulate -- --seed 42 --seeds 1       one run again
 *     npm run simulate -- --seed 42 --seeds 1 --without jumps,full --programs p1    and without these faults, and with these processes only
 *     npm run simulate -- --kind trees              only runs of this kind; the others are steps and cluster
 *     npm run simulate -- --nodes 3                 only clusters, of so many nodes
 *     npm run simulate -- --seed 42 --seeds 1 --verbose    with everything that happened in it
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { faultClasses } from "./classes.ts";
import type { FaultClass } from "./classes.ts";
import { Counts } from "./counts.ts";
import { describeCounts } from "./report.ts";
import { describeFailure, quickJsShare, runKinds, runSeed } from "./run.ts";
import type { RunKind, RunOptions } from "./run.ts";
import { runAll } from "./threads.ts";
import type { Summary } from "./threads.ts";

const defaultSeeds = 10_000;
const allEvents = 1_000_000;
/** In so many runs of all kinds every fault must have struck. */
const manyRuns = 40_000;

interface Options {
  readonly kinds: readonly RunKind[];
  readonly first: number;
  readonly count: number;
  readonly untilMs: number;
  readonly cycles: number;
  /** Share of the runs, and least number of the cycles. */
  readonly quickJs: { readonly share: number; readonly cycles: number };
  /** What each run leaves out, and whom it starts. */
  readonly limits: Pick<RunOptions, "without" | "programs" | "nodes">;
  readonly verbose: boolean;
}

function readOptions(): Options {
  const number = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      seeds: number,
      seed: number,
      minutes: number,
      cycles: number,
      quickjs: number,
      kind: { type: "string" },
      nodes: number,
      without: number,
      programs: number,
      verbose: { type: "boolean" },
    },
  });
  const given = (name: "seeds" | "seed" | "minutes" | "cycles" | "quickjs" | "nodes"): number | undefined => {
    const text = values[name];
    return text === undefined ? undefined : positive(name, text);
  };
  const minutes = given("minutes");
  const cycles = given("cycles");
  const quickJs = given("quickjs") ?? quickJsShare;
  const nodes = given("nodes");
  const isEndless = minutes !== undefined || cycles !== undefined;
  return {
    kinds: values.kind !== undefined ? [kindOf(values.kind)] : nodes !== undefined ? ["cluster"] : runKinds,
    first: given("seed") ?? randomInt(2 ** 32),
    count: given("seeds") ?? (isEndless ? Infinity : defaultSeeds),
    untilMs: minutes === undefined ? Infinity : Date.now() + minutes * 60_000,
    cycles: cycles ?? Infinity,
    quickJs: quickJs > 1 ? { share: quickJsShare, cycles: quickJs } : { share: quickJs, cycles: 0 },
    limits: {
      ...(values.without === undefined ? {} : { without: values.without.split(",").map(classOf) }),
      ...(values.programs === undefined ? {} : { programs: values.programs.split(",") }),
      ...(nodes === undefined ? {} : { nodes }),
    },
    verbose: values.verbose ?? false,
  };
}

function kindOf(text: string): RunKind {
  const kind = runKinds.find((known) => known === text);
  if (kind === undefined) throw new Error(`--kind takes ${runKinds.join(" or ")}, not ${JSON.stringify(text)}.`);
  return kind;
}

function classOf(text: string): FaultClass {
  const found = faultClasses.find((known) => known === text);
  if (found === undefined)
    throw new Error(`--without takes some of ${faultClasses.join()}, not ${JSON.stringify(text)}.`);
  return found;
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new Error(`--${name} takes a number, not ${JSON.stringify(text)}.`);
  return value;
}

async function simulate({ kinds, first, count, untilMs, cycles, quickJs, limits }: Options): Promise<Summary> {
  const { stdout } = process;
  const startedMs = Date.now();
  let failed = 0;
  const isBehind = (counts: Counts): boolean =>
    quickJs.cycles > 0 && counts.cycles.quickjs * Math.min(cycles, 1e9) < quickJs.cycles * counts.totalCycles;
  const summary = await runAll({
    kinds,
    first,
    count,
    limits,
    mayGoOn: (counts) =>
      Date.now() < untilMs && (counts.totalCycles < cycles || counts.cycles.quickjs < quickJs.cycles),
    quickJs: (counts) => (isBehind(counts) || counts.totalCycles >= cycles ? 1 : quickJs.share),
    progress(counts, found) {
      failed += found.length;
      if (found.length > 0) stdout.write(`\n${found.map((run) => describeFailure(run)).join("\n")}\n`);
      const perSecond = Math.round((1_000 * counts.runs) / (Date.now() - startedMs));
      const done = `${counts.runs} runs, ${counts.totalCycles} cycles, ${failed} failed, ${perSecond} runs/s `;
      if (stdout.isTTY) stdout.write(`\r${done}`);
    },
  });
  if (stdout.isTTY) stdout.write("\n");
  stdout.write(describeCounts(summary.counts, Date.now() - startedMs));
  return summary;
}

async function tell({ kinds, first, count, quickJs: { share }, limits }: Options): Promise<Summary> {
  const failures = [];
  const counts = new Counts();
  for (const kind of kinds) {
    for (let seed = first; seed < first + count; seed++) {
      const run = await runSeed(seed, { kind, keptEvents: allEvents, quickJs: share, ...limits });
      counts.add(run.counts);
      process.stdout.write(
        `Seed ${seed} (${run.machine}): ${run.turns} turns, ${run.nodes} nodes\n${run.trace.join("\n")}\n`,
      );
      if (run.problem !== undefined) failures.push(run);
      process.stdout.write(run.problem === undefined ? "It passed.\n" : `It failed ${run.problem}\n`);
    }
  }
  return { counts, failures };
}

const options = readOptions();
process.stdout.write(`From seed ${options.first}\n`);
const { counts, failures } = options.verbose ? await tell(options) : await simulate(options);
process.stdout.write(`${counts.runs - failures.length} passed, ${failures.length} failed\n`);
const isBlind = counts.runs >= manyRuns && options.kinds.length === runKinds.length && counts.missing.length > 0;
if (isBlind) process.stdout.write(`So many runs, and never: ${counts.missing.join("; ")}\n`);
process.exitCode = failures.length === 0 && !isBlind ? 0 : 1;
