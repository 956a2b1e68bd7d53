/**
 * The messages behind calls, casts and starts. They are lists whose first item names them, so that the host can write them
 * too; a program's `receive` never sees them:
 *
 * | list                                                   |                                                        |
 * |--------------------------------------------------------|--------------------------------------------------------|
 * | `["perdure:call", ref, from, method, args]`            | asks for an answer; a `from` outside begins with "@"   |
 * | `["perdure:cast", method, args]`                       | asks for none                                          |
 * | `["perdure:reply", ref, ok, value, mark?]`             | answers; not `ok`: an error, a `Refusal` if so marked  |
 * | `["perdure:ack", pid, "started" \| "ignore"]`           | a process's start is done                              |
 * | `["perdure:retry", id]`                                | a supervisor, to itself: try the restart again         |
 */
import { encodeValue } from "../../base/value.ts";
import { substitute } from "../../base/value/substitute.ts";
import type { Pid } from "../pid.ts";
import { self } from "../process.ts";
import { send, sendEncoded } from "../runtime.ts";
import { Internal } from "../signals.ts";

/** A call that waits for its answer. */
export class Request extends Internal {
  readonly ref: unknown;
  readonly method: unknown;
  readonly args: readonly unknown[];

  constructor(from: Pid, ref: unknown, method: unknown, args: unknown) {
    super(from);
    this.ref = ref;
    this.method = method;
    this.args = Array.isArray(args) ? args : [];
  }
}

export class Cast extends Internal {
  readonly method: unknown;
  readonly args: readonly unknown[];

  constructor(from: Pid, method: unknown, args: unknown) {
    super(from);
    this.method = method;
    this.args = Array.isArray(args) ? args : [];
  }
}

/** A process that this one started has come so far. */
export class Ack extends Internal {
  readonly outcome: unknown;

  constructor(from: Pid, outcome: unknown) {
    super(from);
    this.outcome = outcome;
  }
}

export class Retry extends Internal {
  /** The child: its id, or in a pool the process it was. */
  readonly child: unknown;
  /** Set if the attempt was counted and delayed before; it says which delay this is the end of. */
  readonly delay: number | undefined;

  constructor(child: unknown, delay?: number) {
    super(self());
    this.child = child;
    this.delay = delay;
  }
}

/** The first arguments of a behaviour whose starter waits for its `perdure:ack`: this mark and the starter's pid. */
export const ackMark = "perdure:ack";

export function sendAck(starter: Pid | undefined, outcome: "started" | "ignore"): void {
  if (starter !== undefined) send(starter, ["perdure:ack", self(), outcome]);
}

/** At the end of the mailbox: what waits there already is handled before. */
export function sendRetry(child: string): void {
  send(self(), ["perdure:retry", child]);
}

/** Throws VALUE_NOT_CLONEABLE or VALUE_TOO_LARGE for a value that cannot cross. */
export function reply({ from, ref }: Request, value: unknown): void {
  send(from, ["perdure:reply", ref, true, value]);
}

/** The mark `failed`: it is what a read-only method threw that ran without a turn. */
export function replyError({ from, ref }: Request, error: unknown, mark?: "failed" | "refusal"): void {
  const list = (value: unknown): unknown[] => [
    "perdure:reply",
    ref,
    false,
    value,
    ...(mark === undefined ? [] : [mark]),
  ];
  let payload;
  try {
    payload = encodeValue(list(error));
  } catch {
    payload = encodeValue(list(substitute(error)));
  }
  sendEncoded(from, payload);
}
