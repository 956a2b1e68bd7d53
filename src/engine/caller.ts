/** Calls from the host to processes, on the caller's side: values are encoded and read here, so that the kernel need not. */
import { durationMs } from "../base/duration.ts";
import { isPerdureError, PerdureError } from "../base/errors.ts";
import { edgeAddress } from "../base/edge-key.ts";
import { newPid } from "../base/ids.ts";
import { decodeValue, encodeValue } from "../base/value.ts";
import type { Payload } from "../base/value.ts";
import type { CallTimeout } from "../guest/otp/call.ts";
import { failure, revivedRefusal, serverGone } from "../guest/otp/errors.ts";
import { revived } from "../guest/kernel-operations.ts";
import { describeReason, joinReason } from "../guest/reason.ts";
import type { Pid } from "../journal/types.ts";
import type { Asked } from "../store/port.ts";
import { aboutCall, askedUnder } from "./asked.ts";
import type { CallOutcome, CallRequest } from "./calls.ts";
import { systemRandom } from "./system.ts";
import type { Reach } from "./servers.ts";

export interface CallerPorts {
  call(request: CallRequest): Promise<CallOutcome>;
  send(to: Pid, body: Payload, asked?: Asked): Promise<void>;
  /** Puts the stacks of what a process threw in terms of the user's files. */
  mapError(pid: Pid, error: unknown): Promise<void>;
}

/** Says who a call is for. */
export interface Target {
  /** `key`: of the call, if it has one. */
  pid(key: string | undefined): Pid | Promise<Pid>;
  /** Called when there was no such process: whether another try may find one. */
  lost(): boolean;
}

export class Caller {
  readonly #ports: CallerPorts;
  /** Answers to another engine, or to this one before it was restarted, are not for us. */
  readonly #address = `@${newPid(systemRandom)}`;
  #calls = 0;

  constructor(ports: CallerPorts) {
    this.#ports = ports;
  }

  /** `mayRead`: its class may have read-only methods. */
  reach(target: Target, mayRead: boolean): Reach {
    return {
      call: async (method, args, timeoutMs, key) => {
        if (key !== undefined) return await this.#callOnce(target, key, { method, args, timeoutMs });
        try {
          return await this.#call({ target, mayRead }, method, args, timeoutMs);
        } catch (error) {
          if (!isElsewhere(error)) throw error;
          // Nothing was sent. Over there it needs a key, by which its answer is found in the store.
          return await this.#callOnce(target, `call:${newPid(systemRandom)}`, { method, args, timeoutMs });
        }
      },
      cast: async (method, args, key) => {
        const body = encoded(["perdure:cast", method, args], args);
        const about = `cast ${aboutCall(method, args)}`;
        const asked = key === undefined ? undefined : askedUnder(key, "sent", { body, about });
        await this.#ports.send(await target.pid(key), body, asked);
      },
    };
  }

