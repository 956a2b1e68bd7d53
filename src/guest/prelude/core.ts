/**
 * The process's side of the border: takes inputs from the machine and turns the program's end into an exit.
 *
 * The machine calls `dispatch` once for each input and drains the microtask queue after it; so each input is a macrotask
 * of its own, as on the web. Whatever `dispatch` throws, and every rejection nobody handles, comes back as `uncaught`.
 */
import { PerdureError } from "../../base/errors.ts";
import { decodeValue } from "../../base/value.ts";
import { hasOwn } from "../../base/value/intrinsics.ts";
import type { ExitReason } from "../../journal/types.ts";
import { deliverMessage } from "../mailbox.ts";
import { abortProcess, setProcess } from "../process.ts";
import { abortOperations, begin, exit, fireTimer, isImpure, pendingCount, settleOperation } from "../runtime.ts";
import { CancelledError, cancelWaits, waitCount } from "../wait.ts";
import { AbortController } from "./abort.ts";
import { now } from "./intrinsics.ts";
import { seedRandom } from "./random.ts";
import { setEnv, setTimeOrigin } from "./globals.ts";

/** Mirrors `machine/protocol.ts`. */
const kinds = {
  evaluated: 1,
  probe: 2,
  start: 3,
  message: 4,
  resolved: 5,
  rejected: 6,
  timer: 7,
  cancel: 8,
  idle: 9,
  uncaught: 10,
};

type Namespace = Readonly<Record<string, unknown>>;
interface Program {
  readonly modules: Readonly<Record<string, Namespace>>;
}

let evaluated = false;
/**
 * Resolves to the program's modules: before the image is captured if evaluating them touched nothing that differs between
 * processes, else in the process's first turn.
 */
const program = Promise.withResolvers<Program>();
program.promise.catch(() => undefined);
/** True while a program without an entry function runs: it ends when it waits for nothing. */
let scriptRuns = false;

export function dispatch(kind: number, number: number, a: string, b: string, ...rest: unknown[]): unknown {
  switch (kind) {
    case kinds.evaluated:
      return attach(rest[0] as Promise<Program>);
    case kinds.probe:
      return evaluated && !isImpure() ? "pure" : "impure";
    case kinds.start:
      return start(a, b, rest as ArrayBuffer[]);
    case kinds.message:
      return deliverMessage(decode(b, rest));
    case kinds.resolved:
      return settleOperation(number, true, payload(b, rest));
    case kinds.rejected:
      return settleOperation(number, false, payload(b, rest));
    case kinds.timer:
      return fireTimer(number);
    case kinds.cancel:
      return cancel(a);
    case kinds.idle:
      if (scriptRuns && evaluated && pendingCount() === 0 && waitCount() === 0) exit("normal", undefined);
      return undefined;
    default:
      return fail(rest[0]);
  }
}

function cancel(message: string): void {
  const reason = (): CancelledError => new CancelledError(message);
  abortProcess(reason());
  cancelWaits(reason);
  abortOperations(reason);
}

function attach(namespace: Promise<Program>): void {
  namespace.then((modules) => {
    evaluated = true;
    program.resolve(modules);
  }, program.reject);
}

function payload(text: string, chunks: readonly unknown[]) {
  return chunks.length === 0 ? { text } : { text, chunks: chunks.map((chunk) => new Uint8Array(chunk as ArrayBuffer)) };
}

function decode(text: string, chunks: readonly unknown[]): unknown {
  return decodeValue(payload(text, chunks));
}

/** `head` is JSON: pid, entry and environment. The first chunk is the seed, the others belong to the arguments. */
function start(head: string, argsText: string, chunks: readonly ArrayBuffer[]): void {
  const { pid, entry, env } = JSON.parse(head) as { pid: string; entry: string; env: Record<string, string> };
  const seed = chunks[0];
  if (seed === undefined) throw new TypeError("start without a seed");
  seedRandom(new Uint8Array(seed));
  setEnv(env);
  setTimeOrigin(now());
  setProcess(pid, () => new AbortController());
  begin();
  const args = decode(argsText, chunks.slice(1)) as unknown[];
  run(entry, args).then((value) => finish(value), fail);
}

async function run(entry: string, args: unknown[]): Promise<unknown> {
  const { modules } = await program.promise;
  const found = findEntry(modules, entry);
  if (found === undefined) {
    scriptRuns = true;
    return scriptRuns;
  }
  return await found(...args);
}

/** Undefined for a program that exports no default function and is started without naming one: its modules are all it does. */
function findEntry(modules: Program["modules"], entry: string): ((...args: unknown[]) => unknown) | undefined {
  const hash = entry.lastIndexOf("#");
  const path = hash === -1 ? Object.keys(modules)[0] : entry.slice(0, hash);
  const name = (hash === -1 ? entry : entry.slice(hash + 1)) || "default";
  const module = path !== undefined && hasOwn(modules, path) ? modules[path] : undefined;
  const found = module !== undefined && hasOwn(module, name) ? module[name] : undefined;
  if (typeof found === "function") return found as (...args: unknown[]) => unknown;
  if (entry === "" && found === undefined) return undefined;
  throw new PerdureError("ENTRY_NOT_FOUND", `The program exports no function ${JSON.stringify(entry || "default")}.`);
}

function finish(value: unknown): void {
  if (scriptRuns) return;
  try {
    exit("normal", value);
  } catch (error) {
    // The result cannot cross the border: that is the program's error, and it is told so.
    fail(error);
  }
}

function fail(error: unknown): void {
  exit(reasonOf(error), error);
}

/** The engine's own errors have names of their own among the exit reasons. */
function reasonOf(error: unknown): ExitReason {
  try {
    return nameOf(error);
  } catch {
    // Whatever was thrown does not want to be looked at.
    return "error";
  }
}

function nameOf(error: unknown): ExitReason {
  if (error instanceof CancelledError) return "cancelled";
  if (error instanceof RangeError && error.message === "Maximum call stack size exceeded") return "stack_overflow";
  if (error instanceof Error && error.name === "InternalError" && error.message === "out of memory")
    return "out_of_memory";
  return "error";
}
