/** How a server lives: init, one message after the other, terminate. */
import { PerdureError } from "../../base/errors.ts";
import { takeItem } from "../mailbox.ts";
import type { Pid } from "../pid.ts";
import { self } from "../process.ts";
import { describeReason, ExitRequest, thrownReason } from "../reason.ts";
import { guardExits, isTrapping } from "../relations.ts";
import { log } from "../runtime.ts";
import { Exit, Internal } from "../signals.ts";
import { callRefused, Refusal } from "./errors.ts";
import { bindReply, Reply } from "./reply.ts";
import { Cast, reply, replyError, Request, sendAck } from "./requests.ts";
import { castsSent } from "./server-ref.ts";
import { Server, stopReasonOf } from "./server.ts";
import type { ServerClass } from "./server.ts";
import { ignore } from "./start.ts";

type Hooks = Record<"init" | "handleInfo" | "terminate", ((...args: unknown[]) => unknown) | undefined>;

export function isServerClass(value: unknown): value is ServerClass {
  return typeof value === "function" && value.prototype instanceof Server;
}

/** The server that this process is. It rests while it waits for a message: then nothing it does is half done. */
let served: { readonly type: ServerClass; readonly server: Server; rests: boolean } | undefined;

/** Runs until the server ends: then it throws what the process exits with. Returns only if `init` answered `ignore`. */
export async function runServer(type: ServerClass, args: readonly unknown[], starter: Pid | undefined): Promise<void> {
  const server = new type();
  const hooks = server as unknown as Hooks;
  checkReadOnly(type, server);
  const own = { type, server, rests: false };
  served = own;
  if ((await hooks.init?.(...args)) === ignore) return sendAck(starter, "ignore");
  if (hooks.terminate !== undefined) guardExits();
  sendAck(starter, "started");
  try {
    for (;;) {
      const stop = stopReasonOf(server);
      if (stop !== undefined) throw new ExitRequest(stop.reason);
      own.rests = true;
      const item = await takeItem(isItem);
      own.rests = false;
      await handle(server, item, starter);
    }
  } catch (thrown) {
    await hooks.terminate?.(thrownReason(thrown));
    // Not for errors: what comes after them has to fail in the same turn, so that it can be undone.
    if (thrown instanceof ExitRequest) await castsSent();
    throw thrown;
  }
}

function isItem(_item: unknown): _item is unknown {
  return true;
}

async function handle(server: Server, item: unknown, starter: Pid | undefined): Promise<void> {
  if (item instanceof Request) return await answer(server, item);
  if (item instanceof Cast) return await run(server, item);
  // What a start that was given up, or a child, still had to say.
  if (item instanceof Internal) return undefined;
  if (item instanceof Exit && ends(item, starter)) throw new ExitRequest(item.reason);
  if (item instanceof Exit && !isTrapping()) return undefined;
  const { handleInfo } = server as unknown as Hooks;
  if (handleInfo !== undefined) await handleInfo.call(server, item);
  else warn(`got a message that it has no handleInfo for: ${describeReason(item)}`);
}

/**
 * Exit signals arrive here if the server traps exits: then those of its starter and of operators end it, as in OTP. Or they arrive
 * only so that `terminate` can run: then they end it as they end any process.
 */
function ends({ from, reason }: Exit, starter: Pid | undefined): boolean {
  return isTrapping() ? from === starter || from === "" : reason !== "normal";
}

async function answer(server: Server, request: Request): Promise<void> {
  const method = methodOf(server, request.method);
  if (method === undefined) {
    return replyError(request, callRefused(self(), request.method, "its class has no such method"));
  }
  let result: unknown;
  try {
    result = await Reflect.apply(method, server, request.args);
  } catch (thrown) {
    if (!(thrown instanceof Refusal)) throw thrown;
    return replyError(request, thrown, "refusal");
  }
  if (result instanceof Reply) bindReply(result as Reply<unknown>, request);
  else reply(request, result);
}

/**
 * Called by the core with a call whose method is to run on the heap as it is. The machine forgets all that comes of it but the
 * answer, so that a method that throws ends nothing. Answers why it does not run, or that it does.
 */
export function answerQuery(request: Request): "runs" | "busy" | "not-read-only" {
  const listed = (served?.type.readOnly ?? []) as readonly unknown[];
  if (served === undefined || !listed.includes(request.method)) return "not-read-only";
  if (!served.rests) return "busy";
  answer(served.server, request).catch((thrown: unknown) => replyError(request, thrownReason(thrown), "failed"));
  return "runs";
}

async function run(server: Server, cast: Cast): Promise<void> {
  const method = methodOf(server, cast.method);
  if (method === undefined) return warn(`was told to run ${describeReason(cast.method)}, and has no such method`);
  try {
    const result: unknown = await Reflect.apply(method, server, cast.args);
    if (result instanceof Reply) bindReply(result as Reply<unknown>, undefined);
  } catch (thrown) {
    if (!(thrown instanceof Refusal)) throw thrown;
    warn(`refused a cast of ${describeReason(cast.method)}: ${thrown.message}`);
  }
}

const hookNames: ReadonlySet<unknown> = new Set<keyof Hooks>(["init", "handleInfo", "terminate"]);

/** What the class itself defines, and nothing of what every object has. */
function methodOf(server: Server, name: unknown): ((...args: readonly unknown[]) => unknown) | undefined {
  if (typeof name !== "string" || hookNames.has(name) || name in Server.prototype) return undefined;
  const method = (server as unknown as Record<string, unknown>)[name];
  return typeof method === "function" ? (method as (...args: readonly unknown[]) => unknown) : undefined;
}

function checkReadOnly(type: ServerClass, server: Server): void {
  for (const name of (type.readOnly ?? []) as readonly unknown[]) {
    if (methodOf(server, name) !== undefined) continue;
    throw new PerdureError(
      "ARGUMENT_INVALID",
      `${type.name}.readOnly lists ${JSON.stringify(name)}, which is no method of the class.`,
    );
  }
}

function warn(what: string): void {
  log("warn", `Server ${self()} ${what}.`);
}
