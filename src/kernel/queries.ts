/**
 * Queries: calls of read-only methods from outside, answered by a process's heap as it is between two turns. They leave nothing
 * behind, neither in the heap nor in the journal.
 *
 * One that arrives waits until the process has taken what had arrived before it, as an ordinary call would, and until that is
 * committed: nothing may be seen outside of a turn that may yet not have happened. From then on until it is answered the process
 * begins no turn. Queries that arrive behind an input wait for it, so neither side can keep the other from ever getting its chance.
 */
import { isPerdureError } from "../base/errors.ts";
import type { Payload } from "../base/value.ts";
import type { FatalReason } from "../journal/types.ts";
import type { LoadRequest, Machine, QueryOutcome, QueryRequest } from "../machine/port.ts";
import { broken, elsewhere, exited, toError } from "./errors.ts";
import type { Live, QueuedInput } from "./live.ts";
import type { KernelEvents } from "./ports.ts";
import { describeDivergence, passOver } from "./runs.ts";
import { gone } from "./registry.ts";
import type { Runs } from "./runs.ts";

/** A call that may be answered without a turn. */
export interface QueryCall {
  readonly method: string;
  /** The message that an ordinary call would send, and where the answer to it goes. */
  readonly body: Payload;
  readonly replyTo: string;
}

export type QueryAnswer =
  | { readonly kind: "answered"; readonly body: Payload }
  /** It took a turn, or will: the call was sent like any other, and that is durable. */
  | { readonly kind: "sent" }
  /** The method did what a read-only one must not. */
  | { readonly kind: "forbidden"; readonly detail: string }
  | { readonly kind: "fatal"; readonly reason: FatalReason; readonly detail: string };

/** The method is not read-only, or the server is in the middle of something: it takes an ordinary call. */
type Answer = Exclude<QueryAnswer, { kind: "sent" }> | { readonly kind: "refused" };

export interface QueriesPorts {
  readonly machine: Pick<Machine, "query">;
  readonly events: Pick<KernelEvents, "notice">;
  readonly runs: Pick<Runs, "load" | "ready">;
  failed(error: Error): void;
}

interface Query {
  readonly call: QueryCall;
  /** What was the last of the process's inputs when the query arrived. */
  readonly after: QueuedInput | undefined;
  /** How often it was handed to the machine with all it takes to answer. */
  attempts: number;
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

/** Queries of one process. */
interface Line {
  readonly live: Live;
  waiting: Query[];
  readonly underway: Set<Query>;
}

/** Handed to the machine at a time: more would only wait there, or take room from processes in motion. */
const maxUnderway = 32;
/** The machine may lose a process for reasons that are none of its own. So often in a row, the query itself is the reason. */
const maxAttempts = 3;
/** Names of methods come from callers, and there may be any number of them. */
const maxRemembered = 1_000;

export class Queries {
  readonly #ports: QueriesPorts;
  readonly #lines = new Map<Live, Line>();
  /** By program and entry: which methods are read-only, as far as they were called. */
  readonly #methods = new Map<string, Map<string, boolean>>();
  /** Methods that are just being asked for by the way. */
  readonly #learning = new Set<string>();
  /** Of calls that may yet have to be sent: the end of the last one's doubt. */
  readonly #undecided = new Map<Live, Promise<void>>();
  #underway = 0;
  #end: Error | undefined;
  #ids = 0;

  constructor(ports: QueriesPorts) {
    this.#ports = ports;
  }

  /**
   * Answers by a query if that can be; otherwise `send` has sent the call, in its place among what came before and after. Throws
   * PROCESS_EXITED, PROCESS_DIVERGED, PROCESS_BROKEN, and what `send` throws.
   */
  async ask(live: Live, call: QueryCall, send: () => Promise<void>): Promise<QueryAnswer> {
    const isReadOnly = this.#methodsOf(live).get(call.method);
    if (isReadOnly === true) {
      await this.#undecided.get(live);
      const answer = await this.#query(live, call);
      if (answer.kind !== "refused") return answer;
    } else if (isReadOnly === undefined && isFree(live)) return await this.#tryFirst(live, call, send);
    else if (isReadOnly === undefined) this.#learn(live, call);
    await this.inOrder(live, send);
    return { kind: "sent" };
  }

