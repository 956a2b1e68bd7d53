/**
 * What OTP's rules say of the turns in the journal: who is tied to whom, who holds which name, and what each process is owed.
 * It knows only the commands of durable turns, in the order in which they were committed, and nothing of the kernel.
 */
import { encodeValue } from "../../../src/base/value.ts";
import type { Payload } from "../../../src/base/value.ts";
import type { Command, ExitReason, Input, Pid } from "../../../src/journal/types.ts";
import type { ProcessKey } from "../../../src/store/port.ts";

/** Counts of inputs by what they say. */
export type Counts = Map<string, number>;

interface Watcher {
  readonly watcher: Pid;
  readonly number: number;
}

/** What was pending when a process took its checkpoint. */
interface Pending {
  readonly operations: readonly number[];
  readonly timers: readonly number[];
  readonly links: readonly Pid[];
  readonly monitors: readonly (readonly [number, Pid])[];
  readonly watchers: readonly string[];
  readonly traps: boolean;
  /** Names of ends it was yet to be told. */
  readonly ends: readonly string[];
}

export interface Ending {
  readonly reason: ExitReason;
  readonly value: Payload;
}

/** An exit that a process would have come to. */
interface Crash extends Ending {
  readonly culprit: Input["kind"];
  /** The message that was set aside: 0 for the culprit itself, undefined for none. */
  readonly aside: number | undefined;
}

export interface Member {
  readonly key: ProcessKey;
  readonly pid: Pid;
  readonly parent: Pid;
  alive: boolean;
  ending: Ending | undefined;
  traps: boolean;
  /** At some moment of the commit at hand it trapped no exits: then normal ones may have been dropped. */
  wasHeedless: boolean;
  readonly links: Set<Pid>;
  readonly monitors: Map<number, Pid>;
  readonly watchers: Map<string, Watcher>;
  /** Inputs it has to get, and some that it may get. */
  readonly due: Counts;
  readonly optional: Counts;
  /** Of host operations. */
  readonly operations: Set<number>;
  readonly timers: Set<number>;
  /** Operations and timers that were taken back, or are of forgotten turns; they may still come. */
  readonly stale: Set<string>;
  /** Its parent is asked about it. */
  crashes: Crash[];
  /** So many of them are from before the commit at hand. Of others nobody knows whether what its parent did was before or after. */
  knownCrashes: number;
  /** It failed in the commit at hand. */
  isBlurred: boolean;
  checkpoint: Pending | undefined;
  /** Operations that were answered, and inputs taken, since the checkpoint. */
  readonly heard: Set<string>;
  /** It was killed; its parent let it go. */
  doomed: boolean;
  released: boolean;
  /** Processes that cut a link with it, or with which it cut one. */
  readonly cut: Set<Pid>;
}

const nothing: Payload = encodeValue(undefined);
const noProcess: Ending = { reason: "noproc", value: nothing };

export class Reference {
  readonly members = new Map<Pid, Member>();
  readonly names = new Map<string, Pid>();
  readonly groups = new Map<string, Set<Pid>>();

  add(key: ProcessKey, pid: Pid, parent: Pid): Member {
    const member: Member = {
      key,
      pid,
      parent,
      alive: true,
      ending: undefined,
      traps: false,
      wasHeedless: true,
      links: new Set(),
      monitors: new Map(),
      watchers: new Map(),
      due: new Map(),
      optional: new Map(),
      operations: new Set(),
      timers: new Set(),
      stale: new Set(),
      crashes: [],
      knownCrashes: 0,
      isBlurred: false,
      checkpoint: undefined,
      heard: new Set(),
      doomed: false,
      released: false,
      cut: new Set(),
    };
    this.members.set(pid, member);
    return member;
  }

  /** Whom a text that names a receiver stands for, if that lives. */
  find(to: string): Member | undefined {
    const member = this.members.get(this.names.get(to) ?? to);
    return member?.alive === true ? member : undefined;
  }

  /** All commands but the kernel's operations, which `answers.ts` looks after. */
  command(member: Member, command: Command): void {
    switch (command.kind) {
      case "send": {
        const target = this.find(command.to);
        if (target !== undefined) this.#deliver(target, { kind: "message", from: member.pid, body: command.body });
        return;
      }
      case "spawn": {
        const child = this.members.get(command.pid);
        if (child === undefined) return;
        if (command.link) this.#tie(member, child);
        if (command.monitor > 0) this.#observe(member, command.monitor, child);
        return;
      }
      case "link":
        return this.#link(member, command.to);
      case "unlink":
        return this.#unlink(member, command.to);
      case "monitor": {
        const target = this.find(command.to);
        if (target === undefined) this.#down(member, command.number, command.to, noProcess);
        else this.#observe(member, command.number, target);
        return;
      }
      case "demonitor":
        return this.#demonitor(member, command.monitor);
      case "signal": {
        const target = this.find(command.to);
        const { reason, value } = command;
        if (target === undefined) return;
        if (reason === "kill") target.doomed = true;
        else this.#exitSignal(target, member.pid, { reason, value }, false);
        return;
      }
      case "cancel":
        return this.#cancel(member, command);
      case "trap-exit":
        member.traps = command.on;
        if (!command.on) this.#heedless(member);
        return;
      default:
        return this.#own(member, command);
    }
  }

