/** Runs a case: its actions one after the other, each until rest. */
import type { Crashes } from "./crashes.ts";
import { compareNames } from "./format.ts";
import type { Action, Call, Case, Crash, ExpectedEvent, Outcome, PlainEvent, Tree } from "./format.ts";
import type { Machines } from "./machines.ts";
import { compareOutcome } from "./match.ts";
import type { Answer, Command, Operation } from "./program.ts";
import { Trace } from "./trace.ts";
import type { Incarnation } from "./trace.ts";
import { World } from "./world.ts";

/** The first step of a case that went otherwise. */
export interface Failure {
  /** From 1; 0 is the start. */
  readonly step: number;
  readonly action: Action | undefined;
  /** What differs, or went wrong altogether. */
  readonly problem: string;
  readonly expected: Outcome<ExpectedEvent>;
  readonly actual: Outcome<PlainEvent>;
}

/** Undefined if all went as it should. */
export async function runCase(
  scenario: Case,
  machines: Machines,
  crashes?: Crashes,
  nodes = 1,
): Promise<Failure | undefined> {
  const run = new Run(machines, crashes, nodes);
  try {
    return await run.all(scenario);
  } finally {
    run.world.end();
  }
}

class Run {
  readonly world: World;
  readonly #trace = new Trace();
  readonly #isAcross: boolean;
  #commands = 0;
  /** What has happened in this step. */
  #actual: { -readonly [K in keyof Outcome<PlainEvent>]: Outcome<PlainEvent>[K] } = { events: [], tree: {} };

  constructor(machines: Machines, crashes: Crashes | undefined, nodes: number) {
    this.world = new World(machines, crashes, nodes);
    this.#isAcross = nodes > 1;
  }

  async all({ root, start, steps }: Case): Promise<Failure | undefined> {
    const begin = (): Promise<void> => this.#start(root);
    const first = await this.#step(0, undefined, start, begin);
    if (first !== undefined) return first;
    for (const [index, expected] of steps.entries()) {
      const { action } = expected;
      const failure = await this.#step(index + 1, action, expected, () => this.#act(action));
      if (failure !== undefined) return failure;
    }
    return undefined;
  }

