/** A supervisor of the model: its children, its mailbox, and what it does with them. */
import { compareNames } from "./format.ts";
import type { Call, Node, Reason, SupervisorNode, Tree } from "./format.ts";

/** A process. */
export interface Proc {
  readonly path: string;
  readonly n: number;
  readonly node: Node;
  /** Of a supervisor. */
  readonly sup: Supervisor | undefined;
  readonly parent: Supervisor | undefined;
  alive: boolean;
  reason: Reason | undefined;
}

/** A supervisor's entry for a child. */
interface Child {
  readonly id: string;
  readonly path: string;
  readonly node: Node;
  proc: Proc | undefined;
  /** A restart failed and is about to be tried again. */
  restarting: boolean;
}

export type Started = { readonly proc: Proc | undefined } | { readonly error: Reason };
type Message =
  | { readonly kind: "exit"; readonly proc: Proc }
  | { readonly kind: "again"; readonly child: Child }
  | { readonly kind: "call"; readonly call: Call; readonly target: Proc | undefined; answer(result: unknown): void };

const isNormal = (reason: Reason): boolean =>
  reason === "normal" || reason === "shutdown" || (typeof reason === "object" && "shutdown" in reason);

/** What a supervisor needs of the model it is part of. */
export interface Surroundings {
  readonly nowMs: number;
  /** It has something in its mailbox. */
  wake(sup: Supervisor): void;
  startNode(path: string, node: Node, parent: Supervisor): Started;
  /** The process ends by itself, or is killed. */
  end(proc: Proc, reason: Reason): void;
  /** It is told to stop by its parent, who waits for that. */
  stop(proc: Proc, shutdown: Node["shutdown"], told: Reason): void;
  /** All at the same time, in lanes of their own. */
  stopTogether(procs: readonly Proc[], shutdown: Node["shutdown"]): void;
}

export class Supervisor {
  readonly #model: Surroundings;
  readonly #path: string;
  readonly #node: SupervisorNode;
  #self: Proc | undefined;
  /** In start order. */
  #children: Child[] = [];
  #mailbox: Message[] = [];
  #restartsMs: number[] = [];

  constructor(model: Surroundings, path: string, node: SupervisorNode) {
    this.#model = model;
    this.#path = path;
    this.#node = node;
  }

