/**
 * The process's side of the border: takes inputs from the machine and turns the program's end into an exit.
 *
 * The machine calls `dispatch` once for each input and drains the microtask queue after it; so each input is a macrotask
 * of its own, as on the web. Whatever `dispatch` throws, and every rejection nobody handles, comes back as `uncaught`.
 */
import { decodeValue } from "../../base/value.ts";
import { setModules } from "../entries.ts";
import type { Modules } from "../entries.ts";
import { beginInput, discardMessage, takenMessage } from "../mailbox.ts";
import { cancelBehaviour, receiveMessage, receiveQuery, runEntry, script } from "../otp/behaviours.ts";
import { abortProcess, setProcess } from "../process.ts";
import { splitThrown } from "../reason.ts";
import { cancelFollowers, deliverDown, deliverExit } from "../relations.ts";
import {
  abortOperations,
  begin,
  beginLife,
  exit,
  fireTimer,
  isImpure,
  pendingCount,
  settleOperation,
} from "../runtime.ts";
import { CancelledError, cancelWaits, cancelWhenOpen, waitCount } from "../wait.ts";
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
  exit: 11,
  down: 12,
  restore: 13,
  discard: 14,
  query: 15,
};

interface Program {
  readonly modules: Modules;
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
  if (kind !== kinds.uncaught && kind !== kinds.idle) beginInput(kind === kinds.message ? number : 0);
  switch (kind) {
    case kinds.evaluated:
      return attach(rest[0] as Promise<Program>);
    case kinds.probe:
      return evaluated && !isImpure() ? "pure" : "impure";
    case kinds.start:
      return start(a, b, rest as ArrayBuffer[]);
    case kinds.message:
      return receiveMessage(a, decode(b, rest));
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
    case kinds.exit: {
      const asked = deliverExit(a, number === 1, decode(b, rest));
      return asked === undefined ? undefined : cancel(asked);
    }
    case kinds.down:
      return deliverDown(number, a, decode(b, rest));
    case kinds.restore:
      return restore(number, rest[0] as ArrayBuffer);
    case kinds.discard:
      return discardMessage(number);
    case kinds.query:
      return receiveQuery(decode(b, rest));
    default:
      return fail(rest[0]);
  }
}

/** The heap is that of a checkpoint: nothing of this life may repeat a number or a random one of those before. */
function restore(life: number, seed: ArrayBuffer): void {
  seedRandom(new Uint8Array(seed));
  beginLife(life);
}

function cancel(message: string): void {
  if (cancelBehaviour()) return;
  cancelWhenOpen(() => {
    const reason = (): CancelledError => new CancelledError(message);
    cancelFollowers(message);
    abortProcess(reason());
    cancelWaits(reason);
    abortOperations(reason);
  });
}

function attach(namespace: Promise<Program>): void {
  namespace.then((evaluatedProgram) => {
    evaluated = true;
    setModules(evaluatedProgram.modules);
    program.resolve(evaluatedProgram);
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
  await program.promise;
  const result = await runEntry(entry, args);
  scriptRuns = result === script;
  return result;
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

function fail(thrown: unknown): void {
  const { word, value } = splitThrown(thrown);
  exit(word, value, takenMessage());
}
