/**
 * Checkpoints: what a process had pending when it asked for one, and how it is put back there. The rules are in
 * `docs/supervision.md`: what it waited for then it waits for again, what it began since is dropped, and those who tied
 * themselves to it since hear of its failure.
 */
import { PerdureError } from "../base/errors.ts";
import type { Clock, Random } from "../base/ports.ts";
import { encodeError } from "../base/value.ts";
import type { Input, Pid } from "../journal/types.ts";
import type { ProcessKey, StoreReader, TimerRow } from "../store/port.ts";
import type { Attempts } from "./attempts.ts";
import type { Committer } from "./batch.ts";
import { queueInput } from "./live.ts";
import type { Live } from "./live.ts";
import { gone } from "./registry.ts";
import { stageMessage } from "./staging.ts";
import type { Ending, Ties } from "./ties.ts";

export interface CheckpointsPorts {
  readonly committer: Committer;
  readonly attempts: Attempts;
  readonly random: Random;
  readonly store: Pick<StoreReader, "getProcess" | "turns">;
  readonly clock: Clock;
  readonly ties: Ties;
  held(process: ProcessKey): Live | undefined;
  activate(process: ProcessKey): Promise<Live | undefined>;
  timersSet(rows: readonly TimerRow[]): void;
}

interface Body {
  /** Numbers of operations without an outcome. */
  readonly operations: readonly number[];
  readonly timers: readonly Omit<TimerRow, "process">[];
  readonly links: readonly ProcessKey[];
  readonly monitors: readonly (readonly [number: number, target: ProcessKey])[];
  readonly watchers: readonly (readonly [watcher: ProcessKey, number: number])[];
  readonly trapsExits: boolean;
}

