/** Several nodes that own one store on PostgreSQL together. Each of them, its line to the database and the database itself come to harm, at the same time. */
import { setTimeout as sleep } from "node:timers/promises";
import type { EngineProcess } from "../../e2e/support/engine-process.ts";
import { NodeError } from "../../e2e/support/engine-process.ts";
import { Dice } from "../../simulation/dice.ts";
import type { Books } from "../books.ts";
import { isLost, quarantined } from "../fleet.ts";
import type { Fleet } from "../fleet.ts";
import { reconciledTimeoutMs } from "../program/transfer.ts";
import { Database } from "./database.ts";
import { Slot } from "./slot.ts";
import type { Deed, SlotPorts } from "./slot.ts";

export interface ClusterPorts extends Pick<SlotPorts, "program" | "peer"> {
  readonly seed: number;
  readonly nodes: number;
  /** A process that is alive, as far as anybody knows. */
  readonly anyone: (dice: Dice) => string | undefined;
}

/** Short, so that there are many takeovers: a busy machine may lose one for nothing, which is one more. */
const leaseMs = 2_000;
/** Whoever got no answer for so long asks another node too. */
const impatienceMs = 4_000;

export class Cluster implements Fleet {
  readonly #ports: ClusterPorts;
  readonly #dice: Dice;
  readonly #database: Database;
  readonly #slots: readonly Slot[];
  readonly #busy = new Map<Slot | Database, Promise<void>>();
  readonly #mover: Promise<void>;
  readonly #problems: string[] = [];
  /** First comes one of each: a short storm has seen everything. */
  readonly #agenda: (Deed | "database")[] = ["kill", "part", "database", "stop", "kill", "cut", "slow", "pause"];
  #isCalm = false;
  #moves = 0;
  #released = 0;

  static async open(ports: ClusterPorts): Promise<Cluster> {
    const { seed, nodes } = ports;
    const database = await Database.open(new Dice(seed, "database"), leaseMs);
    const names = Array.from({ length: nodes }, (_, at) => `node-${at + 1}`);
    const open = (name: string): Promise<Slot> =>
      Slot.open({ ...ports, url: database.url, leaseMs, dice: new Dice(seed, name), name });
    return new Cluster(ports, database, await Promise.all(names.map(open)));
  }

  private constructor(ports: ClusterPorts, database: Database, slots: readonly Slot[]) {
    this.#ports = ports;
    this.#dice = new Dice(ports.seed, "cluster");
    this.#database = database;
    this.#slots = slots;
    this.#mover = this.#move(new Dice(ports.seed, "moves"));
  }

  get store(): string {
    return this.#database.url;
  }

  get kills(): number {
    return this.#count((slot) => slot.counts.kill);
  }

  get problems(): readonly string[] {
    return [...this.#problems, ...this.#slots.flatMap(({ problems }) => problems)];
  }

  #count(of: (slot: Slot) => number): number {
    return this.#slots.reduce((sum, slot) => sum + of(slot), 0);
  }

  async ask<T>(question: (node: EngineProcess) => Promise<T>): Promise<T> {
    return (await this.askWhom(question)).value;
  }

  async askWhom<T>(
    question: (node: EngineProcess) => Promise<T>,
  ): Promise<{ readonly value: T; readonly by?: object }> {
    let isFirst = true;
    for (let at = this.#dice.int(0, this.#slots.length - 1); ; at = (at + 1) % this.#slots.length) {
      const { node } = this.#slots[at] as Slot;
      const asked = question(node);
      const answer = asked.then(
        (value) => ({ value }),
        (error: unknown) => {
          if (!isLost(error)) throw error;
          return undefined;
        },
      );
      const answered = await Promise.race([answer, sleep(impatienceMs, undefined, { ref: false })]);
      if (answered !== undefined) return isFirst ? { ...answered, by: node } : answered;
      isFirst = false;
      // What it says later is nobody's concern any more.
      answer.catch(() => undefined);
      await sleep(100);
    }
  }

