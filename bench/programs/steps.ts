import { add } from "./host.ts";

/** `n` trivial operations, one after the other. */
export async function loop(n: number): Promise<number> {
  let sum = 0;
  for (let i = 0; i < n; i++) sum = await add(sum, 1);
  return sum;
}
