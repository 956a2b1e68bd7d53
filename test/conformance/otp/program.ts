/**
 * What runs inside the sandbox: a driver that does what it is told from outside, a recorder, and the workers and supervisors of
 * a case. It uses nothing but what `perdure` gives to everyone.
 */
import {
  Down,
  exit,
  ignore,
  monitor,
  pause,
  PerdureError,
  receive,
  resume,
  self,
  Server,
  Supervisor,
  supervisor,
  TimeoutError,
  trapExit,
} from "perdure";
import type { ChildSpec, Pid, SupervisorSpecification } from "perdure";
import type { Behaviour, Init, Node, Reason, SupervisorNode, WorkerNode } from "./format.ts";
import type { Fact } from "./trace.ts";

// -- what the driver is told, and what it answers -----------------------------------------------------------------

/** What a dynamic child has instead of its template's. */
export interface Own {
  readonly init?: Init;
  readonly behaviour?: Behaviour;
}

/** One thing to be done. */
export type Operation =
  | { readonly do: "crash"; readonly pid: Pid; readonly reason: Reason }
  | { readonly do: "start_child"; readonly sup: Pid; readonly path: string; readonly child: Node }
  | { readonly do: "start_dynamic"; readonly sup: Pid; readonly path: string; readonly own: Own }
  | { readonly do: "terminate_process"; readonly sup: Pid; readonly pid: Pid }
  | { readonly do: "terminate_child" | "restart_child" | "delete_child"; readonly sup: Pid; readonly id: string }
  | { readonly do: "which_children" | "count_children"; readonly sup: Pid };

export type Command =
  | { readonly do: "start"; readonly root: SupervisorNode }
  | { readonly do: "stop"; readonly pid: Pid }
  | { readonly do: "one"; readonly operation: Operation }
  /** All reach the supervisor before it handles the first. `null`: nothing in this place. */
  | { readonly do: "burst"; readonly sup: Pid; readonly operations: readonly (Operation | null)[] }
  | { readonly do: "children"; readonly supervisors: readonly Pid[] };

/** What an operation gave: as in the case files, but with pids. */
export type Answer =
  | null
  | "ok"
  | "ignore"
  | { readonly started: Pid | null }
  /** `child` is a pid, "undefined" or "restarting". Those without an id are of simple_one_for_one. */
  | { readonly children: readonly { readonly id: string | null; readonly child: string; readonly type: string }[] }
  | { readonly error: unknown }
  | { readonly exit: unknown }
  | Readonly<Record<"specs" | "active" | "supervisors" | "workers", number>>;

// -- the driver -----------------------------------------------------------------------------------------------------

interface Order {
  readonly step: number;
  readonly command: Command;
}

/** Does what it is told, one thing after the other; what it is told twice, once. */
export default async function drive(): Promise<void> {
  trapExit();
  const recorder = await Recorder.start();
  let last = 0;
  for (;;) {
    const { step, command } = await receive({ match: (message: unknown): message is Order => isOrder(message) });
    if (step <= last) continue;
    last = step;
    print({ fact: "answer", step, value: await obey(command, recorder.pid) });
  }
}

function isOrder(message: unknown): message is Order {
  return typeof message === "object" && message !== null && "command" in message;
}

function print(fact: Fact): void {
  console.log(JSON.stringify(fact));
}

async function obey(command: Command, recorder: Pid): Promise<readonly Answer[]> {
  switch (command.do) {
    case "start":
      return [await startRoot(command.root, recorder)];
    case "stop":
      exit(command.pid, "shutdown");
      return [];
    case "one":
      return [await operate(command.operation, recorder)];
    case "burst":
      return await burst(command, recorder);
    case "children":
      return await Promise.all(command.supervisors.map((sup) => ask({ do: "which_children", sup }, recorder)));
  }
}

