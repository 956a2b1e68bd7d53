import { step } from "./marks-host.ts";

/** `n` operations, one after the other, each with the process's label and its number from 0. */
export async function marked(label: string, n: number): Promise<number> {
  let last = 0;
  for (let i = 0; i < n; i++) last = await step(label, i);
  return last;
}

/** After one operation it never gives way by itself. */
export async function spin(label: string): Promise<void> {
  await step(label, 0);
  for (;;);
}

/** After one operation: four billion rounds of one native loop that allocates nothing and cannot be interrupted. */
export async function hang(label: string): Promise<number> {
  await step(label, 0);
  return new Array(2 ** 32 - 1).join("").length;
}
