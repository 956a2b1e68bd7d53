/**
 * Checkpoints: what a process had pending when it asked for one, and how it is put back there. The rules are in
 * `docs/supervision.md`: what it waited for then it waits for again, what it began since is dropped, and those who tied
 * themselves to it since hear of its failure.
 */
import { readEdgeAddress } from "../base/edge-key.ts";
import { PerdureError } from "../base/errors.ts";
import { noConnection } from "../store/exports.ts";
import type { Clock, Random } from "../base/ports.ts";
import { encodeError } from "../base/value.ts";
import { commandDigest } from "../journal/digest.ts";
import { placeOfMessage } from "../journal/types.ts";
import type { DroppedOperation, Input } from "../journal/types.ts";
import type { ProcessKey, ProcessRow, Store, TimerRow } from "../store/port.ts";
import type { Attempts } from "./attempts.ts";
import type { Committer } from "./batch.ts";
import { decodeCheckpoint, encodeCheckpoint } from "./checkpoint-body.ts";
import type { CheckpointBody, CheckpointEnd } from "./checkpoint-body.ts";
import { droppedOperation } from "./dropped.ts";
import type { Edges } from "./edges.ts";
import { addRelations, queueInput } from "./live.ts";
import type { Live, QueuedInput } from "./live.ts";
import { gone } from "./registry.ts";
import { stageMessage } from "./staging.ts";
import { crashOf, downInput, hears, noProcess, signalInput } from "./ties.ts";
import type { Ending, Ties } from "./ties.ts";

export interface CheckpointsPorts {
  readonly committer: Committer;
  readonly attempts: Attempts;
  readonly edges: Edges;
  readonly random: Random;
  readonly store: Pick<Store, "exported" | "getProcess" | "load" | "turns">;
  /** Others may have tied themselves to the process that this node knows nothing of. */
  readonly shared: boolean;
  readonly clock: Clock;
  readonly ties: Ties;
  held(process: ProcessKey): Live | undefined;
  reach(process: ProcessKey): Promise<Live | undefined>;
  timersSet(rows: readonly TimerRow[]): void;
}

/** What has to be read before a process can be put back. */
interface Prepared {
  /** What it was given since the checkpoint, as far as somebody asks for that: there may be any number of turns. */
  readonly told: readonly Input[];
  /** Everyone it is or was tied to: held in memory until it is put back, or as it ended. */
  readonly peers: ReadonlyMap<ProcessKey, Live | PeerRow>;
}

type PeerRow = Pick<ProcessRow, "pid" | "exit">;

const pageTurns = 1_000;

export class Checkpoints {
  readonly #ports: CheckpointsPorts;
  readonly #prepared = new Map<ProcessKey, Prepared>();

  constructor(ports: CheckpointsPorts) {
    this.#ports = ports;
  }

  /** To be called when everything else of the turn is staged. */
  take(live: Live, turn: number): void {
    const answers = live.inputs.flatMap(({ input }) => (input.kind === "result" ? [input.operation] : []));
    const body: CheckpointBody = {
      operations: [...new Set([...live.operations.keys(), ...answers, ...(live.asked ?? [])])],
      timers: [...live.timers.values()].map(({ row: { number, clock, dueMs } }) => ({ number, clock, dueMs })),
      links: [...(live.relations?.links ?? [])],
      monitors: [...(live.relations?.monitors ?? [])],
      watchers: watchersOf(live),
      trapsExits: live.row.trapsExits,
      ends: endsIn(live),
    };
    live.checkpoint = { turn, body: encodeCheckpoint(body) };
    const ties = [...body.links, ...body.monitors.map(([, target]) => target)];
    this.#ports.committer.stage.checkpoints.push({ process: live.row.key, ...live.checkpoint, ties });
  }

