/**
 * What callers ask of a node that stands by, or of any handle on a store: it is written beside the node that owns the store, as the
 * command line does it, and that node finds it there. What needs an answer from a process is not offered here.
 */
import type { Clock } from "../base/ports.ts";
import type { Payload } from "../base/value.ts";
import type { Input, Pid } from "../journal/types.ts";
import { PerdureError } from "../base/errors.ts";
import { broken, exited, notFound, resultPruned } from "../kernel/errors.ts";
import type { Outside } from "../kernel/outside.ts";
import { edgeAddress } from "../base/edge-key.ts";
import type { KeyedAnswer, KeyedRequest } from "../kernel/edges.ts";
import type { Asked, EdgeRow, ProcessExit, ProcessRow, StoreReader } from "../store/port.ts";
import { processExported } from "../store/exports.ts";
import { findEver, isExported } from "./generations.ts";
import type { Ever } from "./generations.ts";

/** What can be asked of a node whether it owns the store or not. */
export type Reach = Pick<Outside, "call" | "send" | "cancel" | "kill" | "control" | "deliver" | "exit"> & {
  whereis(name: string): Pid | undefined | Promise<Pid | undefined>;
};

/** How often the store is asked whether a process has ended: soon at first, then at leisure. */
const firstLookMs = 20;
const lookMs = 500;
const callLookMs = 100;

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
      await this.#wait(waitMs);
    }
  }

  /** The answer is found in the store, by the call's key. */
  async call(to: Pid, { body, ...asked }: KeyedRequest, timeoutMs: number | undefined): Promise<KeyedAnswer> {
    const pid = (await this.whereis(to)) ?? to;
    const row = await this.#find(pid, asked.key);
    const input: Input = { kind: "message", from: edgeAddress(asked), body };
    if ("key" in row && row.state !== "exited") await this.#store.post(pid, input, this.#nowMs, asked);
    const endMs = timeoutMs === undefined ? Infinity : this.#clock.nowMs() + timeoutMs;
    for (let waitMs = firstLookMs; ; waitMs = Math.min(callLookMs, waitMs * 2)) {
      // In this order: what is answered in the commit of an exit is answered.
      const now = await this.#store.getProcess(row.key);
      const answer = answerOf(pid, now, await this.#store.edge(row.key, asked.key));
      if (answer !== undefined) return answer;
      if (this.#clock.nowMs() >= endMs) return { kind: "timeout" };
      await this.#wait(Math.min(waitMs, endMs - this.#clock.nowMs()));
    }
  }

  get #nowMs(): number {
    return Math.trunc(this.#clock.nowMs());
  }

  async #wait(delayMs: number): Promise<void> {
    await new Promise<void>((resolve) => void this.#clock.after(delayMs, resolve));
  }

  async #post(to: Pid, input: Input, asked?: Asked): Promise<void> {
    // What was asked of a process that has exited since was asked: its key decides, not its state.
    const pid = asked === undefined ? (await this.#find(to)).pid : ((await this.whereis(to)) ?? to);
    await this.#store.post(pid, input, this.#nowMs, asked);
  }

  /** `key`: one that has ended will do if it was asked under that. Throws PROCESS_NOT_FOUND, PROCESS_EXITED. */
  async #find(to: Pid, key?: string): Promise<ProcessRow> {
    const pid = (await this.whereis(to)) ?? to;
    const found = await findEver(this.#store, pid);
    if (found === undefined) throw notFound(pid);
    if (isExported(found)) throw processExported(found);
    const wasAsked = async (row: ProcessRow): Promise<boolean> =>
      key !== undefined && (await this.#store.edge(row.key, key)) !== undefined;
    if (!("key" in found) || (found.state === "exited" && !(await wasAsked(found)))) throw exited(pid);
    return found;
  }
}

/** Undefined as long as there may be one. */
function answerOf(pid: Pid, row: ProcessRow | undefined, edge: EdgeRow | undefined): KeyedAnswer | undefined {
  if (edge?.answer !== undefined) return { kind: "answered", pid, body: edge.answer };
  if (edge?.state === "set-aside" || edge?.state === "forgotten") return { kind: "forgotten", pid, why: edge.state };
  if (row?.state === "exited" && row.exit !== undefined) return { kind: "exited", pid, exit: row.exit };
  return row?.state === "broken" ? { kind: "broken", problem: row.problem } : undefined;
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

export function standsBy(): PerdureError {
  return new PerdureError(
    "NODE_STANDING_BY",
    "This node stands by, and what is asked for takes the node that owns the store. Ask that one, or wait until this one takes over (`engine.active()`).",
  );
}
