/** A process as the kernel holds it while there is something to do for it. Everything here can be rebuilt from the store. */
import type { Input } from "../journal/types.ts";
import type { OperationRow, ProcessRow, TimerRow } from "../store/port.ts";

/** An input on its way into a turn. */
export interface QueuedInput {
  /** What ends its process when it runs is replaced by that end. */
  input: Input;
  /** Its inbox row, once there is one. */
  seq: number | undefined;
  /** A turn that consumed it has been staged for commit. */
  consumed: boolean;
  /** Its inbox row has been staged for commit. */
  spilled: boolean;
  readonly arrivedMs: number;
  /** Called once, when the input is durable, or with the error that made that impossible. See `tellDurable`. */
  onDurable: ((error?: Error) => void)[];
}

export interface PendingOperation {
  row: OperationRow;
  /** Of the attempt under way; undefined while none is. */
  token: string | undefined;
  /** Its result has arrived and waits in the queue of inputs. */
  settled: boolean;
}

export interface PendingTimer {
  readonly row: TimerRow;
  fired: boolean;
}

export interface Live {
  row: ProcessRow;
  /** Its start, until that is durable. */
  start: QueuedInput | undefined;
  /** The process row has been staged for commit. */
  rowStaged: boolean;
  lastTurn: number;
  lastTimeMs: number;
  /** In order of arrival. */
  inputs: QueuedInput[];
  /** Inputs of the turn that is running. */
  running: QueuedInput[] | undefined;
  /** The machine is believed to hold its heap as after `lastTurn`. */
  resident: boolean;
  /** Its exit has been staged: it takes no more turns, and nothing more is sent to it. */
  exiting: boolean;
  /** Staged or running commits that hold turns of it, or messages to it. */
  uncommitted: number;
  readonly operations: Map<number, PendingOperation>;
  readonly timers: Map<number, PendingTimer>;
  /** What replaying it from its last snapshot would cost, in µs. */
  replayMicros: number;
  /** Turn numbers of snapshots that turned out to be unusable. */
  readonly damagedSnapshots: Set<number>;
  /** In the ready queue, or being loaded for it. */
  queued: boolean;
  /** When it last had something to do. */
  lastActiveMs: number;
}

/** `start` for a process that is not in the store yet. */
export function newLive(row: ProcessRow, start?: QueuedInput): Live {
  return {
    row,
    start,
    rowStaged: start === undefined,
    lastTurn: 0,
    lastTimeMs: 0,
    inputs: [],
    running: undefined,
    resident: false,
    exiting: false,
    uncommitted: 0,
    operations: new Map(),
    timers: new Map(),
    replayMicros: 0,
    damagedSnapshots: new Set(),
    queued: false,
    lastActiveMs: row.startedAtMs,
  };
}

export function queueInput(
  input: Input,
  arrivedMs: number,
  onDurable?: (error?: Error) => void,
  seq?: number,
): QueuedInput {
  const tell = onDurable === undefined ? [] : [onDurable];
  return { input, seq, consumed: false, spilled: seq !== undefined, arrivedMs, onDurable: tell };
}

/** Tells everyone who waits for it that an input is durable, or why it will not be. */
export function tellDurable(queued: QueuedInput, error?: Error): void {
  for (const tell of queued.onDurable.splice(0)) tell(error);
}

/** Whether the kernel may forget it: the store knows all there is to know. */
export function atRest(live: Live): boolean {
  return (
    live.inputs.length === 0 &&
    live.running === undefined &&
    live.uncommitted === 0 &&
    live.operations.size === 0 &&
    !live.queued
  );
}
