/** Servers and supervisors as the host holds them: every method is a call. */
import { validateEdgeKey } from "../base/edge-key.ts";
import { callTimeoutMs } from "../guest/otp/call.ts";
import type { CallTimeout } from "../guest/otp/call.ts";
import type { Answer, Calls, Method } from "../guest/otp/server-types.ts";
import type {
  ChildCounts,
  ChildInfo,
  DeleteChildResult,
  EntryStart,
  RestartChildResult,
  StartChildResult,
  SupervisorSpec,
  TerminateChildResult,
  WorkerSpec,
} from "../guest/otp/supervisor/types.ts";
import type { Pid } from "../journal/types.ts";

/** A server's methods without their answers: the promise resolves when the message is durable. */
export type HostCasts<S> = {
  readonly [K in Method<S>]: S[K] extends (...args: infer Args) => unknown ? (...args: Args) => Promise<void> : never;
};

export interface CallOptions {
  /**
   * Names this request: 1 to 200 printable characters, the caller's own. The method runs once for a key, and its answer is kept: who
   * asks again, also after a crash of its own or of the node, gets the same answer, or the same error. Rejects with KEY_CONFLICT if
   * the server was asked for something else under that key, and with CALL_FORGOTTEN if its supervisor has let it go on from before the
   * call. Default: none, and every call runs the method.
   */
  readonly key?: string;
  /** How long this call waits, as of `within`. Who asks again waits again. Default 5 seconds. */
  readonly timeout?: CallTimeout;
}

/** A server's methods, with `cast` for those whose answer nobody waits for. */
export type KeyedCalls<S> = Omit<Calls<S>, "cast"> & { readonly cast: HostCasts<S> };

/** What a handle has beside the server's methods. A method of such a name cannot be called through it. */
interface Members<S> {
  /** The same methods without an answer: `cart.cast.add(item)`. Throws PROCESS_NOT_FOUND, PROCESS_EXITED. */
  readonly cast: HostCasts<S>;
  /** The same methods with another time limit than 5 seconds: `cart.within("1 min").checkout()`. */
  within(timeout: CallTimeout): Calls<S>;
  /** The same methods with a key, and with another time limit: `cart.with({ key: "request-7" }).add(item)`. See `CallOptions`. */
  with(options: CallOptions): KeyedCalls<S>;
}

/**
 * A server, for calls from the host. A call rejects with the server's `Refusal`, with CALL_TIMEOUT, with CALL_REFUSED if it has
 * no such method, and with SERVER_GONE if there is no such process or it ends before it answers: then `details.reason` is its
 * exit reason, and `cause` the error, if it was one. Methods in the class's `readOnly` list take no turn; they reject with
 * QUERY_FAILED where another one would end its server, and with QUERY_FORBIDDEN if they do more than read.
 */
export type ServerHandle<S> = Omit<Calls<S>, keyof Members<S> | "pid"> & Members<S> & { readonly pid: Pid };

/** The server of a class for a key. It is started by its first call or cast. */
export type KeyedServerHandle<S> = Omit<Calls<S>, keyof Members<S> | "pid" | "key"> &
  Members<S> & {
    readonly key: string;
    /** The process that is the key's server now; starts it if need be. */
    pid(): Promise<Pid>;
  };

export type { Answer };

/** A child as the host describes it: what it starts is named, as functions cannot be sent. */
export type HostChildSpec =
  | (Omit<WorkerSpec, "start"> & { readonly start: EntryStart })
  | (Omit<SupervisorSpec, "supervisor"> & { readonly supervisor: EntryStart });

/** A supervisor, for calls from the host. Answers are OTP's, as data. */
export interface SupervisorHandle {
  readonly pid: Pid;
  /** Adds a child at the end of the list and starts it; in a pool, starts one with these arguments after the template's. */
  startChild(child: HostChildSpec): Promise<StartChildResult>;
  startChild(...args: readonly unknown[]): Promise<StartChildResult>;
  /** Stops a child, by id; in a pool by process. */
  terminateChild(child: string | { readonly pid: Pid }): Promise<TerminateChildResult>;
  /** Starts a child again that is in the list without a process. */
  restartChild(id: string): Promise<RestartChildResult>;
  /** Takes a child without a process out of the list. */
  deleteChild(id: string): Promise<DeleteChildResult>;
  /** All children, the last one in start order first. */
  whichChildren(): Promise<ChildInfo[]>;
  countChildren(): Promise<ChildCounts>;
}

/** How a handle reaches its process. */
export interface Reach {
  call(method: string, args: readonly unknown[], timeoutMs: number | undefined, key?: string): Promise<unknown>;
  cast(method: string, args: readonly unknown[], key?: string): Promise<void>;
}

/** `members` are what the handle has besides: `pid`, `key`. `timeoutMsOf` reads what `within` is given. */
export function serverHandle(
  reach: Reach,
  members: Readonly<Record<string, unknown>>,
  timeoutMsOf: (timeout: CallTimeout) => number | undefined,
): object {
  const calls = (own: object, timeoutMs: number | undefined, key?: string): object =>
    methods(own, (method, args) => reach.call(method, args, timeoutMs, key));
  const casts = (key?: string): object => methods({}, (method, args) => reach.cast(method, args, key));
  const within = (timeout: CallTimeout): object => calls({}, timeoutMsOf(timeout));
  const withOptions = ({ key, timeout }: CallOptions): object => {
    const timeoutMs = timeout === undefined ? callTimeoutMs : timeoutMsOf(timeout);
    if (key !== undefined) validateEdgeKey(key);
    return calls({ cast: casts(key) }, timeoutMs, key);
  };
  return calls({ ...members, cast: casts(), within, with: withOptions }, callTimeoutMs);
}

/** Every name that `own` does not have is a method. Which of them the class has is for the server to say. */
function methods(own: object, invoke: (method: string, args: readonly unknown[]) => Promise<unknown>): object {
  return new Proxy(Object.assign(Object.create(null) as object, own), {
    get(target, name) {
      if (Object.hasOwn(target, name)) return Reflect.get(target, name) as unknown;
      // It is no promise; JSON and `inspect` ask everything for their hooks.
      if (typeof name === "symbol" || name === "then" || name === "toJSON" || name === "constructor") return undefined;
      return (...args: unknown[]) => invoke(name, args);
    },
  });
}

/** A supervisor does not answer while it starts, stops or restarts children, and that may take long: calls have no limit. */
export function supervisorHandle(reach: Reach, pid: Pid): SupervisorHandle {
  const call = (method: string, args: readonly unknown[]): Promise<never> =>
    reach.call(method, args, undefined) as Promise<never>;
  return {
    pid,
    startChild: (...args: readonly unknown[]) => call("startChild", args),
    terminateChild: (child) => call("terminateChild", [child]),
    restartChild: (id) => call("restartChild", [id]),
    deleteChild: (id) => call("deleteChild", [id]),
    whichChildren: () => call("whichChildren", []),
    countChildren: () => call("countChildren", []),
  };
}
