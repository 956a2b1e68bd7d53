/**
 * One QuickJS engine in one WebAssembly instance: the lowest floor of the machine. It knows strings, calls and
 * preemption; of processes and turns it knows nothing.
 *
 * Guest code runs only under `WebAssembly.promising`, so that the interrupt import may suspend it, and is never
 * re-entered from an import. That is why everything that can run guest code here returns a promise.
 */
import { PerdureError } from "../base/errors.ts";
import type { EngineBinary, EngineExports } from "./engine-binary.ts";
import { pageBytes, untouchedBytes } from "./pages.ts";

/** Pointers that outlive a turn. They are made while the image is built, so every process of an image shares them. */
export interface VmPointers {
  readonly runtime: number;
  readonly context: number;
  readonly stackPointer: number;
  readonly undefined: number;
  /** Room for a length, and for `argvSlots` argument pointers. */
  readonly scratch: number;
  readonly argv: number;
  readonly dispatch: number;
}

export const argvSlots = 64;

export interface VmHooks {
  /** Called every 10,000 bytecode operations. A promise suspends the guest until it resolves; one that never does ends it. */
  interrupt(): number | Promise<number>;
  emit(kind: number, number: number, a: string, b: string, chunks: Uint8Array[]): void;
}

/** What an instance does while nothing of a process's runs in it. */
export const idleHooks: VmHooks = { interrupt: () => 0, emit: () => undefined };

/**
 * So many microtasks are to count as one interrupt: a loop around `await` runs few bytecode operations in each, and would
 * keep the thread a hundred times as long as a loop without.
 */
export const jobsPerInterrupt = 128;

type Promised<F extends (...args: never[]) => unknown> = (...args: Parameters<F>) => Promise<ReturnType<F>>;

/** What a call left behind: a boxed value to be freed, or the exception it threw. */
export interface Completion {
  readonly value: number;
  readonly threw: boolean;
}

/** JS_STRIP_SOURCE. */
const stripSource = 1 << 4;
/** Not at 0, which means "nothing" to C. */
const handOverStart = pageBytes;
const handOverBytes = untouchedBytes - handOverStart;
const errnoBadFile = 8;
const errnoNotSupported = 52;

/** The engine ran out of memory while the host handed it something. */
export class OutOfMemory extends Error {}

export class Vm {
  readonly exports: EngineExports;
  hooks: VmHooks;
  pointers!: VmPointers;
  /** Wall time the guest sees, in ms. */
  nowMs = 0;
  /** Whether the guest asked for the time since this was last cleared. */
  timeUsed = false;
  /** Boxed reasons of rejections nobody has handled yet, by promise. Empty between turns. */
  readonly rejections: Map<number, { promise: number; reason: number }> = new Map();

  readonly #evaluate: Promised<EngineExports["qjs_eval"]>;
  readonly #evaluateBytecode: Promised<EngineExports["qjs_eval_bytecode"]>;
  readonly #call: Promised<EngineExports["qjs_call"]>;
  readonly #getProperty: Promised<EngineExports["qjs_get_prop_string"]>;
  readonly #executePendingJob: Promised<EngineExports["qjs_execute_pending_job"]>;
  #bytes: Buffer;
  #view: DataView;

  constructor(engine: EngineBinary, hooks: VmHooks) {
    this.hooks = hooks;
    const instance = new WebAssembly.Instance(engine.module, this.#imports());
    this.exports = instance.exports as unknown as EngineExports;
    this.#evaluate = promising(this.exports.qjs_eval);
    this.#evaluateBytecode = promising(this.exports.qjs_eval_bytecode);
    this.#call = promising(this.exports.qjs_call);
    this.#getProperty = promising(this.exports.qjs_get_prop_string);
    this.#executePendingJob = promising(this.exports.qjs_execute_pending_job);
    this.#bytes = Buffer.from(this.exports.memory.buffer);
    this.#view = new DataView(this.exports.memory.buffer);
  }

  get sizeBytes(): number {
    return this.exports.memory.buffer.byteLength;
  }

  /** The whole linear memory as it is now. Good until the memory grows. */
  get bytes(): Buffer {
    this.#refresh();
    return this.#bytes;
  }

  get #words(): DataView {
    this.#refresh();
    return this.#view;
  }

  /** Growing the memory detaches every view of it. */
  #refresh(): void {
    if (this.#bytes.buffer === this.exports.memory.buffer) return;
    this.#bytes = Buffer.from(this.exports.memory.buffer);
    this.#view = new DataView(this.exports.memory.buffer);
  }

  // -- values ---------------------------------------------------------------------------------------------------

  /** Copies UTF-8 into guest memory, terminated by a zero; the caller frees it. Throws OutOfMemory. */
  writeString(text: string): { pointer: number; length: number } {
    const length = Buffer.byteLength(text);
    const pointer = this.#allocate(length + 1);
    const bytes = this.bytes;
    bytes.write(text, pointer, length, "utf8");
    bytes[pointer + length] = 0;
    return { pointer, length };
  }

