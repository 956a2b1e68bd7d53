/** What supervisors are told, and what they answer. */
import type { Duration } from "../../../base/duration.ts";
import type { Pid } from "../../pid.ts";
import type { Spawnable } from "../../spawn.ts";
import type { ServerClass } from "../server.ts";
import type { Ignore } from "../start.ts";

/**
 * Which children a failure of one concerns:
 * - `one_for_one`: that child alone is restarted. The default;
 * - `one_for_all`: all others are stopped, then all are started;
 * - `rest_for_one`: those started after it are stopped, then it and they are started;
 * - `simple_one_for_one`: a pool. All children are made of one template, and are added by `startChild`.
 */
export type Strategy = "one_for_one" | "one_for_all" | "rest_for_one" | "simple_one_for_one";

/**
 * Which ends of a child lead to a restart:
 * - `permanent`: all, good or bad. The default;
 * - `transient`: abnormal ones, which are all but `"normal"`, `"shutdown"` and `{ shutdown: … }`;
 * - `temporary`: none. With its end the child leaves the list.
 */
export type Restart = "permanent" | "transient" | "temporary";

/**
 * How a child is stopped: it is told to end with `"shutdown"`, and killed if it has not after this long (5 seconds for workers,
 * no limit for supervisors); `"infinity"` sets no limit, `"brutal_kill"` kills it at once.
 */
export type Shutdown = "brutal_kill" | "infinity" | number | (string & {});

/**
 * What a restart starts from. `fresh`: from the beginning, as in OTP (the default). `previous`: from the heap just before the
 * turn that failed; the message that made it fail is set aside as a dead letter, everything else is as it was. `checkpoint`:
 * from the heap of the last `checkpoint()`. Where that is not possible, the next of these is tried. A call that made a server fail and
 * is set aside has no answer: its caller gets CALL_TIMEOUT.
 */
export type Recover = "previous" | "checkpoint" | "fresh";

/** Waits between restarts of one child. They grow while it keeps failing, and begin anew once it has run longer than `cap`. */
export interface Backoff {
  /** Before the first restart. */
  readonly delay: Duration;
  /** How much longer each wait is than the one before. Default 2. */
  readonly factor?: number;
  /** The longest wait. Default `"1 min"`. */
  readonly cap?: Duration;
  /** From 0 to 1: each wait is shortened by a random part of it up to this one. Default 0. */
  readonly jitter?: number;
}

/**
 * Rungs that a supervisor climbs for a failed child before it restarts it: so many times `previous`, then so many times
 * `checkpoint`, and then OTP's way. They do not count as restarts, and have no effect on other children.
 */
export interface RecoveryLadder {
  /** Default 0. */
  readonly previous?: number;
  /** Default 0. */
  readonly checkpoint?: number;
  /** How long a rung that was used stays used. Default: the supervisor's `period`. */
  readonly within?: Duration;
}

interface ChildOptions {
  /** Names the child within its supervisor. */
  readonly id: string;
  /** Default `"permanent"`. */
  readonly restart?: Restart;
  /** Default 5 seconds, for supervisors `"infinity"`. */
  readonly shutdown?: Shutdown;
  /** Its end may end the supervisor, see `autoShutdown`. Not for permanent children. Default false. */
  readonly significant?: boolean;
  /** Counts as a restart. Not for temporary children. Default `"fresh"`. */
  readonly recover?: Recover;
  /** Default: restarts are immediate, as in OTP. */
  readonly backoff?: Backoff;
  /**
   * The label that a node must have to run it, such as `"gpu"`, and whatever it starts. `""`: any node will do. Default: what the supervisor
   * itself needs.
   */
  readonly needs?: string;
}

/** What a child starts: a function or a server's class, which the program exports, and its arguments. Or both by name. */
export type Start = readonly [start: Spawnable | ServerClass<any>, ...args: unknown[]] | EntryStart;

/** A start by name: how it is written where there are no functions, as in a message or on the command line. */
export interface EntryStart {
  /** `name` in the entry module, `path#name` elsewhere. */
  readonly entry: string;
  readonly args?: readonly unknown[];
}

