/** A store with running processes moves from a file to PostgreSQL, and its processes go on there. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { openSqliteStore } from "../../src/store/sqlite/index.ts";
import { message, operation, process as row, program, startMs, timer, turn } from "../../src/store/suite/samples.ts";
import { Shop } from "../support/cli.ts";
import { byHand, rowsByHand, skip } from "../support/postgres-place.ts";
import { commonPostgres } from "../support/postgres.ts";
import { eventually } from "./support/wait.ts";

const files: Readonly<Record<string, string>> = {
  "shop.ts": `import { receive, register, sleep, supervisor } from "perdure";
import { charge } from "./host.ts";

/** Counts what it hears in a local variable. */
export async function counter() {
  await register("counter");
  for (let sum = 0; ; console.log("sum " + sum)) {
    const number = await receive<number>();
    if (number < 0) throw new Error("a negative number");
    sum += number;
  }
}
export async function sleeper() {
  await sleep("4s");
  console.log("slept");
  await receive();
}
export async function buyer() {
  console.log("paid " + (await charge("order-7")));
  await receive();
}
export default supervisor({
  children: [
    { id: "counter", start: [counter] },
    { id: "sleeper", start: [sleeper] },
    { id: "buyer", start: [buyer] },
  ],
});
`,
  "host.ts": `"use host";
