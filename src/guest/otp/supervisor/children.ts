import type { Pid } from "../../pid.ts";
import type { Child } from "./child.ts";

/** A supervisor's list of children, in start order. Looking one up, adding and removing take the same time in a long list. */
export class Children {
  /** A Map keeps the order in which keys were added. */
  readonly #byId = new Map<string, Child>();
  readonly #byPid = new Map<Pid, Child>();

  get size(): number {
    return this.#byId.size;
  }

  get(id: string): Child | undefined {
    return this.#byId.get(id);
  }

  of(pid: Pid): Child | undefined {
    return this.#byPid.get(pid);
  }

  /** At the end. */
  add(child: Child): void {
    this.#byId.set(child.spec.id, child);
    if (child.pid !== undefined) this.#byPid.set(child.pid, child);
  }

  setPid(child: Child, pid: Pid | undefined): void {
    if (child.pid !== undefined) this.#byPid.delete(child.pid);
    child.pid = pid;
    child.restarting = false;
    if (pid !== undefined) this.#byPid.set(pid, child);
  }

  /** Its process is gone, and with that a temporary child. */
  stopped(child: Child): void {
    this.setPid(child, undefined);
    if (child.spec.restart === "temporary") this.#byId.delete(child.spec.id);
  }

  remove(child: Child): void {
    this.setPid(child, undefined);
    this.#byId.delete(child.spec.id);
  }

  /** All, in start order; a copy. */
  all(): Child[] {
    return [...this.#byId.values()];
  }

  /** A child and those after it. */
  from(child: Child): Child[] {
    const all = this.all();
    return all.slice(all.indexOf(child));
  }
}
