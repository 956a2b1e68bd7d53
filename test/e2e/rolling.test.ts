/** A rolling restart: two nodes of one store are restarted in turn while a client goes on sending. Nothing is lost and nothing is doubled. */
import assert from "node:assert/strict";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { encodeValue } from "../../src/base/value.ts";
import type { LogRow, StoreReader } from "../../src/store/port.ts";
import { openSqliteStore } from "../../src/store/sqlite/index.ts";
import { Shop } from "../support/cli.ts";
import type { Running } from "../support/cli.ts";
import { eventually } from "./support/wait.ts";

const files: Readonly<Record<string, string>> = {
  "shop.ts": `import { receive, register, supervisor } from "perdure";
import { counted } from "./host.ts";

/** Says each number it hears, and has the host count it, after it has done so for the one before. */
export async function sink() {
  await register("sink");
  for (let sum = 0; ; ) {
    const number = await receive<number>();
    sum = await counted(sum);
    console.log(number + " " + sum);
  }
}
export default supervisor({ children: [{ id: "sink", start: [sink] }] });
`,
  "host.ts": `"use host";\nexport async function counted(sum: number) {\n  return sum + 1;\n}\n`,
};

const sendEveryMs = 20;
const restartsOfEach = 3;
/** What the other node needs at most on a machine that is busy with other tests; alone it is a few hundred ms. */
const longestGapMs = 15_000;

/** Sends 1, 2, 3… to the sink, as `perdure send` does, whoever owns the store. */
class Client {
  sent = 0;
  #isOver = false;
  readonly #sending: Promise<void>;

  constructor(store: StoreReader, pid: string) {
    this.#sending = this.#send(store, pid);
  }

  async #send(store: StoreReader, pid: string): Promise<void> {
    while (!this.#isOver) {
      await store.post(pid, { kind: "message", from: "", body: encodeValue(this.sent + 1) }, Date.now());
      this.sent++;
      await sleep(sendEveryMs);
    }
  }

  async stop(): Promise<number> {
    this.#isOver = true;
    await this.#sending;
    return this.sent;
  }
}

async function logsOf(store: StoreReader, process: number): Promise<readonly LogRow[]> {
  return await store.logs(process, 0, Number.MAX_SAFE_INTEGER);
}

test("two nodes are restarted in turn, three times each, and every message is taken once and in order", async (t) => {
  const shop = await Shop.open(t, files);
  const serve = (name: string): Running => shop.start("serve", "shop.ts", "--standby", "--node", name);
  let [owner, other] = [serve("a"), serve("b")];
  await Promise.race([owner.printed("started root"), other.printed("started root")]);
  const store = await openSqliteStore(path.join(shop.folder, "perdure.db"), { mode: "reader" });
  t.after(() => store.close());
  const sink = await eventually("the sink", async () => (await store.names()).find(({ name }) => name === "sink"));
  const rows = await eventually("both nodes", async () => {
    const found = await store.nodes(Date.now());
    return found.length === 2 ? found : undefined;
  });
  if (rows[0]?.name === "b") [owner, other] = [other, owner];
  let [name, otherName] = rows.map((row) => row.name);
  const client = new Client(store, sink.pid);
  await eventually("the first messages", async () => (await logsOf(store, sink.process)).length > 5);
  const gapsMs: number[] = [];
  for (let restart = 0; restart < 2 * restartsOfEach; restart++) {
    gapsMs.push(await gapOf(store, sink.process, owner));
    const next = serve(name ?? "");
    await next.printed("perdure: standing by: ");
    [owner, other, name, otherName] = [other, next, otherName, name];
  }
  const sent = await client.stop();
  await eventually("the last messages", async () => (await logsOf(store, sink.process)).length >= sent);
  const heard = (await logsOf(store, sink.process)).map(({ text }) => text);
  assert.deepEqual(
    heard,
    Array.from({ length: sent }, (_, index) => `${index + 1} ${index + 1}`),
  );
  const [now] = await store.nodes(Date.now());
  assert.deepEqual([now?.state, now?.incarnation], ["active", 2 * restartsOfEach + 1]);
  t.diagnostic(`${sent} messages; without an owner that takes them for at most ${gapsMs.join(", ")} ms`);
});

/** Ends the owner by SIGTERM; answers the longest time in which no message was taken, in ms. */
async function gapOf(store: StoreReader, process: number, owner: Running): Promise<number> {
  const before = (await logsOf(store, process)).length;
  const [{ incarnation } = { incarnation: 0 }] = await store.nodes(Date.now());
  owner.kill("SIGTERM");
  assert.equal((await owner.ended).code, 143);
  await eventually("the next owner", async () =>
    (await store.nodes(Date.now())).some((row) => row.incarnation > incarnation),
  );
  const taken = (await logsOf(store, process)).length;
  await eventually("messages that it takes", async () => (await logsOf(store, process)).length > taken + 3);
  const times = (await logsOf(store, process)).slice(before - 1).map(({ atMs }) => atMs);
  const gapMs = Math.max(...times.slice(1).map((atMs, index) => atMs - (times[index] ?? atMs)));
  assert.ok(gapMs < longestGapMs, `no message was taken for ${gapMs} ms`);
  return gapMs;
}
