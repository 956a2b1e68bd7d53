/** The management calls on a list of children. Each touches one child only, whatever the strategy, and none counts as a restart. */
import { isAlive } from "../../names.ts";
import type { Pid } from "../../pid.ts";
import { checkChild } from "./check.ts";
import type { CheckedFlags } from "./check.ts";
import { newChild } from "./child.ts";
import type { Child } from "./child.ts";
import type { Children } from "./children.ts";
import { isHeld } from "./recovery.ts";
import { startChild } from "./start-child.ts";
import { stopChild } from "./stop-child.ts";
import type {
  ChildCounts,
  ChildInfo,
  DeleteChildResult,
  RestartChildResult,
  StartChildResult,
  TerminateChildResult,
} from "./types.ts";

export class Management {
  readonly #flags: CheckedFlags;
  readonly #children: Children;

  constructor(flags: CheckedFlags, children: Children) {
    this.#flags = flags;
    this.#children = children;
  }

  answer(method: unknown, [first]: readonly unknown[]): Promise<unknown> | undefined {
    switch (method) {
      case "startChild":
        return this.#start(first);
      case "restartChild":
        return this.#restart(first);
      case "terminateChild":
        return this.#terminate(first);
      case "deleteChild":
        return Promise.resolve(this.#delete(first));
      case "whichChildren":
        return Promise.resolve(this.#which());
      case "countChildren":
        return this.#count();
      default:
        return undefined;
    }
  }

  async #start(given: unknown): Promise<StartChildResult> {
    const checked = checkChild(given, this.#flags.autoShutdown);
    if (checked.problem !== undefined) return { error: checked.problem };
    const spec = checked.ok;
    const present = this.#children.get(spec.id);
    if (present?.pid !== undefined) return { error: { already_started: present.pid } };
    if (present !== undefined) return { error: "already_present" };
    const { pid, failed } = await startChild(spec, 0, isHeld(spec, this.#flags));
    if (failed !== undefined) return { error: { start_failed: failed.reason } };
    if (pid !== undefined || spec.restart !== "temporary") this.#children.add(newChild(spec, pid));
    return { ok: pid };
  }

  async #restart(id: unknown): Promise<RestartChildResult> {
    const child = this.#find(id);
    if (child === undefined) return { error: "not_found" };
    const busy = stateOf(child);
    if (busy !== undefined) return { error: busy };
    const { pid, failed } = await startChild(child.spec, child.restarts, isHeld(child.spec, this.#flags));
    if (failed !== undefined) return { error: { start_failed: failed.reason } };
    this.#children.setPid(child, pid);
    return { ok: pid };
  }

  /** Of a child whose restart is being tried, it ends the trying. */
  async #terminate(id: unknown): Promise<TerminateChildResult> {
    const child = this.#find(id);
    if (child === undefined) return { error: "not_found" };
    const { pid, spec } = child;
    if (pid !== undefined) await stopChild({ pid, spec });
    this.#children.stopped(child);
    return { ok: true };
  }

  #delete(id: unknown): DeleteChildResult {
    const child = this.#find(id);
    if (child === undefined) return { error: "not_found" };
    const busy = stateOf(child);
    if (busy !== undefined) return { error: busy };
    this.#children.remove(child);
    return { ok: true };
  }

  /** The last one in start order first, as in OTP. */
  #which(): ChildInfo[] {
    return this.#children
      .all()
      .reverse()
      .map(({ spec, pid, restarting }) => ({ id: spec.id, pid: restarting ? "restarting" : pid, type: spec.type }));
  }

  /** The only call that looks whether processes live: the end of one may not have been handled yet. */
  async #count(): Promise<ChildCounts> {
    const children = this.#children.all();
    const pids = children.map(({ pid }) => pid).filter((pid): pid is Pid => pid !== undefined);
    const alive = await Promise.all(pids.map((pid) => isAlive(pid)));
    const supervisors = children.filter(({ spec }) => spec.type === "supervisor").length;
    return {
      specs: children.length,
      active: alive.filter(Boolean).length,
      supervisors,
      workers: children.length - supervisors,
    };
  }

  /** By id. A process is no name here, as in OTP. */
  #find(id: unknown): Child | undefined {
    return typeof id === "string" ? this.#children.get(id) : undefined;
  }
}

function stateOf({ pid, restarting }: Child): "running" | "restarting" | undefined {
  return restarting ? "restarting" : pid === undefined ? undefined : "running";
}
