/** Spreads seeds over threads. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Run, RunKind } from "./run.ts";

/** What a thread is given at a time. */
export interface Portion {
  readonly kind: RunKind;
  readonly first: number;
  readonly count: number;
}

export interface Plan {
  /** The kinds of run, each with every seed. */
  readonly kinds: readonly RunKind[];
  /** Seeds are this one and those after it. */
  readonly first: number;
  /** How many; Infinity to go on until `mayGoOn` says no. */
  readonly count: number;
  /** Asked before each portion. */
  mayGoOn?(): boolean;
  /** Told after each portion. */
  progress?(done: number, failures: readonly Run[]): void;
  /** Default: one for each core. */
  readonly threads?: number;
}

export interface Summary {
  readonly passed: number;
  readonly failures: readonly Run[];
}

const portion = 100;
/** With so many failures more of them say nothing new. */
const enoughFailures = 20;

export async function runAll(plan: Plan): Promise<Summary> {
  const { kinds, first, count, mayGoOn = () => true, progress = () => undefined } = plan;
  const failures: Run[] = [];
  let next = first;
  let done = 0;
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL("./worker.ts", import.meta.url));
    try {
      while (next < first + count && failures.length < enoughFailures && mayGoOn()) {
        const task = { first: next, count: Math.min(portion, first + count - next) };
        next += task.count;
        for (const kind of kinds) {
          const found = await ask(worker, { kind, ...task });
          failures.push(...found);
          done += task.count;
          progress(done, found);
        }
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: plan.threads ?? availableParallelism() }, work));
  return { passed: done - failures.length, failures };
}

function ask(worker: Worker, task: Portion): Promise<Run[]> {
  return new Promise((resolve, reject) => {
    worker.once("message", (failures: Run[]) => {
      worker.off("error", reject);
      resolve(failures);
    });
    worker.once("error", reject);
    worker.postMessage(task);
  });
}