  /** Who traps no exits hears of no failure, and so decides about nobody. */
  #heedless(member: Member): void {
    member.wasHeedless = true;
    for (const pid of member.links) {
      const child = this.members.get(pid);
      if (child?.parent === member.pid) this.#letGo(child);
    }
  }

  #own(member: Member, command: Command): void {
    switch (command.kind) {
      case "operation":
        return void member.operations.add(command.number);
      case "abort":
        member.stale.add(`result ${command.operation}`);
        return void member.operations.delete(command.operation);
      case "timer":
        return void member.timers.add(command.number);
      case "clear-timer":
        member.stale.add(`timer ${command.timer}`);
        return void member.timers.delete(command.timer);
      default:
        return;
    }
  }

  /** It takes an input. What is wrong with that, or undefined. */
  take(member: Member, input: Input): string | undefined {
    const name = describe(input);
    member.heard.add(name);
    if (input.kind === "timer") return takeNumber(member.timers, input.timer, member, name);
    if (input.kind === "result" && !member.due.has(name))
      return takeNumber(member.operations, input.operation, member, name);
    const isPeers =
      input.kind === "result" || input.kind === "down" || input.kind === "exit" || /^(?:message|cancel of)/.test(name);
    if (!isPeers || isWord(member, input)) return undefined;
    if (subtract(member.due, name) || subtract(member.optional, name)) return undefined;
    return `${member.pid} was given ${name}, which nobody sent, or a second time`;
  }

  /** A turn of it failed and was undone: its parent is asked. */
  crashed(member: Member, crash: Crash): string | undefined {
    const parent = this.find(member.parent);
    member.crashes.push(crash);
    member.isBlurred = true;
    if (parent === undefined) return `${member.pid} is held, and its parent has exited`;
    const input = signalInput(member.pid, crash, true, crash.culprit);
    // If its parent comes to its end within the same commit, nobody knows which came first.
    count(parent.due, describe(input), 1);
    return undefined;
  }

  answered(member: Member, number: number): void {
    count(member.due, `result ${number}`, 1);
  }

  takeCheckpoint(member: Member): void {
    const answers = [...member.due.keys()].flatMap((name) =>
      name.startsWith("result ") ? [Number(name.slice(7))] : [],
    );
    member.heard.clear();
    member.checkpoint = {
      operations: [...member.operations, ...answers],
      timers: [...member.timers],
      links: [...member.links],
      monitors: [...member.monitors],
      watchers: [...member.watchers.keys()],
      traps: member.traps,
      ends: [...member.due.keys(), ...member.optional.keys()].filter((name) => isEnd(name)),
    };
  }

  /** It is not held any more. What it had failed with. */
  wake(member: Member): Crash | undefined {
    if (member.knownCrashes > 0) member.knownCrashes--;
    return member.crashes.shift();
  }

  /** Its parent puts it back to its checkpoint. */
  restore(member: Member): string | undefined {
    const { checkpoint } = member;
    const ending = this.wake(member);
    if (checkpoint === undefined || ending === undefined)
      return `${member.pid} was put back, and has ${checkpoint === undefined ? "no checkpoint" : "not failed"}`;
    this.#restoreOwn(member, checkpoint);
    for (const pid of [...member.links]) {
      if (checkpoint.links.includes(pid)) continue;
      member.links.delete(pid);
      this.#breakLink(member, pid, ending);
    }
    for (const [number] of [...member.monitors])
      if (!checkpoint.monitors.some(([known]) => known === number)) this.#demonitor(member, number);
    for (const [name, watcher] of [...member.watchers])
      if (!checkpoint.watchers.includes(name)) this.#fire(member, watcher, ending);
    member.traps = checkpoint.traps;
    for (const pid of checkpoint.links) this.#linkAgain(member, pid, checkpoint);
    for (const [number, pid] of checkpoint.monitors) this.#observeAgain(member, number, pid);
    if (!member.traps) this.#heedless(member);
    for (const pid of member.links) this.#askAgain(member, pid);
    return undefined;
  }

  #restoreOwn(member: Member, { operations, timers, links, ends }: Pending): void {
    for (const name of [...member.due.keys()]) {
      const [, from] = /^linked exit of ([^:]*):/.exec(isEnd(name) ? name : "") ?? [];
      const isOld = from !== undefined && links.includes(from) && !name.includes(": noproc ");
      if (from !== undefined && !isOld && !ends.includes(name)) member.due.delete(name);
    }
    for (const name of ends) {
      const isWaiting = member.due.has(name) || member.optional.has(name);
      const [notice] = name.split(": ");
      if (!isWaiting) count(member.due, member.heard.has(name) ? name : `${notice}: noproc u `, 1);
    }
    for (const name of [...member.due.keys()])
      if (name.startsWith("result ") && !operations.includes(Number(name.slice(7)))) member.due.delete(name);
    for (const number of [...member.operations]) {
      if (operations.includes(number)) continue;
      member.operations.delete(number);
      member.stale.add(`result ${number}`);
    }
    for (const number of operations)
      if (!member.operations.has(number) && !member.due.has(`result ${number}`)) this.answered(member, number);
    for (const number of member.timers) if (!timers.includes(number)) member.stale.add(`timer ${number}`);
    member.timers.clear();
    for (const number of timers) member.timers.add(number);
  }

  /** It has forgotten who waits for its word. */
  #askAgain(member: Member, pid: Pid): void {
    const child = this.members.get(pid);
    const crash = child?.crashes[0];
    if (crash === undefined || child?.knownCrashes !== 1 || child.parent !== member.pid) return;
    const name = describe(signalInput(pid, crash, true, crash.culprit));
    if (!member.due.has(name)) count(member.due, name, 1);
    // That may be another one, of a failure in the same commit which says the same.
    else if (child.isBlurred) count(member.optional, name, 1);
  }

  /** A link that was there at the checkpoint is there again, or has broken. */
  #linkAgain(member: Member, pid: Pid, { ends }: Pending): void {
    if (member.links.has(pid)) return;
    const peer = this.members.get(pid);
    if (peer === undefined) return;
    if (peer.alive) return this.#tie(member, peer);
    // It broke once. That need not have been with the peer's end: one that was put back itself says what it had failed with.
    const isOfPeer = (name: string): boolean => isEnd(name) && name.startsWith(`linked exit of ${pid}:`);
    const waiting = [...member.due, ...member.optional].filter(([name]) => isOfPeer(name));
    if (waiting.reduce((sum, [, times]) => sum + times, 0) > ends.filter(isOfPeer).length) return;
    this.#exitSignal(member, pid, peer.ending ?? noProcess, true);
  }

  #observeAgain(member: Member, number: number, pid: Pid): void {
    if (member.monitors.has(number)) return;
    const peer = this.members.get(pid);
    if (peer === undefined) return;
    // It fires once. As a link's, that need not be with the target's end: it may have been put back, and live on.
    if ([...member.due.keys()].some((name) => name.startsWith(`down ${number} of ${pid}:`))) return;
    if (peer.alive) return this.#observe(member, number, peer);
    this.#down(member, number, pid, peer.ending ?? noProcess);
  }

  end(member: Member, ending: Ending): void {
    const { links, watchers, monitors } = member;
    member.alive = false;
    member.ending = ending;
    for (const [name, pid] of this.names) if (pid === member.pid) this.names.delete(name);
    for (const pids of this.groups.values()) pids.delete(member.pid);
    for (const pid of links) this.#breakLink(member, pid, ending);
    for (const watcher of [...watchers.values()]) this.#fire(member, watcher, ending);
    for (const number of [...monitors.keys()]) this.#demonitor(member, number);
    for (const emptied of [links, member.due, member.optional, member.operations, member.timers]) emptied.clear();
  }

  // -- ties -----------------------------------------------------------------------------------------------------

  #link(member: Member, to: Pid): void {
    const peer = this.find(to);
    if (peer === member) return;
    if (peer === undefined) this.#exitSignal(member, to, noProcess, true);
    else this.#tie(member, peer);
  }

  #tie(member: Member, peer: Member): void {
    member.links.add(peer.pid);
    peer.links.add(member.pid);
  }

  #unlink(member: Member, to: Pid): void {
    const peer = this.members.get(to);
    if (member.links.delete(to)) {
      peer?.links.delete(member.pid);
      if (peer?.parent === member.pid) this.#letGo(peer);
      if (member.parent === to) this.#letGo(member);
    }
    member.cut.add(to);
    peer?.cut.add(member.pid);
    for (const counts of [member.due, member.optional])
      for (const name of [...counts.keys()]) {
        if (!name.startsWith(`linked exit of ${to}:`)) continue;
        const times = counts.get(name) ?? 0;
        counts.delete(name);
        // Of failures in the same commit nobody knows whether they came before.
        if (peer?.isBlurred === true) count(member.optional, name, times);
      }
  }

  /** The links with its children break; exits that were on their way through them come all the same. */
  #cancel(member: Member, { to, reason }: Extract<Command, { kind: "cancel" }>): void {
    const named = this.find(to);
    const linked = [...member.links].flatMap((pid) => this.members.get(pid) ?? []);
    const asked = to === "" ? linked.filter(({ parent }) => parent === member.pid) : named === undefined ? [] : [named];
    for (const peer of asked) {
      if (to === "") {
        member.links.delete(peer.pid);
        peer.links.delete(member.pid);
        member.cut.add(peer.pid);
        peer.cut.add(member.pid);
        this.#letGo(peer);
      }
      this.#deliver(peer, { kind: "cancel", reason });
    }
  }

  #observe(member: Member, number: number, target: Member): void {
    member.monitors.set(number, target.pid);
    target.watchers.set(`${member.pid} ${number}`, { watcher: member.pid, number });
  }

  #demonitor(member: Member, number: number): void {
    const target = member.monitors.get(number);
    if (target === undefined) return;
    member.monitors.delete(number);
    this.members.get(target)?.watchers.delete(`${member.pid} ${number}`);
  }

  #breakLink(member: Member, pid: Pid, ending: Ending): void {
    const peer = this.members.get(pid);
    if (peer?.alive !== true) return;
    peer.links.delete(member.pid);
    this.#exitSignal(peer, member.pid, ending, true);
  }

  #fire(member: Member, { watcher, number }: Watcher, ending: Ending): void {
    member.watchers.delete(`${watcher} ${number}`);
    const other = this.members.get(watcher);
    if (other?.alive !== true) return;
    other.monitors.delete(number);
    this.#down(other, number, member.pid, ending);
  }

  #down(watcher: Member, number: number, from: Pid, ending: Ending): void {
    this.#deliver(watcher, downInput(number, from, ending));
  }

  /** One that does not trap exits takes no notice of a normal one; it may or may not be given it before it says that it does. */
  #exitSignal(target: Member, from: Pid, ending: Ending, linked: boolean): void {
    if (from === target.parent) this.#letGo(target);
    const input = signalInput(from, ending, linked, "");
    const isHeedless = ending.reason === "normal" && !target.traps && from !== target.pid;
    count(isHeedless ? target.optional : target.due, describe(input), 1);
  }

  #letGo(member: Member): void {
    if (member.knownCrashes === 0) return;
    this.wake(member);
    member.released = true;
  }

  #deliver(target: Member, input: Input): void {
    count(target.due, describe(input), 1);
  }
}

