/**
 * What this process is to others: those it spawned, its links and its monitors. The kernel keeps the relations themselves; here
 * is who is told of their ends.
 */
import { childPid } from "../base/ids.ts";
import { encodeValue } from "../base/value.ts";
import type { ExitReason, SpawnOptions } from "../journal/types.ts";
import { deliverMessage, flush, flushExits } from "./mailbox.ts";
import type { Pid } from "./pid.ts";
import { requirePid } from "./pid.ts";
import { now, toWellFormed } from "./prelude/intrinsics.ts";
import { self } from "./process.ts";
import { ExitRequest, joinReason, splitReason } from "./reason.ts";
import { Counter, currentLife, emitKind, issue } from "./runtime.ts";
import { Crashed, Down, Exit, Monitor } from "./signals.ts";

const spawnNumbers = new Counter();
const monitorNumbers = new Counter();

interface Watch {
  readonly monitor: Monitor;
  /** Is told instead of the mailbox. */
  readonly listener: ((down: Down) => void) | undefined;
}

const watches = new Map<number, Watch>();
/**
 * Unlinked in this turn, as far as its time tells. The kernel takes back an exit signal that was on its way; one that is in the
 * same turn must not be seen either. One that comes later comes through a link that the other process has made since.
 */
const unlinked = new Set<Pid>();
let unlinkedAtMs = 0;

export interface SpawnRequest {
  /** As `entryOf` names it. */
  readonly entry: string;
  readonly args: readonly unknown[];
  readonly link?: boolean;
  /** Makes a monitor; its end is told to the mailbox, or to this function. */
  readonly monitor?: boolean | ((down: Down) => void);
  readonly options?: SpawnOptions;
}

export interface Spawned {
  readonly pid: Pid;
  readonly monitor: Monitor | undefined;
}

/** Throws VALUE_NOT_CLONEABLE or VALUE_TOO_LARGE if an argument cannot cross. */
export function spawnEntry({ entry, args, link = false, monitor = false, options }: SpawnRequest): Spawned {
  const { text, chunks } = encodeValue(args);
  const pid = childPid(self(), currentLife(), spawnNumbers.last + 1);
  const number = monitor === false ? 0 : monitorNumbers.last + 1;
  const lines = [pid, entry, link ? "link" : "", options === undefined ? "" : JSON.stringify(options)];
  issue(emitKind.spawn, number, lines.join("\n"), text, chunks);
  spawnNumbers.next();
  if (monitor === false) return { pid, monitor: undefined };
  monitorNumbers.next();
  return { pid, monitor: remember(number, pid, monitor === true ? undefined : monitor) };
}

function remember(number: number, target: Pid, listener: Watch["listener"]): Monitor {
  const monitor = new Monitor(number, target);
  watches.set(number, { monitor, listener });
  return monitor;
}

/**
 * Links this process to another: when one ends abnormally, the other gets an exit signal, which ends it too unless it traps
 * exits. If there is no such process, this one gets the signal `"noproc"`. Linking twice is linking once.
 */
export function link(pid: Pid): void {
  requirePid(pid, "link");
  unlinked.delete(pid);
  issue(emitKind.link, 0, toWellFormed(pid), "");
}

/** Undoes a link, from whichever side it was made. No `Exit` of the other process comes through it afterwards. */
export function unlink(pid: Pid): void {
  requirePid(pid, "unlink");
  unlinkAll(new Set([pid]));
}

export function unlinkAll(pids: ReadonlySet<Pid>): void {
  if (unlinkedAtMs !== now()) unlinked.clear();
  unlinkedAtMs = now();
  for (const pid of pids) {
    issue(emitKind.unlink, 0, toWellFormed(pid), "");
    unlinked.add(pid);
  }
  flushExits((from) => pids.has(from));
}

/**
 * Watches another process, by pid or registered name, without tying this one to it: one `Down` comes when it ends, at once
 * (with reason `"noproc"`) if there is no such process. Each call makes a monitor of its own.
 */
export function monitor(target: Pid): Monitor {
  return watch(target);
}

/** `listener` is told instead of the mailbox. */
export function watch(target: Pid, listener?: (down: Down) => void): Monitor {
  requirePid(target, "monitor");
  const number = monitorNumbers.last + 1;
  issue(emitKind.monitor, number, toWellFormed(target), "");
  monitorNumbers.next();
  return remember(number, target, listener);
}

