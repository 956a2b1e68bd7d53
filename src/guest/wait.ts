/** Waits that a cancel or an AbortSignal can cut short: sleeping, receiving. (Operations are known to the runtime.) */

export class CancelledError extends Error {
  override get name(): string {
    return "CancelledError";
  }
}

/** What a wait needs of an AbortSignal; the sandbox's own and a program's polyfill both have it. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

const pending = new Set<(error: unknown) => void>();

export interface Wait<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** `undo` runs once when the wait is given up (by cancel or by `signal`), before its promise rejects. */
export function createWait<T>(undo: () => void, signal?: AbortSignalLike): Wait<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const giveUp = (error: unknown): void => {
    settle();
    undo();
    reject(error);
  };
  const onAbort = (): void => giveUp(signal?.reason);
  const settle = (): void => {
    pending.delete(giveUp);
    signal?.removeEventListener("abort", onAbort);
  };
  pending.add(giveUp);
  if (signal?.aborted === true) giveUp(signal.reason);
  else signal?.addEventListener("abort", onAbort);
  return {
    promise,
    resolve(value) {
      settle();
      resolve(value);
    },
    reject(error) {
      settle();
      reject(error);
    },
  };
}

/** Rejects all waits there are now. Waits begun afterwards, by cleanup code, are left alone. */
export function cancelWaits(reason: () => unknown): void {
  for (const giveUp of [...pending]) giveUp(reason());
}

export function waitCount(): number {
  return pending.size;
}

let shields = 0;
const held: (() => void)[] = [];

/** Until the function it answers with is called, cancels wait: what undoes things must not be undone itself. */
export function shieldFromCancel(): () => void {
  shields++;
  return () => {
    if (--shields === 0) for (const cancel of held.splice(0)) cancel();
  };
}

/** At once, or when nothing shields the process any more. */
export function cancelWhenOpen(cancel: () => void): void {
  if (shields === 0) cancel();
  else held.push(cancel);
}
