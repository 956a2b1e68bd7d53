/** What callers from outside ask of a kernel. Whatever they are told is durable. */
import type { Clock, Random } from "../base/ports.ts";
import type { Payload } from "../base/value.ts";
import type { Input, Pid } from "../journal/types.ts";
import { processExported } from "../store/exports.ts";
import type { Asked, ProcessExit, ProcessKey, ProcessRow } from "../store/port.ts";
import type { Attempts } from "./attempts.ts";
import type { Awaited } from "./awaited.ts";
import type { Committer } from "./batch.ts";
import type { Births } from "./births.ts";
import type { Edges, KeyedAnswer, KeyedRequest } from "./edges.ts";
import { elsewhere, exited, idIsName, startConflict } from "./errors.ts";
import { grace } from "./grace.ts";
import { bear, durable, queueInput } from "./live.ts";
import type { Live, QueuedInput } from "./live.ts";
import type { Names } from "./names.ts";
import type { StartRequest } from "./ports.ts";
import type { Queries, QueryAnswer, QueryCall } from "./queries.ts";
import { gone, isExported } from "./registry.ts";
import type { Known, Registry } from "./registry.ts";
import type { Shards } from "./shards.ts";
import { stageMessage } from "./staging.ts";
import type { Turns } from "./turns.ts";

export interface OutsidePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly registry: Registry;
  readonly names: Names;
  readonly committer: Committer;
  readonly turns: Turns;
  readonly attempts: Attempts;
  readonly queries: Queries;
  readonly edges: Edges;
  readonly awaited: Awaited;
  readonly births: Births;
  readonly shards: Shards;
  isMine(row: ProcessRow): boolean;
  /** Throws if the kernel is not open. */
  checkOpen(): void;
  newKey(): ProcessKey;
  enqueue(live: Live, queued: QueuedInput): void;
}

/** How often whoever waits for what is on its way looks whether the kernel is still there. */
const lookMs = 50;

export class Outside {
  readonly #ports: OutsidePorts;

  constructor(ports: OutsidePorts) {
    this.#ports = ports;
  }

  /**
   * Starts a process, or finds the one that was started by this id before. Resolves when it is durable. Throws
   * PROCESS_ID_CONFLICT if that one has another entry or other arguments.
   */
  async start(request: StartRequest): Promise<{ readonly pid: Pid; readonly created: boolean }> {
    this.#ports.checkOpen();
    this.#checkNoName(request.pid);
    // Someone else may start it while the store answers. When it has, nothing may come between any more.
    for (let isFree = request.isNew === true; !isFree; isFree = !this.#isHere(request.pid)) {
      const before = await this.#before(request);
      if (before !== undefined) return { pid: before, created: false };
    }
    this.#ports.checkOpen();
    this.#checkNoName(request.pid);
    const { births, clock, random, isMine } = this.#ports;
    const birth = { ...request, parent: "" };
    const cradle = {
      key: this.#ports.newKey(),
      shard: births.shardOf(birth),
      atMs: clock.nowMs(),
      seed: random.bytes(32),
      env: request.env,
    };
    const { child: live, start } = bear(birth, cradle, isMine);
    if (live.away) {
      stageMessage(this.#ports.committer.stage, live, start);
      this.#ports.committer.stage.effects.push(births.begun(live));
      await this.#ports.awaited.commit();
    } else {
      this.#ports.registry.add(live);
      await this.#submit(live, start);
    }
    return { pid: request.pid, created: true };
  }

  /** The process that was started by this id before. If undefined, this node keeps the pid, and has to begin it at once. */
  async #before(request: StartRequest): Promise<Pid | undefined> {
    const { births, registry } = this.#ports;
    do {
      const known = (await registry.known(request.pid)) ?? registry.named(request.pid);
      this.#ports.checkOpen();
      if (known !== undefined) return await this.#startedBefore(known, request);
    } while (!(await births.reserve(request.pid)));
    return undefined;
  }

