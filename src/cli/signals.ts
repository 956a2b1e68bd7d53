/** Ctrl-C and SIGTERM: the first asks the node to stop in good order, the second ends it as it is. Nothing is lost either way. */
import { exitCodes } from "./failure.ts";

export type StopSignal = "SIGINT" | "SIGTERM";

export function exitCodeOf(signal: StopSignal): number {
  return signal === "SIGINT" ? exitCodes.interrupted : exitCodes.terminated;
}

/** Calls `stop` once. Returns a function that gives the signals their usual meaning back. */
export function onStopSignal(stop: (signal: StopSignal) => void): () => void {
  let stopping = false;
  const heard = (signal: StopSignal): void => {
    if (stopping) process.exit(exitCodeOf(signal));
    stopping = true;
    stop(signal);
  };
  process.on("SIGINT", heard);
  process.on("SIGTERM", heard);
  return () => {
    process.off("SIGINT", heard);
    process.off("SIGTERM", heard);
  };
}
