/** The node in the storm: one at a time over one file, killed, stopped, and opened again. */
import { setTimeout as sleep } from "node:timers/promises";
import { EngineProcess } from "../e2e/support/engine-process.ts";
import type { Dice } from "../simulation/dice.ts";

export interface NodesPorts {
  readonly dice: Dice;
  readonly program: string;
  readonly store: string;
  readonly peer: string;
}

export class Nodes {
  readonly #ports: NodesPorts;
  #current: EngineProcess;
  readonly #opened: Set<(node: EngineProcess) => void> = new Set();
  kills = 0;
  /** Kills of nodes that were not open yet. */
  killsWhileOpening = 0;
  stops = 0;
  /** Operations that had been running at too many deaths, and were let go on. */
  released = 0;
  readonly #problems: string[] = [];

  constructor(ports: NodesPorts) {
    this.#ports = ports;
    this.#current = this.#open();
  }

  /** What no node should ever say. */
  get problems(): readonly string[] {
    return this.#problems;
  }

  get current(): EngineProcess {
    return this.#current;
  }

  /** The node that comes after `gone`. */
  async after(gone: EngineProcess): Promise<EngineProcess> {
    if (this.#current !== gone) return this.#current;
    return await new Promise((resolve) => this.#opened.add(resolve));
  }

  #open(): EngineProcess {
    const { program, store, peer } = this.#ports;
    return new EngineProcess({ program, store }, { PERDURE_STORM_PEER: peer });
  }

  /** One act of violence, after a while. */
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
    if (isEarly) this.killsWhileOpening++;
    this.replace(node);
  }

  /** A node that is gone is followed by another. */
  replace(node: EngineProcess): void {
    for (const notice of node.notices) {
      if (notice.kind !== "operation-quarantined")
        this.#problems.push(`${notice.kind} of ${notice.pid}: ${notice.message}`);
    }
    this.#current = this.#open();
    for (const tell of this.#opened) tell(this.#current);
    this.#opened.clear();
  }

  async #stop(node: EngineProcess): Promise<void> {
    this.stops++;
    node.signal("SIGSTOP");
    await sleep(this.#ports.dice.int(20, 900));
    node.signal("SIGCONT");
    await sleep(this.#ports.dice.int(0, 300));
  }

  /** What was running at five deaths waits for a person. That is us. */
  async #release(node: EngineProcess): Promise<void> {
    for (const { kind, pid, message } of node.notices) {
      const number = Number(/^Operation (\d+)/.exec(message)?.[1] ?? 0);
      if (kind !== "operation-quarantined" || number === 0) continue;
      await Promise.race([
        node.retryOperation(pid, number).then((done) => void (this.released += done ? 1 : 0)),
        sleep(200),
      ]).catch(() => undefined);
    }
  }

  /** Keeps letting go what waits for a person, until it is aborted. */
  async attend(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#release(this.#current);
      await sleep(500);
    }
  }

  async close(): Promise<void> {
    await this.#current.close();
  }
}