  get #isSimple(): boolean {
    return this.#node.strategy === "simple_one_for_one";
  }

  get procs(): Proc[] {
    return this.#children.flatMap(({ proc, restarting }) => (proc === undefined || restarting ? [] : [proc]));
  }

  send(message: Message): void {
    this.#mailbox.push(message);
    this.#model.wake(this);
  }

  handleAll(): void {
    while (this.#self?.alive === true) {
      const message = this.#mailbox.shift();
      if (message === undefined) return;
      const goesOn = this.#handle(message);
      if (goesOn) continue;
      this.stopAll();
      this.#model.end(this.#self, "shutdown");
    }
  }

  /** Whoever still waits for an answer hears why there will be none. */
  ended(reason: Reason): void {
    for (const message of this.#mailbox) if (message.kind === "call") message.answer({ exit: reason });
    this.#mailbox = [];
  }

  addTo(tree: Record<string, Tree[string]>): void {
    const rows = this.#children.map(({ id, proc }) => [id, proc === undefined ? "undefined" : proc.n] as const);
    tree[this.#path] = this.#isSimple ? rows.toSorted(([a], [b]) => compareNames(a, b)) : rows;
    for (const { proc } of this.#children) proc?.sup?.addTo(tree);
  }

  // -- starting and stopping ------------------------------------------------------------------------------------

  /** Answers why it cannot start. */
  startAll(self: Proc): Reason | undefined {
    const nodes = this.#isSimple ? [this.#node.template as Node] : (this.#node.children ?? []);
    const problem = this.#problemOf(nodes);
    if (problem !== undefined) return { start_spec: problem };
    this.#self = self;
    if (this.#isSimple) return undefined;
    this.#children = nodes.map((node) => this.#child(node));
    const failed = this.#startFrom(this.#children);
    if (failed === undefined) return undefined;
    this.stopAll();
    return { shutdown: { failed_to_start_child: { id: failed.child.id, reason: failed.reason } } };
  }

  #problemOf(nodes: readonly Node[]): Readonly<Record<string, unknown>> | undefined {
    const ids = new Set<string>();
    for (const node of nodes) {
      const bad = this.#badCombination(node);
      if (bad !== undefined) return bad;
      if (ids.has(node.id)) return { duplicate_child_name: node.id };
      ids.add(node.id);
    }
    return undefined;
  }

  #badCombination({ significant, restart }: Node): Readonly<Record<string, unknown>> | undefined {
    if (significant !== true) return undefined;
    if ((this.#node.auto_shutdown ?? "never") === "never")
      return { bad_combination: { auto_shutdown: "never", significant: true } };
    if (restart === "permanent") return { bad_combination: { restart, significant: true } };
    return undefined;
  }

  #child(node: Node, id: string = node.id): Child {
    return { id, path: `${this.#path}/${id}`, node, proc: undefined, restarting: false };
  }

  /** Starts all of them in order, up to the first that fails. */
  #startFrom(children: readonly Child[]): { readonly child: Child; readonly reason: Reason } | undefined {
    for (const child of children) {
      const started = this.#start(child);
      if ("error" in started) return { child, reason: started.error };
      if (started.proc === undefined && child.node.restart === "temporary") this.#forget(child);
    }
    return undefined;
  }

  #start(child: Child): Started {
    const started = this.#model.startNode(child.path, child.node, this);
    if ("proc" in started) {
      child.proc = started.proc;
      child.restarting = false;
    }
    return started;
  }

  #forget(child: Child): void {
    this.#children = this.#children.filter((other) => other !== child);
  }

  stopAll(): void {
    if (this.#isSimple) this.#model.stopTogether(this.procs, this.#node.template?.shutdown);
    else for (const child of this.#children.toReversed()) this.#stop(child);
  }

  /** An exit notice that waits is used up by this. */
  #stop(child: Child): void {
    const { proc } = child;
    if (proc !== undefined) {
      if (!child.restarting) this.#model.stop(proc, child.node.shutdown, "shutdown");
      this.#mailbox = this.#mailbox.filter((message) => message.kind !== "exit" || message.proc !== proc);
    }
    child.proc = undefined;
    child.restarting = false;
    if (child.node.restart === "temporary" || this.#isSimple) this.#forget(child);
  }

  // -- exits ----------------------------------------------------------------------------------------------------

  /** False if the supervisor gives up. */
  #handle(message: Message): boolean {
    switch (message.kind) {
      case "exit": {
        const child = this.#children.find(({ proc, restarting }) => proc === message.proc && !restarting);
        return child === undefined || this.#exited(child, message.proc.reason ?? "normal");
      }
      case "again":
        if (!message.child.restarting || !this.#children.includes(message.child)) return true;
        return this.#restart(message.child);
      case "call":
        message.answer(this.#answer(message.call, message.target));
        return true;
    }
  }

  #exited(child: Child, reason: Reason): boolean {
    const { restart, significant } = child.node;
    if (restart === "permanent" || (restart === "transient" && !isNormal(reason))) return this.#restart(child);
    child.proc = undefined;
    if (restart === "temporary" || this.#isSimple) this.#forget(child);
    if (significant !== true) return true;
    if (this.#node.auto_shutdown === "any_significant") return false;
    return this.#children.some((other) => other.node.significant === true && other.proc !== undefined);
  }

  #restart(child: Child): boolean {
    const { intensity, period, strategy } = this.#node;
    const { nowMs } = this.#model;
    this.#restartsMs = [...this.#restartsMs, nowMs].filter((atMs) => nowMs - atMs <= period * 1_000);
    if (this.#restartsMs.length > intensity) {
      child.proc = undefined;
      child.restarting = false;
      return false;
    }
    const failed =
      strategy === "one_for_all" || strategy === "rest_for_one" ? this.#restartGroup(child) : this.#restartOne(child);
    if (failed !== undefined) {
      failed.restarting = true;
      this.send({ kind: "again", child: failed });
    }
    return true;
  }

  /** Answers the child that failed to start. While it is restarting it keeps its last process, as a name for it. */
  #restartOne(child: Child): Child | undefined {
    return "error" in this.#start(child) ? child : undefined;
  }

  #restartGroup(child: Child): Child | undefined {
    const first = this.#node.strategy === "one_for_all" ? 0 : this.#children.indexOf(child);
    const group = this.#children.slice(first);
    const last = child.proc;
    child.proc = undefined;
    child.restarting = false;
    for (const member of group.toReversed()) if (member !== child) this.#stop(member);
    const failed = this.#startFrom(group.filter((member) => this.#children.includes(member)))?.child;
    if (failed !== undefined) failed.proc = last;
    return failed;
  }

  // -- calls ----------------------------------------------------------------------------------------------------

  #answer(call: Call, target: Proc | undefined): unknown {
    switch (call.do) {
      case "start_child":
        return "child" in call ? this.#startChild(call.child) : this.#startDynamic(call);
      case "which_children":
        return this.#which();
      case "count_children":
        return this.#count();
      default: {
        if ("pid" in call) return this.#terminateProcess(target);
        if (this.#isSimple) return { error: "simple_one_for_one" };
        const child = this.#children.find(({ id }) => id === call.id);
        return child === undefined ? { error: "not_found" } : this.#manage(call.do, child);
      }
    }
  }

  #manage(what: "terminate_child" | "restart_child" | "delete_child", child: Child): unknown {
    if (what === "terminate_child") {
      this.#stop(child);
      return "ok";
    }
    if (child.restarting) return { error: "restarting" };
    if (child.proc !== undefined) return { error: "running" };
    if (what === "restart_child") return result(this.#start(child));
    this.#forget(child);
    return "ok";
  }

  #startChild(node: Node): unknown {
    const bad = this.#badCombination(node);
    if (bad !== undefined) return { error: bad };
    const present = this.#children.find(({ id }) => id === node.id);
    if (present?.proc !== undefined && !present.restarting) return { error: { already_started: name(present.proc) } };
    if (present !== undefined) return { error: "already_present" };
    const child = this.#child(node);
    const started = this.#start(child);
    const isKept = "proc" in started && (started.proc !== undefined || node.restart !== "temporary");
    if (isKept) this.#children.push(child);
    return result(started);
  }

  #startDynamic(call: Extract<Call, { readonly name: string }>): unknown {
    const { init, behaviour } = call;
    const node = { ...(this.#node.template as Node), ...(init && { init }), ...(behaviour && { behaviour }) } as Node;
    const child = this.#child(node, call.name);
    const started = this.#start(child);
    if ("proc" in started && started.proc !== undefined) this.#children.push(child);
    return result(started);
  }

  #terminateProcess(target: Proc | undefined): unknown {
    const child = this.#children.find(({ proc }) => proc === target && proc !== undefined);
    if (!this.#isSimple) return { error: "not_found" };
    if (child === undefined) return target?.alive === true ? { error: "not_found" } : "ok";
    this.#stop(child);
    return "ok";
  }

  #which(): unknown {
    const rows = this.#children.map(({ id, node, proc, restarting }) => {
      const shown = restarting ? "restarting" : proc === undefined ? "undefined" : proc.n;
      return [this.#isSimple && restarting ? null : id, shown, node.type] as const;
    });
    return this.#isSimple ? rows.toSorted(([a], [b]) => compareNames(a, b)) : rows.toReversed();
  }

  #count(): unknown {
    const types = this.#children.map(({ node }) => node.type);
    const supervisors = types.filter((type) => type === "supervisor").length;
    const active = this.#isSimple ? this.procs.length : this.procs.filter(({ alive }) => alive).length;
    return {
      specs: this.#isSimple ? 1 : types.length,
      active,
      supervisors,
      workers: types.length - supervisors,
    };
  }
}

function result(started: Started): unknown {
  if ("error" in started) return { error: { start_failed: started.error } };
  return { ok: started.proc === undefined ? "undefined" : name(started.proc) };
}

export function name({ path, n }: Proc): string {
  return `${path}#${n}`;
}