async function startRoot(root: SupervisorNode, recorder: Pid): Promise<Answer> {
  try {
    const started = await Supervisor.startLink([tree, recorder, root, "root"]);
    return started === undefined ? "ignore" : { started: started.pid };
  } catch (error) {
    if (!(error instanceof PerdureError) || error.code !== "START_FAILED") throw error;
    return { error: { start_failed: plain(error.details["reason"]) } };
  }
}

/** A paused supervisor handles nothing, but everything reaches it. */
async function burst({ sup, operations }: Extract<Command, { do: "burst" }>, recorder: Pid): Promise<Answer[]> {
  await pause(sup);
  const answers: Promise<Answer>[] = [];
  for (const operation of operations) {
    if (operation?.do !== "crash") answers.push(operation === null ? nothing : ask(operation, recorder));
    else answers.push(Promise.resolve(await crash(operation)));
  }
  await resume(sup);
  return await Promise.all(answers);
}

const nothing = Promise.resolve(null);

function operate(operation: Operation, recorder: Pid): Promise<Answer> {
  return operation.do === "crash" ? crash(operation) : ask(operation, recorder);
}

/** Resolves when the process is gone. */
async function crash({ pid, reason }: Extract<Operation, { do: "crash" }>): Promise<null> {
  const watched = monitor(pid);
  if (reason === "kill") exit(pid, "kill");
  else Worker.ref(pid).cast.crash(reason);
  await receive({
    match: (message: unknown): message is Down => message instanceof Down && message.monitor === watched,
  });
  return null;
}

/** Calls the supervisor: the message is on its way before this returns. */
async function ask(operation: Exclude<Operation, { do: "crash" }>, recorder: Pid): Promise<Answer> {
  try {
    return await call(operation, recorder);
  } catch (error) {
    if (!(error instanceof PerdureError) || error.code !== "SERVER_GONE") throw error;
    return { exit: plain(error.details["reason"]) };
  }
}

async function call(operation: Exclude<Operation, { do: "crash" }>, recorder: Pid): Promise<Answer> {
  const target = Supervisor.ref(operation.sup);
  switch (operation.do) {
    case "start_child":
      return startAnswer(await target.startChild(childSpec(recorder, operation.child, operation.path)));
    case "start_dynamic":
      return startAnswer(await target.startChild(operation.path, operation.own));
    case "terminate_process":
      return okOr(await target.terminateChild({ pid: operation.pid }));
    case "terminate_child":
      return okOr(await target.terminateChild(operation.id));
    case "restart_child":
      return startAnswer(await target.restartChild(operation.id));
    case "delete_child":
      return okOr(await target.deleteChild(operation.id));
    case "which_children": {
      const children = await target.whichChildren();
      return { children: children.map(({ id = null, pid = "undefined", type }) => ({ id, child: pid, type })) };
    }
    case "count_children":
      return await target.countChildren();
  }
}

interface Outcome<T> {
  readonly ok?: T;
  readonly error?: unknown;
}

function startAnswer({ ok, error }: Outcome<Pid | undefined>): Answer {
  return error === undefined ? { started: ok ?? null } : { error: plainStart(error) };
}

function okOr({ error }: Outcome<unknown>): Answer {
  return error === undefined ? "ok" : { error };
}

function plainStart(error: unknown): unknown {
  const isFailure = typeof error === "object" && error !== null && "start_failed" in error;
  return isFailure ? { start_failed: plain(error.start_failed) } : error;
}

/** An exit reason as JSON. No case has an Error among its own. */
function plain(reason: unknown): unknown {
  return reason instanceof Error ? { thrown: `${reason.name}: ${reason.message}` } : reason;
}

// -- the recorder ---------------------------------------------------------------------------------------------------

type Verdict = Exclude<Extract<Fact, { fact: "attempt" }>["outcome"], "fail"> | { readonly fail: Reason };

/** Counts the start attempts of every path, says what becomes of them, and hears of the end of each process. */
export class Recorder extends Server {
  readonly #attempts = new Map<string, number>();

