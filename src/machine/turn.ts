/** Runs one turn in a Vm that holds the process's memory: deliver an input, drain the microtasks, then the next input. */
import { messageNumber } from "../journal/types.ts";
import type { Command, FatalReason, Input, Pid } from "../journal/types.ts";
import { encodeValue } from "../base/value.ts";
import type { Payload } from "../base/value.ts";
import { decodeCommand, dispatchKind } from "./protocol.ts";
import type { Image } from "./image.ts";
import type { Slices, Stop } from "./scheduler.ts";
import { jobsPerInterrupt, OutOfMemory } from "./vm.ts";
import type { Completion, Vm, VmHooks } from "./vm.ts";

export interface TurnTask {
  readonly pid: Pid;
  readonly number: number;
  readonly timeMs: number;
  readonly inputs: readonly Input[];
  readonly script: boolean;
  /** What the turn's commands may come to; beyond it the turn ends as `out_of_memory`. Default: no limit, as in replay. */
  readonly maxCommandBytes?: number;
}

export type TurnEnd =
  /** `delivered` counts the inputs up to the one that made the process exit, or all. */
  | { readonly kind: "done"; readonly commands: Command[]; readonly delivered: number }
  | { readonly kind: "fatal"; readonly input: number; readonly reason: FatalReason; readonly detail: string };

class GuestStop extends Error {
  readonly reason: FatalReason;
  constructor(reason: FatalReason, detail: string) {
    super(detail);
    this.reason = reason;
  }
}

/** What a command costs the host beside its texts and bytes. */
const commandOverheadBytes = 256;

/** The commands of a turn under way. */
export class Commands {
  readonly list: Command[] = [];
  readonly #maxBytes: number;
  #sizeBytes = 0;
  #exited = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The process has issued its last command. */
  get exited(): boolean {
    return this.#exited;
  }

  /** What a guest's code is given while these are its commands. */
  hooks(slices: Slices, stop: Stop): VmHooks {
    return {
      interrupt: () => slices.interrupt(stop),
      emit: (kind, number, a, b, chunks) => {
        this.count(a, b, chunks);
        this.add(decodeCommand(kind, number, a, b, chunks));
      },
    };
  }