  /** Reads what `restore` needs, which must not wait: results since the checkpoint, and the processes tied to it. */
  async prepare(live: Live): Promise<void> {
    const { checkpoint } = live;
    if (checkpoint === undefined) return;
    const body = decodeCheckpoint(checkpoint.body);
    // Its last turns may be on their way to the store.
    while (live.uncommitted > 0)
      await new Promise<void>((resolve) => this.#ports.committer.stage.effects.push(resolve));
    const told: Input[] = [];
    for (let from = checkpoint.turn + 1; from <= live.lastTurn;) {
      const turns = await this.#ports.store.turns(live.row.key, from, pageTurns);
      for (const { inputs } of turns) told.push(...inputs.filter((input) => isHeeded(input, body)));
      from = (turns.at(-1)?.number ?? live.lastTurn) + 1;
    }
    if (this.#ports.shared) addRelations(live, await this.#ports.store.load(live.row.key));
    const peers = new Map<ProcessKey, Live | PeerRow>();
    const now = live.relations;
    const before = [...body.links, ...body.monitors.map(([, target]) => target)];
    const since = [...(now?.links ?? []), ...(now?.monitors.values() ?? []), ...(now?.watchers.keys() ?? [])];
    for (const key of [...before, ...since]) {
      if (peers.has(key)) continue;
      const peer = (await this.#ports.reach(key)) ?? this.#ports.held(key);
      if (peer !== undefined) peer.pins++;
      const found = peer ?? (await this.#ports.store.getProcess(key)) ?? (await this.#moved(key));
      if (found !== undefined) peers.set(key, found);
    }
    this.forget(live.row.key);
    this.#prepared.set(live.row.key, { told, peers });
  }

  /** It was exported: as if it had ended. */
  async #moved(key: ProcessKey): Promise<PeerRow | undefined> {
    const row = await this.#ports.store.exported(key);
    return row === undefined ? undefined : { pid: row.pid, exit: { atMs: row.exportedAtMs, ...noConnection } };
  }

  /** The word has been given: what was prepared for it is not needed any more. */
  forget(process: ProcessKey): void {
    for (const peer of this.#prepared.get(process)?.peers.values() ?? []) if ("row" in peer) peer.pins--;
    this.#prepared.delete(process);
  }

  /** Puts a crashed process back; `discarded` is the message that was set aside. False if it has no checkpoint, or what was prepared is not there. */
  restore(live: Live, ending: Ending, discarded: number | undefined): boolean {
    const { checkpoint } = live;
    const prepared = this.#prepared.get(live.row.key);
    if (checkpoint === undefined || prepared === undefined) return false;
    const body = decodeCheckpoint(checkpoint.body);
    const life = live.row.life + 1;
    const turn = live.lastTurn + 1;
    const seed = this.#ports.random.bytes(32);
    live.row = { ...live.row, life, trapsExits: body.trapsExits };
    this.#drop(
      live,
      (input) => input.kind === "restore" || isOfLaterOperation(input, body) || isOfLaterLink(input, body, prepared),
    );
    const dropped = this.#dropOperations(live, body);
    const restore: Input = { kind: "restore", life, seed, ...(dropped.length === 0 ? {} : { dropped }) };
    const again = [...outcomesAgain(live, body, prepared), ...endsAgain(live, body, prepared)];
    // The last that those have to say who are no more: what they said before may still wait.
    const last = [
      ...this.#links(live, body, prepared, ending),
      ...this.#monitors(live, body, prepared, ending),
      ...this.#children(live, prepared),
    ];
    this.#timers(live, body);
    const { sender } = crashOf(live.row);
    for (const input of prepared.told)
      if (input.kind === "message" && input.from !== sender) this.#ports.edges.lose(live, input.from, "forgotten");
    const { stage } = this.#ports.committer;
    const process = live.row.key;
    stage.traps.push({ process, on: body.trapsExits });
    stage.restores.push({ process, life, turn, from: checkpoint.turn });
    live.restores.push({ turn, from: checkpoint.turn });
    const queue = (input: Input): QueuedInput => {
      const queued = queueInput(input, this.#ports.clock.nowMs());
      stageMessage(stage, live, queued);
      return queued;
    };
    const first = [restore, ...discardsAgain(checkpoint.turn, prepared, discarded), ...again].map(queue);
    live.inputs = [...first, ...live.inputs, ...last.map(queue)];
    return true;
  }

  /** The life that was over in its first turn, and what it is not to hear of: see those who decide. */
  #drop(live: Live, isMeant: (input: Input) => boolean): void {
    for (const queued of live.inputs) {
      if (!isMeant(queued.input)) continue;
      queued.consumed = true;
      this.#ports.committer.stage.consumed.push(queued);
    }
    live.inputs = live.inputs.filter(({ consumed }) => !consumed);
  }

  /** What it began since is taken back. */
  #dropOperations(live: Live, body: CheckpointBody): DroppedOperation[] {
    const { stage } = this.#ports.committer;
    const before = new Set(body.operations);
    const dropped: DroppedOperation[] = [];
    for (const [number, operation] of live.operations) {
      if (before.has(number)) continue;
      dropped.push(droppedOperation(operation));
      live.operations.delete(number);
      stage.operationsGone.push({ process: live.row.key, number });
      stage.effects.push(() => this.#ports.attempts.abort(operation));
    }
    return dropped;
  }

  #timers(live: Live, body: CheckpointBody): void {
    const { stage } = this.#ports.committer;
    const process = live.row.key;
    const before = new Map(body.timers.map((timer) => [timer.number, { ...timer, process }]));
    for (const number of live.timers.keys()) {
      if (before.has(number)) continue;
      live.timers.delete(number);
      stage.timersGone.push({ process, number });
    }
    const missing = [...before.values()].filter(({ number }) => !live.timers.has(number));
    for (const row of missing) live.timers.set(row.number, { row, fired: false });
    stage.timers.push(...missing);
    stage.effects.push(() => this.#ports.timersSet(missing));
  }

  /** A link of then is there again, or has broken. */
  #links(live: Live, body: CheckpointBody, { peers }: Prepared, ending: Ending): Input[] {
    const { held, ties } = this.#ports;
    const before = new Set(body.links);
    for (const key of live.relations?.links ?? []) {
      if (before.has(key)) continue;
      const peer = held(key) ?? awayOf(peers.get(key));
      if (peer === undefined) continue;
      if (peer.away) {
        ties.breakAway(live, peer, ending);
        continue;
      }
      ties.untie(live, peer);
      ties.breakAfter(live, peer, ending);
    }
    return body.links.flatMap((key) => {
      const peer = peers.get(key);
      if (peer === undefined || live.relations?.links.has(key) === true) return [];
      if (isAlive(peer)) {
        ties.tieAgain(live, peer);
        return [];
      }
      const { pid, exit = noProcess } = rowOf(peer);
      // That it failed and is held is not its end.
      const isComing = live.inputs.some(
        ({ input }) => input.kind === "exit" && input.linked && input.held === "" && input.from === pid,
      );
      return isComing || !hears(live, exit) ? [] : [signalInput(pid, exit, true, "")];
    });
  }

  #monitors(live: Live, body: CheckpointBody, { peers }: Prepared, ending: Ending): Input[] {
    const { ties } = this.#ports;
    const mine = new Map(body.monitors);
    const theirs = new Set(body.watchers.map(String));
    for (const number of [...(live.relations?.monitors.keys() ?? [])]) {
      if (!mine.has(number)) ties.demonitor(live, number);
    }
    for (const [watcher, number] of watchersOf(live)) {
      if (theirs.has(String([watcher, number]))) continue;
      ties.fireOne(live, watcher, number, ending, awayOf(peers.get(watcher)));
    }
    return [...mine].flatMap(([number, target]) => {
      const peer = peers.get(target);
      if (peer === undefined || live.relations?.monitors.has(number) === true) return [];
      // It fires once, also if it did because its target was put back and lives on.
      if (live.inputs.some(({ input }) => input.kind === "down" && input.monitor === number)) return [];
      if (isAlive(peer)) {
        ties.observe(live, number, peer);
        return [];
      }
      const { pid, exit = noProcess } = rowOf(peer);
      return [downInput(number, pid, exit)];
    });
  }

  /** It has forgotten who waits for its word. */
  #children(live: Live, { peers }: Prepared): Input[] {
    const { ties, held } = this.#ports;
    const of = (key: ProcessKey): Live | undefined => held(key) ?? awayOf(peers.get(key));
    if (!live.row.trapsExits) {
      ties.abandonChildren(live, of);
      return [];
    }
    return ties.heldChildren(live, of).flatMap(({ row }) => {
      const isComing = live.inputs.some(({ input }) => input.kind === "exit" && input.from === row.pid);
      return isComing || row.exit === undefined ? [] : [signalInput(row.pid, row.exit, true, crashOf(row).culprit)];
    });
  }
}