/** What has to be read before a process can be put back. */
interface Prepared {
  /** Outcomes it was told of since the checkpoint. */
  readonly told: readonly Input[];
  /** Who was at the other end of its links then. */
  readonly pids: ReadonlyMap<ProcessKey, Pid>;
}

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
    const body: Body = {
      operations: [...new Set([...live.operations.keys(), ...answers])],
      timers: [...live.timers.values()].map(({ row: { number, clock, dueMs } }) => ({ number, clock, dueMs })),
      links: [...(live.relations?.links ?? [])],
      monitors: [...(live.relations?.monitors ?? [])],
      watchers: watchersOf(live),
      trapsExits: live.row.trapsExits,
    };
    live.checkpoint = { turn, body: new TextEncoder().encode(JSON.stringify(body)) };
    this.#ports.committer.stage.checkpoints.push({ process: live.row.key, ...live.checkpoint });
  }

  /** Reads what `restore` needs, which must not wait: outcomes since the checkpoint, and the processes tied to it. */
  async prepare(live: Live): Promise<void> {
    const { checkpoint } = live;
    if (checkpoint === undefined) return;
    const body = decode(checkpoint.body);
    const told: Input[] = [];
    for (let from = checkpoint.turn + 1; from <= live.lastTurn;) {
      const turns = await this.#ports.store.turns(live.row.key, from, pageTurns);
      for (const { inputs } of turns) told.push(...inputs.filter(isOutcome));
      from = (turns.at(-1)?.number ?? live.lastTurn) + 1;
    }
    const pids = new Map<ProcessKey, Pid>();
    for (const key of body.links) {
      const row = await this.#ports.store.getProcess(key);
      if (row !== undefined) pids.set(key, row.pid);
    }
    this.#prepared.set(live.row.key, { told, pids });
    const others = [...body.links, ...body.monitors.map(([, target]) => target)];
    const now = live.relations;
    for (const key of [...others, ...(now?.links ?? []), ...(now?.watchers.keys() ?? [])]) {
      await this.#ports.activate(key);
    }
  }

  /** Puts a crashed process back. False if it has no checkpoint, or what was prepared is not there. */
  restore(live: Live, ending: Ending): boolean {
    const { checkpoint } = live;
    const prepared = this.#prepared.get(live.row.key);
    if (checkpoint === undefined || prepared === undefined) return false;
    this.#prepared.delete(live.row.key);
    const { told } = prepared;
    const body = decode(checkpoint.body);
    const life = live.row.life + 1;
    const turn = live.lastTurn + 1;
    const restore: Input = { kind: "restore", life, seed: this.#ports.random.bytes(32) };
    const again = [
      ...this.#operations(live, body, told),
      ...this.#links(live, body, prepared, ending),
      ...this.#monitors(live, body, told, ending),
    ];
    this.#timers(live, body);
    live.row = { ...live.row, life, trapsExits: body.trapsExits };
    const { stage } = this.#ports.committer;
    const process = live.row.key;
    stage.traps.push({ process, on: body.trapsExits });
    stage.restores.push({ process, life, turn, from: checkpoint.turn });
    live.restores.push({ turn, from: checkpoint.turn });
    const queued = [restore, ...again].map((input) => queueInput(input, this.#ports.clock.nowMs()));
    for (const each of queued) stageMessage(stage, live, each);
    live.inputs = [...queued, ...live.inputs];
    return true;
  }

  /** What it waited for it gets again; what it began since is taken back. */
  #operations(live: Live, body: Body, told: readonly Input[]): Input[] {
    const { stage } = this.#ports.committer;
    const before = new Set(body.operations);
    for (const [number, operation] of live.operations) {
      if (before.has(number)) continue;
      live.operations.delete(number);
      stage.operationsGone.push({ process: live.row.key, number });
      stage.effects.push(() => this.#ports.attempts.abort(operation));
    }
    const waiting = new Set(
      live.inputs
        .flatMap(({ input }) => (input.kind === "result" ? [input.operation] : []))
        .concat([...live.operations.keys()]),
    );
    return body.operations
      .filter((number) => !waiting.has(number))
      .map((number) => told.find((input) => input.kind === "result" && input.operation === number) ?? lost(number));
  }

  #timers(live: Live, body: Body): void {
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

  #links(live: Live, body: Body, { told, pids }: Prepared, ending: Ending): Input[] {
    const { held, ties } = this.#ports;
    const before = new Set(body.links);
    for (const key of live.relations?.links ?? []) {
      if (before.has(key)) continue;
      const peer = held(key);
      if (peer === undefined) continue;
      ties.untie(live, peer);
      ties.breakLink(live, key, ending);
    }
    return body.links.flatMap((key) => {
      if (live.relations?.links.has(key) === true) return [];
      const peer = held(key);
      if (peer !== undefined && !gone(peer)) ties.tie(live, peer);
      else return told.filter((input) => input.kind === "exit" && input.linked && input.from === pids.get(key));
      return [];
    });
  }

  #monitors(live: Live, body: Body, told: readonly Input[], ending: Ending): Input[] {
    const { held, ties } = this.#ports;
    const mine = new Map(body.monitors);
    const theirs = new Set(body.watchers.map(String));
    for (const number of [...(live.relations?.monitors.keys() ?? [])]) {
      if (!mine.has(number)) ties.demonitor(live, number);
    }
    for (const [watcher, number] of watchersOf(live)) {
      if (!theirs.has(String([watcher, number]))) ties.fireOne(live, watcher, number, ending);
    }
    return [...mine].flatMap(([number, target]) => {
      if (live.relations?.monitors.has(number) === true) return [];
      const peer = held(target);
      if (peer !== undefined && !gone(peer)) ties.observe(live, number, peer);
      else return told.filter((input) => input.kind === "down" && input.monitor === number);
      return [];
    });
  }
}

function watchersOf({ relations }: Live): [ProcessKey, number][] {
  const all: [ProcessKey, number][] = [];
  for (const [watcher, numbers] of relations?.watchers ?? []) for (const number of numbers) all.push([watcher, number]);
  return all;
}

function isOutcome({ kind }: Input): boolean {
  return kind === "result" || kind === "exit" || kind === "down";
}

/** It was given up by what is forgotten now. */
function lost(operation: number): Input {
  const error = new PerdureError(
    "OPERATION_ABORTED",
    "The operation was given up after the checkpoint the process has been put back to, so it has no result.",
  );
  return { kind: "result", operation, ok: false, value: encodeError(error) };
}

function decode(body: Uint8Array): Body {
  return JSON.parse(new TextDecoder().decode(body)) as Body;
}