  /** `send` runs at once, or when all calls that came before are sent or answered. */
  inOrder(live: Live, send: () => Promise<void>): Promise<void> {
    const undecided = this.#undecided.get(live);
    return undecided === undefined ? send() : undecided.then(send);
  }

  /** Nobody knows whether the method is read-only. What comes later waits until it is known whether this one is to be sent. */
  async #tryFirst(live: Live, call: QueryCall, send: () => Promise<void>): Promise<QueryAnswer> {
    const before = this.#undecided.get(live);
    const decided = Promise.withResolvers<void>();
    this.#undecided.set(live, decided.promise);
    let sent: Promise<void>;
    try {
      await before;
      // What was sent before keeps it busy, and this one must not wait for that.
      const answer = isFree(live) ? await this.#query(live, call) : ({ kind: "refused" } as const);
      if (answer.kind !== "refused") return answer;
      sent = send();
    } finally {
      decided.resolve();
      if (this.#undecided.get(live) === decided.promise) this.#undecided.delete(live);
    }
    await sent;
    return { kind: "sent" };
  }

  /** The call itself is sent: it must not wait for a moment of rest, only to be told that it is no query. */
  #learn(live: Live, call: QueryCall): void {
    const key = `${methodsKey(live)}\n${call.method}`;
    if (this.#learning.has(key)) return;
    this.#learning.add(key);
    const learned = (): unknown => this.#learning.delete(key);
    this.#query(live, call).then(learned, learned);
  }

  #query(live: Live, call: QueryCall): Promise<Answer> {
    // Those that waited for others are told with them.
    if (this.#end !== undefined) return Promise.reject(this.#end);
    if (live.leaving) return Promise.reject(elsewhere(live.row));
    return new Promise((resolve, reject) => {
      const line = this.#lines.get(live) ?? { live, waiting: [], underway: new Set() };
      if (!this.#lines.has(live)) {
        this.#lines.set(live, line);
        // It must not be forgotten meanwhile.
        live.pins++;
      }
      const after = live.inputs.at(-1) ?? live.running?.at(-1);
      line.waiting.push({ call, after, attempts: 0, resolve, reject });
      this.#go(line);
    });
  }

  /** To be called whenever the process might begin a turn. Begins its queries, if it is time; answers whether the turn has to wait. */
  holds(live: Live): boolean {
    const line = this.#lines.get(live);
    if (line === undefined) return false;
    this.#go(line);
    return line.underway.size > 0 || line.waiting.some((query) => isDue(live, query));
  }

  /** The process has left the kernel's memory. While it is queried, only its exit can be why. */
  dropped(live: Live): void {
    const line = this.#lines.get(live);
    if (line !== undefined) this.#refuse(line, exited(live.row.pid));
  }

  /** Another node will have it: who waits for a turn of it here would wait in vain. */
  leaving(live: Live): void {
    const line = this.#lines.get(live);
    if (line !== undefined) this.#refuse(line, elsewhere(live.row));
  }

  /** No query will be answered any more. */
  reject(error: Error): void {
    this.#end = error;
    for (const line of this.#lines.values()) this.#refuse(line, error);
  }

  #refuse(line: Line, error: Error): void {
    for (const query of [...line.waiting, ...line.underway]) query.reject(error);
    line.waiting = [];
    if (line.underway.size === 0) this.#close(line);
  }

  #close({ live }: Line): void {
    if (this.#lines.delete(live)) live.pins--;
  }

  /** Hands over what is due. */
  #go(line: Line): void {
    const { live, underway } = line;
    if (live.row.state === "exited") return this.#refuse(line, exited(live.row.pid));
    if (live.running !== undefined || live.uncommitted > 0 || live.exiting) return;
    if (live.row.state === "broken") return this.#refuse(line, broken(live.row));
    for (const query of line.waiting.filter((candidate) => isDue(live, candidate))) {
      // The first one brings the process to memory, the others find it there.
      if (this.#underway >= maxUnderway || (underway.size > 0 && !live.resident)) return;
      line.waiting.splice(line.waiting.indexOf(query), 1);
      underway.add(query);
      this.#underway++;
      this.#run(line, query).then(
        () => this.#ended(line, query),
        (error: unknown) => this.#ports.failed(toError(error)),
      );
    }
  }