/** Messages that were asked under keys, results it waited for then, ends of others, and which messages were taken out of its mailbox. */
function isHeeded(input: Input, { operations }: CheckpointBody): boolean {
  if (input.kind === "message") return readEdgeAddress(input.from) !== undefined;
  if (input.kind === "result") return operations.includes(input.operation);
  return input.kind === "exit" || input.kind === "down" || input.kind === "discard";
}

/** What stands for a notice that a link or a monitor is gone with its other end. A link made to one that has ended tells of another end. */
function endOf(input: Input): CheckpointEnd | undefined {
  if (input.kind === "down") return ["down", input.from, input.monitor, ""];
  if (input.kind !== "exit" || !input.linked || input.held !== "") return undefined;
  const { from, reason, value } = input;
  return ["exit", from, 0, commandDigest({ kind: "exit", reason, value }).digest];
}

/** A normal exit is nothing to those who trap none. */
function endsIn({ row, inputs }: Live): CheckpointEnd[] {
  return inputs.flatMap(({ input }) => {
    if (input.kind === "exit" && input.reason === "normal" && !row.trapsExits) return [];
    const end = endOf(input);
    return end === undefined ? [] : [end];
  });
}

/** Those it had not taken then, and has taken since. */
function endsAgain(live: Live, { ends }: CheckpointBody, { told }: Prepared): Input[] {
  const waiting = new Set(endsIn(live).map(String));
  const missing = ends.filter((end) => !waiting.has(String(end)));
  return missing.map((end): Input => {
    const [kind, from, monitor] = end;
    const found = told.find((input) => String(endOf(input)) === String(end));
    return found ?? (kind === "down" ? downInput(monitor, from, noProcess) : signalInput(from, noProcess, true, ""));
  });
}