  #isHere(pid: Pid): boolean {
    const { births, registry } = this.#ports;
    return registry.named(pid) !== undefined || registry.isReserved(pid) || births.isUnderway(pid);
  }

  #checkNoName(pid: Pid): void {
    if (this.#ports.names.pidOf(pid) !== undefined) throw idIsName(pid);
  }

  async #startedBefore(found: Known, request: StartRequest): Promise<Pid> {
    if (isExported(found)) throw processExported(found);
    // Its first start may still be on its way to the store; then this caller waits for the same commit.
    const start = "row" in found ? found.start : undefined;
    if (start !== undefined) await durable(start);
    const row = "row" in found ? found.row : found;
    // One that a process started by key is what it is, whoever asks for it.
    const isSame = row.entry === request.entry && (row.argsDigest === request.argsDigest || row.argsDigest === "");
    if (!isSame) throw startConflict(row, request.entry);
    return row.pid;
  }

  /**
   * Delivers a message from outside. Resolves when it is durable. With `asked` it is delivered once, however often it is sent. Throws
   * PROCESS_NOT_FOUND, PROCESS_EXITED, KEY_CONFLICT.
   */
  async send(pid: Pid, body: Payload, asked?: Asked): Promise<void> {
    if (asked === undefined) return await this.deliver(pid, { kind: "message", from: "", body });
    await this.#ports.edges.send(pid, { ...asked, body });
  }

  /** A call that is made once and has one answer, see `Edges`. Throws what `send` throws. */
  async call(pid: Pid, request: KeyedRequest, timeoutMs: number | undefined): Promise<KeyedAnswer> {
    return await this.#ports.edges.call(pid, request, timeoutMs);
  }

  async cancel(pid: Pid, reason: string): Promise<void> {
    await this.deliver(pid, { kind: "cancel", reason });
  }

  /** Ends a process at once, in mid-turn if it must be. Resolves when that is durable. */
  async kill(pid: Pid): Promise<void> {
    await this.deliver(pid, { kind: "fatal", reason: "killed", detail: "Killed." });
  }

  /** Whom a registered name stands for. */
  whereis(name: string): Pid | undefined {
    this.#ports.checkOpen();
    return this.#ports.names.pidOf(name);
  }

  /** Stops a process's turns (what arrives waits), or lets them go on. Resolves when that is durable: with false if it changed nothing. */
  async control(pid: Pid, kind: "pause" | "resume"): Promise<boolean> {
    const live = await this.#alive(this.#ports.names.pidOf(pid) ?? pid);
    const changed = this.#ports.turns.control(live, kind);
    if (changed) await this.#ports.awaited.commit();
    return changed;
  }

  /**
   * Sends a message that was set aside on to a process, in place of the dead letter `seq`. Resolves when that is durable. Throws
   * PROCESS_NOT_FOUND, PROCESS_EXITED; then the letter stays.
   */
  async resend(seq: number, pid: Pid, input: Input): Promise<void> {
    const live = await this.#alive(this.#ports.names.pidOf(pid) ?? pid);
    if (gone(live)) throw exited(pid);
    this.#ports.committer.stage.deadLettersGone.push(seq);
    this.#ports.turns.deliver(live, input);
    await this.#ports.awaited.commit();
  }

  async dropDeadLetter(seq: number): Promise<void> {
    this.#ports.checkOpen();
    this.#ports.committer.stage.deadLettersGone.push(seq);
    await this.#ports.awaited.commit();
  }

  /**
   * Hands a process over to the owner of a shard, between two turns. Resolves when that is durable: with how long it stood still, in
   * ms; undefined if the shard is this node's own. Throws PROCESS_NOT_FOUND, PROCESS_EXITED, PROCESS_ELSEWHERE.
   */
  async move(pid: Pid, shard: number): Promise<number | undefined> {
    const live = await this.#alive(pid);
    return this.#ports.isMine({ ...live.row, shard }) ? undefined : await this.#ports.shards.move(live, shard);
  }

  /** Lets a quarantined operation go on. Resolves when that is durable: with false if it was not quarantined. */
  async retry(pid: Pid, number: number): Promise<boolean> {
    const live = await this.#alive(pid);
    const operation = live.operations.get(number);
    if (operation?.row.state !== "quarantined" || gone(live)) return false;
    this.#ports.attempts.release(live, operation);
    await this.#ports.awaited.commit();
    return true;
  }

  /** A call of a read-only method, see `Queries`. Throws PROCESS_NOT_FOUND, PROCESS_EXITED, PROCESS_DIVERGED, PROCESS_BROKEN. */
  async query(pid: Pid, call: QueryCall): Promise<QueryAnswer> {
    const live = await this.#alive(pid);
    return await this.#ports.queries.ask(live, call, () =>
      this.#tell(live, { kind: "message", from: "", body: call.body }),
    );
  }

  /** The exit, as soon as it is durable. Throws PROCESS_NOT_FOUND; PROCESS_DIVERGED or PROCESS_BROKEN if it cannot go on. */
  async exit(pid: Pid): Promise<ProcessExit> {
    this.#ports.checkOpen();
    return await this.#ports.registry.exit(pid);
  }

  /** Resolves when it is durable. Throws PROCESS_NOT_FOUND, PROCESS_EXITED. */
  async deliver(pid: Pid, input: Input): Promise<void> {
    const live = await this.#alive(this.#ports.names.pidOf(pid) ?? pid);
    if (input.kind !== "message") return await this.#tell(live, input);
    await this.#ports.queries.inOrder(live, () => this.#tell(live, input));
  }

  async #tell(live: Live, input: Input): Promise<void> {
    if (live.row.state === "exited") throw exited(live.row.pid);
    await this.#submit(live, queueInput(input, this.#ports.clock.nowMs()));
  }

  /** In its place among what was asked of the process before. Resolves when it is durable. */
  async submit(live: Live, queued: QueuedInput): Promise<void> {
    await this.#ports.queries.inOrder(live, () => {
      if (live.row.state === "exited") throw exited(live.row.pid);
      return this.#submit(live, queued);
    });
  }

  /** The process a pid or a registered name stands for, dead or alive. Throws PROCESS_NOT_FOUND. */
  async find(to: Pid): Promise<Live> {
    this.#ports.checkOpen();
    const { registry, names, shards, clock } = this.#ports;
    for (;;) {
      // Others may have registered it.
      if (registry.named(names.pidOf(to) ?? to) === undefined) await names.refresh();
      const live = await registry.activate(names.pidOf(to) ?? to);
      this.#ports.checkOpen();
      // What the same caller has sent through the store, when it was another node's, may be on its way.
      const settled = shards.newcomer(live.row);
      if (settled === undefined) return live;
      // The kernel may come to its end before.
      await grace(clock, lookMs, settled);
    }
  }

  /** Resolves when the input is durable. */
  #submit(live: Live, queued: QueuedInput): Promise<void> {
    this.#ports.checkOpen();
    // It has left since it was found.
    if (live.away) return Promise.reject(elsewhere(live.row));
    const done = durable(queued);
    this.#ports.awaited.add(live, queued);
    this.#ports.enqueue(live, queued);
    return done;
  }

  /** A process whose exit is not durable yet counts as alive: nobody may hear of the exit before. */
  async #alive(pid: Pid): Promise<Live> {
    const live = await this.find(pid);
    if (live.row.state === "exited") throw exited(pid);
    return live;
  }
}
