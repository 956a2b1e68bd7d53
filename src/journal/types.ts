/**
 * The vocabulary of a turn. **Inputs** are everything that ever enters a process; **commands** are everything that
 * leaves it. `state = image + inputs`, so inputs are stored whole, and of commands only what replay is checked by.
 */
import type { Payload } from "../base/value.ts";

/** A process's name for ever: the caller's own id, or a generated one. */
export type Pid = string;

/** A process's number within its store. Small and dense; people see the pid. */
export type ProcessKey = number;

/** How a process ended, or what an exit signal says. Together with a value it is what OTP calls the exit reason. */
export const exitReasons = [
  /** The entry returned; the value is its result. Signals carry no value. */
  "normal",
  /** Ended in good order because it was told to, or because it gave up. The value is undefined, or OTP's `{shutdown, term}`. */
  "shutdown",
  /** An error nobody caught: the value. */
  "error",
  /** Its own reason, as it gave it to `exit`: the value. */
  "exit",
  /** Only in signals: there was no such process to link to or to monitor. */
  "noproc",
  /** Only in signals, and in the ends they lead to: the process was exported, and so is out of reach. */
  "noconnection",
  "cancelled",
  // Those that follow are the engine's own (`FatalReason`). The value is text for people.
  "killed",
  "out_of_fuel",
  "out_of_memory",
  "stack_overflow",
  "trap",
] as const;
export type ExitReason = (typeof exitReasons)[number];

/** Ends of a process by its own doing that were not meant: what is reported, and what a supervisor may undo. */
export const failureReasons: readonly ExitReason[] = [
  "error",
  "exit",
  "out_of_fuel",
  "out_of_memory",
  "stack_overflow",
  "trap",
];

/** Outcomes that only the host can see. They are inputs, because replay has to apply them at the same place. */
export type FatalReason = Extract<ExitReason, "killed" | "out_of_fuel" | "out_of_memory" | "stack_overflow" | "trap">;

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
  | { readonly kind: "fatal"; readonly reason: FatalReason; readonly detail: string }
  /**
   * An exit signal. A process that traps exits gets it as a message; any other is ended by it without running, unless the
   * reason is `normal` (then nothing happens, and the input is dropped), or `cancelled` through the link with its parent (then
   * that is a request to wind up). `linked`: it came through a link, which is gone.
   * `held` is not empty when `from` has not exited yet: its parent decides whether it goes on from an earlier heap (see
   * `SpawnOptions.held`). Then it is the kind of the input that made it fail. A process that its parent lets go gets `exit`
   * here, from itself: it ends whatever it traps.
   */
  | {
      readonly kind: "exit";
      readonly from: Pid;
      readonly reason: ExitReason;
      readonly value: Payload;
      readonly linked: boolean;
      readonly held: "" | Input["kind"];
    }
  /** A monitored process has ended, or never was (`noproc`). A monitor fires once. */
  | {
      readonly kind: "down";
      readonly monitor: number;
      readonly from: Pid;
      readonly reason: ExitReason;
      readonly value: Payload;
    }
  /**
   * The heap is that of the last checkpoint. `life` counts the process's lives from 1; numbers given out from now on begin
   * above `life` × 10⁹, so that none comes twice. `seed` takes the place of the one it was started with. `dropped`: operations that
   * it had begun since, and that were taken back; the process is not told.
   */
  | {
      readonly kind: "restore";
      readonly life: number;
      readonly seed: Uint8Array;
      readonly dropped?: readonly DroppedOperation[];
    }
  /** Takes a message out of the mailbox that made the process fail when it was taken; see `messageNumber`. */
  | { readonly kind: "discard"; readonly message: number }
  /** From an operator: no more turns until `resume`. These three never reach a turn. */
  | { readonly kind: "pause" }
  | { readonly kind: "resume" }
  /** A step of an export to a process file. `request` is JSON (`kernel/posted.ts`). */
  | { readonly kind: "export"; readonly file: string; readonly request: string }
  /**
   * What a process on another node decides about this one: its parent, when it is held (`SpawnOptions.held`), or anyone who stops its turns.
   * The operation `operation` of process `by` awaits what came of it; 0: nobody waits. Never reaches a turn.
   */
  | { readonly kind: "verdict"; readonly verdict: Verdict; readonly by: ProcessKey; readonly operation: number }
  /**
   * The process goes to another shard, and so to the node that owns it. `sinceMs` is 0 as long as that is asked for; then, for its new owner,
   * since when it has stood still. Never reaches a turn.
   */
  | { readonly kind: "move"; readonly shard: number; readonly sinceMs: number };

/** From which heap a held process goes on; or that it is let go. Or that a process stops, or goes on. */
export type Verdict = "previous" | "checkpoint" | "release" | "pause" | "resume";

