/** A node that has not opened its store yet, and is dead to the others. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { byHand, rowsByHand, skip } from "../support/postgres-place.ts";
import { commonPostgres } from "../support/postgres.ts";
import { Proxy } from "../support/proxy.ts";
import { EngineProcess } from "./support/engine-process.ts";
import { eventually } from "./support/wait.ts";

const program = fileURLToPath(new URL("../fixtures/engine/app.ts", import.meta.url));
const patienceMs = 40_000;

test("a node that is taken for dead while it opens the store begins anew", { skip, timeout: 110_000 }, async (t) => {
  const { url } = await commonPostgres();
  const schema = `test_${randomUUID().replaceAll("-", "")}`;
  t.after(() => byHand(url, `DROP SCHEMA IF EXISTS "${schema}" CASCADE`));
  const proxy = await Proxy.open(Number(new URL(url).port));
  t.after(() => proxy.close());
  const parameters = `?schema=${schema}&lease=2s`;
  await using first = new EngineProcess({ store: url + parameters, program, standby: true, nodeName: "first" });
  await first.opened;
  const stateOf = async (name: string): Promise<unknown[]> =>
    (await rowsByHand(url, `SELECT state FROM "${schema}".node WHERE name = '${name}' ORDER BY incarnation`)).map(
      ({ state }) => state,
    );
  // So slow that it has much to do when it is first seen.
  proxy.delayMs = 100;
  await using late = new EngineProcess({
    store: proxy.through(url) + parameters,
    program,
    standby: true,
    nodeName: "late",
  });
  await eventually("its claim", async () => (await stateOf("late")).length > 0, patienceMs);
  proxy.hold(true);
  await eventually("its death", async () => (await stateOf("late"))[0] === "dead", patienceMs);
  proxy.delayMs = 0;
  proxy.hold(false);
  await late.opened;
  await eventually("its second life", async () => (await stateOf("late")).at(-1) === "live", patienceMs);
  assert.ok((await stateOf("late")).length >= 2);
});
