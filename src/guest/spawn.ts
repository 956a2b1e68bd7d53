import { entryOf } from "./entries.ts";
import type { Mailbox } from "./mailbox.ts";
import type { Pid } from "./pid.ts";
import { spawnEntry } from "./relations.ts";
import type { Spawned } from "./relations.ts";
import type { Down, Exit, Monitor } from "./signals.ts";

/** What can be spawned: a function that a module of the program exports. `this` is its mailbox. */
export type Spawnable = (this: any, ...args: any[]) => unknown;

/** The pid of a process that runs a function: it takes what the function's `this: Mailbox<…>` says, or anything. */
export type PidOf<F extends Spawnable> =
  ThisParameterType<F> extends Mailbox<infer Message>
    ? unknown extends Message
      ? Pid
      : Pid<Exclude<Message, Exit | Down>>
    : Pid;

/**
 * Starts a process that runs `fn(...args)` and goes its own way. The pid is there at once; messages sent to it wait until it
 * has begun. What the function returns is the process's result.
 *
 * `fn` is an exported function of the program: a closure is refused with ENTRY_NOT_EXPORTED. Arguments are copied, and
 * refused with VALUE_NOT_CLONEABLE if they cannot be.
 */
export function spawn<F extends Spawnable>(fn: F, ...args: Parameters<F>): PidOf<F> {
  return start(fn, args, false, false).pid as PidOf<F>;
}

/** As `spawn`, and links the two: when one ends abnormally, so does the other, unless it traps exits (`trapExit`). */
export function spawnLink<F extends Spawnable>(fn: F, ...args: Parameters<F>): PidOf<F> {
  return start(fn, args, true, false).pid as PidOf<F>;
}

/** As `spawn`, and monitors the new process: a `Down` arrives when it ends. */
export function spawnMonitor<F extends Spawnable>(
  fn: F,
  ...args: Parameters<F>
): { readonly pid: PidOf<F>; readonly monitor: Monitor } {
  return start(fn, args, false, true) as { pid: PidOf<F>; monitor: Monitor };
}

function start(fn: Spawnable, args: readonly unknown[], link: boolean, monitor: boolean): Spawned {
  return spawnEntry({ entry: entryOf(fn), args, link, monitor });
}
