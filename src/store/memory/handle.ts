/** What a handle on a memory store does to own it together with others. */
import type { Pid } from "../../journal/types.ts";
import type { AcquiredShard, InboxRow, ProcessKey, ShardRow, Sharing } from "../port.ts";
import type { MemoryDisk } from "./disk.ts";
import type { StoreCall } from "./faults.ts";
import type { Announcement } from "../nodes.ts";
import { recordNews } from "./nodes.ts";
import type { SharedOwners } from "./sharing.ts";

export interface HandleParts {
  readonly handle: object;
  /** Of the last claim; 0 before the first. */
  incarnation(): number;
  call<T>(call: StoreCall, effect: () => T): Promise<T>;
  /** The same, if the lease is in force. */
  owned<T>(call: StoreCall, effect: () => T): Promise<T>;
}

export class MemorySharing implements Sharing {
  readonly #disk: MemoryDisk;
  readonly #owners: SharedOwners;
  readonly #parts: HandleParts;
  /** Of own shards: the number of the last row that was handed out. */
  readonly #seen = new Map<number, number>();
  #namesVersion = -1;

  constructor(disk: MemoryDisk, owners: SharedOwners, parts: HandleParts) {
    this.#disk = disk;
    this.#owners = owners;
    this.#parts = parts;
  }

  /** Nothing is owned any more. */
  forget(): void {
    this.#seen.clear();
  }

  shards(): Promise<ShardRow[]> {
    return this.#parts.call("shards", () => this.#owners.shards());
  }

  incarnations(): Promise<number[]> {
    return this.#parts.call("incarnations", () => this.#owners.incarnations());
  }

  reap(nowMs: number): Promise<number[]> {
    return this.#parts.call("reap", () => this.#owners.reap(this.#disk, nowMs, this.#parts.incarnation()));
  }

  acquire(shards: readonly number[]): Promise<AcquiredShard[]> {
    return this.#parts.owned("acquire", () =>
      this.#owners.acquire(shards, this.#parts.incarnation()).map(({ posted, ...row }) => {
        this.#seen.set(row.shard, posted);
        return row;
      }),
    );
  }

  claimName(name: string, process: ProcessKey): Promise<ProcessKey> {
    return this.#parts.owned("claimName", () => {
      const holder = this.#disk.names.get(name);
      if (holder !== undefined) return holder;
      this.#disk.apply({ atMs: 0, names: [{ name, process }] });
      return process;
    });
  }

  reservePid(pid: Pid, returning = false): Promise<boolean> {
    return this.#parts.owned("reservePid", () =>
      this.#owners.reserve(this.#disk, pid, this.#parts.incarnation(), returning),
    );
  }

  posted(limit: number): Promise<InboxRow[]> {
    return this.#parts.call("posted", () =>
      this.#owners.posted(this.#disk, this.#parts.incarnation(), this.#seen, limit),
    );
  }

  announce(news: Announcement): Promise<void> {
    return this.#parts.owned("announce", () => recordNews(this.#disk, this.#parts.incarnation(), news));
  }

  listen(fn: () => void): void {
    this.#owners.listen(this.#parts.handle, fn);
  }

  namesChanged(): Promise<boolean> {
    return this.#parts.call("namesChanged", () => {
      const before = this.#namesVersion;
      this.#namesVersion = this.#disk.namesVersion;
      return before !== this.#namesVersion;
    });
  }
}