/** A function that says what a supervisor supervises, once it is started: its `init`. */
export type SupervisorInit = (
  ...args: any[]
) => SupervisorSpecification | Ignore | Promise<SupervisorSpecification | Ignore>;

export interface WorkerSpec extends ChildOptions {
  readonly start: Start;
}

export interface SupervisorSpec extends ChildOptions {
  /** Its flags and children; or a function that the program exports and that returns them, with its arguments. */
  readonly supervisor: SupervisorFlags | SupervisorSpecification | readonly [SupervisorInit, ...unknown[]] | EntryStart;
}

/** A child of a supervisor. */
export type ChildSpec = WorkerSpec | SupervisorSpec;

/** What a pool's children are made of. The arguments of `startChild` follow those of the template. */
export type TemplateSpec = Omit<WorkerSpec, "id"> | Omit<SupervisorSpec, "id">;

interface CommonFlags {
  /** How many restarts within `period` are fine; the next one ends the supervisor. Default 1. */
  readonly intensity?: number;
  /** Default 5 seconds, of service time: what nobody runs does not count. */
  readonly period?: Duration;
  readonly recovery?: RecoveryLadder;
}

export interface ListFlags extends CommonFlags {
  /** Default `"one_for_one"`. */
  readonly strategy?: Exclude<Strategy, "simple_one_for_one">;
  /**
   * Whether the supervisor ends, with `"shutdown"`, when a significant child has ended by itself and is not restarted: at the
   * first such end, or at the last. Default `"never"`.
   */
  readonly autoShutdown?: "never" | "any_significant" | "all_significant";
  /** In the order in which they are started. They are stopped in reverse. */
  readonly children?: readonly ChildSpec[];
}

export interface PoolFlags extends CommonFlags {
  readonly strategy: "simple_one_for_one";
  readonly template: TemplateSpec;
}

export type SupervisorFlags = ListFlags | PoolFlags;

/** A supervisor that can be started, as `supervisor` makes it. */
export class SupervisorSpecification {
  readonly flags: SupervisorFlags;

  constructor(flags: SupervisorFlags) {
    this.flags = flags;
  }
}

/** What is wrong with flags or with a child's specification, in OTP's words. */
export type SpecProblem =
  | { readonly bad_combination: Readonly<Record<string, unknown>> }
  | { readonly duplicate_child_name: string }
  | { readonly invalid_child_spec: unknown }
  | { readonly missing_id: unknown }
  | { readonly invalid_start: unknown }
  | { readonly invalid_restart: unknown }
  | { readonly invalid_shutdown: unknown }
  | { readonly invalid_significant: unknown }
  | { readonly invalid_recover: unknown }
  | { readonly invalid_backoff: unknown }
  | { readonly invalid_needs: unknown }
  | { readonly invalid_strategy: unknown }
  | { readonly invalid_intensity: unknown }
  | { readonly invalid_period: unknown }
  | { readonly invalid_auto_shutdown: unknown }
  | { readonly invalid_recovery: unknown };

/** A management call's answer. Errors are data, as in OTP. */
export type Result<T, E> =
  { readonly ok: T; readonly error?: undefined } | { readonly error: E; readonly ok?: undefined };

/** The process, or undefined if its start answered `ignore`. */
export type StartResult<E> = Result<Pid | undefined, E | { readonly start_failed: unknown }>;

export type StartChildResult = StartResult<"already_present" | { readonly already_started: Pid } | SpecProblem>;
export type RestartChildResult = StartResult<"running" | "restarting" | "not_found" | "simple_one_for_one">;
export type TerminateChildResult = Result<true, "not_found" | "simple_one_for_one">;
export type DeleteChildResult = Result<true, "running" | "restarting" | "not_found" | "simple_one_for_one">;

export interface ChildInfo {
  /** Undefined for a pool's children. */
  readonly id: string | undefined;
  /** A child without a process is `undefined`; one whose restart is being tried, `"restarting"`. */
  readonly pid: Pid | "restarting" | undefined;
  readonly type: "worker" | "supervisor";
}

export interface ChildCounts {
  /** Children in the list; of a pool, 1: its template. */
  readonly specs: number;
  /** Living processes. */
  readonly active: number;
  readonly supervisors: number;
  readonly workers: number;
}
