/**
 * Memories: which instances hold which process. A process at rest may keep its instance while there is room; beyond that
 * its differing pages are kept for a while; beyond that it is rebuilt from the store.
 */
import type { ProcessKey } from "../journal/types.ts";
import type { EngineBinary } from "./engine-binary.ts";
import type { Image } from "./image.ts";
import { apply, diff } from "./pages.ts";
import type { Delta } from "./pages.ts";
import { Vm } from "./vm.ts";

export interface PoolLimits {
  /** Bytes of instances that hold processes at rest or wait for reuse. Default 256 MiB. */
  readonly instanceBytes: number;
  /** Bytes of pages kept of processes that lost their instance. Default 64 MiB. */
  readonly pageCacheBytes: number;
}

export const defaultPoolLimits: PoolLimits = { instanceBytes: 256 * 1024 * 1024, pageCacheBytes: 64 * 1024 * 1024 };

export interface Resident {
  readonly process: ProcessKey;
  readonly image: Image;
  readonly vm: Vm;
  /** The last turn that ran in this memory. */
  turn: number;
  /** In the middle of a turn: must not be evicted. */
  busy: boolean;
  /** µs of turns since the image or snapshot it came from: below a little, keeping its pages costs more than replay. */
  costMicros: number;
}

interface Evicted {
  readonly image: Image;
  readonly turn: number;
  readonly delta: Delta;
  readonly costMicros: number;
}

/** Rebuilding a process that ran for less than this is cheaper than finding its differing pages. */
const worthKeepingMicros = 300;
const idleHooks = { interrupt: () => 0, emit: () => undefined };

export class Pool {
  readonly #engine: EngineBinary;
  readonly #limits: PoolLimits;
  /** In order of last use, oldest first. */
  readonly #residents = new Map<ProcessKey, Resident>();
  readonly #evicted = new Map<ProcessKey, Evicted>();
  readonly #free = new Map<number, Vm[]>();
  #instanceBytes = 0;
  #pageBytes = 0;

  constructor(engine: EngineBinary, limits: PoolLimits) {
    this.#engine = engine;
    this.#limits = limits;
  }

  /** The process with its memory as after `turn`, from an instance or from kept pages; undefined if neither is there. */
  find(process: ProcessKey, turn: number): Resident | undefined {
    const resident = this.#residents.get(process);
    if (resident !== undefined) {
      if (resident.turn !== turn || resident.busy) return undefined;
      this.#residents.delete(process);
      this.#residents.set(process, resident);
      return resident;
    }
    const kept = this.#takeEvicted(process);
    return kept?.turn === turn ? this.create(process, kept.image, turn, kept.delta, kept.costMicros) : undefined;
  }

  peek(process: ProcessKey): Resident | undefined {
    return this.#residents.get(process);
  }

  /** Gives the process an instance holding `image`, and on it `delta`. */
  create(process: ProcessKey, image: Image, turn: number, delta?: Delta, costMicros = 0): Resident {
    this.drop(process);
    const vm = this.#acquire(image, delta?.sizeBytes ?? image.memory.length);
    apply(vm.bytes, image.memory, delta);
    const { pointers } = image;
    vm.pointers = pointers;
    vm.exports.__stack_pointer.value = pointers.stackPointer;
    vm.exports.qjs_set_runtime_and_context(pointers.runtime, pointers.context);
    const resident: Resident = { process, image, vm, turn, busy: false, costMicros };
    this.#residents.set(process, resident);
    return resident;
  }

  /** Forgets the process. Its instance is used again if nothing was running in it. */
  drop(process: ProcessKey): void {
    this.#takeEvicted(process);
    const resident = this.#residents.get(process);
    if (resident === undefined) return;
    this.#residents.delete(process);
    this.#discard(resident, !resident.busy);
  }

  #takeEvicted(process: ProcessKey): Evicted | undefined {
    const kept = this.#evicted.get(process);
    if (kept === undefined) return undefined;
    this.#evicted.delete(process);
    this.#pageBytes -= kept.delta.contents.length;
    return kept;
  }

  /**
   * An instance of exactly `sizeBytes`: memory never shrinks, and in a larger one the same inputs would give other bytes.
   */
  #acquire(image: Image, sizeBytes: number): Vm {
    const free = this.#free.get(sizeBytes)?.pop();
    if (free !== undefined) return free;
    while (this.#instanceBytes + sizeBytes > this.#limits.instanceBytes && this.#evictOldest()) {
      const freed = this.#free.get(sizeBytes)?.pop();
      if (freed !== undefined) return freed;
      this.#releaseFree();
    }
    const vm = new Vm(this.#engine, idleHooks);
    const missingPages = (sizeBytes - vm.sizeBytes) / 65_536;
    if (missingPages < 0) throw new Error(`the image of ${image.key} is smaller than an empty instance`);
    if (missingPages > 0) vm.exports.memory.grow(missingPages);
    this.#instanceBytes += sizeBytes;
    return vm;
  }

  #evictOldest(): boolean {
    for (const resident of this.#residents.values()) {
      if (resident.busy) continue;
      this.#residents.delete(resident.process);
      if (resident.costMicros > worthKeepingMicros) this.#keepPages(resident);
      this.#discard(resident, true);
      return true;
    }
    return false;
  }

  #keepPages(resident: Resident): void {
    const delta = diff(resident.vm.bytes, resident.image.memory);
    this.#evicted.set(resident.process, {
      image: resident.image,
      turn: resident.turn,
      delta,
      costMicros: resident.costMicros,
    });
    this.#pageBytes += delta.contents.length;
    for (const oldest of this.#evicted.keys()) {
      if (this.#pageBytes <= this.#limits.pageCacheBytes) break;
      this.#takeEvicted(oldest);
    }
  }

  #discard(resident: Resident, reusable: boolean): void {
    const { vm } = resident;
    const grown = vm.sizeBytes !== resident.image.memory.length;
    vm.hooks = idleHooks;
    vm.rejections.clear();
    if (!reusable || grown) {
      // Counted by what it was made for; its growth was never counted.
      this.#instanceBytes -= Math.min(vm.sizeBytes, resident.image.memory.length);
      return;
    }
    const list = this.#free.get(vm.sizeBytes) ?? [];
    list.push(vm);
    this.#free.set(vm.sizeBytes, list);
  }

  /** Lets go of one instance that waits for reuse at a size nobody asked for. */
  #releaseFree(): void {
    for (const [sizeBytes, list] of this.#free) {
      if (list.pop() === undefined) continue;
      this.#instanceBytes -= sizeBytes;
      return;
    }
  }
}
