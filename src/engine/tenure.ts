/**
 * The kernel thread and the runner of host code, which live and die together: one pair for each time this node has, or waits for, the
 * store. A node that may stand by outlives them. When its lease is lost, or the database, it begins again with another pair.
 */
import { isPerdureError, PerdureError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import type { Runner } from "../operations/runner.ts";
import type { KernelClient, KernelEvent } from "./kernel-client.ts";
import type { NodeView } from "./node-view.ts";

export interface TenurePorts {
  readonly clock: Clock;
  /** Whether the node begins again. */
  readonly standby: boolean;
  newRunner(): Runner;
  newKernel(onEvent: (event: KernelEvent) => void, onFailed: (error: Error) => void): KernelClient;
  /** To be done with each new kernel before anything else. */
  prepare(kernel: KernelClient): Promise<void>;
  heard(event: Exclude<KernelEvent, { kind: "node" }>): void;
  /** The node is something else than before. */
  became(node: NodeView): void;
  /** It has stopped for good. */
  failed(error: Error): void;
}

/** How long it waits before it tries to reach the database again. */
const firstRetryMs = 250;
const longestRetryMs = 5_000;

export class Tenure {
  readonly #ports: TenurePorts;
  #runner!: Runner;
  #kernel!: KernelClient;
  #node: NodeView;
  #failure: Error | undefined;
  #closed = false;
  #isOpening = false;
  #isOpen = false;
  /** Set while there is no kernel to ask. Never rejects. */
  #returning: Promise<void> | undefined;
  #cutWait: () => void = () => undefined;
  /** Those who wait until the node is active. */
  readonly #waiters = new Set<{ resolve(): void; reject(error: Error): void }>();

  constructor(ports: TenurePorts) {
    this.#ports = ports;
    this.#node = { state: "standing-by", sinceMs: ports.clock.nowMs(), message: "The node is being opened." };
  }

  get kernel(): KernelClient {
    return this.#kernel;
  }

  get runner(): Runner {
    return this.#runner;
  }

  get node(): NodeView {
    return this.#node;
  }

  /** Whether there is a kernel that can be asked. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  /** The first time. A node that may stand by, and was taken for dead while it opened the store, begins anew. */
  async begin(): Promise<void> {
    for (;;) {
      try {
        return await this.open();
      } catch (error) {
        if (!this.#ports.standby || !isPerdureError(error, "STORE_FENCED")) throw error;
        void this.#runner.close();
        void this.#kernel.terminate();
      }
    }
  }

  /** Resolves when the node owns the store, or stands by. Throws what keeps it from either. */
  async open(): Promise<void> {
    const { newRunner, newKernel, prepare } = this.#ports;
    this.#isOpening = true;
    try {
      this.#runner = newRunner();
      this.#kernel = newKernel(
        (event) => this.#heard(event),
        (error) => this.#lost(error),
      );
      await this.#kernel.opened();
      await prepare(this.#kernel);
      this.#isOpen = true;
    } finally {
      this.#isOpening = false;
    }
  }

  /** Resolves when the node is active: at once if it is. Rejects when it is closed or fails before. */
  active(): Promise<void> {
    if (this.#node.state === "active") return Promise.resolve();
    if (this.#node.state === "stopped") return Promise.reject(this.#failure ?? closed());
    return new Promise((resolve, reject) => this.#waiters.add({ resolve, reject }));
  }

  /** For what may be asked again: if the kernel is lost while it answers, the next one is asked. */
  async persist<T>(ask: (kernel: KernelClient) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask(this.#kernel);
      } catch (error) {
        if (!this.#ports.standby || !isLoss(error)) throw error;
        // Who asked may hear of the loss before the node does.
        await (this.#returning ?? new Promise<void>((resolve) => void this.#ports.clock.after(firstRetryMs, resolve)));
        if (this.#closed || this.#failure !== undefined) throw error;
      }
    }
  }

  /** The node is being closed: it begins no more. Resolves when it has stopped trying. */
  async retire(): Promise<void> {
    this.#closed = true;
    this.#cutWait();
    await this.#returning;
  }

  stopped(): void {
    this.#become("stopped", "");
    for (const waiter of this.#waiters) waiter.reject(this.#failure ?? closed());
    this.#waiters.clear();
  }

  #heard(event: KernelEvent): void {
    if (event.kind !== "node") return this.#ports.heard(event);
    this.#become(event.node.state, event.node.message, event.node.incarnation);
  }

  #become(state: NodeView["state"], message: string, incarnation?: number): void {
    const isSame = this.#node.state === state;
    if (isSame && this.#node.message === message) return;
    const sinceMs = isSame ? this.#node.sinceMs : this.#ports.clock.nowMs();
    this.#node = { state, sinceMs, message, ...(incarnation === undefined ? {} : { incarnation }) };
    // A server that starts refuses in one way after the other, which is no news.
    if (isSame && state === "unreachable") return;
    if (state === "active") {
      for (const { resolve } of this.#waiters) resolve();
      this.#waiters.clear();
    }
    this.#ports.became(this.#node);
  }

  // -- the end of a kernel --------------------------------------------------------------------------------------

  #lost(error: Error): void {
    this.#isOpen = false;
    // What it runs may end, but is not heard of any more.
    void this.#runner.drain(0);
    void this.#runner.close();
    // Frees the store, for whoever opens it next, and lets Node end.
    void this.#kernel.terminate();
    // Whoever opens it is told by the failing call.
    if (this.#isOpening) return;
    if (!this.#ports.standby || this.#closed || !isLoss(error)) return this.#fail(error);
    this.#returning = this.#return(error);
  }

  async #return(lost: Error): Promise<void> {
    try {
      await this.#openAgain(lost);
    } finally {
      this.#returning = undefined;
    }
  }

  /** As often as it takes. */
  async #openAgain(lost: Error): Promise<void> {
    let error = lost;
    for (let waitMs = firstRetryMs; !this.#closed; waitMs = Math.min(longestRetryMs, waitMs * 2)) {
      this.#become(isPerdureError(error, "STORE_UNREACHABLE") ? "unreachable" : "standing-by", error.message);
      await this.#wait(waitMs);
      if (this.#closed) return;
      try {
        return await this.open();
      } catch (thrown) {
        error = thrown instanceof Error ? thrown : new Error(String(thrown));
        void this.#runner.close();
        if (!isLoss(error)) return this.#fail(error);
      }
    }
  }

  async #wait(delayMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#ports.clock.after(delayMs, resolve);
      this.#cutWait = () => {
        cancel();
        resolve();
      };
    });
  }

  #fail(error: Error): void {
    this.#failure = error;
    this.stopped();
    this.#ports.failed(error);
  }
}

/** The store is another node's, or out of reach; what is committed is safe, and the node can begin again. */
function isLoss(error: unknown): boolean {
  return isPerdureError(error, "STORE_FENCED") || isPerdureError(error, "STORE_UNREACHABLE");
}

function closed(): PerdureError {
  return new PerdureError("ENGINE_CLOSED", "The engine is closed.");
}
