/** Whether a node is alive and whether it is of use: what an orchestrator asks. */
import type { Clock } from "../base/ports.ts";
import type { NodeState, NodeView } from "./node-view.ts";
import { release } from "./release.ts";

export interface Health {
  /** Its threads answer. If they do not, a restart is what helps. */
  readonly isLive: boolean;
  /** It owns the store or stands by, and is not about to stop. */
  readonly isReady: boolean;
  /** `opening`: before `Engine.open` has resolved. `draining`: it is being closed. */
  readonly state: NodeState | "opening" | "draining";
  /** Its name. */
  readonly node: string;
  /** Of its lease; 0 unless it is active. */
  readonly incarnation: number;
  /** Since when it is in this state. */
  readonly sinceMs: number;
  /** Why it is not ready, or not active; "" if it is. */
  readonly message: string;
  /** The version of Perdure. */
  readonly release: string;
}

export interface HealthPorts {
  readonly clock: Clock;
  readonly name: string;
  readonly node: () => NodeView;
  readonly failure: () => Error | undefined;
  /** Whether there is a kernel thread that can be asked. */
  readonly isOpen: () => boolean;
  /** Resolves when the kernel thread answers. */
  readonly ping: () => Promise<void>;
}

/** How long the kernel thread may take to answer: it commits, which takes a disk some milliseconds. */
const pingTimeoutMs = 2_000;

/** Of a node that is not open yet. */
export function openingHealth(name: string, sinceMs: number): Health {
  const message = "The node is being opened.";
  return { isLive: true, isReady: false, state: "opening", node: name, incarnation: 0, sinceMs, message, release };
}

export class HealthCheck {
  readonly #ports: HealthPorts;
  /** One question under way is enough for all who want to know. */
  #ping: Promise<void> | undefined;
  #closingSinceMs: number | undefined;

  constructor(ports: HealthPorts) {
    this.#ports = ports;
  }

  /** The node is about to stop. */
  closing(): void {
    this.#closingSinceMs ??= this.#ports.clock.nowMs();
  }

  async look(): Promise<Health> {
    const before = this.#state();
    if (!before.isReady || (await this.#answers())) return this.#state();
    // It may have stopped, or lost the store, while it was asked.
    const after = this.#state();
    const message = `The kernel thread has not answered within ${pingTimeoutMs} ms.`;
    return after.isReady ? { ...after, isLive: false, isReady: false, message } : after;
  }

  #state(): Health {
    const { name, node, failure, isOpen } = this.#ports;
    const { state, sinceMs, incarnation = 0, message } = node();
    const common = { node: name, incarnation, sinceMs, release };
    const error = failure();
    if (error !== undefined) return { ...common, isLive: false, isReady: false, state, message: error.message };
    if (this.#closingSinceMs !== undefined && state !== "stopped") {
      const draining = { state: "draining", sinceMs: this.#closingSinceMs, message: "The node is stopping." } as const;
      return { ...common, isLive: true, isReady: false, ...draining };
    }
    if (state === "stopped")
      return { ...common, isLive: true, isReady: false, state, message: "The node has stopped." };
    const isReady = isOpen() && (state === "active" || state === "standing-by");
    return { ...common, isLive: true, isReady, state, message };
  }

  async #answers(): Promise<boolean> {
    const { clock, ping } = this.#ports;
    this.#ping ??= ping().finally(() => (this.#ping = undefined));
    const asked = this.#ping.then(
      () => true,
      () => false,
    );
    let cancel = (): void => undefined;
    const late = new Promise<false>((resolve) => {
      // Where host code has held up this thread, the answer is there and comes next.
      cancel = clock.after(pingTimeoutMs, () => setImmediate(() => resolve(false)));
    });
    const answers = await Promise.race([asked, late]);
    cancel();
    return answers;
  }
}
