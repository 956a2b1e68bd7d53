import { sleep } from "perdure";
import { add } from "./host.ts";

/** Asleep from its first turn on. */
export async function sleeper(): Promise<void> {
  await sleep("1 day");
}

/** Asleep after two operations. */
export async function workerAsleep(): Promise<void> {
  const sum = await add(1, 2);
  await add(sum, 3);
  await sleep("1 day");
}

/** The one that runs beside them. */
export async function newcomer(): Promise<number> {
  return await add(1, 2);
}
