/** One thread of the simulator: runs the seeds it is given. */
import { parentPort } from "node:worker_threads";
import { runSeeds } from "./run.ts";

const port = parentPort;
if (port === null) throw new Error("this file is a thread's and cannot run by itself");

port.on("message", ({ first, count }: { readonly first: number; readonly count: number }) => {
  void runSeeds(first, count).then((failures) => port.postMessage(failures));
});
