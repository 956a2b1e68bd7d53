/** What a process does of its own accord. */
import { encodeValue } from "../../../src/base/value.ts";
import type { Payload } from "../../../src/base/value.ts";
import type { Command, Pid, SpawnOptions } from "../../../src/journal/types.ts";
import { learn, nextNumber, pick, unit } from "./heap.ts";
import type { Heap } from "./heap.ts";
import { operationName } from "../program.ts";
import { actKinds, groups, ids, names } from "./program.ts";
import type { ActKind, Temper } from "./program.ts";

/** What a spawned process is told. */
export interface TreeArgs {
  readonly parent: Pid;
  readonly fuel: number;
  readonly depth: number;
}

/** What stands in messages, signals and exits: whose it is, and its number among all that this one sent. */
export interface Stamp {
  readonly by: Pid;
  readonly number: number;
  /** It is an end of its own. */
  readonly own?: true;
  /** A process that the receiver may like to know. */
  readonly known?: Pid;
}

/** A process in mid-turn. */
export interface Hand {
  readonly heap: Heap;
  readonly temper: Temper;
  readonly timeMs: number;
  readonly isFirst: boolean;
  /** The message that it took last in this turn's input at hand; 0 for none. */
  taken: number;
  emit(command: Command): void;
}

const maxDepth = 3;

/** A few things, as the generator has it. */
export function actSome(hand: Hand): void {
  const { heap, temper } = hand;
  for (let left = Math.floor(unit(heap) * (temper.mostActs + 1)); left > 0 && !heap.exited; left--) {
    if (heap.fuel <= 0) return;
    heap.fuel--;
    const kind = drawKind(hand);
    // What fails in its first turn cannot be held, and without its root a tree does little.
    if ((hand.isFirst || heap.depth === 0) && (kind === "exit" || kind === "crash") && unit(heap) < 0.8) continue;
    acts[kind](hand);
  }
}

function drawKind({ heap, temper: { weights } }: Hand): ActKind {
  let drawn = unit(heap) * actKinds.reduce((sum, kind) => sum + weights[kind], 0);
  return actKinds.find((kind) => (drawn -= weights[kind]) < 0) ?? "send";
}

function stamp(heap: Heap, more: Partial<Stamp> = {}): Payload {
  return encodeValue({ by: heap.pid, number: nextNumber(heap), ...more } satisfies Stamp);
}

export function exit({ heap, taken, emit }: Hand, reason: Extract<Command, { kind: "exit" }>["reason"]): void {
  heap.exited = true;
  emit({ kind: "exit", reason, value: stamp(heap, { own: true }), taken });
}

/** An operation that the kernel answers. */
export function ask({ heap, emit }: Hand, name: string, options: Readonly<Record<string, string>>): void {
  const number = nextNumber(heap);
  heap.operations[number] = { name, site: 0, pid: options["pid"] ?? options["id"] ?? "" };
  const args = encodeValue(name === "perdure:start" ? [{ parent: "", fuel: 10, depth: maxDepth - 1 }] : []);
  emit({ kind: "operation", number, name, args, options: JSON.stringify(options) });
}

/** Sees to it that it has something to do later on. */
export function goOn(hand: Hand): void {
  const { heap } = hand;
  if (heap.exited || heap.fuel <= 0 || Object.keys(heap.timers).length > 0 || unit(heap) < 0.2) return;
  setTimer(hand, Math.floor(800 * unit(heap) ** 2));
}

/** Decides about a child that failed. */
export function decide(hand: Hand, child: Pid): void {
  const { heap } = hand;
  heap.crashed = heap.crashed.filter((pid) => pid !== child);
  const word = pick(heap, ["previous", "previous", "checkpoint", "checkpoint", "release"]);
  if (word === "release" || heap.fuel-- <= 0 || heap.life > 3) return ask(hand, "perdure:release", { pid: child });
  ask(hand, "perdure:revive", { pid: child, from: word });
}

export function setTimer({ heap, timeMs, emit }: Hand, delayMs: number): void {
  const number = nextNumber(heap);
  const clock = unit(heap) < 0.5 ? "wall" : "service";
  heap.timers[number] = { clock, dueMs: timeMs + delayMs };
  emit({ kind: "timer", number, clock, dueMs: timeMs + delayMs });
}

function trap({ heap, emit }: Hand, on: boolean): void {
  heap.traps = on;
  emit({ kind: "trap-exit", on });
}

function spawn(hand: Hand): void {
  const { heap, temper, emit } = hand;
  if (heap.depth >= maxDepth) return;
  const fuel = Math.floor(heap.fuel * 0.3);
  heap.fuel -= fuel;
  const pid = `${heap.pid}.${nextNumber(heap)}`;
  const link = unit(heap) < 0.85;
  const monitor = unit(heap) < 0.4 ? nextNumber(heap) : 0;
  const options: SpawnOptions = unit(heap) < temper.held ? { held: true, label: "child" } : {};
  if (options.held === true && !heap.traps && unit(heap) < 0.8) trap(hand, true);
  if (link) heap.links.push(pid);
  if (monitor > 0) heap.monitors[monitor] = pid;
  learn(heap, pid);
  const args = encodeValue([{ parent: heap.pid, fuel, depth: heap.depth + 1 } satisfies TreeArgs]);
  const text = Object.keys(options).length === 0 ? "" : JSON.stringify(options);
  emit({ kind: "spawn", pid, entry: "main", args, link, monitor, options: text });
}

