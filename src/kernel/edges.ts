/**
 * What callers outside ask under keys of their own: however often they ask, also after a crash of theirs or of the node, it is done
 * once and has one answer. The key's row is part of the commit that makes the message durable, the answer part of the commit of the
 * turn that gave it. Rows are looked up in the store when somebody asks; in memory is only what is being asked at the moment.
 */
import { edgeAddress, readEdgeAddress } from "../base/edge-key.ts";
import type { Clock } from "../base/ports.ts";
import type { Payload } from "../base/value.ts";
import type { Input, Pid } from "../journal/types.ts";
import { processExported } from "../store/exports.ts";
import { checkKey } from "../store/key-conflict.ts";
import type { Asked, EdgeRow, NewEdge, ProcessExit, ProcessKey, Store } from "../store/port.ts";
import type { Committer } from "./batch.ts";
import { exited } from "./errors.ts";
import { queueInput } from "./live.ts";
import type { Live, QueuedInput } from "./live.ts";

export interface KeyedRequest extends Asked {
  readonly body: Payload;
}

/** What became of a call. */
export type KeyedAnswer =
  | { readonly kind: "answered"; readonly pid: Pid; readonly body: Payload }
  /** It ended, and had not answered. */
  | { readonly kind: "exited"; readonly pid: Pid; readonly exit: ProcessExit }
  /** It waits for a person. */
  | { readonly kind: "broken"; readonly problem: string }
  /** It went back to before the call. */
  | { readonly kind: "forgotten"; readonly pid: Pid; readonly why: "set-aside" | "forgotten" }
  | { readonly kind: "timeout" };

export interface EdgesPorts {
  readonly store: Pick<Store, "edge" | "exported" | "getProcess">;
  readonly clock: Clock;
  readonly committer: Committer;
  /** Several nodes own the store. */
  readonly shared: boolean;
  /** The process a pid or a name stands for, dead or alive. Throws PROCESS_NOT_FOUND. */
  activate(to: Pid): Promise<Live>;
  /** Resolves when the input is durable. Throws PROCESS_EXITED. */
  submit(live: Live, queued: QueuedInput): Promise<void>;
}

const lookMs = 200;

interface Underway {
  readonly edge: NewEdge;
  readonly durable: Promise<void>;
}

export class Edges {
  readonly #ports: EdgesPorts;
  readonly #underway = new Map<string, Underway>();
  /** Callers who wait for answers, by process and key. */
  readonly #waiting = new Map<ProcessKey, Map<string, Set<Bell>>>();
  #end: Error | undefined;

  constructor(ports: EdgesPorts) {
    this.#ports = ports;
  }

  /** Resolves when the message is durable, by whomever it was sent. Throws PROCESS_NOT_FOUND, PROCESS_EXITED, KEY_CONFLICT. */
  async send(to: Pid, request: KeyedRequest): Promise<void> {
    const live = await this.#ports.activate(to);
    await this.#ask(live, request);
    await this.#find(live, request);
  }

  /** Throws what `send` throws. `timeoutMs`: undefined for no limit. */
  async call(to: Pid, request: KeyedRequest, timeoutMs: number | undefined): Promise<KeyedAnswer> {
    const live = await this.#ports.activate(to);
    const { key: process } = live.row;
    const bell = new Bell();
    this.#listen(process, request.key, bell);
    let isLate = false;
    const expire = (): void => {
      isLate = true;
      bell.ring();
    };
    const stopTimer = timeoutMs === undefined ? undefined : this.#ports.clock.after(timeoutMs, expire);
    try {
      await this.#ask(live, request);
      for (;;) {
        if (this.#end !== undefined) throw this.#end;
        const answer = await this.#look(live, request);
        if (answer !== undefined) return answer;
        if (isLate) return { kind: "timeout" };
        // Its process may answer on another node.
        const stopLooking = this.#ports.shared ? this.#ports.clock.after(lookMs, () => bell.ring()) : undefined;
        await bell.rung();
        stopLooking?.();
      }
    } finally {
      stopTimer?.();
      this.#unlisten(process, request.key, bell);
    }
  }

  // -- asking ---------------------------------------------------------------------------------------------------

  async #ask(live: Live, request: KeyedRequest): Promise<void> {
    // It must not be forgotten while others, or the store, are waited for.
    live.pins++;
    try {
      await this.#askOnce(live, request);
    } finally {
      live.pins--;
    }
  }

