/** How many tasks at once, and in which order their results come. */
import { PerdureError } from "../../base/errors.ts";

export interface StreamOptions {
  /** How many tasks may run at the same time. Default 8. */
  readonly concurrency?: number;
}

interface Running<T> {
  result(): Promise<T>;
  /** Ends it, unless it is winding up. */
  leave(): void;
}

export async function* stream<Item, T>(
  items: Iterable<Item> | AsyncIterable<Item>,
  start: (item: Item) => Running<T> | Promise<Running<T>>,
  { concurrency = 8 }: StreamOptions,
): AsyncGenerator<T, void, undefined> {
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    throw new PerdureError(
      "ARGUMENT_INVALID",
      `Task.asyncStream's concurrency is a whole number of at least 1, not ${String(concurrency)}.`,
    );
  }
  const running: Running<T>[] = [];
  try {
    for await (const item of items) {
      if (running.length === concurrency) yield await next(running);
      running.push(await start(item));
    }
    while (running.length > 0) yield await next(running);
  } finally {
    for (const task of running) task.leave();
  }
}

/** The oldest stays among the running ones until it is done: if it is given up, it is stopped too. */
async function next<T>(running: Running<T>[]): Promise<T> {
  const result = await running[0]!.result();
  running.shift();
  return result;
}