  newString(text: string): number {
    const length = Buffer.byteLength(text);
    const pointer = this.#handOver(length);
    this.bytes.write(text, pointer, length, "utf8");
    const value = this.exports.qjs_new_string(pointer, length);
    this.#takeBack(pointer);
    return this.#made(value);
  }

  newArrayBuffer(bytes: Uint8Array): number {
    const pointer = this.#handOver(bytes.length);
    this.bytes.set(bytes, pointer);
    const value = this.exports.qjs_new_array_buffer(pointer, bytes.length);
    this.#takeBack(pointer);
    return this.#made(value);
  }

  /** Reads a string primitive. Throws OutOfMemory; the engine's own exception is then pending. */
  readString(value: number): string {
    const { scratch } = this.pointers;
    // Anything else would be converted by guest code, outside `promising`.
    if (this.exports.qjs_is_string(value) === 0)
      throw new TypeError("The sandbox handed over something else than text.");
    const utf8 = this.exports.qjs_get_string_len(value, scratch);
    if (utf8 === 0) throw new OutOfMemory("no memory to read a string");
    const length = this.#words.getUint32(scratch, true);
    const text = this.bytes.toString("utf8", utf8, utf8 + length);
    this.exports.qjs_free_cstring(utf8);
    return text;
  }

  /** Reads a property of whatever it is: that may be an accessor, so guest code may run. */
  async getProperty(object: number, name: string): Promise<number> {
    const { pointer } = this.writeString(name);
    const value = await this.#getProperty(object, pointer);
    this.exports.wasm_free(pointer);
    return value;
  }

  setGlobal(name: string, value: number): void {
    const global = this.exports.qjs_get_global();
    const { pointer } = this.writeString(name);
    this.exports.qjs_set_prop_string(global, pointer, value);
    this.exports.wasm_free(pointer);
    this.exports.qjs_free_value(global);
  }

