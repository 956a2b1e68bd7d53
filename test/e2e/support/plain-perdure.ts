/** What programs import from "perdure" when they run in plain Node, as the oracle. */
interface SleepOptions {
  readonly signal?: AbortSignal;
}

export function sleep(duration: number | string, { signal }: SleepOptions = {}): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, duration === "1 hour" ? 3_600_000 : Number(duration));
  signal?.addEventListener("abort", () => {
    clearTimeout(timer);
    reject(signal.reason);
  });
  return promise;
}

/** Nobody sends anything. */
export function receive({ signal }: SleepOptions = {}): Promise<never> {
  return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
}

export function send(): never {
  throw new Error("the oracle has no other processes");
}

export const self = send;