  add(command: Command): void {
    if (this.#exited) throw new GuestStop("trap", `The process issued the command "${command.kind}" after its exit.`);
    this.list.push(command);
    this.#exited = command.kind === "exit";
  }

  /** Commands lie in the host's memory: without a bound, a loop around `console.log` would take the node down. */
  count(a: string, b: string, chunks: readonly Uint8Array[]): void {
    this.#sizeBytes += commandOverheadBytes + a.length + b.length;
    for (const chunk of chunks) this.#sizeBytes += chunk.length;
    if (this.#sizeBytes <= this.#maxBytes) return;
    throw new GuestStop("out_of_memory", `The turn issued commands of more than ${this.#maxBytes} bytes.`);
  }
}

/**
 * `onInput` is told the number of each input before it is delivered. After a fatal end the Vm's memory is ruined and
 * must be thrown away; a suspended guest in it is never resumed, so no `catch` or `finally` of its runs.
 */
export function runTurn(
  vm: Vm,
  image: Image,
  task: TurnTask,
  slices: Slices,
  onInput: (index: number) => void,
): Promise<TurnEnd> {
  const commands = new Commands(task.maxCommandBytes ?? Infinity);
  let input = 0;
  vm.nowMs = task.timeMs;
  return new Promise((resolve) => {
    const stop: Stop = (reason, detail) => resolve({ kind: "fatal", input, reason, detail });
    vm.hooks = commands.hooks(slices, stop);
    const run = async (): Promise<void> => {
      for (const [index, next] of task.inputs.entries()) {
        if (commands.exited) break;
        input = index;
        onInput(index);
        if (next.kind === "fatal") {
          commands.add({ kind: "exit", reason: next.reason, value: encodeValue(next.detail) });
          break;
        }
        await deliver(vm, image, task, index);
        await settle(vm, commands);
        if (task.script && !commands.exited) await call(vm, dispatchKind.idle, 0, "", "");
      }
      resolve({ kind: "done", commands: commands.list, delivered: input + 1 });
    };
    run().catch((error: unknown) => {
      const { reason, detail } = classify(error);
      stop(reason, detail);
    });
  });
}

type Deliverable = Exclude<Input, { kind: "fatal" }>;

async function deliver(vm: Vm, image: Image, task: TurnTask, index: number): Promise<void> {
  const input = task.inputs[index] as Deliverable;
  switch (input.kind) {
    case "start": {
      const head = JSON.stringify({ pid: task.pid, entry: input.entry, env: input.env });
      await call(vm, dispatchKind.start, 0, head, input.args.text, [input.seed, ...(input.args.chunks ?? [])]);
      if (!image.evaluated) await evaluate(vm, image);
      return;
    }
    case "message":
      return await callWith(vm, dispatchKind.message, messageNumber(task.number, index), input.from, input.body);
    case "result":
      return await callWith(
        vm,
        input.ok ? dispatchKind.resolved : dispatchKind.rejected,
        input.operation,
        "",
        input.value,
      );
    case "timer":
      return await call(vm, dispatchKind.timer, input.timer, "", "");
    case "cancel":
      return await call(vm, dispatchKind.cancel, 0, input.reason, "");
    default:
      return await deliverSignal(vm, input);
  }
}

async function deliverSignal(
  vm: Vm,
  input: Exclude<Deliverable, { kind: "start" | "message" | "result" | "timer" | "cancel" }>,
): Promise<void> {
  switch (input.kind) {
    case "exit": {
      const head = JSON.stringify([input.from, input.reason, input.held]);
      return await callWith(vm, dispatchKind.exit, input.linked ? 1 : 0, head, input.value);
    }
    case "down":
      return await callWith(
        vm,
        dispatchKind.down,
        input.monitor,
        JSON.stringify([input.from, input.reason]),
        input.value,
      );
    case "restore":
      return await call(vm, dispatchKind.restore, input.life, "", "", [input.seed]);
    case "discard":
      return await call(vm, dispatchKind.discard, input.message, "", "");
    case "pause":
    case "resume":
    case "verdict":
    case "move":
      // The kernel keeps these to itself.
      return undefined;
  }
}

/** The program's modules, for images that could not hold them evaluated. */
async function evaluate(vm: Vm, image: Image): Promise<void> {
  const module = await vm.evaluate(image.bundle, "perdure:program", true);
  if (module.threw) return await uncaught(vm, module.value);
  await dispatch(vm, [...head(vm, dispatchKind.evaluated, 0, "", ""), module.value]);
}

/**
 * Runs microtasks until none is left, then treats what nobody handled as the process's end, as Node does. After the exit
 * nothing runs any more: work left in the background must not keep the process from ending.
 */
export async function settle(vm: Vm, commands: Commands): Promise<void> {
  for (let jobs = 1; ;) {
    for (; vm.jobPending && !commands.exited; jobs++) {
      if (jobs % jobsPerInterrupt === 0) await vm.hooks.interrupt();
      const error = await vm.runJob();
      if (error !== undefined) await uncaught(vm, error);
    }
    if (commands.exited || vm.rejections.size === 0) return;
    // The first unhandled rejection ends the process; the others have nothing to add.
    const [first, ...others] = vm.takeRejections();
    for (const reason of others) vm.exports.qjs_free_value(reason);
    if (first !== undefined) await uncaught(vm, first);
  }
}

function callWith(vm: Vm, kind: number, number: number, a: string, payload: Payload): Promise<void> {
  return call(vm, kind, number, a, payload.text, payload.chunks);
}

async function call(
  vm: Vm,
  kind: number,
  number: number,
  a: string,
  b: string,
  chunks: readonly Uint8Array[] = [],
): Promise<void> {
  await dispatch(vm, [...head(vm, kind, number, a, b), ...chunks.map((chunk) => vm.newArrayBuffer(chunk))]);
}

async function uncaught(vm: Vm, error: number): Promise<void> {
  const done = await vm.dispatch([...head(vm, dispatchKind.uncaught, 0, "", ""), error]);
  if (done.threw) throw await stopFor(vm, done);
  vm.exports.qjs_free_value(done.value);
}

async function dispatch(vm: Vm, values: readonly number[]): Promise<void> {
  const done = await vm.dispatch(values);
  if (done.threw) await uncaught(vm, done.value);
  else vm.exports.qjs_free_value(done.value);
}

export function head(vm: Vm, kind: number, number: number, a: string, b: string): number[] {
  return [vm.exports.qjs_new_number(kind), vm.exports.qjs_new_number(number), vm.newString(a), vm.newString(b)];
}

/** The process could not even be told of its own failure: there is no memory or stack left for that. */
export async function stopFor(vm: Vm, { value }: Completion): Promise<GuestStop> {
  const untold = "The process could not be told of its own failure.";
  // With no memory for an error object, the engine throws null.
  if (vm.exports.qjs_is_null(value) !== 0) return new GuestStop("out_of_memory", untold);
  let message = "";
  try {
    message = vm.readString(await vm.getProperty(value, "message"));
  } catch (error) {
    return new GuestStop(error instanceof OutOfMemory ? "out_of_memory" : "trap", untold);
  }
  if (message === "Maximum call stack size exceeded") return new GuestStop("stack_overflow", message);
  return new GuestStop(message === "out of memory" ? "out_of_memory" : "trap", message);
}

/** What the host saw, as the exit reason it stands for. */
export function classify(error: unknown): { reason: FatalReason; detail: string } {
  if (error instanceof GuestStop) return { reason: error.reason, detail: error.message };
  if (error instanceof OutOfMemory) return { reason: "out_of_memory", detail: error.message };
  const detail = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  if (error instanceof RangeError && error.message === "Maximum call stack size exceeded")
    return { reason: "stack_overflow", detail };
  return { reason: "trap", detail };
}
