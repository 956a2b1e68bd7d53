/** What other processes' ends look like in the mailbox. Classes, so that no message can be mistaken for one. */
import type { Pid } from "./pid.ts";

/** A monitor on another process, as `monitor` gave it. */
export class Monitor {
  /** Counts this process's monitors. */
  readonly number: number;
  /** The pid or the registered name that is watched. */
  readonly target: Pid;

  constructor(number: number, target: Pid) {
    this.number = number;
    this.target = target;
  }
}

/** In the mailbox of a process that traps exits: a process it is linked to has ended, or one told it to end. */
export class Exit {
  /** Who ended, or who sent the signal; `""` if that was an operator. */
  readonly from: Pid;
  /** `"normal"`, `"shutdown"`, `{ shutdown: … }`, `"killed"`, `"noproc"`, an Error, or what was given to `exit`. */
  readonly reason: unknown;

  constructor(from: Pid, reason: unknown) {
    this.from = from;
    this.reason = reason;
  }
}

/** In the mailbox of a process that monitors another: that one has ended, or was not there (reason `"noproc"`). */
export class Down {
  readonly monitor: Monitor;
  readonly pid: Pid;
  /** As in `Exit`. */
  readonly reason: unknown;

  constructor(monitor: Monitor, pid: Pid, reason: unknown) {
    this.monitor = monitor;
    this.pid = pid;
    this.reason = reason;
  }
}

/** What only Perdure's own behaviours take from the mailbox; `receive` never sees it. */
export abstract class Internal {
  readonly from: Pid;

  constructor(from: Pid) {
    this.from = from;
  }
}

/** A turn of a held child failed and was undone. The child waits for its parent's word. */
export class Crashed extends Internal {
  readonly reason: unknown;
  /** The kind of input that made it fail. */
  readonly poison: string;

  constructor(from: Pid, reason: unknown, poison: string) {
    super(from);
    this.reason = reason;
    this.poison = poison;
  }
}
