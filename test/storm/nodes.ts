/** The node in the storm: one at a time over one file, killed, stopped, and opened again. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { EngineProcess } from "../e2e/support/engine-process.ts";
import type { Dice } from "../simulation/dice.ts";
import { readFileBooks } from "./books.ts";
import type { Books } from "./books.ts";
import { isLost, quarantined, unexpected } from "./fleet.ts";
import type { Fleet } from "./fleet.ts";

export interface NodesPorts {
  readonly dice: Dice;
  readonly program: string;
  readonly peer: string;
}

export class Nodes implements Fleet {
  readonly #ports: NodesPorts;
  readonly #folder: string;
  readonly store: string;
  #current: EngineProcess;
  readonly #opened: Set<(node: EngineProcess) => void> = new Set();
  kills = 0;
  #killsWhileOpening = 0;
  #stops = 0;
  #released = 0;
  readonly problems: string[] = [];

  constructor(ports: NodesPorts) {
    this.#ports = ports;
    this.#folder = mkdtempSync(join(tmpdir(), "perdure-storm-"));
    this.store = join(this.#folder, "storm.db");
    this.#current = this.#open();
  }

  async ask<T>(question: (node: EngineProcess) => Promise<T>): Promise<T> {
    for (let node = this.#current; ; node = await this.#after(node)) {
      try {
        return await question(node);
      } catch (error) {
        if (!isLost(error)) throw error;
      }
    }
  }

  async askWhom<T>(question: (node: EngineProcess) => Promise<T>): Promise<{ readonly value: T }> {
    return { value: await this.ask(question) };
  }

  /** The node that comes after `gone`. */
  async #after(gone: EngineProcess): Promise<EngineProcess> {
    if (this.#current !== gone) return this.#current;
    return await new Promise((resolve) => this.#opened.add(resolve));
  }

  #open(): EngineProcess {
    const { program, peer } = this.#ports;
    return new EngineProcess({ program, store: this.store }, { PERDURE_STORM_PEER: peer });
  }

  async strike(): Promise<void> {
    const { dice } = this.#ports;
    const node = this.#current;
    const isEarly = dice.chance(0.15);
    if (isEarly) await sleep(dice.int(1, 400));
    else {
      await node.opened;
      await sleep(dice.delay(10, 1_200));
    }
    if (dice.chance(0.15)) await this.#stop(node);
    await this.#release(node);
    await node.kill();
    this.kills++;
    if (isEarly) this.#killsWhileOpening++;
    this.problems.push(...unexpected(node));
    this.#current = this.#open();
    for (const tell of this.#opened) tell(this.#current);
    this.#opened.clear();
  }

  async #stop(node: EngineProcess): Promise<void> {
    this.#stops++;
    node.signal("SIGSTOP");
    await sleep(this.#ports.dice.int(20, 900));
    node.signal("SIGCONT");
    await sleep(this.#ports.dice.int(0, 300));
  }

  async #release(node: EngineProcess): Promise<void> {
    for (const { pid, number } of quarantined(node)) {
      await Promise.race([
        node.retryOperation(pid, number).then((done) => void (this.#released += done ? 1 : 0)),
        sleep(200),
      ]).catch(() => undefined);
    }
  }

  async calm(): Promise<void> {
    await this.#current.opened;
  }

  async attend(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#release(this.#current);
      await sleep(500);
    }
  }

  async close(): Promise<void> {
    this.problems.push(...unexpected(this.#current));
    await this.#current.close();
  }

  books(): Promise<Books> {
    return Promise.resolve(readFileBooks(this.store));
  }

  /** It is never stopped for so long. */
  wasStill(): boolean {
    return false;
  }

  told(): Promise<readonly string[]> {
    return Promise.resolve([
      `${this.kills} kills (${this.#killsWhileOpening} of them while the node was opening), ${this.#stops} stops`,
      `${this.#released} operations had been running at five deaths and were let go on`,
    ]);
  }

  dispose(): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
    return Promise.resolve();
  }
}
