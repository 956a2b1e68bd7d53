/**
 * What the processes of a tree do: every input makes a process do a few things, drawn from a generator that lies in its heap.
 * So what it does is a pure function of what it was given, and each run leans to some kinds of thing.
 */
import type { Dice } from "../dice.ts";
import { drawOperation } from "../program.ts";
import type { OperationStep } from "../program.ts";

export const actKinds = [
  "send",
  "spawn",
  "link",
  "unlink",
  "monitor",
  "demonitor",
  "signal",
  "cancel",
  "trap",
  "register",
  "unregister",
  "whereis",
  "join",
  "leave",
  "members",
  "alive",
  "start",
  "pause",
  "resume",
  "checkpoint",
  "operation",
  "abort",
  "timer",
  "clear",
  "log",
  "exit",
  "crash",
] as const;

export type ActKind = (typeof actKinds)[number];

export interface Temper {
  readonly weights: Readonly<Record<ActKind, number>>;
  /** How many things a process does at an input, at most. */
  readonly mostActs: number;
  /** How likely a spawned process is held when it fails, and how likely a process traps exits from its start. */
  readonly held: number;
  readonly traps: number;
  /** What a root may do in its life; its children share it. */
  readonly fuel: number;
  /** By site. */
  readonly operations: ReadonlyMap<number, OperationStep>;
}

const usual: Readonly<Record<ActKind, number>> = {
  send: 8,
  spawn: 4,
  link: 1.5,
  unlink: 1,
  monitor: 1.5,
  demonitor: 0.7,
  signal: 0.7,
  cancel: 0.4,
  trap: 1,
  register: 1,
  unregister: 0.4,
  whereis: 0.6,
  join: 0.6,
  leave: 0.3,
  members: 0.5,
  alive: 0.4,
  start: 0.3,
  pause: 0.3,
  resume: 0.4,
  checkpoint: 3,
  operation: 2.5,
  abort: 0.5,
  timer: 1.5,
  clear: 0.4,
  log: 0.4,
  exit: 0.4,
  crash: 5,
};

export function drawTemper(dice: Dice): Temper {
  const weights = Object.fromEntries(actKinds.map((kind) => [kind, usual[kind] * dice.pick([0.2, 1, 1, 3])])) as Record<
    ActKind,
    number
  >;
  return {
    weights,
    mostActs: dice.int(1, 4),
    held: dice.pick([0.4, 0.8, 1]),
    traps: dice.pick([0.4, 0.8, 1]),
    fuel: dice.pick([60, 150, 300, 600]),
    operations: drawOperations(dice),
  };
}

function drawOperations(dice: Dice): Map<number, OperationStep> {
  const operations = new Map<number, OperationStep>();
  for (let site = 1; site <= 5; site++) operations.set(site, drawOperation(dice, site));
  return operations;
}

/** Names, groups and ids that all processes of a run know. */
export const names: readonly string[] = ["name a", "name b", "name c"];
export const groups: readonly string[] = ["group a", "group b"];
export const ids: readonly string[] = ["s1", "s2", "s3"];
