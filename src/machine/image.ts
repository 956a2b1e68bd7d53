/**
 * An image is a machine's whole memory after the prelude and the program's bundle were evaluated, before any process
 * ran: what every process of that program begins from, and what snapshots are differences to.
 *
 * It is a pure function of engine binary, prelude, bundle and limits; its key says so.
 */
import { createHash } from "node:crypto";
import { PerdureError } from "../base/errors.ts";
import type { EngineBinary } from "./engine-binary.ts";
import { dispatchKind, turnProtocolVersion } from "./protocol.ts";
import { argvSlots, idleHooks, jobsPerInterrupt, OutOfMemory, Vm } from "./vm.ts";
import type { VmHooks, VmPointers } from "./vm.ts";

export interface MachineLimits {
  /** Bytes the guest may allocate. Passing it is an error the guest can catch. */
  readonly memoryBytes: number;
  /** Bytes of native stack: about 1,000 frames. Small enough that the engine's own check comes before the host's. */
  readonly stackBytes: number;
}

export const defaultMachineLimits: MachineLimits = { memoryBytes: 128 * 1024 * 1024, stackBytes: 256 * 1024 };

export interface ProgramSource {
  readonly bundle: string;
  readonly prelude: string;
}

export interface Image {
  readonly key: string;
  readonly memory: Buffer;
  readonly pointers: VmPointers;
  /**
   * Whether the program's modules are in the image. If evaluating them used time, randomness, a timer or an operation,
   * they are not, and are evaluated in each process's first turn from `bundle`.
   */
  readonly evaluated: boolean;
  readonly bundle: string;
}

/** A module that takes longer (10 seconds or more) is left to the processes, which have fuel of their own. */
const buildFuelInterrupts = 100_000;

/** More than any process's memory can come to: what it may allocate, what the host hands it, and holes. */
export function maxMemoryBytes(limits: MachineLimits): number {
  return 2 * limits.memoryBytes + 128 * 1024 * 1024;
}

export function imageKey(engineHash: string, source: ProgramSource, limits: MachineLimits): string {
  const hash = createHash("sha256");
  for (const part of [
    String(turnProtocolVersion),
    engineHash,
    JSON.stringify([limits.memoryBytes, limits.stackBytes]),
    source.prelude,
    source.bundle,
  ]) {
    hash.update(`${Buffer.byteLength(part)}:`).update(part);
  }
  return hash.digest("hex");
}

/**
 * Throws PROGRAM_EVALUATION if the prelude itself does not run; a program that throws fails in its process instead.
 * `interrupt` is called while the program's modules run, and may suspend them.
 */
export async function buildImage(
  engine: EngineBinary,
  source: ProgramSource,
  limits: MachineLimits,
  interrupt: VmHooks["interrupt"] = () => 0,
): Promise<Image> {
  const key = imageKey(engine.hash, source, limits);
  const base = await bootVm(engine, source, limits);
  const prelude = capture(base);
  const finish = (memory: Buffer, evaluated: boolean): Image => ({
    key,
    memory,
    pointers: base.pointers,
    evaluated,
    bundle: source.bundle,
  });
  const pure = await evaluateWithin(buildFuelInterrupts, base, source.bundle, interrupt);
  return pure ? finish(capture(base), true) : finish(prelude, false);
}

async function bootVm(engine: EngineBinary, source: ProgramSource, limits: MachineLimits): Promise<Vm> {
  const vm = new Vm(engine, idleHooks);
  const { exports } = vm;
  exports._initialize();
  if (exports.qjs_init() !== 0) throw evaluationFailed("The engine did not initialise.");
  exports.qjs_set_max_stack_size(limits.stackBytes);
  exports.qjs_set_memory_limit(limits.memoryBytes);
  exports.qjs_set_interrupt_handler(1);
  exports.qjs_set_promise_rejection_handler(1);
  const scratch = exports.wasm_malloc(8);
  const argv = exports.wasm_malloc(4 * argvSlots);
  const name = vm.writeString("emit");
  vm.setGlobal("__emit", exports.qjs_new_host_function(name.pointer, name.length, 0));
  exports.wasm_free(name.pointer);
  vm.pointers = {
    runtime: exports.qjs_get_runtime_ptr(),
    context: exports.qjs_get_context_ptr(),
    stackPointer: Number(exports.__stack_pointer.value),
    undefined: exports.qjs_get_undefined(),
    scratch,
    argv,
    dispatch: 0,
  };
  const done = await vm.evaluateBytecode(compilePrelude(engine, source.prelude));
  if (done.threw) throw evaluationFailed(await describe(vm, done.value));
  exports.qjs_free_value(done.value);
  const global = exports.qjs_get_global();
  vm.pointers = { ...vm.pointers, dispatch: await vm.getProperty(global, "__dispatch") };
  vm.setGlobal("__dispatch", exports.qjs_get_undefined());
  exports.qjs_free_value(global);
  await drain(vm);
  return vm;
}