  /** Called by a process that is about to start: a supervisor says which children it will have. */
  attempt(pid: Pid, path: string, init: Init = {}, children?: readonly string[]): Verdict {
    const n = (this.#attempts.get(path) ?? 0) + 1;
    this.#attempts.set(path, n);
    const said = { fact: "attempt", path, n, pid, ...(children && { children }) } as const;
    if (init.fail?.includes(n) === true) {
      const reason = init.reason ?? "init_failed";
      print({ ...said, outcome: "fail", reason });
      return { fail: reason };
    }
    const outcome = init.ignore?.includes(n) === true ? "ignore" : "start";
    print({ ...said, outcome });
    if (outcome === "start") monitor(pid);
    return outcome;
  }

  handleInfo(message: unknown): void {
    if (message instanceof Down) print({ fact: "end", pid: message.pid, reason: plain(message.reason) });
  }
}

// -- trees ----------------------------------------------------------------------------------------------------------

function childSpec(recorder: Pid, node: Node, path?: string): ChildSpec {
  const { id, restart, shutdown, significant } = node;
  const options = {
    id,
    ...(restart && { restart }),
    ...(shutdown !== undefined && { shutdown }),
    ...(significant !== undefined && { significant }),
  };
  const args = path === undefined ? [recorder, node] : [recorder, node, path];
  if (node.type === "supervisor") return { ...options, supervisor: [tree, ...args] };
  return { ...options, start: [Worker, ...args] };
}

/** What a supervisor of a case supervises. In a pool `path` and `own` come from `startChild`. */
export async function tree(
  recorder: Pid,
  node: SupervisorNode,
  path: string,
  own: Own = {},
): Promise<SupervisorSpecification | typeof ignore> {
  const { strategy, intensity, auto_shutdown: autoShutdown = "never", children = [], template } = node;
  const verdict = await Recorder.ref(recorder).attempt(
    self(),
    path,
    own.init ?? node.init,
    children.map(({ id }) => id),
  );
  if (verdict === "ignore") return ignore;
  if (verdict !== "start") exit(verdict.fail);
  const flags = { intensity, period: node.period * 1_000 };
  if (strategy === "simple_one_for_one") {
    if (template === undefined) throw new Error(`${path} has no template`);
    return supervisor({ ...flags, strategy, template: childSpec(recorder, template) });
  }
  const specs = children.map((child) => childSpec(recorder, child, `${path}/${child.id}`));
  return supervisor({ ...flags, strategy, autoShutdown, children: specs });
}

export class Worker extends Server {
  #isCrashing = false;
  /** Only those that trap exits have last words. */
  terminate?: () => Promise<void>;

  async init(recorder: Pid, node: WorkerNode, path: string, own: Own = {}): Promise<typeof ignore | undefined> {
    const behaviour = own.behaviour ?? node.behaviour ?? { kind: "normal" };
    if (behaviour.kind !== "normal") this.terminate = () => this.#windUp(behaviour);
    const verdict = await Recorder.ref(recorder).attempt(self(), path, own.init ?? node.init);
    if (verdict === "ignore") return ignore;
    if (verdict !== "start") exit(verdict.fail);
    return undefined;
  }

  crash(reason: Reason): void {
    this.#isCrashing = true;
    exit(reason);
  }

  async #windUp(behaviour: Exclude<Behaviour, { kind: "normal" }>): Promise<void> {
    if (this.#isCrashing) return;
    if (behaviour.kind === "stubborn") return await never();
    if (behaviour.stop_delay !== undefined) await pass(behaviour.stop_delay);
    if (behaviour.exit_reason !== undefined) exit(behaviour.exit_reason);
  }
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

/** So much service time, as supervisors measure it when they wait. */
async function pass(ms: number): Promise<void> {
  try {
    await receive({ match: (_message: unknown): _message is never => false, timeout: ms });
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
  }
}
