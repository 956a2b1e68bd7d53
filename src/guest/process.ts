import { PerdureError } from "../base/errors.ts";
import type { Pid } from "../journal/types.ts";
import type { AbortSignalLike } from "./wait.ts";

let pid: Pid | undefined;
let controller: { readonly signal: AbortSignalLike; abort(reason: unknown): void } | undefined;

export function setProcess(ownPid: Pid, abortController: NonNullable<typeof controller>): void {
  pid = ownPid;
  controller = abortController;
}

export function self(): Pid {
  if (pid === undefined) throw outside("self()");
  return pid;
}

/**
 * The process's own AbortSignal: it fires when someone cancels the process. Hand it to `fetch` or to your own code that
 * should stop then; `sleep`, `receive` and operations reject with `CancelledError` by themselves.
 */
export function signal(): AbortSignalLike {
  if (controller === undefined) throw outside("signal()");
  return controller.signal;
}

export function abortProcess(reason: unknown): void {
  controller?.abort(reason);
}

function outside(what: string): PerdureError {
  return new PerdureError(
    "OPERATION_OUTSIDE",
    `${what} works only inside a running Perdure process, not while a module is evaluated for the first time or in plain Node.`,
  );
}