/** Nobody waits for that result any more. The next checkpoint would take it for one that somebody does. */
function isOfLaterOperation(input: Input, { operations }: CheckpointBody): boolean {
  return input.kind === "result" && !operations.includes(input.operation);
}

/** An exit signal of one it was not linked to then. */
function isOfLaterLink(input: Input, { links, ends }: CheckpointBody, { peers }: Prepared): boolean {
  const end = endOf(input);
  if (end === undefined || input.kind !== "exit") return false;
  // What was linked then was there: to be told that it is not there, the process must have linked itself to it since.
  const isOld = links.some((key) => {
    const peer = peers.get(key);
    return input.reason !== "noproc" && peer !== undefined && rowOf(peer).pid === input.from;
  });
  return !isOld && !ends.some((each) => String(each) === String(end));
}

function isAlive(peer: Live | PeerRow): peer is Live {
  return "row" in peer && !gone(peer);
}

function awayOf(peer: Live | PeerRow | undefined): Live | undefined {
  return peer !== undefined && "row" in peer && peer.away ? peer : undefined;
}

function rowOf(peer: Live | PeerRow): PeerRow {
  return "row" in peer ? peer.row : peer;
}

function watchersOf({ relations }: Live): [ProcessKey, number][] {
  const all: [ProcessKey, number][] = [];
  for (const [watcher, numbers] of relations?.watchers ?? []) for (const number of numbers) all.push([watcher, number]);
  return all;
}

/** What was set aside stays so, whichever life it failed in: messages that had come by the checkpoint are in the mailbox again. */
function discardsAgain(checkpointTurn: number, { told }: Prepared, discarded: number | undefined): Input[] {
  const all = told.flatMap((input) => (input.kind === "discard" ? [input.message] : []));
  if (discarded !== undefined && discarded > 0) all.push(discarded);
  const messages = [...new Set(all)].filter((message) => placeOfMessage(message).turn <= checkpointTurn);
  return messages.map((message) => ({ kind: "discard", message }));
}

/** What it waited for then it gets again. */
function outcomesAgain(live: Live, body: CheckpointBody, { told }: Prepared): Input[] {
  const waiting = new Set(
    live.inputs
      .flatMap(({ input }) => (input.kind === "result" ? [input.operation] : []))
      .concat([...live.operations.keys(), ...(live.asked ?? [])]),
  );
  return body.operations
    .filter((number) => !waiting.has(number))
    .map((number) => told.find((input) => input.kind === "result" && input.operation === number) ?? lost(number));
}

/** It was given up by what is forgotten now. */
function lost(operation: number): Input {
  const error = new PerdureError(
    "OPERATION_ABORTED",
    "The operation was given up after the checkpoint the process has been put back to, so it has no result.",
  );
  return { kind: "result", operation, ok: false, value: encodeError(error) };
}
