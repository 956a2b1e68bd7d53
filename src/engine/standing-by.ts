/** A node that stands by: it asks for the store again and again, and says from time to time that it is still there. */
import { isPerdureError } from "../base/errors.ts";
import type { PerdureError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import { toError } from "../kernel/errors.ts";
import { nodeRenewalMs } from "../store/port.ts";
import type { NodeInfo, Store } from "../store/port.ts";
import type { NodeView } from "./node-view.ts";

export interface StandingByPorts {
  readonly clock: Clock;
  readonly store: Pick<Store, "standBy">;
  readonly node: NodeInfo;
  /** Becomes the store's owner. Throws STORE_IN_USE. */
  take(): Promise<void>;
  /** It stands by; again if the owner is another one. */
  waits(view: Omit<NodeView, "sinceMs">): void;
  failed(error: Error): void;
}

/** How often it asks: an owner that has stopped is followed within this. To be refused costs some tens of microseconds. */
const askMs = 100;

export class StandingBy {
  readonly #ports: StandingByPorts;
  #message = "";
  #renewedMs = -Infinity;
  #isOver = false;
  #cancel: () => void = () => undefined;
  #asking: Promise<void> = Promise.resolve();

  constructor(ports: StandingByPorts) {
    this.#ports = ports;
  }

  /** Resolves when the store knows that this node stands by. `refused`: the answer to its first question. */
  async begin(refused: PerdureError): Promise<void> {
    await this.#waitOn(refused);
  }

  /** Resolves when it asks no more. */
  async stop(): Promise<void> {
    this.#isOver = true;
    this.#cancel();
    await this.#asking;
  }

  async #ask(): Promise<void> {
    try {
      await this.#ports.take();
    } catch (error) {
      if (isPerdureError(error, "STORE_IN_USE")) await this.#waitOn(error);
      else this.#ports.failed(toError(error));
    }
  }

  async #waitOn({ message: refusal, details }: PerdureError): Promise<void> {
    await this.#renew();
    // Whoever stands by needs no advice how to get the store at once.
    const { owner } = details;
    const message = typeof owner === "string" ? `The store is owned by ${owner}.` : refusal;
    if (message !== this.#message) this.#ports.waits({ state: "standing-by", message });
    this.#message = message;
    if (this.#isOver) return;
    this.#cancel = this.#ports.clock.after(askMs, () => {
      this.#asking = this.#ask();
    });
  }

  async #renew(): Promise<void> {
    const { clock, store, node } = this.#ports;
    const nowMs = Math.trunc(clock.nowMs());
    if (Math.abs(nowMs - this.#renewedMs) < nodeRenewalMs) return;
    this.#renewedMs = nowMs;
    // On a full disk, or beside a long transaction, it can still wait for the store; if the database is gone, the next question tells.
    await store.standBy(nowMs, node).catch(() => undefined);
  }
}
