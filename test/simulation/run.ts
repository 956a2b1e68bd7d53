/**
 * Runs seeds. Between two events all microtasks have to run, and only the event loop makes sure of that; it takes several
 * runs side by side, so that its own cost is shared. They know nothing of each other.
 */
import type { Pid } from "../../src/journal/types.ts";
import { faultClasses } from "./classes.ts";
import type { FaultClass } from "./classes.ts";
import type { Counts, MachineKind } from "./counts.ts";
import { Dice } from "./dice.ts";
import { compareOutcomes } from "./outcome.ts";
import { openMachines } from "./quickjs.ts";
import { Simulation } from "./simulation.ts";
import { ClusterSimulation } from "./cluster/simulation.ts";
import { TreeSimulation } from "./trees/simulation.ts";
import type { RunResult } from "./simulated-run.ts";
import type { Sabotage, SimulationOptions } from "./simulation.ts";

/** What the processes of a run do: go through programs of steps, or build trees and fail in them. In a cluster they do either, on several nodes. */
export type RunKind = "steps" | "trees" | "cluster";

export const runKinds: readonly RunKind[] = ["steps", "trees", "cluster"];

export interface Run extends RunResult {
  readonly kind: RunKind;
  readonly machine: MachineKind;
  /** Faults that were left out, and the processes that were started. */
  readonly without: readonly FaultClass[];
  readonly programs: readonly Pid[];
  /** Of a cluster, if somebody asked for so many. */
  readonly size: number | undefined;
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
  /** Faults to leave out. Default: none. */
  readonly without?: readonly FaultClass[];
  /** Processes to start from outside. Default: all. */
  readonly programs?: readonly Pid[];
  /** Of a cluster, from 2. Default: the seed says. */
  readonly nodes?: number;
  readonly sabotage?: Sabotage;
  /** See `SimulationOptions`. */
  readonly lean?: SimulationOptions["lean"];
  readonly lateMail?: boolean;
}

export const quickJsShare = 0.05;
/** So many runs are held against one that nothing disturbs. */
const comparedShare = 0.1;

const traceLength = 60;
const sideBySide = 8;
const underway = new Set<AnySimulation>();
let catching = false;

type AnySimulation = Simulation | TreeSimulation | ClusterSimulation;

function newSimulation(kind: RunKind, seed: number, manner: SimulationOptions): AnySimulation {
  if (kind === "cluster") return new ClusterSimulation(seed, manner);
  return kind === "trees" ? new TreeSimulation(seed, manner) : new Simulation(seed, manner);
}

/** Trees and clusters have models only. */
function machineOf(seed: number, { kind = "steps", quickJs = quickJsShare }: RunOptions): MachineKind {
  return kind === "steps" && new Dice(seed, "machine").chance(quickJs) ? "quickjs" : "model";
}

export async function runSeed(seed: number, options: RunOptions = {}): Promise<Run> {
  catchUncaught();
  const { kind = "steps", keptEvents = traceLength, sabotage, without = [], programs, nodes, lean, lateMail } = options;
  const machine = machineOf(seed, options);
  const machines = machine === "quickjs" ? await openMachines() : undefined;
  const manner = { traceLength: keptEvents, sabotage, machines, without, programs, nodes, lean, lateMail };
  const simulation = newSimulation(kind, seed, manner);
  const result = await finish(simulation);
  const isCompared = simulation instanceof Simulation && new Dice(seed, "compared").chance(comparedShare);
  if (isCompared && result.problem === undefined && sabotage === undefined) await holdAgainst(seed, simulation, manner);
  const { problem } = simulation.result;
  const isToldOf = problem !== undefined || options.keptEvents !== undefined;
  const trace = isToldOf ? simulation.trace : [];
  return { ...result, problem, kind, machine, without, programs: programs ?? simulation.programs, size: nodes, trace };
}

function finish(simulation: AnySimulation): Promise<RunResult> {
  underway.add(simulation);
  return new Promise((resolve) => {
    const step = (): void => {
      if (simulation.step()) return void setImmediate(step);
      underway.delete(simulation);
      const { result } = simulation;
      simulation.leave();
      resolve(result);
    };
    setImmediate(step);
  });
}

/** The same plan without any fault, in models. */
async function holdAgainst(seed: number, disturbed: Simulation, manner: SimulationOptions): Promise<void> {
  const canAbort = manner.machines === undefined;
  const calm = { traceLength, without: faultClasses, programs: manner.programs, canAbort };
  const undisturbed = new Simulation(seed, calm);
  const { problem } = await finish(undisturbed);
  const difference = problem ?? compareOutcomes(disturbed.outcome, undisturbed.outcome);
  if (difference !== undefined) disturbed.complain(`held against a run without faults: ${difference}`);
}

/** Seeds to run one after the other. */
export interface Portion {
  readonly first: number;
  readonly count: number;
  readonly options: RunOptions;
}

/** Counts everything, and gives the failures. Each has been run again, alone: it must fail in the same way. */
export async function runSeeds({ first, count, options }: Portion, counts: Counts): Promise<Run[]> {
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
    if (again.problem === before.problem) failures.push(failures.length < shrunkAtMost ? await shrink(again) : again);
    // Nobody knows whose an uncaught error was when several were under way.
    else if (before.problem?.includes(uncaught) !== true || again.problem !== undefined) {
      failures.push({ ...before, problem: `${before.problem}; and the second time: ${again.problem ?? "nothing"}` });
    }
  }
  return failures;
}

/** More of one portion have mostly one cause. */
const shrunkAtMost = 3;

/** Leaves out what the failure does not need: faults, then processes. */
async function shrink(run: Run): Promise<Run> {
  let least = run;
  const attempt = async (without: readonly FaultClass[], programs: readonly Pid[]): Promise<void> => {
    const { seed, kind, machine, size } = run;
    const manner = { kind, quickJs: machine === "quickjs" ? 1 : 0, without, programs };
    const again = await runSeed(seed, size === undefined ? manner : { ...manner, nodes: size });
    if (again.problem !== undefined && shapeOf(again.problem) === shapeOf(run.problem ?? "")) least = again;
  };
  for (const name of faultClasses) await attempt([...least.without, name], least.programs);
  for (const pid of run.programs) {
    const others = least.programs.filter((other) => other !== pid);
    if (others.length > 0) await attempt(least.without, others);
  }
  return least;
}

/** What is wrong, whenever and with whomever. */
function shapeOf(problem: string): string {
  return problem.slice(problem.indexOf(": ")).replaceAll(/[0-9a-z]*[0-9][0-9a-z]*/g, "");
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

export function describeFailure(run: Run): string {
  const { seed, problem, trace, without, programs } = run;
  const needed = faultClasses.filter((name) => !without.includes(name));
  const least =
    without.length === 0
      ? ""
      : `It still does with ${programs.join(", ")} and only these faults: ${needed.join(", ") || "none"}\n`;
  return `Seed ${seed} failed ${problem}\n${trace.join("\n")}\n${least}Again: ${commandOf(run)} --verbose\n`;
}

/** What runs it once more. */
function commandOf({ seed, kind, machine, without, programs, size }: Run): string {
  const parts = [`--kind ${kind}`, `--quickjs ${machine === "quickjs" ? 1 : 0}`, `--seed ${seed}`, "--seeds 1"];
  if (size !== undefined) parts.push(`--nodes ${size}`);
  if (without.length > 0) parts.push(`--without ${without.join()}`, `--programs ${programs.join()}`);
  return `npm run simulate -- ${parts.join(" ")}`;
}
