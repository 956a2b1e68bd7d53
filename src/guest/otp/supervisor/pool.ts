/** Children of one template: `simple_one_for_one`. Made for many that come and go. */
import { isAlive } from "../../names.ts";
import type { Pid } from "../../pid.ts";
import { now } from "../../prelude/intrinsics.ts";
import type { Crashed } from "../../signals.ts";
import type { Retry } from "../requests.ts";
import type { CheckedChild, CheckedFlags } from "./check.ts";
import { newChild } from "./child.ts";
import type { Child } from "./child.ts";
import { shutdown } from "./flock.ts";
import type { Ending, Flock } from "./flock.ts";
import type { RestartWindow } from "./intensity.ts";
import { isDelayed, isDue, isRestarted, mayRestart, reportEnd, tryAgain } from "./judge.ts";
import { isHeld, recover } from "./recovery.ts";
import { startChild } from "./start-child.ts";
import { stopAll } from "./stop-child.ts";
import type { ChildCounts, ChildInfo, StartResult, TerminateChildResult } from "./types.ts";

export class Pool implements Flock {
  readonly #flags: CheckedFlags;
  readonly #template: CheckedChild;
  readonly #window: RestartWindow;
  /** By the child's process; one whose restart is being tried, by the last it had. */
  readonly #children = new Map<Pid, Child>();

  constructor(flags: CheckedFlags, window: RestartWindow) {
    this.#flags = flags;
    this.#template = flags.children[0]!;
    this.#window = window;
  }

  start(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async exited(pid: Pid, reason: unknown): Promise<Ending | undefined> {
    const child = this.#children.get(pid);
    if (child === undefined || child.restarting) return undefined;
    reportEnd(child, reason);
    if (isRestarted(child.spec, reason)) return await this.#restart(child);
    this.#children.delete(pid);
    return undefined;
  }

  async crashed(item: Crashed): Promise<void> {
    await recover(this.#children.get(item.from), item, this.#flags, this.#window);
  }

  async retry(item: Retry): Promise<Ending | undefined> {
    const child = this.#children.get(item.child as Pid);
    if (!isDue(child, item)) return undefined;
    if (item.delay === undefined) return await this.#restart(child);
    await this.#startAgain(child);
    return undefined;
  }

  answer(method: unknown, args: readonly unknown[]): Promise<unknown> | undefined {
    switch (method) {
      case "startChild":
        return this.#startChild(args);
      case "terminateChild":
        return this.#terminate(args[0]);
      case "restartChild":
      case "deleteChild":
        return Promise.resolve({ error: "simple_one_for_one" });
      case "whichChildren":
        return Promise.resolve(this.#which());
      case "countChildren":
        return Promise.resolve(this.#count());
      default:
        return undefined;
    }
  }

  /** All at the same time: their order means nothing. */
  async stop(): Promise<void> {
    const pids = [...this.#children.values()].filter(({ restarting }) => !restarting).map(({ pid }) => pid!);
    await stopAll(pids, this.#template.shutdown);
    this.#children.clear();
  }

  async #restart(child: Child): Promise<Ending | undefined> {
    if (!mayRestart(child, this.#window)) {
      this.#children.delete(child.pid!);
      return shutdown;
    }
    if (!isDelayed(child, child.pid!, !child.restarting)) await this.#startAgain(child);
    return undefined;
  }

  async #startAgain(child: Child): Promise<void> {
    const restarts = child.restarts + 1;
    const { pid, failed } = await startChild(child.spec, restarts, isHeld(child.spec, this.#flags));
    if (failed !== undefined) return tryAgain(child, child.pid!, failed.reason);
    this.#children.delete(child.pid!);
    if (pid === undefined) return;
    Object.assign(child, { pid, restarts, restarting: false, restartedAtMs: now() });
    this.#children.set(pid, child);
  }

  async #startChild(more: readonly unknown[]): Promise<StartResult<never>> {
    const spec = { ...this.#template, args: [...this.#template.args, ...more] };
    const { pid, failed } = await startChild(spec, 0, isHeld(spec, this.#flags));
    if (failed !== undefined) return { error: { start_failed: failed.reason } };
    if (pid !== undefined) this.#children.set(pid, newChild(spec, pid));
    return { ok: pid };
  }

  /** By process. One that is dead may have been a child, and what was asked for is so. */
  async #terminate(given: unknown): Promise<TerminateChildResult> {
    const pid = typeof given === "object" && given !== null ? (given as { pid?: unknown }).pid : undefined;
    if (typeof pid !== "string") return { error: "simple_one_for_one" };
    const child = this.#children.get(pid);
    if (child === undefined) return (await isAlive(pid)) ? { error: "not_found" } : { ok: true };
    if (!child.restarting) await stopAll([pid], child.spec.shutdown);
    this.#children.delete(pid);
    return { ok: true };
  }

  #which(): ChildInfo[] {
    const { type } = this.#template;
    return [...this.#children.values()].map(({ pid, restarting }) => ({
      id: undefined,
      pid: restarting ? "restarting" : pid,
      type,
    }));
  }

  #count(): ChildCounts {
    const children = [...this.#children.values()];
    const active = children.filter(({ restarting }) => !restarting).length;
    const isSupervisor = this.#template.type === "supervisor";
    return {
      specs: 1,
      active,
      supervisors: isSupervisor ? children.length : 0,
      workers: isSupervisor ? 0 : children.length,
    };
  }
}
