/** Children in a list: `one_for_one`, `one_for_all` and `rest_for_one`. */
import type { Pid } from "../../pid.ts";
import { now } from "../../prelude/intrinsics.ts";
import type { Crashed } from "../../signals.ts";
import type { Retry } from "../requests.ts";
import type { CheckedFlags } from "./check.ts";
import { newChild } from "./child.ts";
import type { Child } from "./child.ts";
import { Children } from "./children.ts";
import { shutdown } from "./flock.ts";
import type { Ending, Flock } from "./flock.ts";
import type { RestartWindow } from "./intensity.ts";
import { isDelayed, isDue, isRestarted, mayRestart, reportEnd, tryAgain } from "./judge.ts";
import { Management } from "./management.ts";
import { isHeld, recover } from "./recovery.ts";
import { startChild } from "./start-child.ts";
import { stopChild } from "./stop-child.ts";

export class List implements Flock {
  readonly #flags: CheckedFlags;
  readonly #window: RestartWindow;
  readonly #children = new Children();
  readonly #management: Management;

  constructor(flags: CheckedFlags, window: RestartWindow) {
    this.#flags = flags;
    this.#window = window;
    this.#management = new Management(flags, this.#children);
  }

  async start(): Promise<Ending | undefined> {
    for (const spec of this.#flags.children) {
      const { pid, failed } = await startChild(spec, 0, isHeld(spec, this.#flags));
      if (failed !== undefined) {
        await this.stop();
        return { reason: { shutdown: { failed_to_start_child: { id: spec.id, reason: failed.reason } } } };
      }
      if (pid !== undefined || spec.restart !== "temporary") this.#children.add(newChild(spec, pid));
    }
    return undefined;
  }

  async exited(pid: Pid, reason: unknown): Promise<Ending | undefined> {
    const child = this.#children.of(pid);
    if (child === undefined) return undefined;
    reportEnd(child, reason);
    if (isRestarted(child.spec, reason)) return await this.#restart(child);
    this.#children.stopped(child);
    return this.#endsWith(child) ? shutdown : undefined;
  }

  async crashed(item: Crashed): Promise<void> {
    await recover(this.#children.of(item.from), item, this.#flags, this.#window);
  }

  async retry(item: Retry): Promise<Ending | undefined> {
    const child = this.#children.get(item.child as string);
    if (!isDue(child, item)) return undefined;
    if (item.delay === undefined) return await this.#restart(child);
    // It was counted when the wait began.
    await this.#startAgain(child);
    return undefined;
  }

  answer(method: unknown, args: readonly unknown[]): Promise<unknown> | undefined {
    return this.#management.answer(method, args);
  }

  async stop(): Promise<void> {
    await this.#stopEach(this.#children.all());
  }

  /** A significant child has ended by itself, and is not restarted. Those whose restart is being tried count as there. */
  #endsWith({ spec }: Child): boolean {
    const { autoShutdown } = this.#flags;
    if (!spec.significant || autoShutdown === "never") return false;
    if (autoShutdown === "any_significant") return true;
    return !this.#children.all().some((each) => each.spec.significant && (each.pid !== undefined || each.restarting));
  }

  async #restart(child: Child): Promise<Ending | undefined> {
    if (!mayRestart(child, this.#window)) {
      this.#children.setPid(child, undefined);
      return shutdown;
    }
    const ran = child.pid !== undefined;
    this.#children.setPid(child, undefined);
    const group = await this.#stopGroup(child);
    if (!isDelayed(child, child.spec.id, ran)) await this.#startGroup(group);
    return undefined;
  }

  async #startAgain(child: Child): Promise<void> {
    await this.#startGroup(await this.#stopGroup(child));
  }

  /** Stops what is to be started together with a child, and answers with that: in start order, temporary children left out. */
  async #stopGroup(child: Child): Promise<readonly Child[]> {
    const { strategy } = this.#flags;
    if (strategy === "one_for_one") return [child];
    const group = strategy === "one_for_all" ? this.#children.all() : this.#children.from(child);
    await this.#stopEach(group);
    return group.filter(({ spec }) => spec.restart !== "temporary");
  }

  /** One after the other, the last first. */
  async #stopEach(children: readonly Child[]): Promise<void> {
    for (const child of children.toReversed()) {
      const { pid, spec } = child;
      if (pid !== undefined) await stopChild({ pid, spec });
      this.#children.stopped(child);
    }
  }

  /** In start order, until one fails: that one is tried again, and the others of the group with it. */
  async #startGroup(group: readonly Child[]): Promise<void> {
    for (const child of group) {
      const restarts = child.restarts + 1;
      const { pid, failed } = await startChild(child.spec, restarts, isHeld(child.spec, this.#flags));
      if (failed !== undefined) return tryAgain(child, child.spec.id, failed.reason);
      this.#children.setPid(child, pid);
      child.restarts = restarts;
      child.restartedAtMs = now();
    }
  }
}
