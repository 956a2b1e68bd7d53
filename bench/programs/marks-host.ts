"use host";

import { hooks } from "./marks.ts";

export async function step(label: string, number: number): Promise<number> {
  await hooks.onStep(label, number);
  return number;
}
