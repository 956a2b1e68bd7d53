/** A process that needs a label, among nodes that own a store on PostgreSQL together. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { encodeValue } from "../../src/base/value.ts";
import { openPostgresStore } from "../../src/store/postgres/index.ts";
import { Shop } from "../support/cli.ts";
import type { Running } from "../support/cli.ts";
import { byHand, skip } from "../support/postgres-place.ts";
import { commonPostgres } from "../support/postgres.ts";
import { eventually } from "./support/wait.ts";

const files: Readonly<Record<string, string>> = {
  "shop.ts": `import { receive, register, supervisor } from "perdure";
import { render } from "./host.ts";

/** Has the host render each number it hears, one after the other, and says where that was. */
export async function sink() {
  await register("sink");
  for (;;) {
    const number = await receive<number>();
    console.log(number + " " + (await render()));
  }
}
export default supervisor({ children: [{ id: "sink", start: [sink], needs: "gpu" }] });
`,
  "host.ts": `"use host";\nexport async function render() {\n  return process.argv[process.argv.indexOf("--node") + 1];\n}\n`,
};

/** More than any of the waits here takes on a busy machine. */
const patienceMs = 40_000;

test(
  "it waits while no node has the label, and goes on when one joins: nothing is lost, and nothing done elsewhere",
  {
    skip,
  },
  async (t) => {
    const { url: server } = await commonPostgres();
    const schema = `test_${randomUUID().replaceAll("-", "")}`;
    const url = `${server}?schema=${schema}&lease=3s`;
    const shop = await Shop.open(t, files, { PERDURE_STORE: url });
    const store = await openPostgresStore(url, { mode: "reader", create: true, retryMs: 60_000 });
    const nodes: Running[] = [];
    t.after(async () => {
      store.destroy();
      for (const node of nodes) node.kill("SIGKILL");
      await Promise.all(nodes.map(({ ended }) => ended));
      await byHand(server, `DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
    });
    const serve = (name: string, ...words: readonly string[]): Running => {
      const node = shop.start("serve", "shop.ts", "--standby", "--node", name, ...words);
      nodes.push(node);
      return node;
    };
    const heard = async (): Promise<string[]> => {
      const sink = (await store.names()).find(({ name }) => name === "sink");
      const rows = sink === undefined ? [] : await store.logs(sink.process, 0, 1_000);
      return rows.map(({ text }) => text);
    };
    const hears = (lines: readonly string[]): Promise<unknown> =>
      eventually(lines.join(), async () => (await heard()).length >= lines.length, patienceMs);
    const say = async (...numbers: readonly number[]): Promise<void> => {
      const { pid = "" } = (await store.names()).find(({ name }) => name === "sink") ?? {};
      for (const number of numbers)
        await store.post(pid, { kind: "message", from: "", body: encodeValue(number) }, Date.now());
    };

    await serve("a").printed("perdure: serving shop.ts");
    const b = serve("b", "--label", "gpu", "--label", "big");
    const waiting = async (): Promise<boolean> => (await shop.run("ps")).stdout.includes("a node with the label gpu");
    await eventually("the sink", async () => (await store.names()).length > 0, patienceMs);
    await say(1, 2);
    await hears(["1 b", "2 b"]);
    assert.match((await shop.run("nodes")).stdout, /^b +active +big gpu /m);

    b.kill("SIGKILL");
    await say(3);
    await eventually("that it waits", waiting, patienceMs);
    // Its node's shards are another's by then, and that one has looked at it.
    await eventually("a notice", () => nodes[0]?.stderr.includes("It waits for a node with the label gpu"), patienceMs);
    await say(4);
    const { stdout } = await shop.run("show", "sink");
    assert.match(stdout, /Waits for\n {2}a node with the label gpu\n/);
    assert.deepEqual(await heard(), ["1 b", "2 b"]);

    serve("c", "--label", "gpu");
    await hears(["1 b", "2 b", "3 c", "4 c"]);
    const moved = await shop.run("move", "sink", "a");
    assert.match(moved.stderr, /NODE_UNFIT.* needs a node with the label gpu, and a has no label\./s);
    assert.equal(moved.code, 1);
    await say(5);
    await hears(["1 b", "2 b", "3 c", "4 c", "5 c"]);
    assert.equal(await waiting(), false);
    assert.deepEqual(await heard(), ["1 b", "2 b", "3 c", "4 c", "5 c"]);
    const verified = await shop.run("verify");
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  },
);
