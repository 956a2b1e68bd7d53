/**
 * Links, monitors and exit signals, by the rules of Erlang/OTP: a link has two ends and breaks with the first exit, a
 * monitor fires once, and both tell of an end that was before they were made.
 */
import { encodeValue } from "../base/value.ts";
import type { Payload } from "../base/value.ts";
import type { Command, ExitReason, Input, Pid } from "../journal/types.ts";
import type { ProcessKey, ProcessRow } from "../store/port.ts";
import type { Committer, Passage, Stage } from "./batch.ts";
import { relationsOf, unwatch, watch } from "./live.ts";
import type { Live, QueuedInput } from "./live.ts";
import type { Find } from "./peers.ts";
import { gone } from "./registry.ts";
import { pin, stageConsumed } from "./staging.ts";

export interface TiesPorts {
  readonly committer: Committer;
  /** Several nodes own the store: processes may be tied to some that this one knows nothing of. */
  readonly shared: boolean;
  held(process: ProcessKey): Live | undefined;
  readonly find: Find;
  /** Hands an input to a process, as part of the commit being staged. */
  deliver(receiver: Live, input: Input, passage?: Passage): void;
  /** A process cuts a link, with the commit being staged. */
  cut(process: ProcessKey, tie: ProcessKey): void;
  /** Nobody will decide about a process that is held: it is let go. */
  abandon(live: Live): void;
}

/** Why a process ended, as others hear it. */
export interface Ending {
  readonly reason: ExitReason;
  readonly value: Payload;
}

const nothing: Payload = encodeValue(undefined);
export const noProcess: Ending = { reason: "noproc", value: nothing };

export class Ties {
  readonly #ports: TiesPorts;

  constructor(ports: TiesPorts) {
    this.#ports = ports;
  }