import { appendFileSync, existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { idempotencyKey } from "perdure/host";

/** Goes on when there is a file "open". */
export async function charge(id: string) {
  appendFileSync("keys.txt", idempotencyKey() + "\\n");
  while (!existsSync("open")) await sleep(20);
  return id.length;
}
`,
};

interface Target {
  readonly url: string;
  readonly rows: (sql: string) => ReturnType<typeof rowsByHand>;
}

/** A schema of the test's own, in which \`~\` stands for it. */
async function target(t: TestContext): Promise<Target> {
  const { url } = await commonPostgres();
  const schema = `test_${randomUUID().replaceAll("-", "")}`;
  t.after(() => byHand(url, `DROP SCHEMA IF EXISTS "${schema}" CASCADE`));
  return { url: `${url}?schema=${schema}`, rows: (sql) => rowsByHand(url, sql.replaceAll("~", `"${schema}"`)) };
}

/** Host code may import it. */
async function linkPerdure(folder: string): Promise<void> {
  const modules = path.join(folder, "node_modules");
  await mkdir(modules, { recursive: true });
  await symlink(fileURLToPath(new URL("../..", import.meta.url)), path.join(modules, "perdure"), "junction");
}

interface Shown {
  readonly pid: string;
  readonly label: string;
  readonly state: string;
  readonly turns: number;
  readonly life: number;
}

test("a supervision tree whose node was killed goes on in another kind of store", { skip }, async (t) => {
  const { url } = await target(t);
  const shop = await Shop.open(t, files);
  await linkPerdure(shop.folder);
  const first = shop.start("serve", "shop.ts");
  const keys = async (): Promise<string[]> =>
    (await readFile(path.join(shop.folder, "keys.txt"), "utf8").catch(() => "")).split("\n").slice(0, -1);
  await eventually("the operation runs", async () => (await keys()).length === 1);
  assert.equal((await shop.run("send", "counter", "5")).code, 0);
  await first.printed("sum 5");
  first.kill("SIGKILL");
  await first.ended;
  // Nobody is there to take it.
  assert.equal((await shop.run("send", "counter", "6")).code, 0);
  const about = async (...words: readonly string[]): Promise<Shown[]> =>
    (await shop.json<Shown[]>("ps", ...words)).map(({ pid, label, state, turns, life }) => ({
      pid,
      label,
      state,
      turns,
      life,
    }));
  const before = await about();
  assert.equal(before.length, 4);
  const moved = await shop.run("migrate", "--to", url);
  assert.equal(moved.code, 0, moved.stderr);
  assert.deepEqual(await about("--store", url), before);
  const second = shop.start("serve", "shop.ts", "--store", url);
  await second.printed("sum 11");
  await second.printed("slept");
  await eventually("the operation runs again", async () => (await keys()).length === 2);
  const [one, other] = await keys();
  assert.equal(one, other);
  await writeFile(path.join(shop.folder, "open"), "");
  await second.printed("paid 7");
  // What fails is started again by the supervisor it has had before.
  assert.equal((await shop.run("send", "counter", "-1", "--store", url)).code, 0);
  await eventually("the counter is another one", async () => {
    const [old, now] = [before, await about("--store", url)].map((rows) =>
      rows.filter(({ label }) => label === "counter"),
    );
    return now?.some(({ pid, state }) => state === "running" && old?.every((each) => each.pid !== pid)) === true;
  });
  second.kill("SIGTERM");
  await second.ended;
  const verified = await shop.run("verify", "--store", url);
  assert.equal(verified.code, 0, verified.stdout);
});

const processes = 4_000;
/** How long a migration goes on after each batch that is waited for (ms), before it is killed. */
const kills = [0, 30, 5, 90, 15];

/** A store with so many processes that it does not move in one go. */
async function fill(file: string): Promise<void> {
  const store = await openSqliteStore(file);
  await store.claim(startMs);
  await store.putProgram(program, []);
  for (let first = 1; first <= processes; first += 500) {
    const keys = Array.from({ length: 500 }, (_, i) => first + i);
    await store.commit({
      atMs: startMs,
      newProcesses: keys.map((key) =>
        row(key, key % 7 === 1 ? {} : { parent: `p${key - (key % 7 === 0 ? 6 : (key % 7) - 1)}` }),
      ),
      turns: keys.flatMap((key) => [1, 2, 3].map((number) => ({ process: key, turn: turn(number) }))),
      timers: keys.map((key) => timer(key, 1)),
      operations: keys.map((key) => operation(key, 1)),
      inbox: keys.map((key) => ({ process: key, input: message, atMs: startMs })),
    });
  }
  await store.release(startMs);
  await store.close();
}

test("a migration that is killed again and again arrives whole", { skip }, async (t) => {
  const { url, rows } = await target(t);
  const shop = await Shop.open(t, files);
  await fill(path.join(shop.folder, "perdure.db"));
  const progress = async (): Promise<unknown> =>
    (await rows("SELECT progress FROM ~.migration").catch(() => []))[0]?.["progress"] ?? "";
  let last: unknown = "";
  for (const delayMs of kills) {
    const running = shop.start("migrate", "--to", url);
    let isOver = false;
    void running.ended.then(() => (isOver = true));
    // Some way on, and then at whatever moment this is.
    await eventually("it goes on", async () => isOver || (await progress()) !== last, 25_000);
    await sleep(delayMs);
    running.kill("SIGKILL");
    await running.ended;
    last = await progress();
    assert.match((await shop.run("ps", "--store", url)).stderr, /STORE_INCOMPLETE|No node is running/);
  }
  const { outcome } = await shop.json<{ readonly outcome: string }>("migrate", "--to", url);
  assert.match(outcome, /^(?:complete|already)$/);
  const counts =
    await rows(`SELECT (SELECT count(*) FROM ~.process) AS processes, (SELECT count(*) FROM ~.journal) AS turns,
    (SELECT count(*) FROM ~.inbox) AS inputs, (SELECT count(*) FROM ~.operation) AS operations, (SELECT count(*) FROM ~.timer) AS timers,
    (SELECT count(DISTINCT shard) FROM ~.process) AS shards,
    (SELECT count(*) FROM ~.process AS c JOIN ~.process AS p ON p.pid = c.parent AND p.shard <> c.shard) AS torn`);
  const all = { turns: 3 * processes, inputs: processes, operations: processes, timers: processes };
  assert.deepEqual({ ...counts[0] }, { processes, ...all, shards: 16, torn: 0 });
});
