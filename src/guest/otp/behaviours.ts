/** What runs in a process, once its program is there: a function of the user's, or a behaviour. */
import { addBuiltin, entryNotFound, lookUp } from "../entries.ts";
import { deliverMessage, flush, mailbox } from "../mailbox.ts";
import type { Pid } from "../pid.ts";
import { self, signal } from "../process.ts";
import { cancel, exit, watch } from "../relations.ts";
import { send } from "../runtime.ts";
import { Exit } from "../signals.ts";
import { deliverReply } from "./call.ts";
import { callRefused } from "./errors.ts";
import { Ack, ackMark, Cast, replyError, Request, Retry, sendAck } from "./requests.ts";
import { castsSent } from "./server-ref.ts";
import { answerQuery, isServerClass, runServer } from "./server-loop.ts";
import { ignore } from "./start.ts";
import { supervisorEntry } from "./supervisor/portable.ts";
import { runSupervisor } from "./supervisor/run.ts";
import { SupervisorSpecification } from "./supervisor/types.ts";
import type { SupervisorFlags } from "./supervisor/types.ts";
import { taskEntry } from "./task.ts";

/** What answers calls. Undecided until the program's modules are there: until then calls wait. */
let role: "undecided" | "plain" | "server" | "supervisor" = "undecided";

/** Nothing was named, and there is no default export: the program's modules are all it does. */
export const script: unique symbol = Symbol("script");

/** Runs an entry to its end, and answers with its result. */
export async function runEntry(entry: string, given: readonly unknown[]): Promise<unknown> {
  const isAwaited = given[0] === ackMark;
  const starter = isAwaited ? (given[1] as Pid) : undefined;
  const args = isAwaited ? given.slice(2) : given;
  const found = lookUp(entry);
  if (isServerClass(found)) {
    role = "server";
    return await runServer(found, args, starter);
  }
  if (found instanceof SupervisorSpecification) return await supervise(found, starter);
  if (typeof found === "function") return await runFunction(found, args, starter);
  if (entry !== "" || found !== undefined) throw entryNotFound(entry);
  bePlain();
  return script;
}

async function runFunction(found: Function, args: readonly unknown[], starter: Pid | undefined): Promise<unknown> {
  // Whoever waits for a start hears of it from a behaviour: this may become a supervisor.
  if (starter === undefined) bePlain();
  const result: unknown = await Reflect.apply(found, mailbox(), args);
  if (result instanceof SupervisorSpecification) return await supervise(result, starter);
  if (result === ignore) return sendAck(starter, "ignore");
  await castsSent();
  return result;
}

function supervise({ flags }: SupervisorSpecification, starter: Pid | undefined): Promise<never> {
  role = "supervisor";
  return runSupervisor(flags, starter);
}

function bePlain(): void {
  role = "plain";
  flush((item) => isRefused(item));
}

function isRefused(item: unknown): boolean {
  if (item instanceof Request) {
    replyError(item, callRefused(self(), item.method, "it is no server"));
    return true;
  }
  return item instanceof Cast;
}

/** Called by the core with each message. */
export function receiveMessage(from: Pid, body: unknown): void {
  const tag: unknown = Array.isArray(body) ? body[0] : undefined;
  if (typeof tag !== "string" || !tag.startsWith("perdure:")) return deliverMessage(body);
  const item = readInternal(from, tag, body as readonly unknown[]);
  if (item !== undefined && (role !== "plain" || !isRefused(item))) deliverMessage(item);
}

/** Called by the core with a call that shall leave no trace. Answers whether it runs. */
export function receiveQuery(body: unknown): string {
  const item = Array.isArray(body) && body[0] === "perdure:call" ? readInternal("", "perdure:call", body) : undefined;
  return item instanceof Request ? answerQuery(item) : "not-read-only";
}

function readInternal(from: Pid, tag: string, list: readonly unknown[]): unknown {
  switch (tag) {
    case "perdure:call":
      return new Request(list[2] as Pid, list[1], list[3], list[4]);
    case "perdure:cast":
      return new Cast(from, list[1], list[2]);
    case "perdure:reply":
      return deliverReply(list[1], list[2] === true, list[3], list[4]);
    case "perdure:ack":
      return new Ack(list[1] as Pid, list[2]);
    case "perdure:retry":
      return new Retry(list[1]);
    default:
      return undefined;
  }
}

/**
 * A cancel, as behaviours hear of it: as of an operator's exit signal, after what they have in hand. True if that is all of it: a
 * supervisor stops its children in good order, and nothing may interrupt that.
 */
export function cancelBehaviour(): boolean {
  if (role !== "server" && role !== "supervisor") return false;
  deliverMessage(new Exit("", "cancelled"));
  return role === "supervisor";
}

/** A task ends with the process that started it, and tells it the result. If that one was cancelled, the task may wind up. */
async function runTask(starter: Pid, ref: number, entry: string, args: readonly unknown[]): Promise<void> {
  watch(starter, ({ reason }) => {
    if (reason !== "cancelled") return exit(self(), "kill");
    if (!signal().aborted) cancel(self(), `${starter}, which started it, was cancelled.`);
  });
  const found = lookUp(entry);
  if (typeof found !== "function") throw entryNotFound(entry);
  const result: unknown = await Reflect.apply(found, mailbox(), args);
  send(starter, ["perdure:reply", ref, true, result]);
}

addBuiltin(supervisorEntry, (flags: SupervisorFlags) => new SupervisorSpecification(flags));
addBuiltin(taskEntry, runTask);
