/** Scenarios from a seed: random trees, random things done to them, and what the model says of that. */
import { Dice } from "../../simulation/dice.ts";
import type {
  Action,
  Behaviour,
  Call,
  Case,
  Crash,
  ExpectedEvent,
  Init,
  Node,
  Outcome,
  Reason,
  SupervisorNode,
  WorkerNode,
} from "./format.ts";
import { Model } from "./model.ts";
import type { Proc } from "./model-supervisor.ts";

const maxDepth = 4;
const maxWorkers = 12;
const reasons: readonly Reason[] = [
  { error: "boom" },
  { error: "boom" },
  "normal",
  "shutdown",
  { shutdown: "done" },
  "kill",
];
const restarts = ["permanent", "permanent", "transient", "temporary"] as const;

export function randomCase(seed: number): Case {
  return new Scenario(seed).make();
}

class Scenario {
  readonly #seed: number;
  readonly #dice: Dice;
  readonly #model = new Model();
  /** Either supervisors are killed or workers are stubborn: what is stubborn outlives a killed supervisor. */
  readonly #kills: boolean;
  #workersLeft = maxWorkers;
  #names = 0;
  /** Then no supervisor has brutal_kill: whose end its children outlive, which no lane of the pool's stop could say. */
  #isInPool = false;

  constructor(seed: number) {
    this.#seed = seed;
    this.#dice = new Dice(seed, "scenario");
    this.#kills = this.#dice.chance(0.5);
  }

  make(): Case {
    const { restart: _, shutdown: __, ...root } = this.#supervisor("root", 1, "never");
    // A root that never starts shows little.
    const init = this.#dice.chance(0.05) ? { init: this.#init() } : {};
    const node: SupervisorNode = { ...root, ...init };
    const start = this.#model.start(node);
    const steps: (Outcome<ExpectedEvent> & { readonly action: Action })[] = [];
    const count = this.#dice.int(3, 14);
    while (steps.length < count && this.#model.running("root") !== undefined) {
      const action = steps.length === count - 1 && this.#dice.chance(0.5) ? ({ do: "stop" } as const) : this.#action();
      steps.push({ action, ...this.#model.act(action) });
    }
    return { name: `random ${this.#seed}`, root: node, start, steps };
  }

  // -- trees ----------------------------------------------------------------------------------------------------

  #supervisor(id: string, depth: number, parentAuto: SupervisorNode["auto_shutdown"]): SupervisorNode {
    const dice = this.#dice;
    const strategy = dice.pick([
      "one_for_one",
      "one_for_one",
      "one_for_all",
      "rest_for_one",
      "simple_one_for_one",
    ] as const);
    const isSimple = strategy === "simple_one_for_one";
    const auto = isSimple
      ? "never"
      : dice.pick(["never", "never", "never", "any_significant", "all_significant"] as const);
    const own = {
      ...this.#child(id, parentAuto),
      type: "supervisor",
      strategy,
      intensity: dice.pick([0, 1, 1, 2, 3, 6]),
      // No sum of the waits that are drawn comes near this.
      period: dice.chance(0.3) ? 60 : 3_600,
      auto_shutdown: auto,
      shutdown: this.#kills && !this.#isInPool && dice.chance(0.1) ? "brutal_kill" : "infinity",
    } as const;
    if (isSimple) {
      const outside = this.#isInPool;
      this.#isInPool = true;
      const template = this.#plain(this.#node("conn", depth + 2, "never"));
      this.#isInPool = outside;
      return { ...own, template };
    }
    const count = Math.min(dice.int(depth === 1 ? 1 : 0, 4), this.#workersLeft);
    const children = Array.from({ length: count }, (_, index) => this.#node("abcd"[index] as string, depth + 1, auto));
    // Now and then one id too often, which the supervisor refuses.
    const twice = depth > 1 && dice.chance(0.03) ? children.slice(0, 1) : [];
    return { ...own, children: [...children, ...twice] };
  }

  #node(id: string, depth: number, parentAuto: SupervisorNode["auto_shutdown"]): Node {
    const isSupervisor = depth <= maxDepth && this.#dice.chance(0.35);
    if (isSupervisor) return this.#supervisor(id, depth, parentAuto);
    this.#workersLeft--;
    return this.#worker(id, parentAuto);
  }

  #worker(id: string, parentAuto: SupervisorNode["auto_shutdown"]): WorkerNode {
    const behaviour = this.#behaviour();
    const isStubborn = behaviour.kind === "stubborn";
    const shutdown = this.#dice.pick(
      isStubborn ? ([20, 60, "brutal_kill"] as const) : ([5_000, 5_000, 5_000, 60, "infinity", "brutal_kill"] as const),
    );
    return {
      ...this.#child(id, parentAuto),
      type: "worker",
      shutdown,
      ...(behaviour.kind === "normal" ? {} : { behaviour }),
    };
  }

