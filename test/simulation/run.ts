/**
 * Runs seeds. Between two events all microtasks have to run, and only the event loop makes sure of that; it takes several
 * runs side by side, so that its own cost is shared. They know nothing of each other.
 */
import type { Counts, MachineKind } from "./counts.ts";
import { Dice } from "./dice.ts";
import { openMachines } from "./quickjs.ts";
import { Simulation } from "./simulation.ts";
import { TreeSimulation } from "./trees/simulation.ts";
import type { RunResult } from "./simulated-run.ts";
import type { Sabotage } from "./simulation.ts";

/** What the processes of a run do: go through programs of steps, or build trees and fail in them. */
export type RunKind = "steps" | "trees";

export const runKinds: readonly RunKind[] = ["steps", "trees"];

export interface Run extends RunResult {
  readonly kind: RunKind;
  readonly machine: MachineKind;
  /** The last events; empty if nothing went wrong and nobody asked for them. */
  readonly trace: readonly string[];
}

export interface RunOptions {
  /** Default: steps. */
  readonly kind?: RunKind;
  /** The share of runs whose processes are real programs, in QuickJS; which ones their seeds say. Default: `quickJsShare`. */
  readonly quickJs?: number;
  /** How many events to tell of, whatever the run's end. Default: the last 60, of a run that fails. */
  readonly keptEvents?: number;
  readonly sabotage?: Sabotage;
}

export const quickJsShare = 0.05;

const traceLength = 60;
const sideBySide = 8;
const underway = new Set<Simulation | TreeSimulation>();
let catching = false;

/** Trees have models only. */
function machineOf(seed: number, { kind = "steps", quickJs = quickJsShare }: RunOptions): MachineKind {
  return kind === "steps" && new Dice(seed, "machine").chance(quickJs) ? "quickjs" : "model";
}

export async function runSeed(seed: number, options: RunOptions = {}): Promise<Run> {
  catchUncaught();
  const { kind = "steps", keptEvents = traceLength, sabotage } = options;
  const machine = machineOf(seed, options);
  const machines = machine === "quickjs" ? await openMachines() : undefined;
  const manner = { traceLength: keptEvents, sabotage, machines };
  const simulation = kind === "trees" ? new TreeSimulation(seed, manner) : new Simulation(seed, manner);
  underway.add(simulation);
  return new Promise((resolve) => {
    const step = (): void => {
      if (simulation.step()) return void setImmediate(step);
      underway.delete(simulation);
      const { result } = simulation;
      const isToldOf = result.problem !== undefined || options.keptEvents !== undefined;
      resolve({ ...result, kind, machine, trace: isToldOf ? simulation.trace : [] });
      simulation.leave();
    };
    setImmediate(step);
  });
}

/** Seeds to run one after the other. */
export interface Portion {
  readonly kind: RunKind;
  readonly first: number;
  readonly count: number;
  readonly quickJs?: number;
}

/** Counts everything, and gives the failures. Each has been run again, alone: it must fail in the same way. */
export async function runSeeds({ kind, first, count, quickJs }: Portion, counts: Counts): Promise<Run[]> {
  const options = { kind, ...(quickJs === undefined ? {} : { quickJs }) };
  const failed: Run[] = [];
  let next = first;
  const lane = async (): Promise<void> => {
    while (next < first + count) {
      const run = await runSeed(next++, options);
      counts.add(run.counts);
      if (run.problem !== undefined) failed.push(run);
    }
  };
  await Promise.all(Array.from({ length: sideBySide }, lane));
  const failures: Run[] = [];
  for (const before of failed) {
    const again = await runSeed(before.seed, options);
    if (again.problem === before.problem) failures.push(again);
    // Nobody knows whose an uncaught error was when several were under way.
    else if (before.problem?.includes(uncaught) !== true || again.problem !== undefined) {
      failures.push({ ...before, problem: `${before.problem}; and the second time: ${again.problem ?? "nothing"}` });
    }
  }
  return failures;
}

const uncaught = "nobody caught";

function catchUncaught(): void {
  if (catching) return;
  catching = true;
  const complain = (error: unknown): void => {
    if (underway.size === 0) throw error;
    for (const simulation of underway) {
      simulation.complain(`${uncaught}: ${error instanceof Error ? error.stack : String(error)}`);
    }
  };
  process.on("unhandledRejection", complain);
  process.on("uncaughtException", complain);
}

export function describeFailure({ seed, kind, machine, problem, trace }: Run): string {
  return `Seed ${seed} failed ${problem}\n${trace.join("\n")}\nAgain: ${again({ seed, kind, machine })} --verbose\n`;
}

/** The command that runs it once more. */
function again({ seed, kind, machine }: Pick<Run, "seed" | "kind" | "machine">): string {
  return `npm run simulate -- --kind ${kind} --quickjs ${machine === "quickjs" ? 1 : 0} --seed ${seed} --seeds 1`;
}
