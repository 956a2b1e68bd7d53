/** Nodes from the command line, invoked for real: who is there, and how they are. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { release } from "../src/engine/release.ts";
import { eventually } from "./e2e/support/wait.ts";
import { Shop } from "./support/cli.ts";
import type { Running } from "./support/cli.ts";
import { quick } from "./support/shop.ts";

const files: Readonly<Record<string, string>> = {
  "shop.ts": `import { Server, supervisor } from "perdure";
import { rest } from "./host.ts";
export class Stock extends Server {
  init() {
    console.log("open");
  }
}
export async function rests() {
  console.log("resting");
  await rest();
}
export default supervisor({ children: [{ id: "stock", start: [Stock] }, { id: "rests", start: [rests] }] });
`,
  "host.ts": `"use host";
export async function rest() {
  await new Promise((resolve) => setTimeout(resolve, 60_000).unref());
}
`,
  // So long does a node drain whose operation does not end.
  "perdure.config.json": `{ "closeTimeout": "3s" }\n`,
  "plain.ts": `import { receive } from "perdure";\nexport default async function waits() {\n  console.log("waits");\n  return await receive();\n}\n`,
};

interface Answer {
  readonly status: number;
  readonly body: { readonly status: string; readonly state: string; readonly node: string; readonly message: string };
}

async function probe(url: string): Promise<Answer> {
  const response = await fetch(url);
  return { status: response.status, body: (await response.json()) as Answer["body"] };
}

/** Where it says that it answers. */
async function addressOf(node: Running): Promise<string> {
  await node.printed("/readyz");
  const [url = ""] = /http:\/\/[\d.]+:\d+/.exec(node.stderr) ?? [];
  return url;
}

async function open(t: TestContext): Promise<Shop> {
  return await Shop.open(t, files);
}

