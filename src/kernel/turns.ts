/**
 * What comes of a finished turn: everything it commanded is staged for one commit, in order and at once, and what may be
 * seen outside is seen after that commit. Other processes get their inputs at once: whatever they do with them is
 * committed with or after the turn that sent them, so nothing is ever known of a turn that did not happen.
 */
import type { Clock, Random } from "../base/ports.ts";
import { encodeValue } from "../base/value.ts";
import type { Payload } from "../base/value.ts";
import { commandDigest } from "../journal/digest.ts";
import type { Command, Input, Pid, SpawnOptions, Verdict } from "../journal/types.ts";
import { arrivingPrefix } from "../store/exports.ts";
import type { ProcessExit, ProcessKey, ProcessRow, Store, TimerRow } from "../store/port.ts";
import { Answers } from "./answers.ts";
import type { Attempts } from "./attempts.ts";
import type { Awaited } from "./awaited.ts";
import type { Committer, Passage } from "./batch.ts";
import { Checkpoints } from "./checkpoints.ts";
import { answerOf, Crashes } from "./crashes.ts";
import type { Edges } from "./edges.ts";
import { turnEffects } from "./effects.ts";
import type { Births } from "./births.ts";
import type { Act, FinishedTurn, KernelOperation, TurnEffects } from "./effects.ts";
import { exited } from "./errors.ts";
import { bear, queueInput, tellDurable } from "./live.ts";
import type { Birth, Live, QueuedInput } from "./live.ts";
import type { Names } from "./names.ts";
import { Peers } from "./peers.ts";
import type { Ended } from "./peers.ts";
import type { KernelEvents } from "./ports.ts";
import { gone } from "./registry.ts";
import type { Registry } from "./registry.ts";
import { requestOf, whyMalformed } from "./requests.ts";
import type { DoneOutcome } from "./runs.ts";
import type { Shards } from "./shards.ts";
import { stageConsumed, stageControl, stageMessage, stageRow, stageTurn } from "./staging.ts";
import type { StagedOperations } from "./staging.ts";
import { Ties } from "./ties.ts";

export interface TurnsPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly store: Pick<Store, "exported" | "getProcess" | "load" | "turns">;
  /** Several nodes own the store. */
  readonly shared: boolean;
  isMine(row: ProcessRow): boolean;
  cut(process: ProcessKey, tie: ProcessKey): void;
  readonly committer: Committer;
  readonly registry: Registry;
  readonly names: Names;
  readonly attempts: Attempts;
  readonly edges: Edges;
  readonly events: KernelEvents;
  readonly downtimeMs: number;
  /** What a spawned process finds in `process.env`. */
  env(): Readonly<Record<string, string>>;
  newest(program: string): string;
  newKey(): ProcessKey;
  readonly births: Births;
  readonly shards: Shards;
  readonly awaited: Awaited;
  enqueue(live: Live, queued: QueuedInput): void;
  /** New timers are durable. */
  timersSet(rows: readonly TimerRow[]): void;
  /** A commit with a turn of the process is through. */
  committed(live: Live): void;
  /** A process that was held may go on. */
  ready(live: Live): void;
}

export type Finished = Omit<FinishedTurn, "commands" | "digests"> & { readonly outcome: DoneOutcome };

export class Turns {
  readonly #ports: TurnsPorts;
  readonly #peers: Peers;
  readonly ties: Ties;
  readonly #crashes: Crashes;
  readonly #answers: Answers;
  readonly #checkpoints: Checkpoints;