/** Ends a monitor. No `Down` of it is delivered afterwards, also not one that waits in the mailbox. */
export function demonitor(monitor: Monitor): void {
  if (watches.delete(monitor.number)) issue(emitKind.demonitor, monitor.number, "", "");
  else flush((item) => item instanceof Down && item.monitor === monitor);
}

/**
 * Ends this process with `reason`, `"normal"` by default: `finally` blocks run, then links and monitors are told. Never
 * returns. With a pid it sends that process an exit signal instead.
 */
export function exit(reason?: unknown): never;
/**
 * Sends an exit signal. A process that traps exits gets it as an `Exit` message; any other ends with the reason, unless that is
 * `"normal"`, which does nothing. `"kill"` cannot be trapped: the process ends with `"killed"`.
 */
export function exit(pid: Pid, reason: unknown): void;
export function exit(...args: [reason?: unknown] | [pid: Pid, reason: unknown]): void {
  if (args.length < 2) throw new ExitRequest(args[0] === undefined ? "normal" : args[0]);
  const [pid, reason] = args as [Pid, unknown];
  requirePid(pid, "exit");
  if (reason === "kill") return issue(emitKind.signal, 0, `kill\n${toWellFormed(pid)}`, "u");
  const { word, value } = splitReason(reason);
  const { text, chunks } = encodeValue(value);
  issue(emitKind.signal, 0, `${word}\n${toWellFormed(pid)}`, text, chunks);
}

/**
 * Asks another process, by pid or registered name, to wind up, as `perdure cancel` does: its AbortSignal fires, its pending waits
 * reject with `CancelledError`, its cleanup runs. Nothing happens if there is no such process.
 */
export function cancel(pid: Pid, reason: string = "The process was cancelled."): void {
  requirePid(pid, "cancel");
  issue(emitKind.cancel, 0, toWellFormed(pid), toWellFormed(reason));
}

/** Processes that do a part of this one's work without a link, such as tasks; whether they were asked to wind up. */
const followers = new Map<Pid, "runs" | "asked">();

export function follow(pid: Pid): void {
  followers.set(pid, "runs");
}

export function unfollow(pid: Pid): void {
  followers.delete(pid);
}

export function isAsked(pid: Pid): boolean {
  return followers.get(pid) === "asked";
}

/** This process was asked to wind up. One that traps exits decides itself about those it is linked to. */
export function cancelFollowers(reason: string): void {
  if (spawnNumbers.last > 0 && !trapping && !guarded) issue(emitKind.cancel, 0, "", reason);
  for (const pid of followers.keys()) {
    issue(emitKind.cancel, 0, pid, reason);
    followers.set(pid, "asked");
  }
}

/**
 * Called by the core: an exit signal that this process traps, or its parent's that is a request to wind up: then it answers with the
 * reason for that. `head` is JSON, see `machine/protocol.ts`.
 */
export function deliverExit(head: string, linked: boolean, value: unknown): string | undefined {
  const [from, word, held] = JSON.parse(head) as [Pid, ExitReason, string];
  if (linked && unlinkedAtMs === now() && unlinked.delete(from)) return undefined;
  if (linked && word === "cancelled" && !trapping && !guarded) {
    return value instanceof Error ? value.message : `${from}, which started it, was cancelled.`;
  }
  const reason = joinReason(word, value);
  deliverMessage(held === "" ? new Exit(from, reason) : new Crashed(from, reason, held));
  return undefined;
}

export function deliverDown(number: number, head: string, value: unknown): void {
  const found = watches.get(number);
  if (found === undefined) return;
  watches.delete(number);
  const [from, word] = JSON.parse(head) as [Pid, ExitReason];
  const down = new Down(found.monitor, from, joinReason(word, value));
  if (found.listener === undefined) deliverMessage(down);
  else found.listener(down);
}

/** What the program asked for, and what a behaviour needs for itself. */
let trapping = false;
let guarded = false;

/**
 * From now on exit signals of others arrive as `Exit` messages instead of ending this process; `false` goes back. Only `kill`
 * cannot be trapped.
 */
export function trapExit(on = true): void {
  if (on === trapping) return;
  trapping = on;
  if (!guarded) issue(emitKind.trapExit, on ? 1 : 0, "", "");
}

/** For behaviours: exit signals become messages, whatever the program wants; `isTrapping` says what that is. */
export function guardExits(): void {
  if (!guarded && !trapping) issue(emitKind.trapExit, 1, "", "");
  guarded = true;
}

export function isTrapping(): boolean {
  return trapping;
}
