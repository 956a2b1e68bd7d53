/**
 * Simulates the kernel: nodes that die, disks that fail, clocks that jump. Every run is decided by its seed alone.
 *
 *     npm run simulate -- --seeds 100000            so many runs, from a seed that is drawn and printed
 *     npm run simulate -- --minutes 10              as many as fit into the time
 *     npm run simulate -- --seed 42 --seeds 1       one run again
 *     npm run simulate -- --kind trees              only runs of this kind; the other one is steps
 *     npm run simulate -- --seed 42 --seeds 1 --verbose    with everything that happened in it
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { describeFailure, runKinds, runSeed } from "./run.ts";
import type { RunKind } from "./run.ts";
import { runAll } from "./threads.ts";
import type { Summary } from "./threads.ts";

const defaultSeeds = 10_000;
const allEvents = 1_000_000;

interface Options {
  readonly kinds: readonly RunKind[];
  readonly first: number;
  readonly count: number;
  readonly untilMs: number;
  readonly verbose: boolean;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string" },
      seed: { type: "string" },
      minutes: { type: "string" },
      kind: { type: "string" },
      verbose: { type: "boolean" },
    },
  });
  const minutes = values.minutes === undefined ? undefined : positive("minutes", values.minutes);
  const seeds = values.seeds === undefined ? undefined : positive("seeds", values.seeds);
  return {
    kinds: values.kind === undefined ? runKinds : [kindOf(values.kind)],
    first: values.seed === undefined ? randomInt(2 ** 32) : positive("seed", values.seed),
    count: seeds ?? (minutes === undefined ? defaultSeeds : Infinity),
    untilMs: minutes === undefined ? Infinity : Date.now() + minutes * 60_000,
    verbose: values.verbose ?? false,
  };
}

function kindOf(text: string): RunKind {
  const kind = runKinds.find((known) => known === text);
  if (kind === undefined) throw new Error(`--kind takes ${runKinds.join(" or ")}, not ${JSON.stringify(text)}.`);
  return kind;
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new Error(`--${name} takes a number, not ${JSON.stringify(text)}.`);
  return value;
}

async function simulate({ kinds, first, count, untilMs }: Options): Promise<Summary> {
  const { stdout } = process;
  const startedMs = Date.now();
  const showProgress = (done: number, failed: number): void => {
    const perSecond = Math.round((1_000 * done) / (Date.now() - startedMs));
    if (stdout.isTTY) stdout.write(`\r${done} runs, ${failed} failed, ${perSecond} runs/s `);
  };
  let failed = 0;
  const summary = await runAll({
    kinds,
    first,
    count,
    mayGoOn: () => Date.now() < untilMs,
    progress(done, found) {
      failed += found.length;
      if (found.length > 0) stdout.write(`\n${found.map((run) => describeFailure(run)).join("\n")}\n`);
      showProgress(done, failed);
    },
  });
  if (stdout.isTTY) stdout.write("\n");
  return summary;
}

async function tell({ kinds, first, count }: Options): Promise<Summary> {
  const failures = [];
  for (const kind of kinds) {
    for (let seed = first; seed < first + count; seed++) {
      const run = await runSeed(seed, { kind, keptEvents: allEvents });
      process.stdout.write(`Seed ${seed}: ${run.turns} turns, ${run.nodes} nodes\n${run.trace.join("\n")}\n`);
      if (run.problem !== undefined) failures.push(run);
      process.stdout.write(run.problem === undefined ? "It passed.\n" : `It failed ${run.problem}\n`);
    }
  }
  return { passed: count * kinds.length - failures.length, failures };
}

const options = readOptions();
process.stdout.write(`From seed ${options.first}\n`);
const { passed, failures } = options.verbose ? await tell(options) : await simulate(options);
process.stdout.write(`${passed} passed, ${failures.length} failed\n`);
process.exitCode = failures.length === 0 ? 0 : 1;