  get #stage(): Stage {
    return this.#ports.committer.stage;
  }

  /** A link to nobody is an exit signal. */
  link(live: Live, to: Pid): void {
    const peer = this.#ports.find(to);
    if (peer === live) return;
    if (peer === undefined) return this.#signal(live, to, noProcess, true);
    if (peer.away) this.#linkAway(live, peer);
    else this.tie(live, peer);
  }

  /** Whether it is still there, the commit finds out; and whether they are linked already: the other one may have cut what is known here. */
  #linkAway(live: Live, { row: { key, pid } }: Live): void {
    relationsOf(live).links.add(key);
    this.#stage.away.link({ process: live.row.key, target: key, pid });
  }

  tie(live: Live, peer: Live): void {
    const [a, b] = [live.row.key, peer.row.key];
    // What one remembers the other may have cut from another node.
    if (isLinked(live, peer) && isLinked(peer, live)) return;
    relationsOf(live).links.add(b);
    relationsOf(peer).links.add(a);
    this.#linkRow(a, b, true);
    this.#pin(peer);
  }

  /** After it, no exit comes through the link any more, not even one that was on its way. `ended`: the key of one that is no more. */
  unlink(live: Live, to: Pid, ended = 0): void {
    const peer = this.#ports.find(to);
    if (peer === undefined && ended > 0 && this.#ports.shared) this.#cut(live, ended);
    // The other end may have been made on another node.
    const isTied = peer?.away === true || isLinked(live, peer) || isLinked(peer, live);
    if (peer !== undefined && isTied) {
      this.untie(live, peer);
      if (peer.row.parent === live.row.pid) this.#ports.abandon(peer);
    }
    const isOf = (input: Input): boolean => input.kind === "exit" && input.linked && input.from === to;
    for (const queued of live.inputs.filter(({ input }) => isOf(input))) {
      live.inputs.splice(live.inputs.indexOf(queued), 1);
      this.refuse(live, queued);
    }
  }

  /** No turn of the process is to hear of it. Whoever is held, and waits for its word, is let go. */
  refuse(live: Live, queued: QueuedInput): void {
    const { input, seq } = queued;
    const child = input.kind === "exit" && input.held !== "" && input.from !== live.row.pid ? input.from : undefined;
    const held = child === undefined ? undefined : this.#ports.find(child);
    const isElsewhere = this.#ports.shared && child !== undefined && held?.away !== false;
    if (isElsewhere && seq !== undefined) {
      // The row goes, and what it says is to come instead.
      queued.consumed = true;
      this.#stage.away.refused.push(seq);
      return this.#pin(live);
    }
    if (held?.away === false) this.#ports.abandon(held);
    stageConsumed(this.#stage, live, queued);
  }

  untie(live: Live, peer: Live): void {
    live.relations?.links.delete(peer.row.key);
    peer.relations?.links.delete(live.row.key);
    this.#linkRow(live.row.key, peer.row.key, false);
    this.#pin(peer);
    if (this.#ports.shared) this.#cut(live, peer.row.key);
  }

  #cut({ row }: Live, key: ProcessKey): void {
    this.#stage.away.unlink(row.key, key);
    this.#ports.cut(row.key, key);
  }

  /** A monitor on nobody fires at once. */
  monitor(live: Live, number: number, to: Pid): void {
    const target = this.#ports.find(to);
    if (target === undefined) return this.#down(live, number, to, noProcess);
    this.observe(live, number, target);
  }

  /** `isNew`: it is born in this very turn, and so it is there. */
  observe(live: Live, number: number, target: Live, isNew = false): void {
    const { key, pid } = target.row;
    relationsOf(live).monitors.set(number, key);
    if (target.away && !isNew) return this.#stage.away.monitor({ watcher: live.row.key, number, target: key, pid });
    watch(target, live.row.key, number);
    this.#stage.monitors.push({ watcher: live.row.key, number, target: target.row.key });
    this.#pin(target);
  }

  demonitor(live: Live, number: number): void {
    const target = live.relations?.monitors.get(number);
    if (target === undefined) return;
    live.relations?.monitors.delete(number);
    this.#stage.monitorsGone.push({ watcher: live.row.key, number });
    this.#stage.away.demonitor(live.row.key, number);
    const held = this.#ports.held(target);
    if (held === undefined) return;
    unwatch(held, live.row.key, number);
    this.#pin(held);
  }

  signal(live: Live, { to, reason, value }: Extract<Command, { kind: "signal" }>): void {
    const peer = this.#ports.find(to);
    if (peer === undefined) return;
    if (reason === "kill") this.#ports.deliver(peer, { kind: "fatal", reason: "killed", detail: "Killed." });
    else this.#ports.deliver(peer, signalInput(live.row.pid, { reason, value }, false, ""));
  }

  /** `to` is "" for the children. */
  cancel(live: Live, { to, reason }: Extract<Command, { kind: "cancel" }>): void {
    if (to === "") return this.#cancelChildren(live, reason);
    const peer = this.#ports.find(to);
    if (peer !== undefined) this.#ports.deliver(peer, { kind: "cancel", reason });
  }

  /**
   * A cancel travels down the tree: children that a process is linked to are asked as well, in the commit in which it heard of it. The
   * links break: from then on each winds up by itself, and neither is cut short by the other's end.
   */
  #cancelChildren(live: Live, reason: string): void {
    for (const child of this.#linkedChildren(live)) {
      this.untie(live, child);
      // It might have failed, and wait for a word that will not come.
      this.#ports.abandon(child);
      this.#ports.deliver(child, { kind: "cancel", reason });
    }
  }

  /** Its parent is asked what shall become of it. If that ends or cuts the link on another node before it hears of it, there is nobody to decide. */
  tellHeld(parent: Live, live: Live, ending: Ending, culprit: Input["kind"]): void {
    const { key, pid } = live.row;
    const input = { kind: "verdict", verdict: "release", by: key, operation: 0 } as const;
    const passage = this.#ports.shared ? { tie: key, orElse: { process: key, input } } : undefined;
    this.#ports.deliver(parent, signalInput(pid, ending, true, culprit), passage);
  }

  /** It traps no exits any more, so it cannot be asked. `of`: what is known of others, by key. */
  abandonChildren(live: Live, of?: (key: ProcessKey) => Live | undefined): void {
    for (const child of this.heldChildren(live, of)) this.#ports.abandon(child);
  }

  /** Those that failed and wait for its word. */
  heldChildren(live: Live, of?: (key: ProcessKey) => Live | undefined): Live[] {
    return this.#linkedChildren(live, of).filter(({ row }) => row.state === "crashed");
  }

  #linkedChildren({ row, relations }: Live, of = this.#ports.held): Live[] {
    const peers = [...(relations?.links ?? [])].map((key) => of(key));
    return peers.filter((peer): peer is Live => peer?.row.parent === row.pid);
  }

  /** The process has come to its end: everyone tied to it hears of it, and nobody is tied to it any more. */
  breakAll(live: Live, ending: Ending): void {
    const { relations } = live;
    const links: ProcessKey[] = [];
    const monitors: (readonly [ProcessKey, number])[] = [];
    // Others may have tied themselves to it that this node does not know of.
    if (this.#ports.shared) this.#stage.away.notified.push({ process: live.row.key, links, monitors });
    if (relations === undefined) return;
    for (const key of relations.links) if (this.breakLink(live, key, ending)) links.push(key);
    for (const [watcher, numbers] of relations.watchers) {
      for (const number of numbers) if (this.fire(live, watcher, number, ending)) monitors.push([watcher, number]);
    }
    for (const [number, target] of relations.monitors) {
      const held = this.#ports.held(target);
      if (held !== undefined) unwatch(held, live.row.key, number);
    }
    live.relations = undefined;
  }

  /** The row goes with the process. False if the other end has not been told: it is another node's, and will find it in its inbox. */
  breakLink(live: Live, key: ProcessKey, ending: Ending): boolean {
    const peer = this.#ports.held(key);
    if (peer === undefined || gone(peer)) return false;
    if (peer.row.parent === live.row.pid) this.#ports.abandon(peer);
    if (peer.away || !isLinked(peer, live)) return false;
    peer.relations?.links.delete(live.row.key);
    this.#pin(peer);
    this.#signal(peer, live.row.pid, ending, true);
    return true;
  }

  /** False if the watcher has not been told. */
  fire(live: Live, watcherKey: ProcessKey, number: number, ending: Ending): boolean {
    const watcher = this.#ports.held(watcherKey);
    if (watcher === undefined || gone(watcher)) return false;
    // It may have been given up in a turn whose commit was still under way when the target was loaded.
    if (watcher.relations?.monitors.get(number) !== live.row.key) return false;
    watcher.relations.monitors.delete(number);
    this.#pin(watcher);
    this.#down(watcher, number, live.row.pid, ending);
    return true;
  }

  /** The link was cut, and it is for the other end as if the process had ended. */
  breakAfter(live: Live, peer: Live, ending: Ending): void {
    if (gone(peer)) return;
    if (peer.row.parent === live.row.pid) this.#ports.abandon(peer);
    this.#signal(peer, live.row.pid, ending, true);
  }

  /** What was linked before is linked again. */
  tieAgain(live: Live, peer: Live): void {
    if (peer.away) this.#linkAway(live, peer);
    else this.tie(live, peer);
  }

  /** The same, if the other end is on another node. */
  breakAway(live: Live, peer: Live, ending: Ending): void {
    this.untie(live, peer);
    this.#ports.deliver(peer, signalInput(live.row.pid, ending, true, ""), { tie: live.row.key });
  }

  /**
   * What came through a tie from another node, as a row of the inbox. False if it is not to be heard: the monitor was given up, or it is
   * nothing to the process.
   */
  arrived(live: Live, input: Input, tie: ProcessKey): boolean {
    if (input.kind === "down") {
      if (live.relations?.monitors.get(input.monitor) !== tie) return false;
      return live.relations.monitors.delete(input.monitor);
    }
    if (input.kind !== "exit" || input.held !== "") return true;
    live.relations?.links.delete(tie);
    return hears(live, input);
  }

  /** The process lives, but has forgotten that one of its watchers. */
  fireOne(live: Live, watcher: ProcessKey, number: number, ending: Ending, away?: Live): void {
    unwatch(live, watcher, number);
    this.#stage.monitorsGone.push({ watcher, number });
    if (away !== undefined) this.#ports.deliver(away, downInput(number, live.row.pid, ending), { tie: live.row.key });
    else this.fire(live, watcher, number, ending);
  }

  #signal(receiver: Live, from: Pid, ending: Ending, linked: boolean): void {
    if (hears(receiver, ending)) this.#ports.deliver(receiver, signalInput(from, ending, linked, ""));
  }

  #down(watcher: Live, monitor: number, from: Pid, ending: Ending): void {
    this.#ports.deliver(watcher, downInput(monitor, from, ending));
  }

  #linkRow(a: ProcessKey, b: ProcessKey, there: boolean): void {
    const [low, high] = a < b ? [a, b] : [b, a];
    this.#stage.links.set(`${low} ${high}`, { a: low, b: high, there });
  }

  /** The store does not know it yet: the other end must not be forgotten. */
  #pin(peer: Live): void {
    pin(this.#stage, peer);
  }
}

