/**
 * Calls of servers and supervisors from the host, on the kernel's side: a message goes in, and what comes first counts, the
 * answer or the end of who should give it. Values pass through as they are; the caller's thread reads them.
 */
import type { Clock } from "../base/ports.ts";
import type { Payload } from "../base/value.ts";
import type { FatalReason, Pid } from "../journal/types.ts";
import { isPerdureError } from "../base/errors.ts";
import type { QueryAnswer, QueryCall } from "../kernel/queries.ts";
import type { KeyedAnswer, KeyedRequest } from "../kernel/edges.ts";
import type { Asked, ProcessExit } from "../store/port.ts";

export interface CallRequest {
  /** A pid or a registered name. */
  readonly to: Pid;
  /** Where the answer goes: begins with "@", and is this call's alone. */
  readonly replyTo: string;
  readonly body: Payload;
  /** Undefined: waits as long as it takes. */
  readonly timeoutMs: number | undefined;
  /** Set if the method may be a read-only one, that needs no turn. */
  readonly method?: string;
  /** Set if the call has a key. Then it takes a turn in any case. */
  readonly asked?: Asked;
}

export type CallOutcome =
  | { readonly kind: "answered"; readonly pid: Pid; readonly body: Payload }
  /** It ended before it answered. */
  | { readonly kind: "exited"; readonly pid: Pid; readonly exit: ProcessExit }
  /** There is no such process, or it had ended before the call reached it. */
  | { readonly kind: "absent" }
  /** It waits for a person. */
  | { readonly kind: "broken"; readonly problem: string }
  /** Of a call with a key: the server went back to before it. */
  | Extract<KeyedAnswer, { kind: "forgotten" }>
  | { readonly kind: "timeout" }
  /** It went to another node before it answered here. */
  | { readonly kind: "left" }
  /** The method is listed as read-only, and did what such a method must not. */
  | { readonly kind: "forbidden"; readonly detail: string }
  /** The read-only method used up what a turn may use. */
  | { readonly kind: "failed"; readonly reason: FatalReason; readonly detail: string };

export interface CallsPorts {
  readonly clock: Clock;
  /** Whom a text that names a process stands for. */
  locate(to: Pid): Pid;
  send(pid: Pid, body: Payload): Promise<void>;
  /** Answers without a turn, or has sent the call. */
  query(pid: Pid, call: QueryCall): Promise<QueryAnswer>;
  /** A call with a key: the kernel waits for its answer, since that may have been given long ago. */
  keyed(pid: Pid, request: KeyedRequest, timeoutMs: number | undefined): Promise<KeyedAnswer>;
}

interface Waiting {
  readonly pid: Pid;
  settle(outcome: CallOutcome): void;
}

export class Calls {
  readonly #ports: CallsPorts;
  readonly #byAddress = new Map<string, Waiting>();
  readonly #byPid = new Map<Pid, Set<Waiting>>();

  constructor(ports: CallsPorts) {
    this.#ports = ports;
  }

  async call(request: CallRequest): Promise<CallOutcome> {
    const { asked, to, body, timeoutMs } = request;
    try {
      if (asked === undefined) return await this.#call(request);
      return await this.#ports.keyed(this.#ports.locate(to), { ...asked, body }, timeoutMs);
    } catch (error) {
      if (isPerdureError(error, "PROCESS_NOT_FOUND") || isPerdureError(error, "PROCESS_EXITED")) {
        return { kind: "absent" };
      }
      throw error;
    }
  }

  async #call({ to, replyTo, body, timeoutMs, method }: CallRequest): Promise<CallOutcome> {
    const { clock, locate, send, query } = this.#ports;
    const pid = locate(to);
    const { promise, resolve } = Promise.withResolvers<CallOutcome>();
    const waiting: Waiting = { pid, settle: resolve };
    this.#byAddress.set(replyTo, waiting);
    this.#byPid.set(pid, (this.#byPid.get(pid) ?? new Set()).add(waiting));
    const { promise: expired, resolve: expire } = Promise.withResolvers<{ readonly kind: "timeout" }>();
    const stopTimer = timeoutMs === undefined ? undefined : clock.after(timeoutMs, () => expire({ kind: "timeout" }));
    try {
      // What never reached it has done nothing, whatever is heard of its end meanwhile.
      if (method === undefined) await send(pid, body);
      else {
        const asked = query(pid, { method, body, replyTo }).then((answer) => outcomeOf(pid, answer));
        const outcome = await Promise.race([asked, expired]);
        if (outcome !== undefined) return outcome;
      }
      return await Promise.race([promise, expired]);
    } finally {
      stopTimer?.();
      this.#forget(replyTo, waiting);
    }
  }

  /** An answer nobody waits for is dropped: the call has timed out, or was another node's. */
  answered({ to, from, body }: { readonly to: string; readonly from: Pid; readonly body: Payload }): void {
    this.#byAddress.get(to)?.settle({ kind: "answered", pid: from, body });
  }

  exited(pid: Pid, exit: ProcessExit): void {
    for (const waiting of this.#byPid.get(pid) ?? []) waiting.settle({ kind: "exited", pid, exit });
  }

  broke(pid: Pid, problem: string): void {
    for (const waiting of this.#byPid.get(pid) ?? []) waiting.settle({ kind: "broken", problem });
  }

  /** It has gone to another node, and whatever it answers is not heard here. */
  left(pid: Pid): void {
    for (const waiting of this.#byPid.get(pid) ?? []) waiting.settle({ kind: "left" });
  }

  #forget(replyTo: string, waiting: Waiting): void {
    this.#byAddress.delete(replyTo);
    const others = this.#byPid.get(waiting.pid);
    others?.delete(waiting);
    if (others?.size === 0) this.#byPid.delete(waiting.pid);
  }
}

/** Undefined if the call was sent: the answer is still to come. */
function outcomeOf(pid: Pid, answer: QueryAnswer): CallOutcome | undefined {
  switch (answer.kind) {
    case "answered":
      return { ...answer, pid };
    case "sent":
      return undefined;
    case "forbidden":
      return answer;
    case "fatal":
      return { ...answer, kind: "failed" };
  }
}
