/** Three nodes behind a PgBouncer in transaction mode that has fewer connections than they have: nothing of a session is relied on. */
import assert from "node:assert/strict";
import { mkdirSync, symlinkSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { noPgBouncer, pgBouncer } from "../support/pgbouncer.ts";
import { byHand, rowsByHand, skip } from "../support/postgres-place.ts";
import { commonPostgres } from "../support/postgres.ts";
import { parseAddress } from "../../src/store/postgres/wire/address.ts";
import { Session, step } from "../../src/store/postgres/wire/session.ts";
import type { Step } from "../../src/store/postgres/wire/session.ts";
import { Cluster } from "./support/cluster.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

const files = {
  "shop.ts": `import { receive, register, send, supervisor } from "perdure";
import { booked } from "./books.ts";

export async function door() {
  await register("door");
  for (;;) send("sink", await receive());
}
export async function sink() {
  await register("sink");
  for (;;) {
    const number = await receive<number>();
    console.log(number + " " + (await booked(number)));
  }
}
export default supervisor({ children: [{ id: "door", start: [door] }, { id: "sink", start: [sink] }] });
`,
  "books.ts": `"use host";
import { operation } from "perdure/host";
import type { PostgresTransaction } from "perdure/host";

export const booked = operation({ mode: "transactional" }, async (tx: PostgresTransaction, number: number) => {
  await tx.run("INSERT INTO BOOKS.entry VALUES ($1)", number);
  const row = await tx.get<{ count: bigint }>("SELECT count(*) AS count FROM BOOKS.entry");
  return Number(row?.count);
});
`,
};

test(
  "behind PgBouncer each message is taken once, and each operation done once",
  {
    skip: skip || noPgBouncer,
  },
  async (t) => {
    const server = await commonPostgres();
    const books = `books_${process.pid}`;
    await byHand(server.url, `CREATE SCHEMA ${books}`);
    t.after(() => byHand(server.url, `DROP SCHEMA ${books} CASCADE`));
    await byHand(server.url, `CREATE TABLE ${books}.entry (number bigint)`);
    const given = { ...files, "books.ts": files["books.ts"].replaceAll("BOOKS", books) };
    const cluster = await Cluster.open(t, { url: await pgBouncer(t, server, 4) }, { files: given });
    mkdirSync(path.join(cluster.shop.folder, "node_modules"));
    symlinkSync(root, path.join(cluster.shop.folder, "node_modules", "perdure"), "dir");
    const a = cluster.serve("a");
    cluster.serve("b");
    cluster.serve("c");
    await cluster.shared("a", "b", "c");
    await cluster.began("door");
    await cluster.move("door", "a");
    await cluster.move("sink", "b");
    await cluster.takes("messages from one node to another");
    await cluster.move("sink", "a");
    await cluster.takes("messages after a move");
    a.kill("SIGKILL");
    await cluster.owned("b", "c");
    await cluster.takes("messages after a takeover");
    await cluster.check();
    const [sums] = await rowsByHand(server.url, `SELECT count(*) AS done, max(number) AS last FROM ${books}.entry`);
    assert.ok(Number(sums?.["done"]) > 0);
    assert.equal(sums?.["done"], sums?.["last"]);
  },
);

test(
  "what is still to come for one that has died is no answer for another",
  { skip: skip || noPgBouncer },
  async (t) => {
    const options = {
      address: parseAddress(await pgBouncer(t, await commonPostgres(), 1)),
      schema: "public",
      prepare: false,
      connectTimeoutMs: 30_000,
      responseTimeoutMs: 30_000,
    };
    const select = (sql: string): Step => step({ sql: `SELECT ${sql}`, types: [], once: true });
    const other = await Session.open(options);
    t.after(() => other.close());
    for (let time = 0; time < 3; time++) {
      const dying = await Session.open(options);
      const first = dying.run([select("pg_sleep(0.05)")]);
      const second = dying.run([select("'theirs' AS whose, pg_sleep(0.2)")]);
      const mine = other.run([select("'mine' AS whose")]);
      await first;
      dying.destroy("it died");
      await assert.rejects(second);
      assert.equal((await mine)[0]?.rows[0]?.["whose"], "mine");
    }
  },
);