  async #step(
    step: number,
    action: Action | undefined,
    expected: Outcome<ExpectedEvent>,
    act: () => Promise<void>,
  ): Promise<Failure | undefined> {
    this.#actual = { events: [], tree: {} };
    try {
      this.world.betweenActions();
      await act();
      this.#actual.tree = await this.#tree();
      this.#actual.events = this.#trace.takeEvents();
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      this.#read();
      this.#actual.events = this.#trace.takeEvents();
      return { step, action, problem, expected, actual: this.#actual };
    }
    const problem = compareOutcome(expected, this.#actual, this.#isAcross);
    return problem === undefined ? undefined : { step, action, problem, expected, actual: this.#actual };
  }

  // -- actions --------------------------------------------------------------------------------------------------

  async #start(root: Case["root"]): Promise<void> {
    const result = await this.#command({ do: "start", root });
    this.#actual.result = this.#result(result[0] ?? null);
  }

  async #act(action: Action): Promise<void> {
    switch (action.do) {
      case "wait":
        return await this.#wait(action.ms);
      case "stop":
        await this.#command({ do: "stop", pid: this.#trace.latest("root")?.pid ?? "" });
        return;
      case "burst":
        return await this.#burst(action);
      default:
        return await this.#single(action);
    }
  }

  /** Asking for the tree leads to a commit, after which the time that has passed has passed for good. */
  async #wait(ms: number): Promise<void> {
    await this.world.rest();
    const untilMs = this.world.serviceMs + ms;
    while (this.world.serviceMs < untilMs) {
      await this.world.waitUntil(untilMs);
      await this.#tree();
    }
  }

  async #single(action: Call | Crash): Promise<void> {
    const operation = this.#operation(action, new Set());
    if (operation === undefined) {
      this.#actual.skipped = "not_running";
      return;
    }
    const [answer] = await this.#command({ do: "one", operation });
    if (action.do !== "crash") this.#actual.result = this.#result(answer ?? null);
  }

  async #burst({ sup, ops }: Extract<Action, { do: "burst" }>): Promise<void> {
    const dead = new Set<string>();
    const operations = ops.map((op) => this.#operation(op, dead) ?? null);
    const answers = await this.#command({ do: "burst", sup: this.#pidOf(sup), operations });
    this.#actual.results = ops.map((op, index) => {
      if (operations[index] === null) return { skipped: "not_running" };
      return op.do === "crash" ? null : this.#result(answers[index] ?? null);
    });
  }

  /** Undefined if it would crash nothing. `dead`: paths whose processes are dead by then. */
  #operation(action: Call | Crash, dead: Set<string>): Operation | undefined {
    if (action.do === "crash") {
      const target = this.#trace.latest(action.path);
      if (target?.state !== "running" || dead.has(action.path)) return undefined;
      dead.add(action.path);
      return { do: "crash", pid: target.pid, reason: action.reason };
    }
    const sup = this.#pidOf(action.sup);
    if (action.do === "start_child" && "name" in action) {
      const { name, init, behaviour } = action;
      return {
        do: "start_dynamic",
        sup,
        path: `${action.sup}/${name}`,
        own: { ...(init && { init }), ...(behaviour && { behaviour }) },
      };
    }
    if (action.do === "start_child")
      return { do: "start_child", sup, path: `${action.sup}/${action.child.id}`, child: action.child };
    if (action.do === "terminate_child" && "pid" in action)
      return { do: "terminate_process", sup, pid: this.#pidOf(action.pid) };
    if ("id" in action) return { do: action.do, sup, id: action.id };
    return { do: action.do, sup };
  }

  /** Of the latest process a path has had; of none if it never had any. */
  #pidOf(path: string): string {
    return this.#trace.latest(path)?.pid ?? "nobody";
  }

  // -- answers --------------------------------------------------------------------------------------------------

  /** Tells the driver what to do, and answers what came of it when everything is at rest. */
  async #command(command: Command): Promise<readonly Answer[]> {
    const step = ++this.#commands;
    this.world.command({ step, command });
    await this.world.rest(() => {
      this.#read();
      return this.#trace.answer(step) !== undefined;
    });
    const answer = this.#trace.answer(step);
    if (answer === undefined) throw new Error("everything is at rest, but the driver still waits for an answer");
    return answer as readonly Answer[];
  }

  #read(): void {
    for (const line of this.world.newLines()) this.#trace.read(line);
  }

  /** A call's answer as the corpus has it: with names where the engine has pids. */
  #result(answer: Answer): unknown {
    if (answer === null || typeof answer !== "object") return answer;
    if ("children" in answer) return this.#children(answer);
    if ("started" in answer) return { ok: answer.started === null ? "undefined" : this.#who(answer.started) };
    return "error" in answer ? { error: this.#error(answer.error) } : answer;
  }

  #error(error: unknown): unknown {
    if (typeof error !== "object" || error === null || !("already_started" in error)) return error;
    return { already_started: this.#who(String(error.already_started)) };
  }

  #who(pid: string): string {
    return this.#trace.byPid(pid)?.who ?? `the unknown process ${pid}`;
  }

  #children({ children }: Extract<Answer, { children: unknown }>): unknown {
    const rows = children.map(({ id, child, type }) => {
      const incarnation = this.#trace.byPid(child);
      const name = id ?? incarnation?.path.split("/").at(-1) ?? null;
      return [name, incarnation?.n ?? child, type] as const;
    });
    if (children.every(({ id }) => id !== null)) return rows;
    return rows.toSorted(([a], [b]) => compareNames(a, b));
  }

  /** A supervisor that stops children does not answer before it is done with that, so then everything is truly at rest. */
  async #tree(): Promise<Tree> {
    for (;;) {
      const { count } = this.#trace;
      const tree = await this.#askTree();
      if (count === this.#trace.count) return tree();
    }
  }

  async #askTree(): Promise<() => Tree> {
    const supervisors = this.#trace.runningSupervisors();
    if (supervisors.length === 0) return () => ({});
    const answers = await this.#command({ do: "children", supervisors: supervisors.map(({ pid }) => pid) });
    return () => this.#treeOf(supervisors, answers);
  }

  #treeOf(supervisors: readonly Incarnation[], answers: readonly Answer[]): Tree {
    const entries = supervisors.map(({ path }, index) => {
      const answer = answers[index] ?? null;
      if (answer === null || typeof answer !== "object" || !("children" in answer))
        throw new Error(`${path} was asked for its children and answered ${JSON.stringify(answer)}`);
      const rows = this.#children(answer) as [string, number | string, string][];
      const isDynamic = answer.children.some(({ id }) => id === null);
      const inOrder = isDynamic ? rows : rows.toReversed();
      return [path, inOrder.map(([id, n]) => [id, n] as const)] as const;
    });
    return Object.fromEntries(entries);
  }
}