describe("perdure nodes", quick, () => {
  test("lists the owner, then those that stand by, by name; and nobody after they have stopped", async (t) => {
    const shop = await open(t);
    const first = shop.start("serve", "shop.ts", "--node", "web-1");
    await first.printed("open");
    const second = shop.start("serve", "shop.ts", "--standby", "--node", "web-2");
    await second.printed("perdure: standing by: ");
    assert.match(second.stderr, /is owned by the node web-1 \(process \d+ on /);
    const table = (await shop.run("nodes")).stdout.replaceAll(/ +/g, " ").replaceAll(/just now|\d+s ago/g, "AGO");
    assert.equal(
      table,
      `NODE STATE INCARNATION RELEASE SINCE SEEN\nweb-1 active 1 ${release} AGO AGO\nweb-2 standing-by ${release} AGO AGO\n`,
    );
    const rows = await shop.json<Record<string, unknown>[]>("nodes");
    assert.deepEqual(
      rows.map(({ name, state, incarnation, pid }) => ({ name, state, incarnation, pid })),
      [
        { name: "web-1", state: "active", incarnation: 1, pid: first.pid },
        { name: "web-2", state: "standing-by", incarnation: 0, pid: second.pid },
      ],
    );
    first.kill("SIGKILL");
    await second.printed("perdure: this node owns the store now");
    assert.deepEqual(
      (await shop.json<{ name: string; incarnation: number }[]>("nodes")).map(({ name, incarnation }) => [
        name,
        incarnation,
      ]),
      [["web-2", 2]],
    );
    second.kill("SIGTERM");
    assert.match((await second.ended).stderr, /\n {2}perdure serve shop\.ts --standby --node web-2\n$/);
    assert.deepEqual(await shop.json("nodes"), []);
    const none = await shop.run("nodes");
    assert.deepEqual([none.code, none.stdout], [0, ""]);
    assert.equal(none.stderr, "No node is running. Start one with: perdure serve shop.ts\n");
  });

  test("a node that was killed is not listed, although it could not say so", async (t) => {
    const shop = await open(t);
    const node = shop.start("run", "plain.ts");
    await node.printed("waits");
    assert.equal((await shop.json<unknown[]>("nodes")).length, 1);
    node.kill("SIGKILL");
    await node.ended;
    assert.equal((await shop.run("nodes")).stderr, "No node is running. Start one with: perdure resume\n");
  });

  test("PERDURE_NODE names a node, --node comes before it, and the default is process id and host", async (t) => {
    const shop = await Shop.open(t, files, { PERDURE_NODE: "from-env" });
    const name = async (...words: readonly string[]): Promise<string> => {
      const node = shop.start("run", "plain.ts", "--new", ...words);
      await node.printed("waits");
      const [row] = await shop.json<{ name: string }[]>("nodes");
      node.kill("SIGINT");
      await node.ended;
      return row?.name ?? "";
    };
    assert.equal(await name(), "from-env");
    assert.equal(await name("--node", "given"), "given");
    const other = await Shop.open(t, files);
    const node = other.start("run", "plain.ts");
    await node.printed("waits");
    const [row] = await other.json<{ name: string; host: string }[]>("nodes");
    assert.equal(row?.name, `${node.pid}@${row?.host}`);
  });

  for (const name of ["", " web", "a\nb", "x".repeat(101)]) {
    test(`--node ${JSON.stringify(name.slice(0, 10))} is refused before anything is opened`, async (t) => {
      const shop = await open(t);
      const { code, stderr } = await shop.run("serve", "shop.ts", "--node", name);
      assert.notEqual(code, 0);
      assert.match(stderr, /^perdure: (?:ARGUMENT_INVALID: )?.*(?:no name for a node|--node is "")/);
      assert.match((await shop.run("nodes")).stderr, /STORE_NOT_FOUND/);
    });
  }
});

describe("--health", quick, () => {
  test("an active node and one that stands by are live and ready; the owner is named", async (t) => {
    const shop = await open(t);
    const first = shop.start("serve", "shop.ts", "--node", "web-1", "--health", "0");
    await first.printed("open");
    const second = shop.start("serve", "shop.ts", "--standby", "--node", "web-2", "--health", "localhost:0");
    await second.printed("perdure: standing by: ");
    const [one, two] = [await addressOf(first), await addressOf(second)];
    await eventually("the first one's state", async () => (await probe(`${one}/readyz`)).status === 200);
    const active = await probe(`${one}/readyz`);
    const { sinceMs, ...said } = active.body as Answer["body"] & { sinceMs: number };
    assert.ok(Date.now() - sinceMs < 30_000 && sinceMs <= Date.now());
    assert.deepEqual(said, { status: "ok", state: "active", node: "web-1", incarnation: 1, message: "", release });
    assert.equal((await probe(`${one}/livez`)).status, 200);
    const standby = await eventually("its readiness", async () => {
      const answer = await probe(`${two}/readyz`);
      return answer.status === 200 ? answer : undefined;
    });
    assert.deepEqual([standby.body.state, standby.body.node], ["standing-by", "web-2"]);
    assert.match(standby.body.message, /owned by the node web-1/);
    assert.equal((await probe(`${two}/livez`)).status, 200);
  });

  test("from SIGTERM until it has ended, a node is live and not ready", async (t) => {
    const shop = await open(t);
    const node = shop.start("serve", "shop.ts", "--health", "127.0.0.1:0");
    await node.printed("resting");
    const url = await addressOf(node);
    await eventually("its readiness", async () => (await probe(`${url}/readyz`)).status === 200);
    node.kill("SIGTERM");
    const draining = await eventually("the drain", async () => {
      const answer = await probe(`${url}/readyz`);
      return answer.status === 503 ? answer : undefined;
    });
    assert.deepEqual([draining.body.state, draining.body.message], ["draining", "The node is stopping."]);
    let isOver = false;
    void node.ended.then(() => (isOver = true));
    let looks = 0;
    while (!isOver) {
      const answers = await Promise.all([probe(`${url}/livez`), probe(`${url}/readyz`)]).catch(() => undefined);
      if (answers === undefined) break;
      assert.deepEqual(
        answers.map(({ status }) => status),
        [200, 503],
      );
      looks++;
    }
    assert.ok(looks > 0);
    assert.equal((await node.ended).code, 143);
  });

  test("a port that is taken is one clear error, and the store is left alone", async (t) => {
    const shop = await open(t);
    const node = shop.start("serve", "shop.ts", "--health", "0");
    const { port } = new URL(await addressOf(node));
    const { code, stderr } = await shop.run("run", "plain.ts", "--store", "other.db", "--health", port);
    assert.equal(code, 1);
    assert.equal(
      stderr,
      `perdure: LISTEN_FAILED: Cannot serve the node's health on 127.0.0.1:${port}: another program listens there. Choose another port, or stop that one.\n`,
    );
    assert.match((await shop.run("ps", "--store", "other.db")).stderr, /STORE_NOT_FOUND/);
  });

  for (const word of ["http", "65536", "-1", "1.5", ":9464", "a b:1", "[::1]", "x:y"]) {
    test(`--health ${JSON.stringify(word)} is wrong usage`, async (t) => {
      const shop = await open(t);
      const { code, stderr } = await shop.run("resume", `--health=${word}`);
      assert.equal(code, 2);
      assert.match(stderr, /--health is ".*"; it must be a port from 0 to 65535, or HOST:PORT/);
    });
  }
});
