/** The program that the command line is tried with. */
import type { TestContext } from "node:test";
import { Shop } from "./cli.ts";

export const files: Readonly<Record<string, string>> = {
  "app.ts": `import { charge } from "./warehouse.ts";
import { receive } from "perdure";

export default async function order(id: string, cents: number) {
  console.log("order", id);
  const receipt = await charge(id, cents);
  console.warn("charged");
  const approval = await receive();
  return { id, receipt, approval };
}

export async function add(a: unknown, b: unknown) {
  console.log("adding");
  console.error("carefully");
  return { sum: (a as number) + (b as number) };
}

export async function hello(name: unknown) {
  return \`hello \${typeof name} \${name}\`;
}

export async function fail() {
  throw new TypeError("no such order", { cause: new Error("404") });
}

export async function several() {
  return [new Date(0), new Map([["a", 1n]]), undefined, new Error("inner")];
}

export async function env() {
  return process.env.COLOUR ?? "unseen";
}

export async function nothing() {}
`,
  "warehouse.ts": `"use host";
import { appendFile } from "node:fs/promises";

export async function charge(id: string, cents: number) {
  console.log("host code speaks");
  await appendFile("charges.txt", id + "\\n");
  return cents + 1;
}
`,
};

export const quick = { concurrency: 2 };

/** A store at rest with a process `order-7` that waits for a message. */
export async function stoppedShop(t: TestContext, ...words: readonly string[]): Promise<Shop> {
  const shop = await Shop.open(t, files);
  const running = shop.start("run", "app.ts", "default", "order-7", "4200", "--id", "order-7", ...words);
  await running.printed("charged");
  running.kill("SIGINT");
  await running.ended;
  return shop;
}