function isLinked(live: Live | undefined, to: Live | undefined): boolean {
  return live !== undefined && to !== undefined && live.relations?.links.has(to.row.key) === true;
}

/** A process that does not trap exits takes no notice of a normal one; if it is in mid-turn, it may be about to trap them. */
export function hears({ row, running }: Live, { reason }: Ending): boolean {
  return reason !== "normal" || row.trapsExits || running !== undefined;
}

/** What the row of a crashed process says of it, as its problem. */
export interface Crash {
  /** The kind of the input that did it. */
  readonly culprit: Input["kind"];
  /** The message that was set aside: 0 if it was the culprit and never got into the heap. Undefined if none could be. */
  readonly aside: number | undefined;
  /** The address outside that sent the message which was set aside; "" if there is none. */
  readonly sender: Pid;
}

const problemPattern = /^made it fail: ([^,]*)(?:, and a message was set aside: (\d+)(?:, asked for at ([^]*))?)?$/;

export function problemOf({ culprit, aside, sender }: Crash): string {
  const asker = sender === "" ? "" : `, asked for at ${sender}`;
  return `made it fail: ${culprit}${aside === undefined ? "" : `, and a message was set aside: ${aside}${asker}`}`;
}

export function crashOf({ problem }: Pick<ProcessRow, "problem">): Crash {
  const [, culprit = "", aside, sender = ""] = problemPattern.exec(problem) ?? [];
  return { culprit: culprit as Input["kind"], aside: aside === undefined ? undefined : Number(aside), sender };
}

export function downInput(monitor: number, from: Pid, { reason, value }: Ending): Input {
  return { kind: "down", monitor, from, reason, value: heard(reason, value) };
}

export function signalInput(from: Pid, { reason, value }: Ending, linked: boolean, held: "" | Input["kind"]): Input {
  return { kind: "exit", from, reason, value: heard(reason, value), linked, held };
}

/** A result is its waiter's, not everyone's. */
function heard(reason: ExitReason, value: Payload): Payload {
  return reason === "normal" ? nothing : value;
}
