/** One thread of the simulator: runs the seeds it is given. */
import { parentPort } from "node:worker_threads";
import { Counts } from "./counts.ts";
import { runSeeds } from "./run.ts";
import type { Portion, Run } from "./run.ts";

const port = parentPort;
if (port === null) throw new Error("this file is a thread's and cannot run by itself");

/** What a thread says of a portion; the counts have lost their methods on the way. */
export interface Report {
  readonly failures: readonly Run[];
  readonly counts: Counts;
}

// Many calls are refused in a run, and a stack for each would take a tenth of the time.
Error.stackTraceLimit = 4;

port.on("message", (portion: Portion) => {
  const counts = new Counts();
  void runSeeds(portion, counts).then((failures) => port.postMessage({ failures, counts } satisfies Report));
});