  #child(
    id: string,
    parentAuto: SupervisorNode["auto_shutdown"],
  ): Pick<Node, "id" | "restart" | "significant" | "init"> {
    const dice = this.#dice;
    const restart = dice.pick(restarts);
    const isAllowed = (parentAuto ?? "never") !== "never" && restart !== "permanent";
    const isSignificant = dice.chance(isAllowed ? 0.5 : 0.01);
    return {
      id,
      restart,
      ...(isSignificant && { significant: true }),
      ...(dice.chance(0.15) && { init: this.#init() }),
    };
  }

  /** A template: its init would count for all of its children, and what a restart answers `ignore` to is undefined in OTP. */
  #plain(node: Node): Node {
    return { ...node, init: {}, significant: false };
  }

  #behaviour(): Behaviour {
    const dice = this.#dice;
    if (dice.chance(0.7)) return { kind: "normal" };
    if (!this.#kills && dice.chance(0.3)) return { kind: "stubborn" };
    return {
      kind: "trap",
      ...(dice.chance(0.4) && { stop_delay: dice.pick([5, 30, 120]) }),
      ...(dice.chance(0.3) && { exit_reason: dice.pick<Reason>(["normal", { error: "late" }, { shutdown: "x" }]) }),
    };
  }

  /** Seldom the first attempt, so that most trees come to be. */
  #init(): Init {
    const dice = this.#dice;
    const some = (): number[] => [1, 2, 3, 4, 5].filter((n) => dice.chance(n === 1 ? 0.05 : 0.4));
    const fail = some();
    const ignore = dice.chance(0.3) ? some().filter((n) => !fail.includes(n)) : [];
    const reason = dice.pick<Reason>(["init_failed", "init_failed", "normal", "shutdown", { error: "bad" }]);
    return { fail, ...(ignore.length > 0 && { ignore }), ...(reason !== "init_failed" && { reason }) };
  }

  // -- actions --------------------------------------------------------------------------------------------------

  #action(): Action {
    const dice = this.#dice;
    const what = dice.weighted({ crash: 45, call: 32, burst: 16, wait: 7 });
    if (what === "wait") return { do: "wait", ms: dice.pick([25_000, 40_000, 150_000]) };
    if (what === "crash")
      return this.#crash(this.#model.alive.filter(({ path }) => path !== "root" || dice.chance(0.1)));
    const sup = dice.pick(this.#model.alive.filter(({ sup }) => sup !== undefined));
    if (what === "call") return this.#call(sup);
    const children = this.#model.alive.filter(({ parent }) => parent === sup.sup);
    const op = (): Call | Crash => (dice.chance(0.5) && children.length > 0 ? this.#crash(children) : this.#call(sup));
    return { do: "burst", sup: sup.path, ops: Array.from({ length: dice.int(2, 4) }, op) };
  }

  #crash(procs: readonly Proc[]): Crash {
    const dice = this.#dice;
    const workers = procs.filter(({ sup }) => sup === undefined);
    const isOfWorker = workers.length > 0 && (!this.#kills || dice.chance(0.85));
    const target = dice.pick(isOfWorker ? workers : this.#kills ? procs : []) as Proc | undefined;
    if (target === undefined) return { do: "crash", path: "root/none", reason: "normal" };
    return { do: "crash", path: target.path, reason: target.sup === undefined ? dice.pick(reasons) : "kill" };
  }

  #call({ path: sup, node }: Proc): Call {
    const dice = this.#dice;
    if (node.type !== "supervisor") throw new Error(`${sup} is no supervisor`);
    const ask = dice.pick(["which_children", "count_children"] as const);
    if (dice.chance(0.15)) return { do: ask, sup };
    if (node.strategy === "simple_one_for_one") return this.#dynamicCall(sup);
    const id = dice.pick(["a", "b", "c", "d", "x", "y"]);
    const what = dice.pick(["start_child", "terminate_child", "restart_child", "delete_child"] as const);
    if (what !== "start_child") return { do: what, sup, id };
    const depth = sup.split("/").length + 1;
    return { do: what, sup, child: this.#node(id, Math.max(depth, maxDepth), node.auto_shutdown) };
  }

  #dynamicCall(sup: string): Call {
    const dice = this.#dice;
    const children = this.#model.alive.filter(
      ({ path }) => path.startsWith(`${sup}/d`) && !path.slice(sup.length + 1).includes("/"),
    );
    const child = children.length > 0 ? dice.pick(children) : undefined;
    if (child !== undefined && dice.chance(0.4)) return { do: "terminate_child", sup, pid: child.path };
    if (dice.chance(0.05))
      return { do: dice.pick(["terminate_child", "restart_child", "delete_child"] as const), sup, id: "conn" };
    const { ignore: _, ...init } = this.#init();
    const ignores = dice.chance(0.1);
    return {
      do: "start_child",
      sup,
      name: `d${++this.#names}`,
      ...(ignores ? { init: { ignore: [1] } } : dice.chance(0.3) ? { init } : {}),
    };
  }
}
