"use host";

import { gates, payloadText } from "./payload-text.ts";

export async function note(): Promise<string> {
  return payloadText;
}

export async function gate(which: "in" | "out"): Promise<void> {
  await gates.pass(which);
}