function takeNumber(pending: Set<number>, number: number, member: Member, name: string): string | undefined {
  if (pending.delete(number) || member.stale.delete(name)) return undefined;
  return `${member.pid} was given ${name}, and did not wait for it`;
}

function signalInput(from: Pid, { reason, value }: Ending, linked: boolean, held: "" | Input["kind"]): Input {
  return { kind: "exit", from, reason, value: reason === "normal" ? nothing : value, linked, held };
}

function downInput(monitor: number, from: Pid, { reason, value }: Ending): Input {
  return { kind: "down", monitor, from, reason, value: reason === "normal" ? nothing : value };
}

export function count(counts: Counts, name: string, by: number): void {
  counts.set(name, (counts.get(name) ?? 0) + by);
}

export function subtract(counts: Counts, name: string): boolean {
  const before = counts.get(name) ?? 0;
  if (before > 1) counts.set(name, before - 1);
  else counts.delete(name);
  return before > 0;
}

/** Two inputs that say the same are the same here. */
export function describe(input: Input): string {
  switch (input.kind) {
    case "message":
      return input.from === "" ? "outside message" : `message of ${input.from}: ${input.body.text}`;
    case "result":
      return `result ${input.operation}`;
    case "timer":
      return `timer ${input.timer}`;
    case "exit": {
      const { from, linked, reason, value, held } = input;
      return `${linked ? "linked exit" : "exit"} of ${from}: ${reason} ${value.text} ${held}`;
    }
    case "cancel":
      return `cancel ${input.reason}`;
    case "down":
      return `down ${input.monitor} of ${input.from}: ${input.reason} ${input.value.text}`;
    default:
      return input.kind;
  }
}

/** A notice that a link or a monitor is gone with its other end, but not that a child is held. */
function isEnd(name: string): boolean {
  return name.startsWith("down ") || (name.startsWith("linked exit of ") && name.endsWith(" "));
}

/** Its parent has let it go. */
export function isWord({ pid, released, isBlurred }: Member, input: Input): boolean {
  return input.kind === "exit" && input.held === "exit" && input.from === pid && (released || isBlurred);
}
