import { entryOf } from "../entries.ts";
import { requirePid } from "../pid.ts";
import type { Pid } from "../pid.ts";
import { startBehaviour } from "./start.ts";
import type { Ignore } from "./start.ts";
import { KeyedTarget, refTo } from "./server-ref.ts";
import type { KeyedRef, ServerRef } from "./server-ref.ts";
import type { Method } from "./server-types.ts";

/** Beyond the reach of callers: the reason for which a server has said it will stop. */
export let stopReasonOf: (server: Server) => { readonly reason: unknown } | undefined;

/**
 * A process that keeps state and answers calls, one at a time: OTP's `gen_server`. Its fields are its state, as durable as
 * any variable; its methods are what others can call.
 *
 *     export class Cart extends Server {
 *       items: Item[] = [];
 *       init(owner: string) { … }                  // arguments of start; may be async
 *       add(item: Item) { this.items.push(item); return this.items.length; }
 *       handleInfo(message: unknown) { … }         // any other message: Exit and Down too
 *       terminate(reason: unknown) { … }           // last words
 *     }
 *     const cart = await Cart.start("ann");
 *     await cart.add(item);                        // a call: waits for the answer
 *     cart.cast.add(item);                         // a cast: does not
 *
 * The class must be exported. `init`, `handleInfo` and `terminate` may be left out, and are no methods for callers.
 *
 * - **A method that throws ends the server**, as in OTP: its state may be half changed. The caller's promise rejects with
 *   SERVER_GONE, with the error as `cause`. Only a `Refusal` is an answer: the caller gets it and the server lives on. `exit(reason)`
 *   in a method ends it too, `this.stop(reason)` after the method has answered.
 * - A method may return a `Reply`, and answer later.
 * - With a `terminate` method the server hears exit signals before it ends: `terminate(reason)` runs, for a shutdown by its
 *   supervisor as for an error of its own. `kill` leaves no time for it. Unless the server calls `trapExit()`, an exit signal
 *   still ends it; if it does, those of others than its starter come to `handleInfo` as `Exit`.
 * - Other messages, without a `handleInfo`, are logged and dropped.
 * - Methods that change nothing can be listed: `static readOnly = ["total"] as const`. Called from the host, they run on the heap as
 *   it is after the last turn, without one of their own: all they leave is the answer. They must neither wait nor send, start or
 *   print anything. What they throw ends nothing then. Calls of other processes are calls like any other.
 */
export abstract class Server {
  #stop: { readonly reason: unknown } | undefined;

  static {
    stopReasonOf = (server) => server.#stop;
  }

  /**
   * Starts a server and waits until its `init` is done. Undefined if `init` returned `ignore`. Rejects with START_FAILED if `init`
   * failed, and with ENTRY_NOT_EXPORTED if the class is not exported.
   */
  static async start<S extends Server>(this: ServerClass<S>, ...args: InitArgs<S>): Promise<Started<S>> {
    return await start(this, args, false);
  }

  /** As `start`, and links the server to this process: neither outlives an abnormal end of the other. */
  static async startLink<S extends Server>(this: ServerClass<S>, ...args: InitArgs<S>): Promise<Started<S>> {
    return await start(this, args, true);
  }

  /** A server of this class that runs already, by pid or registered name. Nothing is checked before it is called. */
  static ref<S extends Server>(this: ServerClass<S>, target: Pid): ServerRef<S> {
    requirePid(target, `${this.name}.ref`);
    return refTo<S>({ pid: target });
  }

  /**
   * The server that this class has for a key, such as one cart for each customer: started by the first call or cast from
   * anywhere, with the key as `init`'s argument, and the same one for everybody from then on. After it has ended, the next use
   * starts another, with fresh state.
   */
  static at<S extends Server>(this: ServerClass<S & KeyedInit>, key: string): KeyedRef<S> {
    return refTo<S>(new KeyedTarget(entryOf(this), key)) as unknown as KeyedRef<S>;
  }

  /** Ends this server once the message at hand has been answered. */
  protected stop(reason: unknown = "normal"): void {
    this.#stop ??= { reason };
  }
}

/** A class of servers. */
export type ServerClass<S extends Server = Server> = (new () => S) & { readonly readOnly?: readonly Method<S>[] };

/** What a server's `init` takes. */
export type InitArgs<S> = S extends { init(...args: infer Args): unknown } ? Args : [];

/** A server's reference, or undefined where its `init` may return `ignore`. */
export type Started<S extends Server> = S extends { init(...args: never): infer Result }
  ? ServerRef<S> | (Ignore extends Awaited<Result> ? undefined : never)
  : ServerRef<S>;

interface KeyedInit {
  init?(key: string): unknown;
}

async function start<S extends Server>(type: ServerClass<S>, args: InitArgs<S>, link: boolean): Promise<Started<S>> {
  const pid = await startBehaviour({ entry: entryOf(type), args, link, options: { role: "server" } });
  return (pid === undefined ? undefined : refTo<S>({ pid })) as Started<S>;
}
