/** Whole engines on a PostgreSQL server: a program outlives the operating system processes that run it. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Shop } from "../support/cli.ts";
import { byHand, skip } from "../support/postgres-place.ts";
import { commonPostgres } from "../support/postgres.ts";
import { eventually } from "./support/wait.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const files = {
  "app.ts": `
import { sleep } from "perdure";
import { step } from "./effects.ts";

export async function trip(legs: number) {
  let total = 0;
  for (let leg = 1; leg <= legs; leg++) {
    total += await step(leg);
    await sleep(30);
  }
  console.log("arrived");
  return { legs, total };
}
`,
  "effects.ts": `"use host";
import { appendFileSync } from "node:fs";
import { idempotencyKey } from "perdure/host";

export async function step(leg: number) {
  appendFileSync("effects.txt", \`\${leg} \${idempotencyKey()}\\n\`);
  return leg;
}
`,
};

interface Place {
  readonly shop: Shop;
  readonly url: string;
  effects(): string[];
}

async function place(t: TestContext): Promise<Place> {
  const server = await commonPostgres();
  const schema = `test_${randomUUID().replaceAll("-", "")}`;
  const url = `${server.url}?schema=${schema}&lease=3s`;
  t.after(() => byHand(server.url, `DROP SCHEMA IF EXISTS "${schema}" CASCADE`));
  const shop = await Shop.open(t, files, { PERDURE_STORE: url });
  // Host modules import `perdure/host` as they would in a project that has it installed.
  mkdirSync(path.join(shop.folder, "node_modules"));
  symlinkSync(root, path.join(shop.folder, "node_modules", "perdure"), "dir");
  const file = path.join(shop.folder, "effects.txt");
  const effects = (): string[] => (existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : []);
  return { shop, url, effects };
}

const noPassword = (text: string): void => assert.doesNotMatch(text, /test's|test%27s|a%20test/);

test("a program with operations and timers survives kill -9 of its engine", { skip }, async (t) => {
  const { shop, effects } = await place(t);
  const legs = 12;
  const running = shop.start("run", "app.ts", "trip", String(legs));
  await eventually("some legs", () => effects().length >= 5);
  running.kill("SIGKILL");
  assert.equal((await running.ended).signal, "SIGKILL");
  // The next one joins at once, and goes on when the lease of the dead one has run out.
  const { code, stdout, stderr } = await shop.run("run", "app.ts", "trip", String(legs));
  assert.deepEqual([code, stdout], [0, "arrived\n{ legs: 12, total: 78 }\n"], stderr);
  // Each leg has one key, however often it was tried.
  const keys = new Map(effects().map((line) => line.split(" ") as [string, string]));
  assert.equal(keys.size, legs);
  assert.equal(new Set(effects()).size, legs);
  const verified = await shop.run("verify");
  assert.equal(verified.code, 0, verified.stdout);
  const listed = await shop.run("ps", "--all");
  assert.match(listed.stdout, /app\.ts|trip|default/);
  noPassword(stdout + stderr + listed.stdout + listed.stderr + verified.stdout + verified.stderr);
});

test("beside a running node the command line looks and posts; a second node joins it", { skip }, async (t) => {
  const { shop, url, effects } = await place(t);
  const running = shop.start("run", "app.ts", "trip", "1000", "--id", "trip", "--store", url);
  await eventually("a leg", () => effects().length > 0);
  const second = await shop.run("run", "app.ts", "trip", "3", "--id", "other");
  // It may run on either; what it prints is printed there.
  assert.equal(second.code, 0, second.stderr);
  assert.match(second.stdout, /^(?:arrived\n)?\{ legs: 3, total: 6 \}\n$/);
  const cancelled = await shop.run("cancel", "trip");
  assert.equal(cancelled.code, 0, cancelled.stderr);
  assert.match(cancelled.stderr, /A node is running/);
  const { stdout, stderr } = await running.ended;
  for (const { stdout: out, stderr: err } of [second, cancelled, { stdout, stderr }]) noPassword(out + err);
});

test("a store that is not there is named without its password", { skip }, async (t) => {
  const { shop } = await place(t);
  const { code, stdout, stderr } = await shop.run("ps");
  assert.notEqual(code, 0);
  assert.match(stderr, /STORE_NOT_FOUND|no schema/);
  noPassword(stdout + stderr);
});
