/**
 * Memories: which instances hold which process. A process at rest may keep its instance while there is room; beyond that
 * its differing pages are kept for a while; beyond that it is rebuilt from the store.
 */
import { totalmem } from "node:os";
import { PerdureError } from "../base/errors.ts";
import type { ProcessKey } from "../journal/types.ts";
import type { EngineBinary } from "./engine-binary.ts";
import type { Image } from "./image.ts";
import { apply, diff, untouchedBytes, wasmPageBytes } from "./pages.ts";
import type { Delta } from "./pages.ts";
import { idleHooks, Vm } from "./vm.ts";

export interface PoolLimits {
  /**
   * Bytes of instances. Beyond it, those that wait for reuse are let go of, then processes at rest lose theirs; processes in
   * the middle of a turn never do. The pool takes that much only while processes that lost theirs come back for more;
   * otherwise it is content with 256 MiB. Default an eighth of the host's memory, or the container's, but 256 MiB at least and 4 GiB at most: a
   * process in motion takes 2 MiB and a little.
   */
  readonly instanceBytes: number;
  /** Bytes of pages kept of processes that lost their instance. Default 64 MiB. */
  readonly pageCacheBytes: number;
}

const mebibyte = 1024 * 1024;

/** A container sees its host's memory; what it may use of it is its limit. 0: there is none. */
const memoryBytes = Math.min(totalmem(), process.constrainedMemory() || Infinity);

export const defaultPoolLimits: PoolLimits = {
  instanceBytes: Math.min(Math.max(memoryBytes / 8, 256 * mebibyte), 4096 * mebibyte),
  pageCacheBytes: 64 * mebibyte,
};

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
  /** What the pool has counted its memory as. */
  countedBytes: number;
}

/** Of a resident's memory. */
export interface Copy extends Pick<Resident, "vm" | "image"> {
  readonly countedBytes: number;
}

interface Evicted {
  readonly image: Image;
  readonly turn: number;
  readonly delta: Delta;
  readonly costMicros: number;
}

export interface PoolUse {
  /** Of all instances: busy, at rest and waiting for reuse. */
  readonly instanceBytes: number;
  readonly pageCacheBytes: number;
  readonly residents: number;
  /** Sizes of the instances that wait for reuse. */
  readonly free: readonly number[];
}

/** What the pool takes without need: making instances costs more than using them again. */
const modestBytes = 256 * mebibyte;
/** So many of those who lost their instance are remembered. */
const maxMissed = 20_000;

/** Rebuilding a process that ran for less than this is cheaper than finding its differing pages. */
const worthKeepingMicros = 300;

export class Pool {
  readonly #engine: EngineBinary;
  readonly #limits: PoolLimits;
  /** In order of last use, oldest first. */
  readonly #residents = new Map<ProcessKey, Resident>();
  readonly #evicted = new Map<ProcessKey, Evicted>();
  /** Instances of dropped and evicted processes, by size. */
  readonly #free = new Map<number, Vm[]>();
  #instanceBytes = 0;
  #pageBytes = 0;
  /** Since the last `trim`. */
  #acquired = 0;
  /** Processes that lost their instance to another. If they come back, the pool is too small. */
  readonly #missed = new Set<ProcessKey>();
  #roomBytes: number;
  /** What the last new process began with, if that was since the last `prepare`. */
  #begun: Image | undefined;
  #ready: { readonly image: Image; readonly vm: Vm } | undefined;

