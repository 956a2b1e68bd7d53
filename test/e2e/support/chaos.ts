/**
 * Runs all cases in one store, in rounds, on nodes that do not live long. What must hold after every death is checked
 * after every death; what the processes come to is collected for the tests.
 */
import { isDeepStrictEqual } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import type { EngineOptions } from "perdure/engine";
import type { Case, Outcome } from "./cases.ts";
import { EngineProcess, NodeError, NodeGone } from "./engine-process.ts";
import { inspectStore } from "./inspection.ts";
import type { Found } from "./inspection.ts";
import type { Seeded } from "./seeded.ts";
import type { Witness } from "./witness.ts";

export interface ChaosOptions {
  readonly cases: readonly Case[];
  readonly engine: EngineOptions & { readonly store: string };
  readonly witness: Witness;
  readonly random: Seeded;
  /** No round begins after so many deaths, or so late. 0: one round, undisturbed. */
  readonly deaths: number;
  readonly deadlineMs: number;
}

interface Run {
  readonly case: Case;
  readonly pid: string;
  /** Its start was acknowledged by a node. */
  started: boolean;
  result: { readonly value: unknown } | undefined;
  /** As of the last look into the store. */
  found: Found | undefined;
  /** Deaths it lived through. */
  deaths: number;
}

/** A node that nobody kills should be through by then. */
const patienceMs = 30_000;
const quietMs = 800;

export class Chaos {
  readonly complaints: string[] = [];
  deaths = 0;
  rounds = 0;
  readonly #options: ChaosOptions;
  readonly #runs: Run[] = [];
  /** Console output that nodes printed, by pid. */
  readonly #printed = new Map<string, string[]>();
  #round: Run[] = [];
  #diedEarly = false;

