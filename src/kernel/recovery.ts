/** Goes on with what the last owner has left. */
import type { AcquiredShard, Store } from "../store/port.ts";
import type { Alarm } from "./alarm.ts";
import type { Attempts } from "./attempts.ts";
import type { Registry } from "./registry.ts";

export interface RecoveryPorts {
  readonly store: Pick<Store, "recover">;
  readonly registry: Registry;
  readonly attempts: Attempts;
  readonly alarm: Alarm;
}

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
    const { store, registry, attempts } = this.#ports;
    const { operations, withInbox, damaged } = await store.recover(shards);
    for (const key of [...damaged.map(({ process }) => process), ...withInbox]) await registry.activateKey(key);
    // Processes run already and may have begun operations of their own: only those found here are to be recovered.
    // Who asked first is served first, as before.
    for (const { process, number } of operations.toSorted((a, b) => a.createdAtMs - b.createdAtMs)) {
      const live = await registry.activateKey(process);
      const operation = live?.operations.get(number);
      if (live === undefined || operation === undefined || operation.settled) continue;
      attempts.recover(live, operation, !isClean);
    }
  }
}
