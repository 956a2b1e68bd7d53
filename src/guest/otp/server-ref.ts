import { keyedPid } from "../../base/ids.ts";
import { isPerdureError, PerdureError } from "../../base/errors.ts";
import { askKernel } from "../kernel-operations.ts";
import { isAlive } from "../names.ts";
import type { Pid } from "../pid.ts";
import { sendEncoded } from "../runtime.ts";
import { call, callTimeoutMs, cast, encodeCast, timeoutMsOf } from "./call.ts";
import type { CallTimeout } from "./call.ts";
import type { Calls, Casts } from "./server-types.ts";

/** What a reference has beside the server's methods. A method of such a name cannot be called through it. */
interface RefMembers<S> {
  /** The same methods without an answer: `cart.cast.add(item)`. Sent exactly once; lost if the server has ended. */
  readonly cast: Casts<S>;
  /** The same methods with another time limit than 5 seconds: `cart.within("1 min").checkout()`. */
  within(timeout: CallTimeout): Calls<S>;
}

/**
 * A server, as its callers hold it. Every method is a call: it rejects with the server's `Refusal`, with CALL_TIMEOUT, with
 * SERVER_GONE or with CALL_REFUSED. A reference is for the process that has it; what can be sent and stored is its `pid`.
 */
export type ServerRef<S> = Omit<Calls<S>, keyof RefMembers<S> | "pid"> & RefMembers<S> & { readonly pid: Pid };

/** The server of a class for a key. It is started by its first call or cast. */
export type KeyedRef<S> = Omit<Calls<S>, keyof RefMembers<S> | "pid" | "key"> &
  RefMembers<S> & {
    readonly key: string;
    /** The process that is the key's server now; starts it if need be. */
    pid(): Promise<Pid>;
  };

/** How a reference finds its server. */
interface Target {
  readonly pid: Pid | (() => Promise<Pid>);
  readonly key?: string;
  /** Called when there was no such process; true if another try may find one. */
  lost?(): boolean;
}

interface Started {
  readonly pid: Pid;
  readonly created: boolean;
  /** It follows on none that has ended: what was left of the chain was dropped, and it may have begun anew. */
  readonly recount?: boolean;
}

/** Keyed servers: a chain of processes, each started when the one before has ended. */
export class KeyedTarget implements Target {
  readonly key: string;
  readonly #entry: string;
  #generation = 1;
  #found: Pid | undefined;

  constructor(entry: string, key: string) {
    if (typeof key !== "string") {
      throw new PerdureError("ARGUMENT_INVALID", `A keyed server's key is a text, not a value of type ${typeof key}.`);
    }
    this.key = key;
    this.#entry = entry;
  }

  readonly pid = async (): Promise<Pid> => {
    while (this.#found === undefined) {
      const id = keyedPid(this.#entry, this.key, this.#generation);
      const options = { id, entry: this.#entry, label: this.key, role: "server" };
      const { pid, created, recount } = (await askKernel("start", options, [this.key])) as Started;
      if (recount === true) this.#generation = 1;
      else if (created || (await isAlive(pid))) this.#found = pid;
      else this.#generation++;
    }
    return this.#found;
  };

  lost(): boolean {
    this.#found = undefined;
    return true;
  }
}

type Invoke = (method: string, args: readonly unknown[]) => unknown;

/** What a reference shows beside the methods. A class, so that it cannot be sent by mistake. */
class Ref {
  readonly pid: Target["pid"];
  declare readonly key?: string;
  readonly within: (timeout: CallTimeout) => object;
  readonly #cast: Invoke;

  constructor(target: Target) {
    this.pid = target.pid;
    if (target.key !== undefined) this.key = target.key;
    this.within = (timeout) => {
      const timeoutMs = timeoutMsOf(timeout);
      return methods({}, (method, args) => callTarget(target, method, args, timeoutMs));
    };
    this.#cast = (method, args) => castTarget(target, method, args);
  }

  get cast(): object {
    return methods({}, this.#cast);
  }
}

/** Every name that `self` does not have is a method. Which of them the class has is for the server to say. */
function methods(self: object, invoke: Invoke): object {
  return new Proxy(self, {
    get(target, name) {
      // A reference is no promise, and JSON asks everything for a toJSON.
      if (typeof name === "symbol" || name === "then" || name === "toJSON") return undefined;
      return name in target
        ? (Reflect.get(target, name, target) as unknown)
        : (...args: unknown[]) => invoke(name, args);
    },
  });
}

async function callTarget(
  target: Target,
  method: string,
  args: readonly unknown[],
  timeoutMs: number,
): Promise<unknown> {
  for (;;) {
    const pid = typeof target.pid === "string" ? target.pid : await target.pid();
    try {
      return await call(pid, method, args, timeoutMs);
    } catch (error) {
      // What was not there has done nothing for this call.
      const wasAbsent = isPerdureError(error, "SERVER_GONE") && error.details["reason"] === "noproc";
      if (!wasAbsent || target.lost?.() !== true) throw error;
    }
  }
}

/** Casts whose server is still being looked for. */
const unsent = new Set<Promise<void>>();

/** A process that has done its work does not end before the last of its casts is on its way. */
export async function castsSent(): Promise<void> {
  while (unsent.size > 0) await Promise.all(unsent);
}

function castTarget({ pid }: Target, method: string, args: readonly unknown[]): void {
  if (typeof pid === "string") return cast(pid, method, args);
  // As it is now: the program may go on changing what it has cast.
  const payload = encodeCast(method, args);
  const sent = pid()
    .then((found) => sendEncoded(found, payload))
    .finally(() => unsent.delete(sent));
  unsent.add(sent);
}

export function refTo<S>(target: Target): ServerRef<S> {
  return methods(new Ref(target), (method, args) => callTarget(target, method, args, callTimeoutMs)) as ServerRef<S>;
}