  constructor(ports: TurnsPorts) {
    this.#ports = ports;
    const { committer, registry, names, clock, store, attempts, random, shared, cut } = ports;
    this.#peers = new Peers({
      registry,
      names,
      births: ports.births,
      shards: ports.shards,
      committed: () => ports.awaited.commit(),
    });
    const deliver = (receiver: Live, input: Input, passage?: Passage): void => this.deliver(receiver, input, passage);
    const { held } = this.#peers;
    this.ties = new Ties({
      committer,
      shared,
      cut,
      held,
      find: this.#peers.find,
      deliver,
      abandon: (live) => void this.#crashes.letGo(live),
    });
    this.#checkpoints = new Checkpoints({
      committer,
      held,
      attempts,
      random,
      store,
      clock,
      edges: ports.edges,
      ties: this.ties,
      shared,
      reach: (key) => registry.reach(key),
      timersSet: ports.timersSet,
    });
    this.#crashes = new Crashes({
      committer,
      clock,
      edges: ports.edges,
      events: ports.events,
      ties: this.ties,
      checkpoints: this.#checkpoints,
      store,
      find: this.#peers.find,
      reach: (pid) => registry.reach(pid),
      ready: ports.ready,
    });
    this.#answers = new Answers({
      names,
      find: this.#peers.find,
      crashes: this.#crashes,
      held: (pid) => registry.named(pid) !== undefined || registry.isReserved(pid) || ports.births.isUnderway(pid),
      deliver,
      mayBegin: (pid) => ports.births.mayBegin(pid),
      give: (birth, parent) => void this.create(birth, parent),
      control: (live, kind) => this.control(live, kind),
    });
  }

  /** A turn ran. A promise delays the process's next turn. `undone`: the turn did not happen after all. */
  done(live: Live, given: Finished): Promise<"undone" | undefined> | undefined {
    const turn = this.#wellFormed(given);
    const effects = turnEffects(live, { ...turn, ...turn.outcome }, this.#ports.downtimeMs);
    if (this.#crashes.mayHold(live, turn, effects.exit)) return this.#hold(live, turn, effects);
    return this.#conclude(live, effects, turn.inputs);
  }

  /** A turn that asks for what no program can ask for is the process's end, and nothing else that it commanded is done. */
  #wellFormed(turn: Finished): Finished {
    const exists = (pid: Pid): boolean => this.#ports.registry.named(pid) !== undefined;
    const problem = whyMalformed(turn.outcome.commands, exists);
    if (problem === undefined) return turn;
    const value = encodeValue(`The program reached beneath the sandbox's globals: ${problem}.`);
    const exit: Command = { kind: "exit", reason: "trap", value };
    return { ...turn, outcome: { ...turn.outcome, commands: [exit], digests: [commandDigest(exit)] } };
  }

  async #hold(live: Live, turn: Finished, effects: TurnEffects): Promise<"undone" | undefined> {
    if (await this.#crashes.hold(live, turn, effects)) return "undone";
    await this.#conclude(live, effects, turn.inputs);
    return undefined;
  }

  #conclude(live: Live, effects: TurnEffects, inputs: readonly QueuedInput[]): Promise<undefined> | undefined {
    const isAsking = this.#ports.shared && effects.acts.some(asksForNames);
    const claims = this.#ports.shared ? effects.acts.filter(isClaim) : [];
    if (claims.length === 0 && !isAsking) return this.#gather(live, effects, inputs);
    const { births, names } = this.#ports;
    const refreshed = isAsking ? names.refresh() : Promise.resolve();
    const staged = refreshed.then(() => this.#claim(live, claims)).then(() => this.#gather(live, effects, inputs));
    return staged.finally(() => claims.forEach((claim) => births.letGo(requestOf(claim).id)));
  }

  /** What only one process may have in all nodes is asked for first: names, and pids that programs choose. */
  async #claim(live: Live, claims: readonly KernelOperation[]): Promise<void> {
    const { names, registry, births } = this.#ports;
    for (const claim of claims) {
      const { id, name, pid, role } = requestOf(claim);
      if (claim.name === "perdure:start") {
        await births.keep(id, role);
        continue;
      }
      const holder = pid === live.row.pid ? live : await registry.reach(pid);
      if (holder === undefined) continue;
      // Only one that the store knows can have a name there.
      if (holder.start !== undefined) await this.#born(holder);
      await names.claim(name, holder.row);
    }
  }

  #born(live: Live): Promise<void> {
    const { stage } = this.#ports.committer;
    stageRow(stage, live);
    return new Promise((resolve) => stage.effects.push(resolve));
  }

  #gather(live: Live, effects: TurnEffects, inputs: readonly QueuedInput[]): Promise<undefined> | undefined {
    const revived = effects.acts.flatMap((act) => revivedFromCheckpoint(act));
    if (revived.length > 0) return this.#prepare(revived, live, effects, inputs);
    const gathered = this.#peers.gather(live, effects, (ended) => this.#stage(live, effects, inputs, ended));
    return gathered?.then(() => undefined);
  }

  /** Putting a process back takes what it was told since its checkpoint, which has to be read first. */
  async #prepare(
    revived: readonly Pid[],
    live: Live,
    effects: TurnEffects,
    inputs: readonly QueuedInput[],
  ): Promise<undefined> {
    await this.#peers.gather(live, effects, () => undefined);
    const targets = revived.flatMap((pid) => this.#peers.find(pid) ?? []);
    for (const target of targets) if (target.row.state === "crashed") await this.#checkpoints.prepare(target);
    await this.#peers.gather(live, effects, (ended) => this.#stage(live, effects, inputs, ended));
    for (const { row } of targets) this.#checkpoints.forget(row.key);
    return undefined;
  }

  #stage(live: Live, effects: TurnEffects, inputs: readonly QueuedInput[], ended: Ended): void {
    const { stage } = this.#ports.committer;
    const operations = stageTurn(stage, live, effects, inputs);
    // Whoever is tied to it from now on hears of this end.
    if (effects.exit !== undefined) live.row = { ...live.row, exit: effects.exit };
    for (const act of effects.acts) this.#act(live, act, ended);
    if (effects.acts.some(({ kind }) => kind === "checkpoint")) this.#checkpoints.take(live, effects.turn.number);
    // What it said itself is printed before what is said of its end.
    if (effects.logs.length > 0) stage.effects.push(() => this.#print(live, effects));
    if (effects.exit !== undefined) this.#exit(live, effects.exit, inputs);
    stage.effects.push(() => this.#committed(live, effects, inputs, operations));
  }

  #act(live: Live, act: Act, ended: Ended): void {
    switch (act.kind) {
      case "send":
        return this.#send(live, act.to, act.body);
      case "spawn": {
        const options = (act.options === "" ? {} : JSON.parse(act.options)) as SpawnOptions;
        const { pid, entry, args } = act;
        const { pid: parent, program: own } = live.row;
        // A fresh restart is the moment at which a child can change its version.
        const program = (options.restarts ?? 0) > 0 ? this.#ports.newest(own) : own;
        const needs = options.needs ?? live.row.needs;
        const child = this.create({ ...options, needs, pid, entry, args, program, parent }, live);
        if (act.link) this.ties.tie(live, child);
        if (act.monitor > 0) this.ties.observe(live, act.monitor, child, true);
        return undefined;
      }
      case "link":
        return this.ties.link(live, act.to);
      case "unlink":
        return this.ties.unlink(live, act.to, ended.get(act.to)?.key);
      case "monitor":
        return this.ties.monitor(live, act.number, act.to);
      case "demonitor":
        return this.ties.demonitor(live, act.monitor);
      case "signal":
        return this.ties.signal(live, act);
      case "cancel":
        return this.ties.cancel(live, act);
      case "trap-exit":
        live.row = { ...live.row, trapsExits: act.on };
        if (!act.on) this.ties.abandonChildren(live);
        return void this.#ports.committer.stage.traps.push({ process: live.row.key, on: act.on });
      case "checkpoint":
        // It is taken when all else is staged: it is of the turn's end.
        return undefined;
      case "operation":
        return this.#answers.answer(live, act, ended);
    }
  }

  /** To a process that is no more, it is lost, as in OTP. Outside, it is heard after the commit. */
  #send(live: Live, to: string, body: Payload): void {
    const from = live.row.pid;
    if (to.startsWith("@")) {
      this.#ports.edges.answer(live, to, body);
      this.#ports.committer.stage.effects.push(() => this.#ports.events.answered({ to, from, body }));
      return;
    }
    const receiver = this.#peers.find(to);
    if (receiver !== undefined) this.deliver(receiver, { kind: "message", from, body });
  }

  /**
   * Its row goes with the commit being staged; it may run before that, but nothing of it is committed earlier. On another node it begins
   * when that finds its start in the inbox.
   */
  create(birth: Birth, parent: Live): Live {
    const { clock, random, env, newKey, births, isMine } = this.#ports;
    const cradle = {
      key: newKey(),
      shard: births.shardOf(birth, parent),
      atMs: clock.nowMs(),
      seed: random.bytes(32),
      env: env(),
    };
    const { child, start } = bear(birth, cradle, isMine);
    if (child.away) {
      this.#peers.born(child);
      this.#ports.committer.stage.effects.push(births.begun(child));
    } else this.#ports.registry.add(child);
    // The row, and the start with it unless a turn takes it in the same commit.
    stageMessage(this.#ports.committer.stage, child, start);
    this.#ports.committer.stage.effects.push(() => (child.start = undefined));
    if (!child.away) this.#ports.enqueue(child, start);
    return child;
  }

  deliver(receiver: Live, input: Input, passage?: Passage): void {
    if (gone(receiver)) return;
    const queued = queueInput(input, this.#ports.clock.nowMs());
    if (!receiver.away) this.#heedParent(receiver, input);
    stageMessage(this.#ports.committer.stage, receiver, queued, passage);
    if (!receiver.away) this.#ports.enqueue(receiver, queued);
  }

  /** Whoever should decide about it is gone, or has decided. */
  #heedParent(live: Live, input: Input): void {
    if (input.kind === "exit" && input.from === live.row.parent) this.#crashes.letGo(live);
  }

  /** A process has come from the store. What its parent's end has to say to it may have been written by another node. */
  loaded(live: Live): void {
    for (const { input } of [...live.inputs]) this.#heedParent(live, input);
  }

  /** What another node has written for the process, or for its kernel. False if no turn is to hear of it. */
  arrived(live: Live, queued: QueuedInput, tie: ProcessKey | undefined): boolean {
    const { input } = queued;
    if (input.kind === "result") live.asked?.delete(input.operation);
    const isHeard = tie === undefined || this.ties.arrived(live, input, tie);
    // Its parent's end is one for it too that no turn hears of, as a normal one.
    this.#heedParent(live, input);
    if (!isHeard) this.#consume(live, queued);
    return isHeard;
  }

  #decide(live: Live, verdict: Verdict): boolean {
    if (verdict === "release") return this.#crashes.letGo(live);
    if (verdict === "pause" || verdict === "resume") return this.control(live, verdict);
    return this.#crashes.revive(live, verdict);
  }

  /** A process has come from another node: it goes on here with what it waited for there. */
  came(live: Live, queued: QueuedInput): void {
    this.#consume(live, queued);
    const { attempts } = this.#ports;
    for (const operation of live.operations.values())
      if (operation.token === undefined && !operation.settled) attempts.recover(live, operation, false);
    this.#ports.timersSet([...live.timers.values()].map(({ row }) => row));
  }

  #consume(live: Live, queued: QueuedInput): void {
    stageConsumed(this.#ports.committer.stage, live, queued);
  }

  /** A parent on another node has decided about a process that is held. */
  async decided(live: Live, queued: QueuedInput, verdict: Extract<Input, { kind: "verdict" }>): Promise<void> {
    // Brought back meanwhile, it would come with the verdict again.
    live.pins++;
    await this.#decided(live, queued, verdict).finally(() => live.pins--);
  }

  async #decided(live: Live, queued: QueuedInput, verdict: Extract<Input, { kind: "verdict" }>): Promise<void> {
    if (verdict.verdict === "checkpoint" && live.row.state === "crashed") await this.#checkpoints.prepare(live);
    const parent = verdict.operation === 0 ? undefined : await this.#ports.registry.reach(verdict.by);
    // Whoever asked is answered by its end.
    if (gone(live)) return;
    // It has left meanwhile: its next owner finds the verdict.
    if (this.#ports.registry.get(live.row.key) !== live) return;
    this.#consume(live, queued);
    const isDone = this.#decide(live, verdict.verdict);
    this.#checkpoints.forget(live.row.key);
    if (parent !== undefined) this.deliver(parent, answerOf(verdict.operation, isDone));
  }

  /** Stops a process's turns, or lets them go on; one that is being exported is taken back. False if there was nothing to change. */
  control(live: Live, kind: "pause" | "resume"): boolean {
    const { state, pid } = live.row;
    const isMoving = state === "moving" && !pid.startsWith(arrivingPrefix);
    const fits = kind === "pause" ? state === "running" : state === "paused" || isMoving;
    if (!fits || gone(live)) return false;
    live.row = { ...live.row, state: kind === "pause" ? "paused" : "running", problem: "" };
    stageControl(this.#ports.committer.stage, live);
    if (isMoving) this.#ports.attempts.resume(live);
    this.#ports.ready(live);
    return true;
  }

  // -- after the commit -----------------------------------------------------------------------------------------

  #exit(live: Live, exit: ProcessExit, inputs: readonly QueuedInput[]): void {
    this.#crashes.report(live, exit, inputs);
    this.#ports.names.forget(live.row.key);
    this.ties.breakAll(live, exit);
  }

  #print({ row: { pid, program } }: Live, { logs }: TurnEffects): void {
    this.#ports.events.logs(logs.map(({ level, text, atMs }) => ({ pid, program, level, text, atMs })));
  }

  #committed(
    live: Live,
    effects: TurnEffects,
    inputs: readonly QueuedInput[],
    { begun, aborted }: StagedOperations,
  ): void {
    const { attempts } = this.#ports;
    live.uncommitted--;
    live.start = undefined;
    for (const queued of inputs) tellDurable(queued);
    if (effects.timers.length > 0) this.#ports.timersSet(effects.timers);
    for (const operation of aborted) attempts.abort(operation);
    if (effects.exit !== undefined) return this.#exited(live, effects.exit);
    for (const operation of begun) attempts.begin(live, operation);
    this.#ports.committed(live);
  }

  #exited(live: Live, exit: ProcessExit): void {
    for (const operation of live.operations.values()) this.#ports.attempts.abort(operation);
    live.row = { ...live.row, state: "exited", exit };
    for (const queued of live.inputs) tellDurable(queued, exited(live.row.pid));
    this.#ports.registry.exited(live, exit);
    this.#ports.edges.stopped(live.row.key);
    this.#ports.events.exited([{ pid: live.row.pid, exit }]);
  }
}

function isClaim(act: Act): act is KernelOperation {
  return act.kind === "operation" && (act.name === "perdure:register" || act.name === "perdure:start");
}

/** What other nodes have done counts: a name may be given, and a group joined, by anyone. */
function asksForNames(act: Act): boolean {
  return act.kind === "operation" && nameQuestions.has(act.name);
}

const nameQuestions = new Set(["perdure:whereis", "perdure:members", "perdure:unregister", "perdure:leave"]);

function revivedFromCheckpoint(act: Act): Pid[] {
  if (act.kind !== "operation" || act.name !== "perdure:revive") return [];
  const { pid, from } = requestOf(act);
  return from === "checkpoint" ? [pid] : [];
}
