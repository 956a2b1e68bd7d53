/** Case files: what they may hold, as types. README.md says what a case is. */

/** JSON as the files have it: a word such as "normal" and "killed", `{"error": …}`, `{"shutdown": …}`. */
export type Reason = string | Readonly<Record<string, unknown>>;

/** Which start attempts (from 1) of a node do not succeed. */
export interface Init {
  readonly fail?: readonly number[];
  readonly ignore?: readonly number[];
  /** What the failing ones fail with. Default "init_failed". */
  readonly reason?: Reason;
}

export type Behaviour =
  /** Does not trap exits. */
  | { readonly kind: "normal" }
  /** Told to stop, it takes `stop_delay` ms (default 0), and ends with `exit_reason` or with the reason it was told. */
  | { readonly kind: "trap"; readonly stop_delay?: number; readonly exit_reason?: Reason }
  /** Never stops when told to. */
  | { readonly kind: "stubborn" };

interface ChildOptions {
  readonly id: string;
  readonly init?: Init;
  /** The root has none of these. */
  readonly restart?: "permanent" | "transient" | "temporary";
  readonly shutdown?: "brutal_kill" | "infinity" | number;
  readonly significant?: boolean;
}

export interface WorkerNode extends ChildOptions {
  readonly type: "worker";
  readonly behaviour?: Behaviour;
}

export interface SupervisorNode extends ChildOptions {
  readonly type: "supervisor";
  readonly strategy: "one_for_one" | "one_for_all" | "rest_for_one" | "simple_one_for_one";
  readonly intensity: number;
  /** In seconds. */
  readonly period: number;
  readonly auto_shutdown?: "never" | "any_significant" | "all_significant";
  readonly children?: readonly Node[];
  /** Of simple_one_for_one, in place of `children`. */
  readonly template?: Node;
}

export type Node = WorkerNode | SupervisorNode;

export type Call =
  | { readonly do: "start_child"; readonly sup: string; readonly child: Node }
  /** Of simple_one_for_one. */
  | {
      readonly do: "start_child";
      readonly sup: string;
      readonly name: string;
      readonly init?: Init;
      readonly behaviour?: Behaviour;
    }
  | { readonly do: "terminate_child" | "restart_child" | "delete_child"; readonly sup: string; readonly id: string }
  /** `pid` is a path: the latest process it has had. */
  | { readonly do: "terminate_child"; readonly sup: string; readonly pid: string }
  | { readonly do: "which_children" | "count_children"; readonly sup: string };

export interface Crash {
  readonly do: "crash";
  readonly path: string;
  readonly reason: Reason;
}

export type Action =
  | Call
  | Crash
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "stop" }
  | { readonly do: "burst"; readonly sup: string; readonly ops: readonly (Call | Crash)[] };

export interface PlainEvent {
  readonly ev: "started" | "start_failed" | "ignored" | "terminated";
  /** `path#n` */
  readonly who: string;
  readonly reason?: unknown;
}

/** Things that go on at the same time. */
export interface ParallelEvent {
  readonly ev: "parallel";
  readonly lanes: readonly (readonly ExpectedEvent[])[];
}

export type ExpectedEvent = PlainEvent | ParallelEvent;

/** By path of the supervisor: its children in start order. */
export type Tree = Readonly<Record<string, readonly (readonly [id: string, number: number | string])[]>>;

/** What happened between two rests. */
export interface Outcome<E> {
  readonly events: readonly E[];
  readonly result?: unknown;
  readonly results?: readonly unknown[];
  readonly skipped?: string;
  readonly tree: Tree;
}

export interface Case {
  readonly name: string;
  readonly about?: string;
  readonly root: SupervisorNode;
  readonly start: Outcome<ExpectedEvent>;
  readonly steps: readonly (Outcome<ExpectedEvent> & { readonly action: Action })[];
}

/** Throws if `text` is no case file of this format. */
export function parseCase(text: string): Case {
  const parsed = JSON.parse(text) as Case & { readonly format?: unknown };
  if (parsed.format !== "otp-sup-corpus/1") throw new Error(`its format is ${JSON.stringify(parsed.format)}`);
  return parsed;
}

/** "d2" is before "d10", and what has no name is last. */
export function compareNames(a: string | null, b: string | null): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return a.localeCompare(b, "en", { numeric: true });
}
