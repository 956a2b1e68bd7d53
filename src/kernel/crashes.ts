/**
 * Processes whose own code failed. Each leaves a report in the log; one whose supervisor wants to be asked is held: its last
 * turn is undone as if it had never been, the message that did it is set aside, and it waits until its supervisor lets it
 * go on from an earlier heap or lets it go.
 */
import type { Clock } from "../base/ports.ts";
import { decodeValue, encodeValue } from "../base/value.ts";
import { failureReasons, messageNumber, placeOfMessage } from "../journal/types.ts";
import type { Input, Pid, Verdict } from "../journal/types.ts";
import type { ProcessExit, ProcessKey, Store } from "../store/port.ts";
import type { Committer } from "./batch.ts";
import type { Checkpoints } from "./checkpoints.ts";
import type { Edges } from "./edges.ts";
import type { TurnEffects } from "./effects.ts";
import { arrived, queueInput, tellDurable } from "./live.ts";
import type { Live, QueuedInput } from "./live.ts";
import type { Find } from "./peers.ts";
import type { KernelEvents } from "./ports.ts";
import { gone } from "./registry.ts";
import { stageControl, stageEdge, stageMessage } from "./staging.ts";
import { crashOf, problemOf } from "./ties.ts";
import type { Ties } from "./ties.ts";

export interface CrashesPorts {
  readonly committer: Committer;
  readonly clock: Clock;
  readonly edges: Edges;
  readonly events: KernelEvents;
  readonly ties: Ties;
  readonly checkpoints: Checkpoints;
  readonly store: Pick<Store, "load" | "turns">;
  readonly find: Find;
  reach(pid: Pid): Promise<Live | undefined>;
  ready(live: Live): void;
}

/** A finished turn, as far as a crash is concerned. */
export interface CrashedTurn {
  readonly number: number;
  readonly inputs: readonly QueuedInput[];
  readonly outcome: { readonly delivered: number };
}

/** What is set aside. `number`: 0 for the input itself, otherwise that of a message in the mailbox. */
interface Poison {
  readonly letter: Input;
  readonly number: number;
}

export class Crashes {
  readonly #ports: CrashesPorts;

  constructor(ports: CrashesPorts) {
    this.#ports = ports;
  }

  /** Its first turn cannot be undone: there is no heap before it. */
  mayHold(live: Live, turn: CrashedTurn, exit: ProcessExit | undefined): boolean {
    return live.row.held && exit !== undefined && turn.number > 1 && isOwnFailure(live, exit, lastInput(turn));
  }

  /** False if nobody is there to decide, or would hear of it through a link: then the process exits as any other. */
  async hold(live: Live, turn: CrashedTurn, { exit, taken }: TurnEffects): Promise<boolean> {
    const { ties, committer } = this.#ports;
    const poison = turn.outcome.delivered > 1 ? undefined : await this.#poison(live, turn, taken);
    const reached = await this.#ports.reach(live.row.parent);
    const parent = reached?.away === true ? reached : this.#ports.find(live.row.parent);
    const isTied = reached?.away === true ? await this.#isLinked(live, reached.row.key) : true;
    const culprit = turn.inputs[0];
    if (exit === undefined || culprit === undefined || gone(live)) return false;
    const isHeard = parent?.row.trapsExits === true && live.relations?.links.has(parent.row.key) === true;
    if (parent === undefined || !isHeard || !isTied) return false;
    if (turn.outcome.delivered > 1) {
      // Those before the culprit are innocent: they get turns of their own, and it will be alone in its.
      live.oneByOne = turn.inputs.length;
      live.inputs = [...turn.inputs, ...live.inputs];
      return true;
    }
    if (live.row.state === "paused" || live.row.state === "moving") {
      // An operator stopped it while the turn ran: it runs again when it may go on.
      live.inputs = [...turn.inputs, ...live.inputs];
      return true;
    }
    const input = arrived(culprit);
    culprit.input = input;
    culprit.culprit = undefined;
    live.inputs = [...(poison?.number === 0 ? turn.inputs.slice(1) : turn.inputs), ...live.inputs];
    const problem = problemOf({ culprit: input.kind, aside: poison?.number, sender: senderOf(poison?.letter) });
    live.row = { ...live.row, state: "crashed", problem, exit };
    const { stage } = committer;
    stageControl(stage, live);
    if (poison !== undefined) {
      const { reason, value, atMs } = exit;
      stage.deadLetters.push({ process: live.row.key, input: poison.letter, atMs, reason, value });
    }
    if (poison?.number === 0) {
      culprit.consumed = true;
      stage.consumed.push(culprit);
      stageEdge(stage, culprit);
      stage.effects.push(() => tellDurable(culprit));
    }
    this.report(live, exit, [culprit]);
    ties.tellHeld(parent, live, exit, input.kind);
    return true;
  }

  /** What is remembered of a link the other end may have cut from its node. */
  async #isLinked(live: Live, other: ProcessKey): Promise<boolean> {
    if (live.uncommitted > 0) await new Promise<void>((resolve) => this.#ports.committer.stage.effects.push(resolve));
    const { links } = await this.#ports.store.load(live.row.key);
    return links.includes(other);
  }

  /**
   * What to set aside: the message that the program took last before it failed. Mostly that is the very input; a process that was
   * busy when it arrived has it in its mailbox, from an earlier turn.
   */
  async #poison(live: Live, turn: CrashedTurn, taken: number | undefined): Promise<Poison | undefined> {
    const index = turn.outcome.delivered - 1;
    const culprit = turn.inputs[index];
    const input = culprit === undefined ? undefined : arrived(culprit);
    if (taken === undefined) return input !== undefined && isTakeable(input) ? { letter: input, number: 0 } : undefined;
    if (taken === messageNumber(turn.number, index) && input !== undefined) return { letter: input, number: 0 };
    if (taken === 0) return undefined;
    const place = placeOfMessage(taken);
    // Its turn may be on its way to the store.
    if (live.uncommitted > 0) await new Promise<void>((resolve) => this.#ports.committer.stage.effects.push(resolve));
    const [found] = await this.#ports.store.turns(live.row.key, place.turn, 1);
    const letter = found?.number === place.turn ? found.inputs[place.index] : undefined;
    return letter?.kind === "message" ? { letter, number: taken } : undefined;
  }

