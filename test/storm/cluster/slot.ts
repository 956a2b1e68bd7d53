/** The place of one node in a cluster: killed, it is followed by another one of the same name, which reaches the database by the same line. */
import { setTimeout as sleep } from "node:timers/promises";
import { EngineProcess } from "../../e2e/support/engine-process.ts";
import type { Dice } from "../../simulation/dice.ts";
import { Proxy } from "../../support/proxy.ts";
import { unexpected } from "../fleet.ts";

export interface SlotPorts {
  readonly dice: Dice;
  readonly name: string;
  readonly program: string;
  /** Of the database, past the line. */
  readonly url: string;
  readonly peer: string;
  readonly leaseMs: number;
}

export type Deed = "kill" | "stop" | "pause" | "cut" | "part" | "slow";

/** In how many of a hundred cases. */
const deeds: Readonly<Record<Deed, number>> = { kill: 62, stop: 8, pause: 5, cut: 9, part: 10, slow: 6 };

export class Slot {
  readonly #ports: SlotPorts;
  readonly #line: Proxy;
  readonly counts: Record<Deed | "killsWhileOpening" | "killsWhileParted" | "returns", number> = {
    kill: 0,
    stop: 0,
    pause: 0,
    cut: 0,
    part: 0,
    slow: 0,
    killsWhileOpening: 0,
    killsWhileParted: 0,
    returns: 0,
  };
  /** When it stood still, by the clock of this process. */
  readonly stops: { readonly fromMs: number; readonly toMs: number }[] = [];
  readonly problems: string[] = [];
  node: EngineProcess;
  #isEnough = false;

  static async open(ports: SlotPorts): Promise<Slot> {
    return new Slot(ports, await Proxy.open(Number(new URL(ports.url).port)));
  }

  private constructor(ports: SlotPorts, line: Proxy) {
    this.#ports = ports;
    this.#line = line;
    this.node = this.#open();
  }

  get name(): string {
    return this.#ports.name;
  }

  #open(): EngineProcess {
    const { name, program, url, peer } = this.#ports;
    const node = new EngineProcess(
      { program, store: this.#line.through(url), standby: true, nodeName: name },
      { PERDURE_STORM_PEER: peer, PERDURE_STORM_NODE: name },
    );
    void node.failure.then(({ message }) => this.problems.push(`${name} has failed: ${message}`));
    void node.ended.then(({ code, signal }) => {
      if (this.node !== node || this.#isEnough) return;
      // It could not open the store while the database was away: as whatever runs it would, we start it again.
      if (!/code: 'STORE_UNREACHABLE'/.test(node.stderr))
        this.problems.push(`${name} ended with ${code ?? signal} by itself: ${node.stderr.slice(-1_000)}`);
      void sleep(100).then(() => this.#follow(node));
    });
    return node;
  }

  #follow(node: EngineProcess): void {
    this.problems.push(...unexpected(node));
    this.counts.returns += node.views.filter(({ state }, at) => state === "active" && at > 0).length;
    if (this.node === node && !this.#isEnough) this.node = this.#open();
  }

  async strike(deed: Deed = this.#ports.dice.weighted(deeds)): Promise<void> {
    const { dice } = this.#ports;
    await this.#does[deed](dice);
  }

  readonly #does: Readonly<Record<Deed, (dice: Dice) => Promise<void>>> = {
    kill: async (dice) => {
      const isEarly = dice.chance(0.1);
      if (!isEarly) await this.#opened();
      await sleep(dice.int(1, isEarly ? 600 : 1_500));
      await this.#kill(isEarly);
    },
    stop: async (dice) => {
      await this.#opened();
      this.counts.stop++;
      await this.#still(dice.int(1.5 * this.#ports.leaseMs, 4 * this.#ports.leaseMs));
      // Now and then it has no time to find out.
      if (dice.chance(0.2)) await sleep(dice.int(1, 500)).then(() => this.#kill(false));
    },
    pause: async (dice) => {
      this.counts.pause++;
      await this.#still(dice.int(20, 900));
    },
    cut: async (dice) => {
      this.counts.cut++;
      this.#line.refuse(true);
      await sleep(dice.delay(1, 3 * this.#ports.leaseMs));
      this.#line.refuse(false);
    },
    part: async (dice) => {
      this.counts.part++;
      this.#line.hold(true);
      await sleep(dice.delay(50, 5 * this.#ports.leaseMs));
      if (dice.chance(0.3)) {
        this.counts.killsWhileParted++;
        await this.#kill(false);
        await sleep(dice.delay(1, 2 * this.#ports.leaseMs));
      }
      this.#line.hold(false);
    },
    slow: async (dice) => {
      this.counts.slow++;
      this.#line.delayMs = dice.int(2, 120);
      await sleep(dice.int(500, 4_000));
      this.#line.delayMs = 0;
    },
  };

  /** It may never be, as long as the database is away. */
  async #opened(): Promise<void> {
    await Promise.race([this.node.opened.catch(() => undefined), sleep(5_000)]);
  }

  async #kill(isEarly: boolean): Promise<void> {
    const { node } = this;
    this.#isEnough = true;
    await node.kill();
    this.#isEnough = false;
    this.counts.kill++;
    if (isEarly) this.counts.killsWhileOpening++;
    this.#follow(node);
  }

  async #still(forMs: number): Promise<void> {
    const { node } = this;
    const fromMs = Date.now();
    node.signal("SIGSTOP");
    await sleep(forMs);
    node.signal("SIGCONT");
    this.stops.push({ fromMs, toMs: Date.now() });
  }

  async close(): Promise<void> {
    const { node } = this;
    // One that was just started again has to be open to be closed.
    await node.opened.catch(() => undefined);
    this.#isEnough = true;
    if (node.alive) await node.close();
    this.#follow(node);
    await this.#line.close();
  }
}
