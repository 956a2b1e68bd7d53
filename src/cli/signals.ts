/**
 * What stops a node from outside: Ctrl-C, SIGTERM, and the end of whoever read its output. The first asks it to stop in good order,
 * the second ends it as it is. Nothing is lost either way.
 */
import { exitCodes } from "./failure.ts";

/** SIGPIPE stands for a closed standard output: Node itself ignores that signal. */
export type StopSignal = "SIGINT" | "SIGTERM" | "SIGPIPE";

const signals: Readonly<Record<StopSignal, number>> = {
  SIGINT: exitCodes.interrupted,
  SIGTERM: exitCodes.terminated,
  SIGPIPE: exitCodes.closedPipe,
};

export function exitCodeOf(signal: StopSignal): number {
  return signals[signal];
}

/** Calls `stop` once. Returns a function that gives the signals their usual meaning back. */
export function onStopSignal(stop: (signal: StopSignal) => void): () => void {
  let stopping = false;
  const heard = (signal: StopSignal): void => {
    // A closed pipe is noticed at every write.
    if (stopping && signal !== "SIGPIPE") process.exit(exitCodeOf(signal));
    if (!stopping) stop(signal);
    stopping = true;
  };
  const names = Object.keys(signals) as StopSignal[];
  for (const name of names) process.on(name, heard);
  return () => {
    for (const name of names) process.off(name, heard);
  };
}

/** Whoever reads may stop reading: `perdure logs | head` is no failure, and `perdure run … | head` stops the node. */
export function surviveClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE" && error.code !== "ERR_STREAM_DESTROYED") throw error;
      if (process.listenerCount("SIGPIPE") === 0) process.exit(exitCodes.ok);
      process.emit("SIGPIPE", "SIGPIPE");
    });
  }
}