  constructor(engine: EngineBinary, limits: PoolLimits) {
    this.#engine = engine;
    this.#limits = limits;
    this.#roomBytes = Math.min(modestBytes, limits.instanceBytes);
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

  /** Gives the process an instance holding `image`, and on it `delta`. Throws ENGINE_FAILED if the host has no memory. */
  create(process: ProcessKey, image: Image, turn: number, delta?: Delta, costMicros = 0): Resident {
    this.drop(process);
    const countedBytes = delta?.sizeBytes ?? image.memory.length;
    const isBack = this.#missed.delete(process);
    if (isBack) this.#roomBytes = Math.min(this.#limits.instanceBytes, this.#roomBytes + countedBytes);
    const isNew = turn === 0 && delta === undefined;
    if (isNew) this.#begun = image;
    const ready = isNew ? this.#takeReady(image) : undefined;
    const vm = ready ?? this.#acquire(countedBytes, isBack && this.#roomBytes === this.#limits.instanceBytes);
    if (ready === undefined) apply(vm.bytes, image.memory, delta);
    point(vm, image);
    const resident: Resident = { process, image, vm, turn, busy: false, costMicros, countedBytes };
    this.#residents.set(process, resident);
    return resident;
  }

  /**
   * Another instance with the resident's memory as it is now, for what shall leave no trace: copying is cheaper than making a
   * memory good again, and safe whatever happens in the copy. `putBack` must follow. Throws ENGINE_FAILED as `create` does.
   */
  copy(resident: Resident): Copy {
    const { image, busy } = resident;
    const { bytes } = resident.vm;
    // Room for the copy must not be made at the expense of what is copied.
    resident.busy = true;
    try {
      const vm = this.#acquire(bytes.length);
      bytes.copy(vm.bytes, untouchedBytes, untouchedBytes);
      point(vm, image);
      return { vm, image, countedBytes: bytes.length };
    } finally {
      resident.busy = busy;
    }
  }

  /** The copy is not needed any more. `ruined`: something was running in it, and never ended. */
  putBack({ vm, image, countedBytes }: Copy, ruined: boolean): void {
    this.#release(vm, image, countedBytes, ruined);
  }

  /**
   * To be called when there is nothing else to do. Where one process has begun another often does: the memory that it will begin
   * with is filled ahead. Throws ENGINE_FAILED as `create` does.
   */
  prepare(): void {
    const image = this.#begun;
    this.#begun = undefined;
    if (image === undefined || this.#ready?.image === image) return;
    const vm = this.#takeReady(image) ?? this.#acquire(image.memory.length);
    apply(vm.bytes, image.memory, undefined);
    this.#ready = { image, vm };
  }

  /** One of another image is put back among those that wait for reuse. */
  #takeReady(image: Image): Vm | undefined {
    const ready = this.#ready;
    this.#ready = undefined;
    if (ready === undefined || ready.image === image) return ready?.vm;
    this.#release(ready.vm, ready.image, ready.image.memory.length, false);
    return undefined;
  }

  /** A turn of the resident has ended well. Its memory may have grown, at the expense of others. */
  rest(resident: Resident): void {
    resident.busy = false;
    const { sizeBytes } = resident.vm;
    if (sizeBytes === resident.countedBytes || this.#residents.get(resident.process) !== resident) return;
    this.#instanceBytes += sizeBytes - resident.countedBytes;
    resident.countedBytes = sizeBytes;
    this.#makeRoom(0, resident);
  }

  /** Forgets the process. Its instance is used again if nothing was running in it. */
  drop(process: ProcessKey): void {
    this.#takeEvicted(process);
    const resident = this.#residents.get(process);
    if (resident !== undefined) this.#remove(resident);
  }

  /** Forgets the resident, whose turn ended in the middle; a later resident of the same process stays. */
  ruin(resident: Resident): void {
    resident.busy = true;
    if (this.#residents.get(resident.process) === resident) this.#remove(resident);
  }

  /** To be called now and then: lets go of instances that nobody has wanted since the last time. */
  trim(): void {
    const wanted = this.#acquired;
    this.#acquired = 0;
    if (wanted === 0) this.#roomBytes = Math.min(modestBytes, this.#limits.instanceBytes);
    let waiting = [...this.#free.values()].reduce((sum, list) => sum + list.length, 0);
    while (waiting > wanted && this.#releaseFree()) waiting--;
  }

  get use(): PoolUse {
    const free = [...this.#free].flatMap(([sizeBytes, list]) => list.map(() => sizeBytes));
    const residents = this.#residents.size;
    return { instanceBytes: this.#instanceBytes, pageCacheBytes: this.#pageBytes, residents, free };
  }

  #takeEvicted(process: ProcessKey): Evicted | undefined {
    const kept = this.#evicted.get(process);
    if (kept === undefined) return undefined;
    this.#evicted.delete(process);
    this.#pageBytes -= kept.delta.contents.length;
    return kept;
  }

  // -- instances ------------------------------------------------------------------------------------------------

  /**
   * An instance of exactly `sizeBytes`: memory never shrinks, and in a larger one the same inputs would give other bytes.
   */
  #acquire(sizeBytes: number, isCrowded = false): Vm {
    this.#acquired++;
    const free = this.#takeFree(sizeBytes);
    if (free !== undefined) return free;
    this.#makeRoom(sizeBytes, undefined, isCrowded);
    return this.#takeFree(sizeBytes) ?? this.#instantiate(sizeBytes);
  }

  #instantiate(sizeBytes: number): Vm {
    let vm: Vm;
    try {
      vm = newInstance(this.#engine, sizeBytes);
    } catch {
      // Whatever is idle may be what is missing.
      while (this.#releaseFree() || this.#evictOldest()) continue;
      try {
        vm = newInstance(this.#engine, sizeBytes);
      } catch (cause) {
        const message = `The host has no memory for a machine of ${sizeBytes} bytes. Give the node more, or lower its limits.`;
        throw new PerdureError("ENGINE_FAILED", message, { cause, details: { sizeBytes } });
      }
    }
    this.#instanceBytes += sizeBytes;
    return vm;
  }

  #takeFree(sizeBytes: number): Vm | undefined {
    return this.#free.get(sizeBytes)?.pop();
  }

  /** Makes room for another instance, or an idle one of that size. Does not touch `except`. */
  #makeRoom(sizeBytes: number, except?: Resident, isCrowded = false): void {
    while (this.#instanceBytes + sizeBytes > this.#roomBytes) {
      if (this.#releaseFree()) continue;
      if (!(isCrowded ? this.#evictNewest() : this.#evictOldest(except))) return;
      if ((this.#free.get(sizeBytes)?.length ?? 0) > 0) return;
    }
  }

  /** Lets go of one instance that waits for reuse. */
  #releaseFree(): boolean {
    for (const [sizeBytes, list] of this.#free) {
      if (list.pop() === undefined) continue;
      this.#instanceBytes -= sizeBytes;
      return true;
    }
    return false;
  }

  /**
   * More processes come round than there is room for. The oldest is the one that will be wanted next: then every one would
   * miss. So whoever has just been served makes room, and the others keep their instances.
   */
  #evictNewest(): boolean {
    const newest = [...this.#residents.values()].findLast(({ busy }) => !busy);
    if (newest !== undefined) this.#evict(newest);
    return newest !== undefined;
  }

  #evictOldest(except?: Resident): boolean {
    for (const resident of this.#residents.values()) {
      if (resident.busy || resident === except) continue;
      this.#evict(resident);
      return true;
    }
    return false;
  }

  #evict(resident: Resident): void {
    if (resident.costMicros > worthKeepingMicros) this.#keepPages(resident);
    this.#remove(resident);
    this.#miss(resident.process);
  }

  #miss(process: ProcessKey): void {
    this.#missed.add(process);
    for (const oldest of this.#missed) {
      if (this.#missed.size <= maxMissed) break;
      this.#missed.delete(oldest);
    }
  }

  #keepPages(resident: Resident): void {
    const { process, image, turn, costMicros } = resident;
    const delta = diff(resident.vm.bytes, image.memory);
    if (delta.contents.length > this.#limits.pageCacheBytes) return;
    this.#evicted.set(process, { image, turn, delta, costMicros });
    this.#pageBytes += delta.contents.length;
    for (const oldest of this.#evicted.keys()) {
      if (this.#pageBytes <= this.#limits.pageCacheBytes) break;
      this.#takeEvicted(oldest);
    }
  }

  #remove(resident: Resident): void {
    const { process, vm, image, countedBytes } = resident;
    this.#residents.delete(process);
    this.#release(vm, image, countedBytes, resident.busy);
  }

  #release(vm: Vm, image: Image, countedBytes: number, ruined: boolean): void {
    vm.hooks = idleHooks;
    vm.rejections.clear();
    // Hardly another process will ever need one of just the size this one grew to.
    if (ruined || vm.sizeBytes !== image.memory.length) {
      this.#instanceBytes -= countedBytes;
      return;
    }
    const list = this.#free.get(countedBytes) ?? [];
    list.push(vm);
    this.#free.set(countedBytes, list);
  }
}

/** The memory is there: the instance is told where in it things are. */
function point(vm: Vm, { pointers }: Image): void {
  vm.pointers = pointers;
  vm.exports.__stack_pointer.value = pointers.stackPointer;
  vm.exports.qjs_set_runtime_and_context(pointers.runtime, pointers.context);
}

function newInstance(engine: EngineBinary, sizeBytes: number): Vm {
  const vm = new Vm(engine, idleHooks);
  const missingBytes = sizeBytes - vm.sizeBytes;
  if (missingBytes < 0) throw new Error(`a memory of ${sizeBytes} bytes is smaller than an empty instance's`);
  if (missingBytes > 0) vm.exports.memory.grow(missingBytes / wasmPageBytes);
  return vm;
}
