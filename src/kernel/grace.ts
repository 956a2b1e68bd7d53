import type { Clock } from "../base/ports.ts";

/** Resolves at the end of something, or when it has taken too long. */
export async function grace(clock: Clock, graceMs: number, end: Promise<unknown>): Promise<void> {
  const over = Promise.withResolvers<void>();
  const cancel = clock.after(graceMs, over.resolve);
  await Promise.race([end, over.promise]);
  cancel();
}
