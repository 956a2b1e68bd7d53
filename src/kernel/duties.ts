/** Small regular duties: spilling, the lease, other writers, shards, pruning, forgetting processes at rest. */
import type { Clock } from "../base/ports.ts";
import type { Lease, Store } from "../store/port.ts";
import type { Alarm } from "./alarm.ts";
import type { Awaited } from "./awaited.ts";
import type { Committer } from "./batch.ts";
import type { Mail } from "./others.ts";
import type { Placement } from "./placement.ts";
import type { Registry } from "./registry.ts";
import type { Retention } from "./retention.ts";
import type { Shards } from "./shards.ts";

export interface DutiesPorts {
  readonly store: Pick<Store, "renew">;
  readonly clock: Clock;
  readonly committer: Committer;
  readonly awaited: Awaited;
  readonly alarm: Alarm;
  readonly registry: Registry;
  readonly shards: Shards;
  readonly placement: Placement;
  readonly mail: Mail;
  readonly retention: Retention;
  readonly lease: Pick<Lease, "renewMs">;
  /** Of the kernel. */
  state(): "opening" | "open" | "over";
  /** The kernel fails if it does. */
  run(work: Promise<void>): void;
}

const tickMs = 20;
const pollOthersMs = 100;
const longestRenewMs = 5_000;

export class Duties {
  readonly #ports: DutiesPorts;
  #stop: () => void = () => undefined;
  readonly #renewMs: number;
  #lastRenewMs: number;
  #lastPollMs = 0;
  #isHinted = false;

  constructor(ports: DutiesPorts) {
    this.#ports = ports;
    this.#renewMs = Math.min(ports.lease.renewMs ?? longestRenewMs, longestRenewMs);
    this.#lastRenewMs = ports.clock.nowMs();
  }

  begin(): void {
    this.#stop = this.#ports.clock.after(tickMs, () => {
      if (this.#ports.state() === "over") return;
      this.#tick(this.#ports.clock.nowMs());
      this.begin();
    });
  }

  /** With all that it reminds of its duties. */
  stop(): void {
    this.#stop();
    const { alarm, retention, shards, placement } = this.#ports;
    for (const each of [alarm, retention, shards, placement]) each.stop();
  }

  /** Others have written something for this node, perhaps. Its own exits may have done so too. */
  hinted(): void {
    const { clock, mail, run, state } = this.#ports;
    if (this.#isHinted || state() === "over") return;
    this.#isHinted = true;
    clock.after(0, () => {
      this.#isHinted = false;
      if (state() === "open") run(mail.poll());
    });
  }

  #tick(nowMs: number): void {
    const { awaited, alarm, registry, shards, placement, retention, run } = this.#ports;
    const isOpen = this.#ports.state() === "open";
    awaited.spill();
    // Whoever ran before the names are known would find them free.
    if (isOpen) alarm.check(nowMs);
    registry.forget(nowMs);
    run(this.#look(nowMs));
    // Recovery comes first.
    if (!isOpen) return;
    run(shards.tick(nowMs));
    placement.tick(nowMs);
    if (shards.hasFirst) run(retention.tick(nowMs));
  }

  async #look(nowMs: number): Promise<void> {
    const { store, committer, mail } = this.#ports;
    // A transaction is a sign of life itself.
    if (Math.abs(nowMs - this.#lastRenewMs) >= this.#renewMs && !committer.isLent) {
      this.#lastRenewMs = nowMs;
      await store.renew(nowMs);
    }
    if (this.#ports.state() !== "open" || Math.abs(nowMs - this.#lastPollMs) < pollOthersMs) return;
    this.#lastPollMs = nowMs;
    await mail.poll();
  }
}
