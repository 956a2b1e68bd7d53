/** Spreads seeds over threads. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { Counts } from "./counts.ts";
import type { Portion, Run, RunKind, RunOptions } from "./run.ts";
import type { Report } from "./worker.ts";

export interface Plan {
  /** What each run leaves out, and whom it starts. */
  readonly limits?: Pick<RunOptions, "without" | "programs" | "nodes">;
  /** The kinds of run, each with every seed. */
  readonly kinds: readonly RunKind[];
  /** Seeds are this one and those after it. */
  readonly first: number;
  /** How many; Infinity to go on until `mayGoOn` says no. */
  readonly count: number;
  /** Asked before each portion. */
  mayGoOn?(counts: Counts): boolean;
  /** The share of runs that are to use QuickJS, asked before each portion; see `RunOptions`. */
  quickJs?(counts: Counts): number;
  /** Told after each portion. */
  progress?(counts: Counts, failures: readonly Run[]): void;
  /** Default: one for each core. */
  readonly threads?: number;
}

export interface Summary {
  readonly counts: Counts;
  readonly failures: readonly Run[];
}

const portion = 100;
/** With so many failures more of them say nothing new. */
const enoughFailures = 20;

export async function runAll(plan: Plan): Promise<Summary> {
  const { kinds, first, count } = plan;
  const failures: Run[] = [];
  const counts = new Counts();
  const mayGoOn = (): boolean => failures.length < enoughFailures && (plan.mayGoOn?.(counts) ?? true);
  let next = first;
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL("./worker.ts", import.meta.url));
    try {
      while (next < first + count && mayGoOn()) {
        const task = { first: next, count: Math.min(portion, first + count - next) };
        next += task.count;
        for (const kind of kinds) {
          const quickJs = plan.quickJs === undefined ? {} : { quickJs: plan.quickJs(counts) };
          const report = await ask(worker, { ...task, options: { ...plan.limits, ...quickJs, kind } });
          failures.push(...report.failures);
          counts.add(report.counts);
          plan.progress?.(counts, report.failures);
        }
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: plan.threads ?? availableParallelism() }, work));
  return { counts, failures };
}

function ask(worker: Worker, task: Portion): Promise<Report> {
  return new Promise((resolve, reject) => {
    worker.once("message", (report: Report) => {
      worker.off("error", reject);
      resolve(report);
    });
    worker.once("error", reject);
    worker.postMessage(task);
  });
}
