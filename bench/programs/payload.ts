import { note, gate } from "./payload-host.ts";

/** Waits until it is let in, performs `n` operations whose results are `payloadText`, and waits again. */
export async function worker(n: number): Promise<void> {
  await gate("in");
  for (let i = 0; i < n; i++) await note();
  await gate("out");
}