  async #call(
    { target, mayRead }: { readonly target: Target; readonly mayRead: boolean },
    method: string,
    args: readonly unknown[],
    timeoutMs: number | undefined,
  ): Promise<unknown> {
    const ref = ++this.#calls;
    const replyTo = `${this.#address}.${ref}`;
    const body = encoded(["perdure:call", ref, replyTo, method, args], args);
    for (;;) {
      const to = await target.pid(undefined);
      const outcome = await this.#ports.call({ to, replyTo, body, timeoutMs, ...(mayRead ? { method } : {}) });
      // What was not there has done nothing for this call.
      if (outcome.kind === "absent" && target.lost()) continue;
      return await this.#read(outcome, { to, method, timeoutMs });
    }
  }

  /** Nothing in the message differs from one time to the next, not even where the answer goes. */
  async #callOnce(
    target: Target,
    key: string,
    { method, args, timeoutMs }: Omit<Called, "to"> & Arguments,
  ): Promise<unknown> {
    const what = encoded(["perdure:call", method, args], args);
    const asked = askedUnder(key, "open", { body: what, about: aboutCall(method, args) });
    const replyTo = edgeAddress(asked);
    const body = encoded(["perdure:call", 0, replyTo, method, args], args);
    for (;;) {
      const to = await target.pid(key);
      const outcome = await this.#ports.call({ to, replyTo, body, timeoutMs, asked });
      if (outcome.kind === "absent" && target.lost()) continue;
      return await this.#read(outcome, { to, method, timeoutMs });
    }
  }

  async #read(outcome: CallOutcome, { to, method, timeoutMs }: Called): Promise<unknown> {
    switch (outcome.kind) {
      case "answered":
        return await this.#readAnswer(outcome.pid, method, decodeValue(outcome.body));
      case "exited": {
        const value = decodeValue(outcome.exit.value);
        await this.#ports.mapError(outcome.pid, value);
        throw serverGone(to, method, joinReason(outcome.exit.reason, value));
      }
      case "absent":
        throw serverGone(to, method, "noproc");
      case "broken":
        throw new PerdureError("PROCESS_BROKEN", `Cannot call ${method} of ${to}: ${outcome.problem}`, {
          details: { pid: to, method },
        });
      case "timeout":
        throw new PerdureError("CALL_TIMEOUT", `${to} did not answer ${method} within ${timeoutMs} ms.`, {
          details: { pid: to, method, timeoutMs },
        });
      case "left":
        throw new PerdureError(
          "CALL_LOST",
          `${to} moved to another node while ${method} was being asked of it; whether it has done it is not known here. Call it with a key, and ask again under the same.`,
          { details: { pid: to, method } },
        );
      case "forgotten":
        throw callForgotten(to, method, outcome.why);
      case "forbidden":
        throw new PerdureError(
          "QUERY_FORBIDDEN",
          `${method} of ${to} is listed as read-only, but ${outcome.detail}. Take it off the class's readOnly list, or let it only read and answer.`,
          { details: { pid: to, method } },
        );
      case "failed":
        throw queryFailed(to, method, outcome.reason, outcome.detail);
    }
  }

  /** `["perdure:reply", ref, ok, value, mark?]`, see `guest/otp/requests.ts`. */
  async #readAnswer(pid: Pid, method: string, answer: unknown): Promise<unknown> {
    const [, , ok, value, mark] = answer as [string, number, boolean, unknown, string?];
    if (ok) return value;
    await this.#ports.mapError(pid, value);
    if (mark === "failed") throw queryFailed(pid, method, value);
    throw (mark === "refusal" ? revivedRefusal(value) : revived(value)) as Error;
  }
}

function isElsewhere(error: unknown): boolean {
  return isPerdureError(error, "PROCESS_ELSEWHERE") || isPerdureError(error, "NODE_STANDING_BY");
}

function callForgotten(to: Pid, method: string, why: "set-aside" | "forgotten"): PerdureError {
  const what =
    why === "set-aside"
      ? "It made the server fail, and was set aside as a dead letter. Look at it with `perdure dead-letters`; if it is sent again, ask again."
      : "The server has gone back to a checkpoint from before the call. Ask under another key.";
  return new PerdureError("CALL_FORGOTTEN", `${to} will not answer ${method}. ${what}`, {
    details: { pid: to, method, why },
  });
}

/** The server lives on: nothing of what the method did is left. */
function queryFailed(to: Pid, method: string, reason: unknown, detail = describeReason(reason)): PerdureError {
  return failure("QUERY_FAILED", `Cannot read ${method} of ${to}: ${detail}`, { pid: to, method, reason });
}

interface Arguments {
  readonly args: readonly unknown[];
}

interface Called {
  readonly to: Pid;
  readonly method: string;
  readonly timeoutMs: number | undefined;
}

/** What cannot cross is described by its place among the arguments, not in the list around them. */
function encoded(list: readonly unknown[], args: readonly unknown[]): Payload {
  try {
    return encodeValue(list);
  } catch (error) {
    encodeValue(args);
    throw error;
  }
}

/** Undefined for no limit. Throws DURATION_INVALID. */
export function timeoutMsOf(timeout: CallTimeout): number | undefined {
  return timeout === "infinity" ? undefined : durationMs(timeout);
}
