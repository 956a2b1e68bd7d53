/** One thread of the simulator: runs the seeds it is given. */
import { parentPort } from "node:worker_threads";
import { runSeeds } from "./run.ts";
import type { Portion } from "./threads.ts";

const port = parentPort;
if (port === null) throw new Error("this file is a thread's and cannot run by itself");

// Many calls are refused in a run, and a stack for each would take a tenth of the time.
Error.stackTraceLimit = 4;

port.on("message", ({ kind, first, count }: Portion) => {
  void runSeeds(kind, first, count).then((failures) => port.postMessage(failures));
});