  /** False if it is not held any more, or cannot go on from there. */
  revive(live: Live | undefined, from: "previous" | "checkpoint"): boolean {
    const exit = live?.row.exit;
    if (live?.row.state !== "crashed" || exit === undefined) return false;
    const { aside: message, sender } = crashOf(live.row);
    if (from === "checkpoint") {
      if (!this.#ports.checkpoints.restore(live, exit, message)) return false;
    } else {
      if (message === undefined) return false;
      if (message > 0) this.#discard(live, message);
    }
    this.#ports.edges.lose(live, sender, "set-aside");
    this.#wake(live);
    return true;
  }

  /** It lies in the heap: there it has to be taken out before anything else happens. */
  #discard(live: Live, message: number): void {
    const queued = queueInput({ kind: "discard", message }, this.#ports.clock.nowMs());
    stageMessage(this.#ports.committer.stage, live, queued);
    live.inputs.unshift(queued);
  }

  /** The process exits after all, for the reason it failed with. False if it is not held any more. */
  letGo(live: Live): boolean {
    const { exit, pid, state } = live.row;
    if (state !== "crashed" || exit === undefined) return false;
    if (live.away) {
      this.decideAway(live, "release", { process: live.row.key, operation: 0 });
      return true;
    }
    const { reason, value } = exit;
    const input: Input = { kind: "exit", from: pid, reason, value, linked: false, held: "exit" };
    const queued = queueInput(input, this.#ports.clock.nowMs());
    stageMessage(this.#ports.committer.stage, live, queued);
    // The others are told of its end.
    live.inputs.unshift(queued);
    this.#wake(live);
    return true;
  }

  /**
   * The process is on another node, which does what was decided and answers the operation of whoever decided, unless that is 0. If it
   * has come to its end by then, the answer is that nothing was done.
   */
  decideAway(
    live: Live,
    verdict: Verdict,
    { process, operation }: { readonly process: ProcessKey; readonly operation: number },
  ): void {
    const input: Input = { kind: "verdict", verdict, by: process, operation };
    const passage = operation === 0 ? {} : { orElse: { process, input: answerOf(operation, false) } };
    stageMessage(this.#ports.committer.stage, live, queueInput(input, this.#ports.clock.nowMs()), passage);
  }

  #wake(live: Live): void {
    const { exit: _, ...row } = live.row;
    live.row = { ...row, state: "running", problem: "" };
    stageControl(this.#ports.committer.stage, live);
    this.#ports.ready(live);
  }

  /** What OTP's crash reports are: a process that nobody started from outside, and so nobody waits for, says why it failed. */
  report(live: Live, exit: ProcessExit, inputs: readonly QueuedInput[]): void {
    const { pid, program, parent, label, restarts } = live.row;
    if (parent === "" || !isOwnFailure(live, exit, inputs.at(-1)?.input)) return;
    const named = label === "" ? pid : `${label} (${pid})`;
    const again = restarts === 0 ? "" : `, restarted ${restarts} ${restarts === 1 ? "time" : "times"} before`;
    const text = `Process ${named} of ${parent}${again} failed: ${exit.reason}: ${describe(exit)}`;
    const { stage } = this.#ports.committer;
    stage.logs.push({ process: live.row.key, turn: live.lastTurn + 1, atMs: exit.atMs, level: "error", text });
    const log = { pid, program, level: "error", text, atMs: exit.atMs } as const;
    stage.effects.push(() => this.#ports.events.logs([log]));
  }
}

/** What a parent hears of its verdict. */
export function answerOf(operation: number, done: boolean): Input {
  return { kind: "result", operation, ok: true, value: encodeValue(done) };
}

/** Answers that somebody awaits are messages too; without them, the wait would have no end. Both ways to encode a list begin with it. */
function isTakeable(input: Input): boolean {
  return input.kind === "message" && !/^(j\[|v\[\[1\],\["a",)"perdure:(reply|ack)"/.test(input.body.text);
}

/** The address outside that asked for it; "" if none did. */
function senderOf(letter: Input | undefined): Pid {
  return letter?.kind === "message" && letter.from.startsWith("@") ? letter.from : "";
}

function lastInput({ inputs, outcome }: CrashedTurn): Input | undefined {
  return inputs[outcome.delivered - 1]?.input;
}

/** Its own code did it, not a signal. */
function isOwnFailure(live: Live, { reason }: ProcessExit, culprit: Input | undefined): boolean {
  if (!failureReasons.includes(reason)) return false;
  // A parent's `cancelled` may be a request: what came of it is the process's own doing.
  if (culprit?.kind !== "exit" || culprit.reason === "cancelled") return true;
  return live.row.trapsExits && culprit.held !== "exit";
}

/** Whatever it ended with: a reason can be all that crosses the border, and a program may have put together its own payload. */
function describe({ value }: ProcessExit): string {
  try {
    const decoded = decodeValue(value);
    if (decoded instanceof Error) return decoded.stack ?? `${decoded.name}: ${decoded.message}`;
    if (typeof decoded === "string") return decoded;
    return JSON.stringify(decoded, bigintAsText) ?? String(decoded);
  } catch {
    return "a value that cannot be shown in a line";
  }
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? `${value}n` : value;
}