/** What a spawner says of the new process; JSON in the `spawn` command. All for people, but for `held`. */
export interface SpawnOptions {
  /** What its parent calls it: a supervisor's child id. */
  readonly label?: string;
  /** `server`, `supervisor`, `task`: what `perdure tree` shows. */
  readonly role?: string;
  /** How often this child was restarted before. */
  readonly restarts?: number;
  /** The label that its node must have; "": any node will do. Default: what its parent needs. */
  readonly needs?: string;
  /**
   * When a turn of it fails, the turn is undone and the process is held in the state `crashed`, until its parent says by the
   * operations `perdure:revive` or `perdure:release` what becomes of it.
   */
  readonly held?: boolean;
}

/** Which clock a timer follows (DESIGN §2): `service` time stands still while nobody owns the process. */
export const timerClocks = ["wall", "service"] as const;
export type TimerClock = (typeof timerClocks)[number];

export const logLevels = ["debug", "info", "log", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

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
  /** `to` is a pid, a registered name, or `@…`: someone outside who waits for an answer. */
  | { readonly kind: "send"; readonly to: Pid; readonly body: Payload }
  | { readonly kind: "log"; readonly level: LogLevel; readonly text: string }
  /**
   * `pid` is a hash of the parent's pid, its life and a counter. `monitor` is the number of the monitor made with it, 0 for
   * none. `options` is JSON of `SpawnOptions`, or "".
   */
  | {
      readonly kind: "spawn";
      readonly pid: Pid;
      readonly entry: string;
      readonly args: Payload;
      readonly link: boolean;
      readonly monitor: number;
      readonly options: string;
    }
  | { readonly kind: "link"; readonly to: Pid }
  | { readonly kind: "unlink"; readonly to: Pid }
  /** `number` counts the process's monitors from 1. `to` is a pid or a registered name. */
  | { readonly kind: "monitor"; readonly number: number; readonly to: Pid }
  | { readonly kind: "demonitor"; readonly monitor: number }
  /** `kill` cannot be trapped, and ends the other with the reason `killed`. */
  | { readonly kind: "signal"; readonly to: Pid; readonly reason: ExitReason | "kill"; readonly value: Payload }
  /**
   * Asks another process, by pid or registered name, to wind up. With `to` "": those that this process has spawned and is linked to;
   * the links break with it, so that each winds up by itself.
   */
  | { readonly kind: "cancel"; readonly to: Pid; readonly reason: string }
  | { readonly kind: "trap-exit"; readonly on: boolean }
  /** The heap after this turn is one that the process can be restored to. Replaces the checkpoint before. */
  | { readonly kind: "checkpoint" }
  /**
   * Always the last command of a process. `reason` "error" carries the encoded error in `value`. `taken`: the message that the
   * program took last while it worked at the input that ended it, see `messageNumber`; 0 if it took none. Not there where nobody
   * could ask the program.
   */
  | { readonly kind: "exit"; readonly reason: ExitReason; readonly value: Payload; readonly taken?: number };

/** More inputs than any turn has. */
const inputsMost = 1_000;

/** Names a message within its process for ever: by the turn it came in, and its place among that turn's inputs, from 0. */
export function messageNumber(turn: number, index: number): number {
  return turn * inputsMost + index;
}

/** Where a message came in. */
export function placeOfMessage(number: number): { readonly turn: number; readonly index: number } {
  return { turn: Math.floor(number / inputsMost), index: number % inputsMost };
}

/** What the journal keeps of a command: enough to notice, on replay, that another one was issued. */
export interface CommandDigest {
  readonly kind: Command["kind"];
  /** For people: the operation's name, the timer's number, the receiver, … */
  readonly target: string;
  /** 64 bits over everything the command says, as 16 hexadecimal digits. */
  readonly digest: string;
}

/** An operation whose result nobody waits for any more. */
export interface DroppedOperation {
  readonly number: number;
  readonly name: string;
  /**
   * How far it had got:
   * - `queued`: it had not begun, and never will;
   * - `running`: an attempt had been handed to host code, or may have been before its node ended: it may have happened;
   * - `waiting`: for its next attempt, after those before had failed; or for a person, or a deployment that has its function;
   * - `ended`: its result had arrived, and was not taken. (Not told if that had waited in the inbox while its node went down.)
   */
  readonly state: "queued" | "running" | "waiting" | "ended";
  /** The attempt that ran or was due, from 1. */
  readonly attempt: number;
}

/** One turn, as the journal keeps it. */
export interface Turn {
  /** Counts from 1 within a process, without gaps. */
  readonly number: number;
  /** The turn's time: what `Date.now()` said throughout. Never less than the turn before's. */
  readonly timeMs: number;
  readonly inputs: readonly Input[];
  readonly commands: readonly CommandDigest[];
  /** What became of the operations that the turn gave up, or left behind by its exit. For people: replay takes no notice. */
  readonly dropped?: readonly DroppedOperation[];
}
