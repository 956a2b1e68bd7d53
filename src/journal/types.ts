/**
 * The vocabulary of a turn. **Inputs** are everything that ever enters a process; **commands** are everything that
 * leaves it. `state = image + inputs`, so inputs are stored whole, and of commands only what replay is checked by.
 */
import type { Payload } from "../base/value.ts";

/** A process's name for ever: the caller's own id, or a generated one. */
export type Pid = string;

/** A process's number within its store. Small and dense; people see the pid. */
export type ProcessKey = number;

/** Outcomes that only the host can see. They are inputs, because replay has to apply them at the same place. */
export type FatalReason = "out_of_fuel" | "out_of_memory" | "stack_overflow" | "trap" | "killed";

export type Input =
  /** The first input of every process. `seed` is 32 bytes; `env` the values of the names the deployment lists. */
  | {
      readonly kind: "start";
      readonly entry: string;
      readonly args: Payload;
      readonly seed: Uint8Array;
      readonly env: Readonly<Record<string, string>>;
    }
  /** `from` is the sender's pid, or "" for the outside world. */
  | { readonly kind: "message"; readonly from: Pid; readonly body: Payload }
  /** What became of operation number `operation`. With `ok: false`, `value` is an error. */
  | { readonly kind: "result"; readonly operation: number; readonly ok: boolean; readonly value: Payload }
  | { readonly kind: "timer"; readonly timer: number }
  /** A request to wind up: the process's AbortSignal fires and pending waits reject with CancelledError. */
  | { readonly kind: "cancel"; readonly reason: string }
  /** Ends the process without running it. `detail` is for people. */
  | { readonly kind: "fatal"; readonly reason: FatalReason; readonly detail: string };

/** Which clock a timer follows (DESIGN §2): `service` time stands still while nobody owns the process. */
export type TimerClock = "wall" | "service";

export type LogLevel = "debug" | "info" | "log" | "warn" | "error";

/** How a process ended. `value` is the entry's result, or the error it exited with. */
export type ExitReason = "normal" | "error" | "cancelled" | FatalReason;

export type Command =
  /** `number` counts the process's operations from 1. `options` is JSON text for built-in operations, else "". */
  | {
      readonly kind: "operation";
      readonly number: number;
      readonly name: string;
      readonly args: Payload;
      readonly options: string;
    }
  /** The process no longer wants the operation's result. Its AbortSignal fires; a result that comes anyway is dropped. */
  | { readonly kind: "abort"; readonly operation: number }
  /** `dueMs` is the turn's time plus the delay, and may be in the past. For `service` the kernel takes the downtime off. */
  | { readonly kind: "timer"; readonly number: number; readonly clock: TimerClock; readonly dueMs: number }
  | { readonly kind: "clear-timer"; readonly timer: number }
  | { readonly kind: "send"; readonly to: Pid; readonly body: Payload }
  | { readonly kind: "log"; readonly level: LogLevel; readonly text: string }
  /** Always the last command of a process. `reason` "error" carries the encoded error in `value`. */
  | { readonly kind: "exit"; readonly reason: ExitReason; readonly value: Payload };

/** What the journal keeps of a command: enough to notice, on replay, that another one was issued. */
export interface CommandDigest {
  readonly kind: Command["kind"];
  /** For people: the operation's name, the timer's number, the receiver, … */
  readonly target: string;
  /** 64 bits over everything the command says, as 16 hexadecimal digits. */
  readonly digest: string;
}

/** One turn, as the journal keeps it. */
export interface Turn {
  /** Counts from 1 within a process, without gaps. */
  readonly number: number;
  /** The turn's time: what `Date.now()` said throughout. Never less than the turn before's. */
  readonly timeMs: number;
  readonly inputs: readonly Input[];
  readonly commands: readonly CommandDigest[];
}