function signal({ heap, emit }: Hand): void {
  const reason = pick(heap, ["normal", "shutdown", "shutdown", "exit", "exit", "error", "kill"] as const);
  const to = pick(heap, heap.known);
  // What it is ended by becomes its own end, which does not come in the order of what it sent.
  const value = to === heap.pid ? encodeValue("its own signal") : stamp(heap);
  emit({ kind: "signal", to, reason, value });
}

function call({ heap, temper, emit }: Hand): void {
  const step = pick(heap, [...temper.operations.values()]);
  const number = nextNumber(heap);
  const name = operationName(step);
  heap.operations[number] = { name, site: step.site, pid: "" };
  emit({ kind: "operation", number, name, args: encodeValue([step.site, number]), options: "" });
}

/** Gives up one of the operations that are not the kernel's. */
function abort({ heap, emit }: Hand): void {
  const pending = Object.keys(heap.operations).filter((key) => heap.operations[Number(key)]?.site !== 0);
  if (pending.length === 0) return;
  const number = Number(pick(heap, pending));
  delete heap.operations[number];
  heap.takenBack.push(number);
  emit({ kind: "abort", operation: number });
}

function clear({ heap, emit }: Hand): void {
  const pending = Object.keys(heap.timers);
  if (pending.length === 0) return;
  const number = Number(pick(heap, pending));
  delete heap.timers[number];
  heap.takenBack.push(number);
  emit({ kind: "clear-timer", timer: number });
}

function demonitor({ heap, emit }: Hand): void {
  const pending = Object.keys(heap.monitors);
  if (pending.length === 0) return;
  const number = Number(pick(heap, pending));
  delete heap.monitors[number];
  heap.takenBack.push(number);
  emit({ kind: "demonitor", monitor: number });
}

const acts: Readonly<Record<ActKind, (hand: Hand) => void>> = {
  send: ({ heap, emit }) => {
    const to = unit(heap) < 0.15 ? pick(heap, names) : pick(heap, heap.known);
    emit({ kind: "send", to, body: stamp(heap, { known: pick(heap, heap.known) }) });
  },
  spawn,
  link: ({ heap, emit }) => {
    const to = pick(heap, heap.known);
    if (to !== heap.pid && !heap.links.includes(to)) heap.links.push(to);
    emit({ kind: "link", to });
  },
  unlink: ({ heap, emit }) => {
    const to = pick(heap, heap.links.length > 0 ? heap.links : heap.known);
    heap.links = heap.links.filter((pid) => pid !== to);
    emit({ kind: "unlink", to });
  },
  monitor: ({ heap, emit }) => {
    const number = nextNumber(heap);
    const to = unit(heap) < 0.15 ? pick(heap, names) : pick(heap, heap.known);
    heap.monitors[number] = to;
    emit({ kind: "monitor", number, to });
  },
  demonitor,
  signal,
  cancel: ({ heap, emit }) =>
    emit({ kind: "cancel", to: unit(heap) < 0.7 ? "" : pick(heap, heap.known), reason: `of ${heap.pid}` }),
  trap: (hand) => trap(hand, unit(hand.heap) < 0.8),
  register: (hand) =>
    ask(hand, "perdure:register", {
      name: pick(hand.heap, names),
      pid: pick(hand.heap, [hand.heap.pid, ...hand.heap.known]),
    }),
  unregister: (hand) => ask(hand, "perdure:unregister", { name: pick(hand.heap, names) }),
  whereis: (hand) => ask(hand, "perdure:whereis", { name: pick(hand.heap, names) }),
  join: (hand) => ask(hand, "perdure:join", { group: pick(hand.heap, groups), pid: pick(hand.heap, hand.heap.known) }),
  leave: (hand) =>
    ask(hand, "perdure:leave", { group: pick(hand.heap, groups), pid: pick(hand.heap, hand.heap.known) }),
  members: (hand) => ask(hand, "perdure:members", { group: pick(hand.heap, groups) }),
  alive: (hand) => ask(hand, "perdure:alive", { pid: pick(hand.heap, hand.heap.known) }),
  start: (hand) => ask(hand, "perdure:start", { id: pick(hand.heap, ids), entry: "main" }),
  pause: (hand) => ask(hand, "perdure:pause", { pid: pick(hand.heap, hand.heap.known) }),
  resume: (hand) => ask(hand, "perdure:resume", { pid: pick(hand.heap, hand.heap.known) }),
  checkpoint: ({ emit }) => emit({ kind: "checkpoint" }),
  operation: call,
  abort,
  timer: (hand) => setTimer(hand, Math.floor(unit(hand.heap) < 0.04 ? 400_000 : 1_500 * unit(hand.heap) ** 3)),
  clear,
  log: ({ heap, emit }) => emit({ kind: "log", level: "info", text: `${heap.pid} ${nextNumber(heap)}` }),
  exit: (hand) => exit(hand, pick(hand.heap, ["normal", "normal", "shutdown"] as const)),
  crash: (hand) => exit(hand, pick(hand.heap, ["error", "error", "exit"] as const)),
};