  async #askOnce(live: Live, request: KeyedRequest): Promise<void> {
    const { key: process } = live.row;
    const id = idOf(process, request.key);
    for (let before = this.#underway.get(id); before !== undefined; before = this.#underway.get(id)) {
      // Two who ask for the same at once are one. Whose key it is otherwise, the store knows by then.
      if (before.edge.digest === request.digest) return await before.durable;
      await before.durable.catch(() => undefined);
    }
    const { body, ...asked } = request;
    const edge: NewEdge = { ...asked, process, atMs: Math.trunc(this.#ports.clock.nowMs()) };
    const durable = this.#deliver(live, edge, body);
    this.#underway.set(id, { edge, durable });
    try {
      await durable;
    } finally {
      this.#underway.delete(id);
    }
  }

  async #deliver(live: Live, edge: NewEdge, body: Payload): Promise<void> {
    if ((await this.#find(live, edge)) !== undefined) return;
    if (live.row.state === "exited") throw exited(live.row.pid);
    const input: Input = { kind: "message", from: edgeAddress(edge), body };
    const queued = queueInput(input, this.#ports.clock.nowMs());
    queued.edge = edge;
    await this.#ports.submit(live, queued);
  }

  /**
   * Resolves when nobody is just asking for what was posted beside the node: by then either that post was found, or the commit of the
   * other has taken its place.
   */
  async decided(process: ProcessKey, input: Input): Promise<void> {
    const asked = input.kind === "message" ? readEdgeAddress(input.from) : undefined;
    if (asked === undefined) return;
    const id = idOf(process, asked.key);
    for (let ask = this.#underway.get(id); ask !== undefined; ask = this.#underway.get(id)) {
      await ask.durable.catch(() => undefined);
    }
  }

  // -- answers --------------------------------------------------------------------------------------------------

  /** Stages the answer with the turn that gives it. An address that is none of the process's is nobody's. */
  answer({ row: { key: process } }: Live, to: string, answer: Payload): void {
    const address = readEdgeAddress(to);
    if (address === undefined) return;
    const { stage } = this.#ports.committer;
    stage.edgeEnds.push({ process, ...address, state: "answered", answer });
    stage.effects.push(() => this.#ring(process, address.key));
  }

  /** A message will never be answered: the process goes back to before it took it. `from`: who sent it, perhaps without a key. */
  lose({ row: { key: process } }: Live, from: string, state: "set-aside" | "forgotten"): void {
    const address = readEdgeAddress(from);
    if (address === undefined) return;
    const { stage } = this.#ports.committer;
    stage.edgeEnds.push({ process, ...address, state });
    stage.effects.push(() => this.#ring(process, address.key));
  }

  /** The process has ended, or waits for a person; that is durable. */
  stopped(process: ProcessKey): void {
    for (const bells of this.#waiting.get(process)?.values() ?? []) for (const bell of bells) bell.ring();
  }

  /** No call will be answered any more. */
  reject(error: Error): void {
    this.#end = error;
    for (const process of this.#waiting.keys()) this.stopped(process);
  }

  /** In this order: what is answered in the commit of an exit is answered. */
  async #look(live: Live, request: KeyedRequest): Promise<KeyedAnswer | undefined> {
    const row = await this.#ports.store.getProcess(live.row.key);
    const edge = await this.#find(live, request);
    if (row === undefined) {
      const moved = await this.#ports.store.exported(live.row.pid);
      if (moved !== undefined) throw processExported(moved);
      return undefined;
    }
    const { pid, state, exit, problem } = row;
    if (edge?.answer !== undefined) return { kind: "answered", pid, body: edge.answer };
    if (edge?.state === "set-aside" || edge?.state === "forgotten") return { kind: "forgotten", pid, why: edge.state };
    if (state === "exited" && exit !== undefined) return { kind: "exited", pid, exit };
    return state === "broken" ? { kind: "broken", problem } : undefined;
  }

  /** Somebody beside the node may have been the first to use the key, for something else, in the very moment. Then it is theirs. */
  async #find({ row: { key: process, pid } }: Live, request: Asked): Promise<EdgeRow | undefined> {
    const edge = await this.#ports.store.edge(process, request.key);
    if (edge !== undefined) checkKey(pid, edge, request);
    return edge;
  }

  // -- those who wait -------------------------------------------------------------------------------------------

  #listen(process: ProcessKey, key: string, bell: Bell): void {
    const keys = this.#waiting.get(process) ?? new Map<string, Set<Bell>>();
    this.#waiting.set(process, keys.set(key, (keys.get(key) ?? new Set()).add(bell)));
  }

  #unlisten(process: ProcessKey, key: string, bell: Bell): void {
    const keys = this.#waiting.get(process);
    const bells = keys?.get(key);
    bells?.delete(bell);
    if (bells?.size === 0) keys?.delete(key);
    if (keys?.size === 0) this.#waiting.delete(process);
  }

  #ring(process: ProcessKey, key: string): void {
    for (const bell of this.#waiting.get(process)?.get(key) ?? []) bell.ring();
  }
}

/** Tells one who waits to look again. */
class Bell {
  #next = Promise.withResolvers<void>();

  ring(): void {
    this.#next.resolve();
  }

  /** Resolves at once if it rang since the last time. */
  async rung(): Promise<void> {
    await this.#next.promise;
    this.#next = Promise.withResolvers();
  }
}

function idOf(process: ProcessKey, key: string): string {
  return `${process}\n${key}`;
}
