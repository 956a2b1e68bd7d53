/** Nodes of the command line that own a store on PostgreSQL together, and a client that sends to one of its processes. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { encodeValue } from "../../../src/base/value.ts";
import { moveBeside } from "../../../src/engine/moving.ts";
import type { Moved } from "../../../src/engine/moving.ts";
import { systemClock } from "../../../src/engine/system.ts";
import { readDirectory } from "../../../src/engine/directory.ts";
import type { NameRow, ProcessRow, StoreReader } from "../../../src/store/port.ts";
import { openPostgresStore } from "../../../src/store/postgres/index.ts";
import { Shop } from "../../support/cli.ts";
import type { Running } from "../../support/cli.ts";
import { byHand } from "../../support/postgres-place.ts";
import type { PostgresServer } from "../../support/postgres.ts";
import { eventually } from "./wait.ts";

const sendEveryMs = 50;
/** So many may be on their way: a machine that is slower than the client is not buried. */
const mostUnderway = 20;
/** Long enough for a machine that is busy with other tests, short enough to be waited for. */
const defaultLease = "3s";
/** More than any of the waits here takes on such a machine. */
export const patienceMs = 60_000;
/** More than any test here takes. */
const longestMs = 600_000;

export interface ClusterOptions {
  /** `perdure serve` runs the first one. */
  readonly files: Readonly<Record<string, string>>;
  readonly lease?: string;
}

export class Cluster {
  readonly store: StoreReader;
  readonly shop: Shop;
  readonly url: string;
  readonly #file: string;
  readonly #stopping = new AbortController();
  readonly #nodes: Running[] = [];
  #sent = 0;
  /** What the sink has printed, up to the line with this number. */
  readonly #texts: string[] = [];
  #lastSeq = 0;
  #reading: Promise<unknown> = Promise.resolve();
  #sending: Promise<void> = Promise.resolve();

