/**
 * What a supervisor of Erlang/OTP does, as a model: no processes, no messages, time is a number. It passes every recorded case
 * (`model.test.ts`), so it can say what to expect of scenarios that nobody recorded (`random.ts`).
 */
import type {
  Action,
  Call,
  Crash,
  ExpectedEvent,
  Init,
  Node,
  Outcome,
  Reason,
  SupervisorNode,
  Tree,
} from "./format.ts";
import { name, Supervisor } from "./model-supervisor.ts";
import type { Proc, Started, Surroundings } from "./model-supervisor.ts";
import { Events } from "./model-events.ts";

const killed = "killed";

/** All there is: the tree, the attempts counted so far, the time. */
export class Model implements Surroundings {
  readonly events: Events = new Events();
  readonly #attempts = new Map<string, number>();
  readonly #latest = new Map<string, Proc>();
  readonly #busy: Supervisor[] = [];
  nowMs = 0;

  start(root: SupervisorNode): Outcome<ExpectedEvent> {
    const started = this.startNode("root", root, undefined);
    if ("error" in started) return this.#outcome({ result: { error: { start_failed: started.error } } });
    return this.#outcome({ result: started.proc === undefined ? "ignore" : { ok: name(started.proc) } });
  }

  act(action: Action): Outcome<ExpectedEvent> {
    switch (action.do) {
      case "wait":
        this.nowMs += action.ms;
        return this.#outcome({});
      case "stop": {
        const root = this.running("root");
        if (root !== undefined) this.stop(root, "infinity", "shutdown");
        return this.#outcome({});
      }
      case "crash":
        return this.#crash(action) ? this.#outcome({}) : this.#outcome({ skipped: "not_running" });
      case "burst":
        return this.#burst(action.sup, action.ops);
      default:
        return this.#outcome({ result: this.#call(action)() });
    }
  }

  latest(path: string): Proc | undefined {
    return this.#latest.get(path);
  }

  running(path: string): Proc | undefined {
    const proc = this.#latest.get(path);
    return proc?.alive === true ? proc : undefined;
  }

  /** Processes that run, in the order in which they started. */
  get alive(): Proc[] {
    return [...this.#latest.values()].filter(({ alive }) => alive);
  }

  #outcome(answer: Partial<Outcome<ExpectedEvent>>): Outcome<ExpectedEvent> {
    for (let sup = this.#busy.shift(); sup !== undefined; sup = this.#busy.shift()) sup.handleAll();
    const root = this.running("root");
    const tree: Record<string, Tree[string]> = {};
    root?.sup?.addTo(tree);
    return { events: this.events.take(), ...answer, tree };
  }

  #burst(path: string, ops: readonly (Call | Crash)[]): Outcome<ExpectedEvent> {
    const answers = ops.map((op) => {
      if (op.do !== "crash") return this.#call(op);
      return this.#crash(op) ? () => null : () => ({ skipped: "not_running" });
    });
    const { result: _, ...outcome } = this.#outcome({ result: path });
    return { ...outcome, results: answers.map((answer) => answer()) };
  }

  #crash({ path, reason }: Crash): boolean {
    const proc = this.running(path);
    if (proc === undefined) return false;
    this.end(proc, reason === "kill" ? killed : reason);
    return true;
  }

  /** Puts it into the supervisor's mailbox. What it gives can be asked for when all has been handled. */
  #call(call: Call): () => unknown {
    const sup = this.running(call.sup)?.sup;
    let result: unknown = { exit: "noproc" };
    const target = "pid" in call ? this.#latest.get(call.pid) : undefined;
    sup?.send({ kind: "call", call, target, answer: (answered) => (result = answered) });
    return () => {
      for (let busy = this.#busy.shift(); busy !== undefined; busy = this.#busy.shift()) busy.handleAll();
      return result;
    };
  }

  wake(sup: Supervisor): void {
    if (!this.#busy.includes(sup)) this.#busy.push(sup);
  }

  // -- starting and ending --------------------------------------------------------------------------------------

  startNode(path: string, node: Node, parent: Supervisor | undefined): Started {
    const n = (this.#attempts.get(path) ?? 0) + 1;
    this.#attempts.set(path, n);
    const who = `${path}#${n}`;
    const init: Init = node.init ?? {};
    const failed = (reason: Reason): Started => {
      this.events.add({ ev: "start_failed", who, reason });
      return { error: reason };
    };
    if (init.fail?.includes(n) === true) return failed(init.reason ?? "init_failed");
    if (init.ignore?.includes(n) === true) {
      this.events.add({ ev: "ignored", who });
      return { proc: undefined };
    }
    const sup = node.type === "supervisor" ? new Supervisor(this, path, node) : undefined;
    const proc: Proc = { path, n, node, sup, parent, alive: true, reason: undefined };
    const problem = sup?.startAll(proc);
    if (problem !== undefined) return failed(problem);
    this.#latest.set(path, proc);
    this.events.add({ ev: "started", who });
    return { proc };
  }

  end(proc: Proc, reason: Reason): void {
    this.#gone(proc, reason);
    if (proc.sup !== undefined) this.#orphan(proc.sup);
    proc.parent?.send({ kind: "exit", proc });
  }

  stop(proc: Proc, shutdown: Node["shutdown"], told: Reason): void {
    if (!proc.alive) return;
    if (shutdown === "brutal_kill") {
      this.#gone(proc, killed);
      if (proc.sup !== undefined) this.#orphan(proc.sup);
      return;
    }
    const tookMs = this.#obey(proc, typeof shutdown === "number" ? shutdown : Infinity, told);
    this.nowMs += tookMs;
  }

  stopTogether(procs: readonly Proc[], shutdown: Node["shutdown"]): void {
    const beganMs = this.nowMs;
    let endedMs = beganMs;
    this.events.lanes(
      procs.filter(({ alive }) => alive),
      (proc) => {
        this.nowMs = beganMs;
        this.stop(proc, shutdown, "shutdown");
        endedMs = Math.max(endedMs, this.nowMs);
      },
    );
    this.nowMs = endedMs;
  }

  /** How long it takes to end when it is told to. */
  #obey(proc: Proc, timeoutMs: number, told: Reason): number {
    const { node, sup } = proc;
    if (sup !== undefined) {
      sup.stopAll();
      this.#gone(proc, told);
      return 0;
    }
    const behaviour = node.type === "worker" ? node.behaviour : undefined;
    const delayMs =
      behaviour?.kind === "stubborn" ? Infinity : behaviour?.kind === "trap" ? (behaviour.stop_delay ?? 0) : 0;
    if (delayMs > timeoutMs) this.#gone(proc, killed);
    else this.#gone(proc, (behaviour?.kind === "trap" ? behaviour.exit_reason : undefined) ?? told);
    return Math.min(delayMs, timeoutMs);
  }

  #gone(proc: Proc, reason: Reason): void {
    proc.alive = false;
    proc.reason = reason;
    this.events.add({ ev: "terminated", who: name(proc), reason });
    proc.sup?.ended(reason);
  }

  /** Its supervisor was killed: each child hears of that by itself, while everything else goes on. */
  #orphan(sup: Supervisor): void {
    const beganMs = this.nowMs;
    this.events.lanes(
      sup.procs.filter(({ alive }) => alive),
      (proc) => void this.#obey(proc, Infinity, killed),
      true,
    );
    this.nowMs = beganMs;
  }
}
