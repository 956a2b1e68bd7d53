/**
 * What callers ask of a node that stands by, or of any handle on a store: it is written beside the node that owns the store, as the
 * command line does it, and that node finds it there. What needs an answer from a process is not offered here.
 */
import type { Clock } from "../base/ports.ts";
import type { Payload } from "../base/value.ts";
import type { Input, Pid } from "../journal/types.ts";
import { broken, exited, notFound, resultPruned } from "../kernel/errors.ts";
import type { Outside } from "../kernel/outside.ts";
import type { Asked, ProcessExit, ProcessRow, StoreReader } from "../store/port.ts";
import { processExported } from "../store/exports.ts";
import { findEver, isExported } from "./generations.ts";
import type { Ever } from "./generations.ts";

/** What can be asked of a node whether it owns the store or not. */
export type Reach = Pick<Outside, "send" | "cancel" | "kill" | "control" | "deliver" | "exit"> & {
  whereis(name: string): Pid | undefined | Promise<Pid | undefined>;
};

/** How often the store is asked whether a process has ended: soon at first, then at leisure. */
const firstLookMs = 20;
const lookMs = 500;

export class Beside implements Reach {
  readonly #store: StoreReader;
  readonly #clock: Clock;

  constructor(store: StoreReader, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  async send(to: Pid, body: Payload, asked?: Asked): Promise<void> {
    await this.#post(to, { kind: "message", from: "", body }, asked);
  }

  async cancel(to: Pid, reason: string): Promise<void> {
    await this.#post(to, { kind: "cancel", reason });
  }

  async kill(to: Pid): Promise<void> {
    await this.#post(to, { kind: "fatal", reason: "killed", detail: "Killed." });
  }

  async deliver(to: Pid, input: Input): Promise<void> {
    await this.#post(to, input);
  }

  /** False if there is nothing to change, as far as that can be told from here. */
  async control(to: Pid, kind: "pause" | "resume"): Promise<boolean> {
    const { pid, state } = await this.#find(to);
    if (state !== (kind === "pause" ? "running" : "paused")) return false;
    await this.#post(pid, { kind });
    return true;
  }

  async whereis(name: string): Promise<Pid | undefined> {
    return (await this.#store.names()).find((row) => row.name === name)?.pid;
  }

  async exit(pid: Pid): Promise<ProcessExit> {
    for (let waitMs = firstLookMs; ; waitMs = Math.min(lookMs, waitMs * 2)) {
      const exit = exitOf(pid, await findEver(this.#store, pid));
      if (exit !== undefined) return exit;
      await new Promise<void>((resolve) => this.#clock.after(waitMs, resolve));
    }
  }

  async #post(to: Pid, input: Input, asked?: Asked): Promise<void> {
    // What was asked of a process that has exited since was asked: its key decides, not its state.
    const pid = asked === undefined ? (await this.#find(to)).pid : ((await this.whereis(to)) ?? to);
    await this.#store.post(pid, input, Math.trunc(this.#clock.nowMs()), asked);
  }

  /** Throws PROCESS_NOT_FOUND, PROCESS_EXITED. */
  async #find(to: Pid): Promise<ProcessRow> {
    const pid = (await this.whereis(to)) ?? to;
    const found = await findEver(this.#store, pid);
    if (found === undefined) throw notFound(pid);
    if (isExported(found)) throw processExported(found);
    if (!("key" in found) || found.state === "exited") throw exited(pid);
    return found;
  }
}

/** Undefined as long as it lives. Throws what keeps it from ever having one. */
function exitOf(pid: Pid, found: Ever | undefined): ProcessExit | undefined {
  if (found === undefined) throw notFound(pid);
  if (isExported(found)) throw processExported(found);
  if (!("key" in found)) {
    const { atMs, reason, value } = found.exit;
    if (value === undefined) throw resultPruned(found);
    return { atMs, reason, value };
  }
  if (found.state === "broken") throw broken(found);
  // A crashed process has an exit too, which it may be spared.
  return found.state === "exited" ? found.exit : undefined;
}