  /**
   * Room for bytes the engine copies within the next call. Mostly that is the part of the stack which is nobody's, so that
   * handing something over leaves no trace in the heap; what is too large for it is allocated.
   */
  #handOver(sizeBytes: number): number {
    return sizeBytes <= handOverBytes ? handOverStart : this.#allocate(sizeBytes);
  }

  #takeBack(pointer: number): void {
    if (pointer !== handOverStart) this.exports.wasm_free(pointer);
  }

  #allocate(sizeBytes: number): number {
    const pointer = this.exports.wasm_malloc(sizeBytes);
    if (pointer === 0) throw new OutOfMemory(`no memory for ${sizeBytes} bytes`);
    return pointer;
  }

  #made(value: number): number {
    if (value === 0 || this.exports.qjs_is_exception(value) !== 0) throw new OutOfMemory("no memory for a value");
    return value;
  }

  // -- running guest code ---------------------------------------------------------------------------------------

  async evaluate(code: string, fileName: string, asModule: boolean): Promise<Completion> {
    const source = this.writeString(code);
    const name = this.writeString(fileName);
    const value = await this.#evaluate(source.pointer, source.length, name.pointer, asModule ? 1 : 0);
    this.exports.wasm_free(source.pointer);
    this.exports.wasm_free(name.pointer);
    return this.#completion(value);
  }

  /**
   * Compiles a script to bytecode without its text: with it, the engine would keep a copy of the text of every function, and
   * again within that of the function around it. Stacks keep their lines. Undefined if it does not compile.
   */
  compileStripped(code: string, fileName: string): Uint8Array | undefined {
    const source = this.writeString(code);
    const name = this.writeString(fileName);
    const lengthOut = this.exports.wasm_malloc(4);
    const bytecode = this.exports.qjs_compile(source.pointer, source.length, name.pointer, 0, stripSource, lengthOut);
    if (bytecode === 0) return undefined;
    return new Uint8Array(this.bytes.subarray(bytecode, bytecode + this.#words.getUint32(lengthOut, true)));
  }

  async evaluateBytecode(bytecode: Uint8Array): Promise<Completion> {
    const pointer = this.#handOver(bytecode.length);
    this.bytes.set(bytecode, pointer);
    const value = await this.#evaluateBytecode(pointer, bytecode.length);
    this.#takeBack(pointer);
    return this.#completion(value);
  }

  /** Calls the guest's dispatch function and frees the arguments. */
  async dispatch(values: readonly number[]): Promise<Completion> {
    const { dispatch, undefined: self } = this.pointers;
    const fits = values.length <= argvSlots;
    const argv = fits ? this.pointers.argv : this.#allocate(4 * values.length);
    const words = this.#words;
    for (const [index, value] of values.entries()) words.setUint32(argv + 4 * index, value, true);
    const result = await this.#call(dispatch, self, values.length, argv);
    if (!fits) this.exports.wasm_free(argv);
    for (const value of values) this.exports.qjs_free_value(value);
    return this.#completion(result);
  }

  get jobPending(): boolean {
    return this.exports.qjs_is_job_pending() !== 0;
  }

  /** Runs one microtask. Answers the boxed exception if it threw (only jobs that are not promise reactions can). */
  async runJob(): Promise<number | undefined> {
    return (await this.#executePendingJob()) < 0 ? this.exports.qjs_get_exception() : undefined;
  }

  #completion(value: number): Completion {
    if (value === 0) return { value: this.exports.qjs_get_exception(), threw: true };
    if (this.exports.qjs_is_exception(value) === 0) return { value, threw: false };
    this.exports.qjs_free_value(value);
    return { value: this.exports.qjs_get_exception(), threw: true };
  }

  /** The boxed reasons of the rejections that nobody has handled, in the order they happened. Forgets them. */
  takeRejections(): number[] {
    const reasons: number[] = [];
    for (const { promise, reason } of this.rejections.values()) {
      this.exports.qjs_free_value(promise);
      reasons.push(reason);
    }
    this.rejections.clear();
    return reasons;
  }

  // -- imports --------------------------------------------------------------------------------------------------

  #imports(): WebAssembly.Imports {
    const interrupt = new WebAssembly.Suspending(() => this.hooks.interrupt());
    return {
      env: {
        host_interrupt: interrupt,
        host_call: (_name: number, _length: number, _self: number, argc: number, argv: number) =>
          this.#hostCall(argc, argv),
        host_promise_rejection: (promise: number, reason: number, handled: number) =>
          this.#rejection(promise, reason, handled),
        // UTC everywhere: the node's time zone is not part of a process.
        host_get_timezone_offset: () => 0,
        // Programs are bundles: nothing is left to import.
        host_module_normalize: () => 0,
        host_module_load: () => 0,
      },
      wasi_snapshot_preview1: {
        clock_time_get: (_clock: number, _precision: bigint, out: number) => {
          this.timeUsed = true;
          this.#words.setBigUint64(out, BigInt(Math.trunc(this.nowMs)) * 1_000_000n, true);
          return 0;
        },
        // Randomness comes from the process's seed, which the prelude deals out; the engine itself gets none.
        random_get: (out: number, length: number) => {
          this.bytes.fill(0, out, out + length);
          return 0;
        },
        fd_close: () => errnoNotSupported,
        fd_fdstat_get: () => errnoBadFile,
        fd_seek: () => errnoNotSupported,
        fd_write: () => errnoBadFile,
      },
    };
  }

  #hostCall(argc: number, argv: number): number {
    const words = this.#words;
    const at = (index: number): number => words.getUint32(argv + 4 * index, true);
    const values = Array.from({ length: argc }, (_, index) => at(index));
    const [kind, number, a, b, ...buffers] = values;
    if (kind === undefined || number === undefined || a === undefined || b === undefined) {
      throw new TypeError("The sandbox handed over half a command.");
    }
    try {
      this.hooks.emit(
        this.#readNumber(kind),
        this.#readNumber(number),
        this.readString(a),
        this.readString(b),
        buffers.map((buffer) => this.#readArrayBuffer(buffer)),
      );
    } catch (error) {
      // The engine has thrown its own "out of memory", which the guest may catch.
      if (error instanceof OutOfMemory) return 0;
      throw error;
    }
    return this.exports.qjs_get_undefined();
  }

  #readNumber(value: number): number {
    if (this.exports.qjs_is_number(value) === 0) {
      throw new TypeError("The sandbox handed over something else than a number.");
    }
    return this.exports.qjs_get_float64(value);
  }

  #readArrayBuffer(value: number): Uint8Array {
    if (this.exports.qjs_is_array_buffer(value) === 0) {
      throw new TypeError("The sandbox handed over something else than bytes.");
    }
    const { scratch } = this.pointers;
    const data = this.exports.qjs_get_array_buffer(value, scratch);
    const length = this.#words.getUint32(scratch, true);
    return new Uint8Array(this.bytes.subarray(data, data + length));
  }

  #rejection(promise: number, reason: number, handled: number): void {
    const identity = this.exports.qjs_get_value_ptr(promise);
    if (handled === 0) {
      this.rejections.set(identity, { promise, reason });
      return;
    }
    this.exports.qjs_free_value(promise);
    this.exports.qjs_free_value(reason);
    const known = this.rejections.get(identity);
    if (known === undefined) return;
    this.rejections.delete(identity);
    this.exports.qjs_free_value(known.promise);
    this.exports.qjs_free_value(known.reason);
  }
}

function promising<F extends (...args: never[]) => unknown>(fn: F): Promised<F> {
  if (WebAssembly.promising === undefined) {
    throw new PerdureError(
      "NODE_VERSION",
      `Perdure needs Node 24 or newer (WebAssembly.promising); this is Node ${process.versions.node}.`,
    );
  }
  return WebAssembly.promising(fn);
}
