/**
 * From a finished turn to the rows of its commit: a pure function, so that what a turn changes can be read in one place.
 */
import type { Command, CommandDigest, Turn } from "../journal/types.ts";
import type { LogRow, OperationRow, ProcessExit, TimerRow } from "../store/port.ts";
import type { Live, QueuedInput } from "./live.ts";

export interface TurnEffects {
  readonly turn: Turn;
  readonly operations: readonly OperationRow[];
  /** Numbers of operations whose result this turn consumed, or that it no longer wants. */
  readonly operationsGone: readonly number[];
  readonly operationsAborted: readonly number[];
  readonly timers: readonly TimerRow[];
  readonly timersGone: readonly number[];
  readonly logs: readonly Omit<LogRow, "seq">[];
  /** What concerns other processes or asks the kernel, in order. */
  readonly acts: readonly Act[];
  readonly exit: ProcessExit | undefined;
  /** The message that the program took before it failed; see the `exit` command. */
  readonly taken: number | undefined;
}

export type KernelOperation = Extract<Command, { kind: "operation" }>;

/** Commands that are carried out one after the other when the turn is staged. */
export type Act = Exclude<Command, { kind: "abort" | "timer" | "clear-timer" | "log" | "exit" }>;

/** Operations that the kernel itself answers, at once. All others go to the runner. */
export const kernelOperations: ReadonlySet<string> = new Set([
  "perdure:register",
  "perdure:unregister",
  "perdure:whereis",
  "perdure:join",
  "perdure:leave",
  "perdure:members",
  "perdure:alive",
  "perdure:pause",
  "perdure:resume",
  "perdure:start",
  "perdure:revive",
  "perdure:release",
]);

export interface FinishedTurn {
  readonly number: number;
  readonly timeMs: number;
  readonly inputs: readonly QueuedInput[];
  readonly commands: readonly Command[];
  readonly digests: readonly CommandDigest[];
}

/** `downtimeMs` turns the guest's idea of time into service time. */
export function turnEffects(live: Live, finished: FinishedTurn, downtimeMs: number): TurnEffects {
  const process = live.row.key;
  const { number, timeMs, commands } = finished;
  const acts: Act[] = [];
  const issued: KernelOperation[] = [];
  for (const command of commands) {
    if (command.kind === "operation" && !kernelOperations.has(command.name)) issued.push(command);
    else if (!isOwn(command)) acts.push(command);
  }
  const inputs = finished.inputs.map(({ input }) => input);
  const turn: Turn = { number, timeMs, inputs, commands: finished.digests };
  const of = <K extends Command["kind"]>(kind: K): Extract<Command, { kind: K }>[] =>
    commands.filter((command): command is Extract<Command, { kind: K }> => command.kind === kind);

  const operationsAborted = of("abort").map(({ operation }) => operation);
  const aborted = new Set(operationsAborted);
  const cleared = new Set(of("clear-timer").map(({ timer }) => timer));
  const exit = of("exit").at(-1);
  return {
    turn,
    // What was issued and taken back within one turn never existed.
    operations: issued
      .filter((command) => !aborted.has(command.number))
      .map((command) => operationRow(process, command, timeMs)),
    operationsGone: [
      ...operationsAborted,
      // The kernel's own operations have no row.
      ...inputs.flatMap((input) =>
        input.kind === "result" && live.operations.has(input.operation) ? [input.operation] : [],
      ),
    ],
    operationsAborted,
    timers: of("timer")
      .filter((command) => !cleared.has(command.number))
      .map(({ number: timer, clock, dueMs }) => ({
        process,
        number: timer,
        clock,
        dueMs: clock === "service" ? dueMs - downtimeMs : dueMs,
      })),
    timersGone: [...cleared, ...inputs.flatMap((input) => (input.kind === "timer" ? [input.timer] : []))],
    logs: of("log").map(({ level, text }) => ({ process, turn: number, atMs: timeMs, level, text })),
    acts,
    exit: exit === undefined ? undefined : { atMs: timeMs, reason: exit.reason, value: exit.value },
    taken: exit?.taken,
  };
}

function isOwn(command: Command): command is Exclude<Command, Act> {
  const { kind } = command;
  return kind === "abort" || kind === "timer" || kind === "clear-timer" || kind === "log" || kind === "exit";
}

function operationRow(
  process: number,
  command: Extract<Command, { kind: "operation" }>,
  createdAtMs: number,
): OperationRow {
  const { number, name, args, options } = command;
  return {
    process,
    number,
    name,
    args,
    options,
    state: "pending",
    attempt: 1,
    notBeforeMs: 0,
    startedAtMs: 0,
    deaths: 0,
    lastError: "",
    createdAtMs,
  };
}
