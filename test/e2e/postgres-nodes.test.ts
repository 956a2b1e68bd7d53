/** Several nodes that own a store on PostgreSQL together: they work, whatever becomes of one of them, or of the database. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { skip } from "../support/postgres-place.ts";
import { commonPostgres, startPostgres } from "../support/postgres.ts";
import { Cluster } from "./support/cluster.ts";

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

const serving = "perdure: serving shop.ts";
const away = "waiting for the database: ";

test("when a node is killed, the others go on with what it had", { skip }, async (t) => {
  const cluster = await Cluster.open(t, await commonPostgres(), { files });
  const a = cluster.serve("a");
  await cluster.began();
  const b = cluster.serve("b");
  await b.printed(serving);
  await cluster.owned("a", "b");
  a.kill("SIGKILL");
  await cluster.owned("b");
  await cluster.takes("messages that the other one takes");
  const c = cluster.serve("c");
  await c.printed(serving);
  await cluster.owned("b", "c");
  // One that stops in good order is followed at once.
  b.kill("SIGTERM");
  assert.equal((await b.ended).code, 143);
  await cluster.takes("messages that the third one takes");
  await cluster.owned("c");
  await cluster.check();
});

test("a node that was stopped beyond its lease does no harm when it wakes, and joins again", { skip }, async (t) => {
  const cluster = await Cluster.open(t, await commonPostgres(), { files });
  const a = cluster.serve("a");
  await cluster.began();
  const b = cluster.serve("b");
  await b.printed(serving);
  await cluster.owned("a", "b");
  a.kill("SIGSTOP");
  await cluster.owned("b");
  await cluster.takes("messages that the other one takes");
  a.kill("SIGCONT");
  await a.printed("is no longer the one in force");
  await cluster.owned("a", "b");
  await cluster.takes("messages after its return");
  // It is as good as any other.
  b.kill("SIGKILL");
  await cluster.owned("a");
  await cluster.takes("messages that it takes again");
  await cluster.check();
});

test("nodes wait for a database that is down, say so once, and go on when it is up", { skip }, async (t) => {
  const server = await startPostgres();
  t.after(() => server.stop());
  if (server.outage === undefined) return t.skip("the server is not the tests' own");
  const cluster = await Cluster.open(t, server, { files, lease: "2s" });
  const nodes = [cluster.serve("a")];
  await cluster.began();
  nodes.push(cluster.serve("b"));
  await nodes[1]?.printed(serving);
  await server.outage.down();
  await Promise.all(nodes.map((node) => node.printed(away)));
  await server.outage.up();
  await cluster.takes("messages after the outage");
  await cluster.check();
  for (const { stderr } of nodes) assert.equal(stderr.split(away).length, 2, stderr);
  await cluster.owned("a", "b");
});
