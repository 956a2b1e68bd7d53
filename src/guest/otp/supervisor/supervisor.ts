import { entryOf } from "../../entries.ts";
import { requirePid } from "../../pid.ts";
import type { Pid } from "../../pid.ts";
import { call } from "../call.ts";
import { startBehaviour } from "../start.ts";
import { checkChild } from "./check.ts";
import { portableChild, startOf } from "./portable.ts";
import { SupervisorSpecification } from "./types.ts";
import type {
  ChildCounts,
  ChildInfo,
  ChildSpec,
  DeleteChildResult,
  RestartChildResult,
  SpecProblem,
  StartChildResult,
  SupervisorFlags,
  SupervisorInit,
  TerminateChildResult,
} from "./types.ts";

/**
 * Describes a supervisor: a process that starts its children in order, restarts those that fail, and ends with `"shutdown"` when
 * they fail too often, so that its own supervisor takes over.
 *
 *     export default supervisor({
 *       strategy: "rest_for_one",
 *       intensity: 3,
 *       period: "10s",
 *       children: [
 *         { id: "store", start: [Store] },
 *         { id: "crawlers", supervisor: { strategy: "simple_one_for_one", template: { start: [crawl], restart: "transient" } } },
 *       ],
 *     });
 *
 * It is run by `perdure serve` as a default export, by `Supervisor.start`, as a child of another supervisor, or as what an
 * exported function returns that is started. What is wrong with it is found when it starts.
 */
export function supervisor(flags: SupervisorFlags): SupervisorSpecification {
  return new SupervisorSpecification(flags);
}

/**
 * Checks children as a supervisor would that starts them: `{ ok: true }`, or what is wrong with the first that is not right.
 * Throws ENTRY_NOT_EXPORTED for a function that the program does not export.
 */
export function checkChildSpecs(
  children: readonly ChildSpec[],
  autoShutdown: "never" | "any_significant" | "all_significant" = "never",
): { readonly ok: true } | { readonly error: SpecProblem } {
  const ids = new Set<string>();
  for (const child of children) {
    const { problem } = checkChild(child, autoShutdown);
    if (problem !== undefined) return { error: problem };
    if (ids.has(child.id)) return { error: { duplicate_child_name: child.id } };
    ids.add(child.id);
  }
  return { ok: true };
}

/** A running supervisor, as its callers hold it. Its answers are OTP's, as data; calls wait as long as it takes. */
export class SupervisorRef {
  readonly pid: Pid;

  constructor(pid: Pid) {
    this.pid = pid;
  }

  /**
   * Adds a child at the end of the list and starts it. Refused for an id that is in the list: `already_started` with the process, or
   * `already_present`. A child whose start fails is not kept.
   */
  startChild(child: ChildSpec): Promise<StartChildResult>;
  /** In a pool: starts a child, with these arguments after the template's. A restart gives it the same again. */
  startChild(...args: readonly unknown[]): Promise<StartChildResult>;
  startChild(...args: readonly unknown[]): Promise<StartChildResult> {
    return this.#call("startChild", args.map(portableChild)) as Promise<StartChildResult>;
  }

  /**
   * Stops a child, by id; it stays in the list without a process, unless it is temporary. In a pool by process, as
   * `{ pid }`; a process that is dead already is a success there.
   */
  terminateChild(child: string | { readonly pid: Pid }): Promise<TerminateChildResult> {
    return this.#call("terminateChild", [child]) as Promise<TerminateChildResult>;
  }

  /** Starts a child again that is in the list without a process. */
  restartChild(id: string): Promise<RestartChildResult> {
    return this.#call("restartChild", [id]) as Promise<RestartChildResult>;
  }

  /** Takes a child without a process out of the list. */
  deleteChild(id: string): Promise<DeleteChildResult> {
    return this.#call("deleteChild", [id]) as Promise<DeleteChildResult>;
  }

  /** All children, the last one in start order first; of a pool, in no order that means anything. */
  whichChildren(): Promise<ChildInfo[]> {
    return this.#call("whichChildren", []) as Promise<ChildInfo[]>;
  }

  countChildren(): Promise<ChildCounts> {
    return this.#call("countChildren", []) as Promise<ChildCounts>;
  }

  /** A supervisor does not answer while it starts, stops or restarts children, and that may take long. */
  #call(method: string, args: readonly unknown[]): Promise<unknown> {
    return call(this.pid, method, args, Infinity);
  }
}

/** A supervisor, or an exported function that returns one with its arguments. */
export type SupervisorStart = SupervisorSpecification | readonly [SupervisorInit, ...unknown[]];

/** A supervisor's reference, or undefined where the function that describes it may answer `ignore`. */
export type StartedSupervisor<S extends SupervisorStart> = S extends SupervisorSpecification
  ? SupervisorRef
  : SupervisorRef | undefined;

export const Supervisor = {
  /**
   * Starts a supervisor and waits until all its children have started. Undefined if the function answered `ignore`. Rejects with
   * START_FAILED: `details.reason` is `{ shutdown: { failed_to_start_child: { id, reason } } }` if a child did not start.
   */
  start<S extends SupervisorStart>(given: S): Promise<StartedSupervisor<S>> {
    return start(given, false) as Promise<StartedSupervisor<S>>;
  },

  /** As `start`, and links it to this process. */
  startLink<S extends SupervisorStart>(given: S): Promise<StartedSupervisor<S>> {
    return start(given, true) as Promise<StartedSupervisor<S>>;
  },

  /** A supervisor that runs already, by pid or registered name. */
  ref(target: Pid): SupervisorRef {
    requirePid(target, "Supervisor.ref");
    return new SupervisorRef(target);
  },
};

async function start(given: SupervisorStart, link: boolean): Promise<SupervisorRef | undefined> {
  const { entry, args } =
    given instanceof SupervisorSpecification ? startOf(given) : { entry: entryOf(given[0]), args: given.slice(1) };
  const pid = await startBehaviour({ entry, args, link, options: { role: "supervisor" } });
  return pid === undefined ? undefined : new SupervisorRef(pid);
}