  constructor(options: ChaosOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { engine, witness } = this.#options;
    this.#nextRound();
    for (let done = false; !done;) {
      await using node = new EngineProcess(engine, { WITNESS_URL: witness.url });
      const life = this.#live(node);
      const doom = this.#mayDie ? this.#doom(node) : this.#patience(node);
      done = await Promise.race([life, doom]).catch((error: unknown) => this.#gone(error));
      const { code, signal } = await (done ? node.close() : node.ended);
      if (signal === null && code !== 0) throw new Error(`The node ended by itself, with ${code}. ${node.stderr}`);
      await life.catch((error: unknown) => this.#gone(error));
      this.#hear(node);
      await this.#look(done ? this.#runs : this.#round);
    }
  }

  /** What every process of a case came to, by pid. */
  outcomes(of: Case): Map<string, Outcome & { readonly deaths: number }> {
    const { witness } = this.#options;
    const runs = this.#runs.filter((run) => run.case === of);
    return new Map(
      runs.map(({ pid, result, found, deaths }) => {
        const logs = found?.logs.map(({ text }) => text) ?? [];
        return [pid, { result: result?.value, effects: witness.effectsOf(pid), logs, deaths }];
      }),
    );
  }

  get #mayDie(): boolean {
    return this.deaths < this.#options.deaths && Date.now() < this.#options.deadlineMs;
  }

  // -- a node's life --------------------------------------------------------------------------------------------

  /** True when all rounds are over; rejects when the node is gone. */
  async #live(node: EngineProcess): Promise<boolean> {
    await node.opened;
    for (;;) {
      await Promise.all(this.#round.map((run) => this.#start(node, run)));
      await Promise.all(this.#round.map((run) => this.#finish(node, run)));
      if (!this.#mayDie) break;
      this.#nextRound();
    }
    // Whoever asks again hears the same.
    for (const { pid, result } of this.#runs) {
      const again = await resultOf(node, pid);
      if (!isDeepStrictEqual(again, result?.value)) this.complaints.push(`${pid} has another result when asked again`);
    }
    return true;
  }

  async #start(node: EngineProcess, run: Run): Promise<void> {
    const { pid, started } = run;
    const created = await node.start(
      pid,
      run.case.entry,
      run.case.args((name) => `${name}-${this.rounds}`),
    );
    run.started = true;
    if (started && created) this.complaints.push(`${pid} was started, and was new when it was started again`);
  }

  async #finish(node: EngineProcess, run: Run): Promise<void> {
    if (run.result !== undefined) return;
    run.case.drive?.(node, run.pid).catch((error: unknown) => {
      if (isGone(error) || (error instanceof NodeError && error.code === "PROCESS_EXITED")) return;
      this.complaints.push(`${run.pid}: ${String(error)}`);
    });
    run.result = { value: await resultOf(node, run.pid) };
  }

  #nextRound(): void {
    this.rounds++;
    this.#round = this.#options.cases.map((one) => {
      return {
        case: one,
        pid: `${one.name}-${this.rounds}`,
        started: false,
        result: undefined,
        found: undefined,
        deaths: 0,
      };
    });
    this.#runs.push(...this.#round);
  }

  #gone(error: unknown): false {
    if (!isGone(error)) throw error;
    return false;
  }

  // -- its death ------------------------------------------------------------------------------------------------

  /** Kills the node at a moment of chance; false when it is dead. */
  async #doom(node: EngineProcess): Promise<boolean> {
    const { random } = this.#options;
    const { signal, wait } = this.#fate(random.between(1, 100), node);
    await wait;
    if (!node.alive) return false;
    this.deaths++;
    for (const run of this.#round) if (run.result === undefined) run.deaths++;
    node.signal(signal);
    await node.ended;
    return false;
  }

  /** Fails when a node that nothing disturbs does not come to an end. */
  async #patience(node: EngineProcess): Promise<boolean> {
    const controller = new AbortController();
    void node.ended.then(() => controller.abort());
    await sleep(patienceMs, undefined, { signal: controller.signal }).catch(() => undefined);
    if (!node.alive) return false;
    const waiting = this.#round.filter(({ result }) => result === undefined);
    const states = await Promise.all(waiting.map(({ pid }) => node.status(pid)));
    throw new Error(`Not at its end after ${patienceMs} ms: ${JSON.stringify(states, undefined, 1)}`);
  }

  /**
   * Deaths are timed by what the node does, not by the clock: on a busy machine it would die before it did anything, and a
   * death that nothing happens before is no trial.
   */
  #fate(dice: number, node: EngineProcess): { signal: NodeJS.Signals; wait: Promise<void> } {
    const { random } = this.#options;
    const opened = node.opened.catch(() => undefined);
    // Not twice in a row: an operation that runs at five deaths is quarantined, by design.
    this.#diedEarly = dice <= 16 && !this.#diedEarly;
    if (this.#diedEarly && dice <= 8) return { signal: "SIGKILL", wait: sleep(random.between(20, 1000)) };
    if (this.#diedEarly) return { signal: "SIGKILL", wait: opened.then(() => sleep(random.between(0, 50))) };
    // What was under way at the last death comes first; what matters is what follows.
    const underway = this.#round.reduce((sum, { found }) => sum + (found?.operations.length ?? 1), 0);
    const count = underway + random.between(1, 40);
    const delayMs = random.between(0, 40);
    const working = this.#atRequest(count, false, node).then(() => sleep(delayMs));
    if (dice <= 24) return { signal: "SIGTERM", wait: working };
    if (dice <= 60) return { signal: "SIGKILL", wait: working };
    return { signal: "SIGKILL", wait: this.#atRequest(count, random.chance(0.5), node) };
  }

  /** When the node's so many-th request has come in, or when it has been answered. */
  #atRequest(count: number, answeredToo: boolean, node: EngineProcess): Promise<void> {
    const { witness } = this.#options;
    const { promise, resolve } = Promise.withResolvers<void>();
    // Fewer requests than that may be left: then when it has been quiet for a while.
    let quiet: NodeJS.Timeout | undefined;
    const wait = (): void => {
      clearTimeout(quiet);
      quiet = setTimeout(resolve, quietMs);
    };
    node.opened.then(wait, () => resolve());
    let seen = 0;
    witness.onSighting = (_, answered) => {
      wait();
      if (++seen !== count) return;
      if (answeredToo) void answered.then(resolve);
      else resolve();
    };
    return promise.finally(() => {
      clearTimeout(quiet);
      witness.onSighting = undefined;
    });
  }

  #hear(node: EngineProcess): void {
    for (const { pid, text } of node.logs) {
      const lines = this.#printed.get(pid) ?? [];
      this.#printed.set(pid, lines);
      if (lines.includes(text)) this.complaints.push(`${pid} printed ${JSON.stringify(text)} twice`);
      lines.push(text);
    }
    this.complaints.push(...node.notices.map(({ kind, pid, message }) => `${kind} ${pid}: ${message}`));
  }

  // -- what is left ---------------------------------------------------------------------------------------------

  async #look(runs: readonly Run[]): Promise<void> {
    const { engine, witness } = this.#options;
    const found = await inspectStore(
      engine.store,
      runs.map(({ pid }) => pid),
    );
    for (const run of runs) {
      const now = found.get(run.pid);
      if (now !== undefined) {
        this.#compare(run, now);
        for (const operation of now.settled) witness.settled.add(`${run.pid}/${operation}`);
        run.found = now;
      } else if (run.started) this.complaints.push(`${run.pid} was acknowledged and is not in the store`);
    }
  }

  /** What was committed stays as it was, and nothing is missing. */
  #compare({ pid, found: before }: Run, now: Found): void {
    const numbers = now.turns.map(({ number }) => number);
    const gapless = numbers.every((number, index) => number === index + 1);
    if (!gapless) this.complaints.push(`${pid} has the turns ${numbers.join(" ")}`);
    if (!isDeepStrictEqual(now.turns.slice(0, before?.turns.length ?? 0), before?.turns ?? [])) {
      this.complaints.push(`${pid} has other turns than before`);
    }
    if (!isDeepStrictEqual(now.logs.slice(0, before?.logs.length ?? 0), before?.logs ?? [])) {
      this.complaints.push(`${pid} has another log than before`);
    }
    const asked = now.turns.flatMap((turn) => turn.commands).filter(({ kind }) => kind === "operation").length;
    const twice = now.settled.filter((operation, index) => now.settled.indexOf(operation) !== index);
    if (twice.length > 0) this.complaints.push(`${pid} got the results of ${twice.join(" ")} twice`);
    if (now.settled.some((operation) => operation > asked))
      this.complaints.push(`${pid} got results it never asked for`);
  }
}

/** Whether a node that was asked to go could not answer for that reason. */
function isGone(error: unknown): boolean {
  return error instanceof NodeGone || (error instanceof NodeError && error.code === "ENGINE_CLOSED");
}

/** The result, or what it failed with. */
async function resultOf(node: EngineProcess, pid: string): Promise<unknown> {
  try {
    return await node.result(pid);
  } catch (error) {
    if (!(error instanceof NodeError && error.code?.startsWith("PROCESS_") === true)) throw error;
    const { code, cause } = error.described;
    const show = (described = cause): string => `${described?.name}: ${described?.message}`;
    return { code, cause: show(), itsCause: show(cause?.cause) };
  }
}
