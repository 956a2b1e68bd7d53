import { PerdureError } from "../base/errors.ts";
import type { Pid } from "./pid.ts";
import type { AbortSignalLike } from "./wait.ts";

let pid: Pid | undefined;

interface Controller {
  readonly signal: AbortSignalLike;
  abort(reason: unknown): void;
}

/** Made when first asked for: most processes never look at it. */
let makeController: (() => Controller) | undefined;
let controller: Controller | undefined;

export function setProcess(ownPid: Pid, createController: () => Controller): void {
  pid = ownPid;
  makeController = createController;
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
  if (makeController === undefined) throw outside("signal()");
  controller ??= makeController();
  return controller.signal;
}

export function abortProcess(reason: unknown): void {
  if (makeController === undefined) return;
  controller ??= makeController();
  controller.abort(reason);
}

function outside(what: string): PerdureError {
  return new PerdureError(
    "OPERATION_OUTSIDE",
    `${what} works only inside a running Perdure process, not while a module is evaluated for the first time or in plain Node.`,
  );
}
