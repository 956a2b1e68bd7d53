/** Several nodes of one store on PostgreSQL: one works, whatever becomes of the others, of itself, or of the database. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { encodeValue } from "../../src/base/value.ts";
import type { StoreReader } from "../../src/store/port.ts";
import { openPostgresStore } from "../../src/store/postgres/index.ts";
import { Shop } from "../support/cli.ts";
import type { Running } from "../support/cli.ts";
import { byHand, skip } from "../support/postgres-place.ts";
import { commonPostgres, startPostgres } from "../support/postgres.ts";
import type { PostgresServer } from "../support/postgres.ts";
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

const sendEveryMs = 50;
/** Long enough for a machine that is busy with other tests, short enough to be waited for. */
const lease = "3s";
/** More than any of the waits here takes on such a machine. */
const patienceMs = 25_000;

/** A store with nodes, and a client that sends 1, 2, 3… to a process in it, as `perdure send` does. */
class World {
  readonly store: StoreReader;
  readonly #shop: Shop;
  readonly #stopping = new AbortController();
  readonly #nodes: Running[] = [];
  #sent = 0;
  #sending: Promise<void> = Promise.resolve();

  static async open(t: TestContext, server: PostgresServer, leaseText = lease): Promise<World> {
    const schema = `test_${randomUUID().replaceAll("-", "")}`;
    const url = `${server.url}?schema=${schema}&lease=${leaseText}`;
    const shop = await Shop.open(t, files, { PERDURE_STORE: url });
    const store = await openPostgresStore(url, { mode: "reader", create: true, retryMs: 60_000 });
    const world = new World(shop, store);
    t.after(async () => {
      world.#stopping.abort();
      store.destroy();
      for (const node of world.#nodes) node.kill("SIGKILL");
      await Promise.all(world.#nodes.map(({ ended }) => ended));
      // A server of a test's own may be gone.
      await byHand(server.url, `DROP SCHEMA IF EXISTS "${schema}" CASCADE`).catch(() => undefined);
    });
    return world;
  }

  private constructor(shop: Shop, store: StoreReader) {
    this.#shop = shop;
    this.store = store;
  }

  serve(name: string): Running {
    const node = this.#shop.start("serve", "shop.ts", "--standby", "--node", name);
    this.#nodes.push(node);
    return node;
  }

  /** Who owns the store and who stands by, as `perdure nodes` tells. */
  async names(): Promise<{ readonly active: string; readonly standing: readonly string[] }> {
    const rows = await this.#shop.json<{ name: string; state: string }[]>("nodes");
    const of = (state: string) => rows.filter((row) => row.state === state).map(({ name }) => name);
    return { active: of("active").join(), standing: of("standing-by") };
  }

  async began(): Promise<void> {
    const sink = await eventually("the sink", () => this.#sink(), patienceMs);
    this.#sending = this.#send(sink.pid);
    // What goes wrong is seen where it is waited for.
    this.#sending.catch(() => undefined);
    await this.takes("the first messages");
  }

  async #sink(): Promise<{ readonly pid: string; readonly process: number } | undefined> {
    return (await this.store.names()).find(({ name }) => name === "sink");
  }

  async #send(pid: string): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.store.post(pid, { kind: "message", from: "", body: encodeValue(this.#sent + 1) }, Date.now());
      this.#sent++;
      await sleep(sendEveryMs);
    }
  }

  async #heard(): Promise<string[]> {
    const { process } = (await this.#sink()) ?? { process: 0 };
    return (await this.store.logs(process, 0, Number.MAX_SAFE_INTEGER)).map(({ text }) => text);
  }

  /** Resolves when messages that are sent from now on are taken. */
  async takes(what: string): Promise<void> {
    const sent = this.#sent;
    await eventually(what, async () => (await this.#heard()).length > sent + 3, patienceMs);
  }

  /** Every message was taken once, in order, and the store is whole. */
  async check(): Promise<void> {
    this.#stopping.abort();
    await this.#sending;
    await eventually("the last messages", async () => (await this.#heard()).length >= this.#sent, patienceMs);
    assert.deepEqual(
      await this.#heard(),
      Array.from({ length: this.#sent }, (_, index) => `${index + 1} ${index + 1}`),
    );
    const { code, stdout, stderr } = await this.#shop.run("verify");
    assert.equal(code, 0, stdout + stderr);
  }
}

const now = "perdure: this node owns the store now";
const standing = "perdure: standing by: The store is owned by ";
const away = "waiting for the database: ";

test("a node that is killed is followed, when its lease has run out, by one that stands by", { skip }, async (t) => {
  const world = await World.open(t, await commonPostgres());
  const a = world.serve("a");
  await world.began();
  const b = world.serve("b");
  await b.printed(standing);
  assert.match(b.stderr, /owned by the node a \(process \d+ on /);
  assert.deepEqual(await world.names(), { active: "a", standing: ["b"] });
  a.kill("SIGKILL");
  await b.printed(now);
  await world.takes("messages that the next one takes");
  assert.deepEqual(await world.names(), { active: "b", standing: [] });
  // One that stops in good order is followed at once.
  const c = world.serve("c");
  await c.printed(standing);
  b.kill("SIGTERM");
  assert.equal((await b.ended).code, 143);
  await c.printed(now);
  await world.takes("messages that the third one takes");
  await world.check();
});

test("a node that was stopped beyond its lease does no harm when it wakes, and stands by", { skip }, async (t) => {
  const world = await World.open(t, await commonPostgres());
  const a = world.serve("a");
  await world.began();
  const b = world.serve("b");
  await b.printed(standing);
  a.kill("SIGSTOP");
  await b.printed(now);
  await world.takes("messages that the next one takes");
  a.kill("SIGCONT");
  await a.printed(standing);
  assert.match(a.stderr, /standing by: This node may not write .* its incarnation 1 is no longer the one in force/);
  await eventually("its row", async () => (await world.names()).standing.includes("a"), patienceMs);
  await world.takes("messages after its return");
  // It is as good as any other.
  b.kill("SIGKILL");
  await a.printed(now);
  await world.takes("messages that it takes again");
  await world.check();
});

test("nodes wait for a database that is down, say so once, and go on when it is up", { skip }, async (t) => {
  const server = await startPostgres();
  t.after(() => server.stop());
  if (server.outage === undefined) return t.skip("the server is not the tests' own");
  const world = await World.open(t, server, "2s");
  const nodes = [world.serve("a")];
  await world.began();
  nodes.push(world.serve("b"));
  await nodes[1]?.printed(standing);
  await server.outage.down();
  await Promise.all(nodes.map((node) => node.printed(away)));
  await server.outage.up();
  await world.takes("messages after the outage");
  await world.check();
  for (const { stderr } of nodes) assert.equal(stderr.split(away).length, 2, stderr);
  // A row from before the outage goes when its node is seen again.
  await eventually(
    "both nodes, once each",
    async () => {
      const { active, standing: waiting } = await world.names();
      return [active, ...waiting].toSorted().join() === "a,b";
    },
    patienceMs,
  );
});