/** Compiled in a machine of its own: what compiling leaves behind in a heap would be part of every process's memory. */
function compilePrelude(engine: EngineBinary, prelude: string): Uint8Array {
  const vm = new Vm(engine, idleHooks);
  vm.exports._initialize();
  vm.exports.qjs_init();
  const bytecode = vm.compileStripped(prelude, "perdure:prelude");
  if (bytecode === undefined) throw evaluationFailed("It does not compile.");
  return bytecode;
}

/** False also for a bundle that takes too much fuel, or traps: its processes meet that themselves, and end of it. */
function evaluateWithin(fuel: number, vm: Vm, bundle: string, interrupt: VmHooks["interrupt"]): Promise<boolean> {
  let interrupts = 0;
  return new Promise((resolve, reject) => {
    vm.hooks = {
      ...idleHooks,
      interrupt() {
        if (++interrupts <= fuel) return interrupt();
        resolve(false);
        return new Promise<number>(() => undefined);
      },
    };
    evaluatePurely(vm, bundle).then(resolve, (error: unknown) => {
      if (isTrap(error)) resolve(false);
      else reject(error instanceof Error ? error : new Error(String(error)));
    });
  });
}

/** What a program can bring about; a failed allocation of the host, for one, it cannot. */
function isTrap(error: unknown): boolean {
  if (error instanceof RangeError) return error.message === "Maximum call stack size exceeded";
  return error instanceof WebAssembly.RuntimeError || error instanceof OutOfMemory;
}

/** Evaluates the bundle; answers whether nothing that differs between processes had a part in it. */
async function evaluatePurely(vm: Vm, bundle: string): Promise<boolean> {
  vm.timeUsed = false;
  const module = await vm.evaluate(bundle, "perdure:program", true);
  if (module.threw) return false;
  const number = (value: number): number => vm.exports.qjs_new_number(value);
  const blanks = (): number[] => [number(0), vm.newString(""), vm.newString("")];
  const attached = await vm.dispatch([number(dispatchKind.evaluated), ...blanks(), module.value]);
  if (attached.threw) return false;
  vm.exports.qjs_free_value(attached.value);
  if (!(await drain(vm)) || vm.rejections.size > 0 || vm.timeUsed) return false;
  const probe = await vm.dispatch([number(dispatchKind.probe), ...blanks()]);
  if (probe.threw) return false;
  const answer = vm.readString(probe.value);
  vm.exports.qjs_free_value(probe.value);
  return answer === "pure";
}

async function drain(vm: Vm): Promise<boolean> {
  for (let jobs = 1; vm.jobPending; jobs++) {
    if (jobs % jobsPerInterrupt === 0) await vm.hooks.interrupt();
    if ((await vm.runJob()) !== undefined) return false;
  }
  return true;
}

/**
 * Captured after a collection: what the collector would find later would make its pages differ in every process. Then the
 * holes that loading left in the heap are filled for good: a process that allocated from them would touch pages all over
 * the image, while from the heap's end its allocations lie side by side.
 */
function capture(vm: Vm): Buffer {
  vm.exports.qjs_run_gc();
  for (const sizeBytes of holeSizes) fillHoles(vm, sizeBytes);
  return Buffer.from(vm.bytes);
}

/** Large holes first, so that small blocks do not split them. */
const holeSizes: readonly number[] = [131_072, 65_536, 16_384, 4096, 1024, 512, 256, 128, 96, 64, 48, 32, 24, 16, 8];

function fillHoles(vm: Vm, sizeBytes: number): void {
  const { wasm_malloc: allocate, wasm_free: free } = vm.exports;
  const end = allocate(heapEndProbeBytes);
  free(end);
  for (;;) {
    const block = allocate(sizeBytes);
    if (block === 0) return;
    if (block < end) continue;
    free(block);
    return;
  }
}

/** More than any hole: where such a block goes, the heap ends. */
const heapEndProbeBytes = 160 * 1024;

async function describe(vm: Vm, error: number): Promise<string> {
  const text = async (name: string): Promise<string> => vm.readString(await vm.getProperty(error, name));
  return `${await text("message")}\n${await text("stack")}`;
}

function evaluationFailed(detail: string): PerdureError {
  return new PerdureError("PROGRAM_EVALUATION", `The sandbox's prelude did not evaluate: ${detail}`);
}