  #ended(line: Line, query: Query): void {
    const isFull = this.#underway === maxUnderway;
    line.underway.delete(query);
    this.#underway--;
    if (line.underway.size + line.waiting.length === 0) this.#close(line);
    this.#ports.runs.ready(line.live);
    if (isFull) for (const other of this.#lines.values()) if (this.#underway < maxUnderway) this.#go(other);
  }

  // -- one query ------------------------------------------------------------------------------------------------

  async #run(line: Line, query: Query): Promise<void> {
    const { live } = line;
    const { key: process, pid, program, entry } = live.row;
    const { body, replyTo } = query.call;
    const turn = live.lastTurn;
    const request: QueryRequest = {
      id: ++this.#ids,
      process,
      pid,
      program,
      turn,
      timeMs: live.lastTimeMs,
      script: entry === "",
      body,
      replyTo,
    };
    const wasResident = live.resident;
    let load: LoadRequest | undefined;
    try {
      if (!wasResident) load = await this.#ports.runs.load(live);
    } catch (error) {
      if (!isPerdureError(error, "JOURNAL_CORRUPT")) throw error;
      return query.reject(unloadable(live, `its journal is damaged: ${error.message}`));
    }
    // It has ended meanwhile: those who asked know, and the machine has let go of it.
    if (gone(live)) return;
    if (!wasResident) query.attempts++;
    const outcome = await this.#ports.machine.query(load === undefined ? request : { ...request, load });
    const isUnloaded = outcome.kind === "absent" || outcome.kind === "damaged-snapshot" || outcome.kind === "diverged";
    // Unless a kill has ended it meanwhile.
    if (live.lastTurn === turn && live.running === undefined) live.resident = !isUnloaded && outcome.kind !== "broken";
    this.#settle(line, query, outcome);
  }

  #settle(line: Line, query: Query, outcome: QueryOutcome): void {
    const { live } = line;
    // Nobody would begin it again here, and the process could not go as long as it waited.
    if (live.leaving) return query.reject(elsewhere(live.row));
    switch (outcome.kind) {
      case "refused":
        this.#remember(live, query.call.method, outcome.why === "busy");
        return query.resolve({ kind: "refused" });
      case "absent":
        if (query.attempts < maxAttempts) return void line.waiting.unshift(query);
        return query.resolve({
          kind: "fatal",
          reason: "trap",
          detail: "The thread that ran it ended, again and again.",
        });
      case "damaged-snapshot":
        passOver(live, outcome, this.#ports.events);
        query.attempts = 0;
        return void line.waiting.unshift(query);
      case "diverged":
        return query.reject(unloadable(live, describeDivergence(outcome.divergence)));
      case "broken":
        return query.reject(unloadable(live, outcome.detail));
      default:
        this.#remember(live, query.call.method, true);
        return query.resolve(outcome);
    }
  }

  #methodsOf(live: Live): Map<string, boolean> {
    const key = methodsKey(live);
    const known = this.#methods.get(key) ?? new Map<string, boolean>();
    this.#methods.set(key, known);
    return known;
  }

  #remember(live: Live, method: string, isReadOnly: boolean): void {
    const known = this.#methodsOf(live);
    if (known.size < maxRemembered) known.set(method, isReadOnly);
  }
}

function methodsKey({ row: { program, entry } }: Live): string {
  return `${program}\n${entry}`;
}

/** It has nothing to do, and all it did is committed. */
function isFree(live: Live): boolean {
  const isBusy = live.running !== undefined || live.inputs.length > 0 || live.uncommitted > 0;
  return !isBusy && hasHeap(live);
}

/** One that failed is its supervisor's; one that is put back, or was just born, has no heap before the turn that gives it one. */
function hasHeap({ row, lastTurn, restores }: Live): boolean {
  return row.state !== "crashed" && lastTurn > 0 && (restores.at(-1)?.turn ?? 0) <= lastTurn;
}

/** Whether the query is the process's next concern. What has to happen in a turn before does not wait for it. */
function isDue(live: Live, { after }: Query): boolean {
  return hasHeap(live) && (live.row.state === "paused" || after === undefined || after.consumed);
}

/** A query changes nothing: the process is found broken by its next turn. */
function unloadable({ row }: Live, problem: string): Error {
  return broken({ ...row, problem });
}
