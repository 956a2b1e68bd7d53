/** From facts, as the guest's processes print them, to the events of a trace. */
import type { PlainEvent } from "./format.ts";

/** A line the guest printed. */
export type Fact =
  /** The process `pid` is the `n`th start attempt of `path`; `children` are the ids a supervisor is about to start. */
  | {
      readonly fact: "attempt";
      readonly path: string;
      readonly n: number;
      readonly pid: string;
      readonly outcome: "start" | "fail" | "ignore";
      readonly reason?: unknown;
      readonly children?: readonly string[];
    }
  /** It has ended. Told of those attempts only whose outcome is "start". */
  | { readonly fact: "end"; readonly pid: string; readonly reason: unknown }
  /** What the driver's command number `step` gave. */
  | { readonly fact: "answer"; readonly step: number; readonly value: unknown };

/** A start attempt, and the process it made. */
export interface Incarnation {
  readonly path: string;
  readonly n: number;
  readonly who: string;
  readonly pid: string;
  readonly isSupervisor: boolean;
  state: "starting" | "running" | "gone";
  /** Children that a supervisor has not started yet. */
  childrenLeft: number;
}

export class Trace {
  readonly #byPid = new Map<string, Incarnation>();
  readonly #byPath = new Map<string, Incarnation>();
  /** A supervisor that has no children to start: it may still refuse its own specification, and nothing else can go wrong. */
  #undecided: Incarnation | undefined;
  #events: PlainEvent[] = [];
  /** How many processes have tried to start or ended so far. */
  count = 0;
  readonly #answers = new Map<number, unknown>();

  /** Takes a line that a process printed. What is no fact is passed over. */
  read(line: string): void {
    if (!line.startsWith('{"fact":')) return;
    const fact = JSON.parse(line) as Fact;
    if (fact.fact === "answer") {
      this.#answers.set(fact.step, fact.value);
      return;
    }
    this.count++;
    if (fact.fact === "attempt") this.#attempt(fact);
    else this.#end(fact);
  }

  /** The events since the last call. Everything is at rest. */
  takeEvents(): PlainEvent[] {
    this.#decide();
    const events = this.#events;
    this.#events = [];
    return events;
  }

  answer(step: number): unknown {
    return this.#answers.get(step);
  }

  /** The latest attempt that did not fail or ignore, running or not. */
  latest(path: string): Incarnation | undefined {
    return this.#byPath.get(path);
  }

  byPid(pid: string): Incarnation | undefined {
    return this.#byPid.get(pid);
  }

  /** In the order in which they started. Everything is at rest. */
  runningSupervisors(): Incarnation[] {
    this.#decide();
    return [...this.#byPid.values()].filter(({ isSupervisor, state }) => isSupervisor && state === "running");
  }

  #attempt({ path, n, pid, outcome, reason, children }: Extract<Fact, { fact: "attempt" }>): void {
    this.#decide();
    const who = `${path}#${n}`;
    if (outcome === "fail") return void this.#events.push({ ev: "start_failed", who, reason });
    if (outcome === "ignore") {
      this.#events.push({ ev: "ignored", who });
      return this.#childDone(path);
    }
    const isSupervisor = children !== undefined;
    const childrenLeft = children?.length ?? 0;
    const incarnation: Incarnation = { path, n, who, pid, isSupervisor, state: "starting", childrenLeft };
    this.#byPid.set(pid, incarnation);
    this.#byPath.set(path, incarnation);
    if (!isSupervisor) this.#started(incarnation);
    else if (childrenLeft === 0) this.#undecided = incarnation;
  }

  #end({ pid, reason }: Extract<Fact, { fact: "end" }>): void {
    if (this.#undecided?.pid === pid && isRefusal(reason)) this.#undecided = undefined;
    this.#decide();
    const incarnation = this.#byPid.get(pid);
    if (incarnation === undefined) throw new Error(`a process ended that never began: ${pid}`);
    const { who } = incarnation;
    this.#events.push({ ev: incarnation.state === "starting" ? "start_failed" : "terminated", who, reason });
    incarnation.state = "gone";
  }

  #started(incarnation: Incarnation): void {
    incarnation.state = "running";
    this.#events.push({ ev: "started", who: incarnation.who });
    this.#childDone(incarnation.path);
  }

  /** Starts are synchronous: a supervisor has started with the last of its children. */
  #childDone(path: string): void {
    const parent = this.#byPath.get(path.slice(0, Math.max(0, path.lastIndexOf("/"))));
    if (parent?.state === "starting" && --parent.childrenLeft === 0) this.#started(parent);
  }

  /** Something else happened, so it has not refused. */
  #decide(): void {
    const undecided = this.#undecided;
    this.#undecided = undefined;
    if (undecided !== undefined) this.#started(undecided);
  }
}

function isRefusal(reason: unknown): boolean {
  return typeof reason === "object" && reason !== null && "start_spec" in reason;
}