  /** Begins one; several may be under way at the same time, but one at a place. */
  async strike(): Promise<void> {
    await sleep(this.#dice.delay(100, 5_500));
    const next = this.#agenda[0] ?? (this.#dice.chance(0.04) ? "database" : undefined);
    const idle = this.#slots.filter((slot) => !this.#busy.has(slot));
    const slot = idle.length > 0 ? this.#dice.pick(idle) : undefined;
    if (next === "database") this.#begin(this.#database, () => this.#database.strike());
    else if (slot !== undefined) this.#begin(slot, () => slot.strike(next));
    else return;
    this.#agenda.shift();
  }

  #begin(place: Slot | Database, strike: () => Promise<void>): void {
    if (this.#busy.has(place)) return;
    const done = strike()
      .catch((error: unknown) => void this.#problems.push(`a strike failed: ${String(error)}`))
      .finally(() => this.#busy.delete(place));
    this.#busy.set(place, done);
  }

  async #move(dice: Dice): Promise<void> {
    while (!this.#isCalm) {
      await sleep(dice.int(20, 200));
      const pid = this.#ports.anyone(dice);
      const { node } = dice.pick(this.#slots);
      if (pid === undefined) continue;
      const moved = node.move(pid, dice.pick(this.#slots).name).then(
        () => void this.#moves++,
        (error: unknown) => {
          if (!isLost(error) && !isUnmovable(error)) this.#problems.push(`moving ${pid}: ${String(error)}`);
        },
      );
      await Promise.race([moved, sleep(200)]);
    }
  }

  async calm(): Promise<void> {
    this.#isCalm = true;
    while (this.#busy.size > 0) await Promise.all(this.#busy.values());
    await this.#mover;
  }

  async attend(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#release();
      await sleep(500);
    }
  }

  /** Whichever node has it. */
  async #release(): Promise<void> {
    const nodes = this.#slots.map(({ node }) => node);
    const asks = nodes.flatMap(quarantined).flatMap(({ pid, number }) =>
      nodes.map(async (node) => {
        const done = node.retryOperation(pid, number).catch(() => false);
        if (await Promise.race([done, sleep(1_000, false)])) this.#released++;
      }),
    );
    await Promise.all(asks);
  }

  async close(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.close()));
  }

  books(): Promise<Books> {
    return this.#database.books();
  }

  wasStill(node: string, atMs: number): boolean {
    const stops = this.#slots.find(({ name }) => name === node)?.stops ?? [];
    return stops.some(
      ({ fromMs, toMs }) => toMs - fromMs >= reconciledTimeoutMs && atMs >= fromMs && atMs < toMs + 2_000,
    );
  }

  async told(): Promise<readonly string[]> {
    const of = (name: keyof Slot["counts"]): number => this.#count(({ counts }) => counts[name]);
    const { dead, all } = await this.#database.nodes();
    const { kills, shutdowns } = this.#database;
    return [
      `${this.kills} kills (${of("killsWhileOpening")} while the node was opening, ${of("killsWhileParted")} while it was cut off), ` +
        `${of("stop")} stops beyond the lease, ${of("pause")} shorter ones`,
      `lines to the database: ${of("cut")} broken, ${of("part")} parted without a word, ${of("slow")} slow`,
      `the database: ${kills} kills, ${shutdowns} immediate shutdowns`,
      `${all} incarnations, of which ${dead} were declared dead and followed by others; nodes came back as another one ${of("returns")} times`,
      `${this.#moves} moves of processes to other nodes`,
      `${this.#released} operations had been running at five deaths and were let go on`,
    ];
  }

  async dispose(): Promise<void> {
    await this.#database.close();
  }
}

/** It has ended, or whoever it was to go to has; or it is on its way for too long, because nobody is there to let it go. */
function isUnmovable(error: unknown): boolean {
  const codes = ["PROCESS_NOT_FOUND", "PROCESS_EXITED", "NODE_NOT_FOUND", "MOVE_TIMEOUT"];
  return error instanceof NodeError && codes.includes(error.code ?? "");
}