  static async open(
    t: TestContext,
    server: Pick<PostgresServer, "url">,
    { files, lease }: ClusterOptions,
  ): Promise<Cluster> {
    const schema = `test_${randomUUID().replaceAll("-", "")}`;
    const mark = server.url.includes("?") ? "&" : "?";
    const url = `${server.url}${mark}schema=${schema}&lease=${lease ?? defaultLease}`;
    const shop = await Shop.open(t, files, { PERDURE_STORE: url });
    const store = await openPostgresStore(url, { mode: "reader", create: true, retryMs: 60_000 });
    const cluster = new Cluster(shop, store, url, Object.keys(files)[0] ?? "");
    t.after(async () => {
      cluster.#stopping.abort();
      store.destroy();
      const { passed } = t as { readonly passed?: boolean };
      if (passed !== true) for (const { stderr } of cluster.#nodes) console.error(stderr);
      for (const node of cluster.#nodes) node.kill("SIGKILL");
      await Promise.all(cluster.#nodes.map(({ ended }) => ended));
      // A server of a test's own may be gone.
      await byHand(server.url, `DROP SCHEMA IF EXISTS "${schema}" CASCADE`).catch(() => undefined);
    });
    return cluster;
  }

  private constructor(shop: Shop, store: StoreReader, url: string, file: string) {
    this.shop = shop;
    this.store = store;
    this.url = url;
    this.#file = file;
  }

  // -- nodes ----------------------------------------------------------------------------------------------------

  serve(name: string): Running {
    const words = ["serve", this.#file, "--standby", "--node", name];
    const node = this.shop.startFor(longestMs, ...words);
    this.#nodes.push(node);
    return node;
  }

  /** Resolves when these own the store, and nobody else, as `perdure nodes` tells. */
  async owned(...names: readonly string[]): Promise<void> {
    await eventually(
      `the nodes ${names.join()}`,
      async () => {
        const rows = await this.shop.json<{ name: string; state: string }[]>("nodes");
        const found = rows.map(({ name, state }) => `${name} ${state}`).toSorted();
        return found.join() === names.map((name) => `${name} active`).join();
      },
      patienceMs,
    );
  }

  /** Resolves when each of these, and nobody else, owns as many shards as any other, but for one. */
  async shared(...names: readonly string[]): Promise<void> {
    await eventually(
      `shares of ${names.join()}`,
      async () => {
        const all = await this.store.sharing?.shards();
        const { nodes: owners } = await readDirectory(this.store);
        const counts = names.map((name) => [...owners.values()].filter((owner) => owner === name).length);
        const sum = counts.reduce((total, count) => total + count, 0);
        return sum === all?.length && Math.max(...counts) - Math.min(...counts) <= 1;
      },
      patienceMs,
    );
  }

  // -- processes ------------------------------------------------------------------------------------------------

  async named(name: string): Promise<NameRow> {
    const find = async (): Promise<NameRow | undefined> => (await this.store.names()).find((row) => row.name === name);
    return await eventually(`the name ${name}`, find, patienceMs);
  }

  /** A supervisor's living child, by its id there. */
  async child(label: string): Promise<ProcessRow> {
    const filter = { label, states: ["running", "crashed"], limit: 1 } as const;
    return await eventually(`the child ${label}`, async () => (await this.store.listProcesses(filter))[0], patienceMs);
  }

  /** The name of the node that a child lives on. */
  async placeOf(label: string): Promise<string | undefined> {
    const { shard } = await this.child(label);
    return (await readDirectory(this.store)).nodes.get(shard ?? 0);
  }

  async move(label: string, node: string): Promise<Moved> {
    return await moveBeside(this.store, (await this.child(label)).pid, node, systemClock);
  }

  async tell(label: string, message: unknown): Promise<void> {
    const { pid } = await this.child(label);
    await this.store.post(pid, { kind: "message", from: "", body: encodeValue(message) }, Date.now());
  }

  /** What a process has printed. */
  async printed({ key }: Pick<ProcessRow, "key">): Promise<string[]> {
    return (await this.store.logs(key, 0, Number.MAX_SAFE_INTEGER)).map(({ text }) => text);
  }

  /** Resolves when a child has printed this. */
  async says(label: string, text: string): Promise<void> {
    const row = await this.child(label);
    await eventually(`${label}: ${text}`, async () => (await this.printed(row)).includes(text), patienceMs);
  }

  // -- the client -----------------------------------------------------------------------------------------------

  /** Sends 1, 2, 3… to whoever is called `door`, as `perdure send` does; the process called `sink` prints them. */
  async began(door = "sink"): Promise<void> {
    const { pid } = await this.named(door);
    this.#sending = this.#send(pid);
    // What goes wrong is seen where it is waited for.
    this.#sending.catch(() => undefined);
    await this.takes("the first messages");
  }

  async #send(pid: string): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.store.post(pid, { kind: "message", from: "", body: encodeValue(this.#sent + 1) }, Date.now());
      this.#sent++;
      do await sleep(sendEveryMs);
      while (!this.#stopping.signal.aborted && this.#sent - (await this.#heard()).length > mostUnderway);
    }
  }

  #heard(): Promise<readonly string[]> {
    const heard = this.#reading.then(async () => {
      const { process } = await this.named("sink");
      const rows = await this.store.logs(process, this.#lastSeq, Number.MAX_SAFE_INTEGER);
      this.#lastSeq = rows.at(-1)?.seq ?? this.#lastSeq;
      this.#texts.push(...rows.map(({ text }) => text));
      return this.#texts;
    });
    this.#reading = heard.catch(() => undefined);
    return heard;
  }

  /** Resolves when messages that are sent from now on are taken. */
  async takes(what: string): Promise<void> {
    const sent = this.#sent;
    await eventually(what, async () => (await this.#heard()).length > sent + 3, patienceMs);
  }

  /** Every message was taken once, in order, with `result` of its number; and the store is whole. */
  async check(result: (number: number) => number = (number) => number): Promise<void> {
    this.#stopping.abort();
    await this.#sending;
    await eventually("the last messages", async () => (await this.#heard()).length >= this.#sent, patienceMs);
    assert.deepEqual(
      await this.#heard(),
      Array.from({ length: this.#sent }, (_, index) => `${index + 1} ${result(index + 1)}`),
    );
    const { code, stdout, stderr } = await this.shop.run("verify");
    assert.equal(code, 0, stdout + stderr);
  }
}
