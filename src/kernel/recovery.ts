/** Goes on with what the last owner has left. */
import type { AcquiredShard, ProcessKey, Store } from "../store/port.ts";
import type { Alarm } from "./alarm.ts";
import type { Attempts } from "./attempts.ts";
import type { Registry } from "./registry.ts";
import type { Shards } from "./shards.ts";

export interface RecoveryPorts {
  readonly store: Pick<Store, "recover">;
  readonly registry: Registry;
  readonly attempts: Attempts;
  readonly alarm: Alarm;
  readonly shards: Pick<Shards, "wasMoved">;
}

/** Enough to be quick over a network; few enough that a node that takes over thousands does its other work besides. */
const loadedAtOnce = 16;

export class Recovery {
  readonly #ports: RecoveryPorts;

  constructor(ports: RecoveryPorts) {
    this.#ports = ports;
  }

  /** These shards have just become this node's. */
  async adopt(shards: readonly AcquiredShard[]): Promise<void> {
    for (const isClean of [true, false]) {
      const some = shards.filter(({ clean }) => clean === isClean).map(({ shard }) => shard);
      if (some.length > 0) await this.takeUp(isClean, some);
    }
    await this.#ports.alarm.ringAnew();
  }

  /** `isClean`: the last owner did not die. Without `shards` it is all there is. */
  async takeUp(isClean: boolean, shards?: readonly number[]): Promise<void> {
    const { store, registry, attempts, shards: owned } = this.#ports;
    const { operations, withInbox, damaged } = await store.recover(shards);
    await this.#loadAll([...damaged.map(({ process }) => process), ...withInbox]);
    const sorted = operations.toSorted((a, b) => a.createdAtMs - b.createdAtMs);
    // Processes run already and may have begun operations of their own: only those found here are to be recovered.
    // Who asked first is served first, as before.
    for (let at = 0; at < sorted.length; at += loadedAtOnce) {
      const some = sorted.slice(at, at + loadedAtOnce);
      await this.#loadAll(some.map(({ process }) => process));
      for (const { process, number } of some) {
        const live = await registry.activateKey(process);
        const operation = live?.operations.get(number);
        if (live === undefined || operation === undefined || operation.settled || live.row.state === "moving") continue;
        attempts.recover(live, operation, !isClean && !owned.wasMoved(process));
      }
    }
  }

  async #loadAll(keys: readonly ProcessKey[]): Promise<void> {
    const { registry } = this.#ports;
    for (let at = 0; at < keys.length; at += loadedAtOnce)
      await Promise.all(keys.slice(at, at + loadedAtOnce).map((key) => registry.activateKey(key)));
  }
}
