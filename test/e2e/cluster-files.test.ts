/** Process files where several nodes own the store: whichever node is asked, and whatever becomes of the shares meanwhile. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Engine } from "perdure/engine";
import type { LogEntry } from "perdure/engine";
import { writeProject } from "../support/project.ts";
import { byHand, skip } from "../support/postgres-place.ts";
import { commonPostgres } from "../support/postgres.ts";
import { eventually } from "./support/wait.ts";

const app = `
import { Down, Exit, link, monitor, receive, trapExit } from "perdure";

export async function tied(to: string) {
  trapExit();
  if (to !== "") {
    link(to);
    monitor(to);
  }
  console.log("begun");
  for (;;) {
    const message = await receive();
    if (message === "end") return "ended";
    const what = message instanceof Exit ? "exit " + message.from : message instanceof Down ? "down " + message.pid : "";
    console.log(what, message.reason);
  }
}
`;

interface Nodes {
  open(name: string): Promise<Engine>;
  /** Of no cluster. */
  alone(): Promise<Engine>;
  says(pid: string, text: string): Promise<void>;
}

async function nodesOf(t: TestContext): Promise<Nodes> {
  const server = await commonPostgres();
  const schema = `test_${randomUUID().replaceAll("-", "")}`;
  const url = `${server.url}?schema=${schema}&lease=5s`;
  const program = path.join(await writeProject(t, { "app.ts": app }), "app.ts");
  const logs: LogEntry[] = [];
  const engines: Engine[] = [];
  t.after(async () => {
    for (const engine of engines) await engine.close();
    await byHand(server.url, `DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
  });
  const silent = { onLog: (log: LogEntry) => void logs.push(log), onNotice: () => undefined, closeTimeoutMs: 200 };
  const open = async (store: string, nodeName: string): Promise<Engine> => {
    const engine = await Engine.open({ store, program, nodeName, ...silent });
    engines.push(engine);
    return engine;
  };
  const said = (pid: string, text: string): boolean => logs.some((log) => log.pid === pid && log.text === text);
  return {
    open: (name) => open(url, name),
    alone: () => open("memory:", "alone"),
    says: (pid, text) => eventually(`${pid}: ${text}`, () => said(pid, text)).then(() => undefined),
  };
}

/** Moves a process there as soon as the node has a part of the store. */
async function settle(engine: Engine, pid: string, node: string): Promise<void> {
  await eventually(`${pid} on ${node}`, async () => {
    await engine
      .get(pid)
      .move(node)
      .catch(() => undefined);
    return (await engine.get(pid).status()).node === node;
  });
}

test("any node exports what another owns, and ties across nodes are cut at both ends", { skip }, async (t) => {
  const nodes = await nodesOf(t);
  const [a, b, alone] = [await nodes.open("a"), await nodes.open("b"), await nodes.alone()];
  for (const [pid, to] of [
    ["left", ""],
    ["goes", "left"],
    ["stays", "goes"],
  ] as const) {
    await a.start("tied", [to], { id: pid });
    await nodes.says(pid, "begun");
  }
  for (const [pid, node] of [
    ["left", "a"],
    ["goes", "b"],
    ["stays", "a"],
  ] as const)
    await settle(a, pid, node);
  await assert.rejects(alone.import(a.export("goes")), { code: "EXPORT_REFUSED" });
  const there = await alone.import(a.export("goes", { detach: true }));
  for (const text of ["exit goes noconnection", "down goes noconnection"]) await nodes.says("stays", text);
  for (const text of ["exit left noconnection", "down left noconnection"]) await nodes.says("goes", text);
  await nodes.says("left", "exit goes noconnection");
  await there.send("end");
  assert.equal(await there.result(), "ended");
  await assert.rejects(b.get("goes").send("end"), { code: "PROCESS_EXPORTED" });
  assert.deepEqual([a.failure, b.failure], [undefined, undefined]);
});

test("a node that joins while a process is imported does not disturb that", { skip }, async (t) => {
  const nodes = await nodesOf(t);
  const [a, alone] = [await nodes.open("a"), await nodes.alone()];
  await alone.start("tied", [""], { id: "comes" });
  await nodes.says("comes", "begun");
  const joined = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const pieces: Uint8Array[] = [];
  for await (const piece of alone.export("comes")) pieces.push(piece);
  const bytes = Buffer.concat(pieces);
  /** All but the last piece is there when the others join. */
  async function* slowly(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, -1);
    begun.resolve();
    await joined.promise;
    yield bytes.subarray(-1);
  }
  const importing = a.import(slowly(), { verify: false });
  await begun.promise;
  await eventually("its beginning", async () => (await a.list({ states: ["moving"], limit: 9 })).length === 1);
  const [b, c] = [await nodes.open("b"), await nodes.open("c")];
  await a.start("tied", [""], { id: "other" });
  for (const node of ["b", "c"]) await settle(a, "other", node);
  joined.resolve();
  const handle = await importing;
  await handle.send("end");
  assert.equal(await handle.result(), "ended");
  assert.deepEqual([a.failure, b.failure, c.failure], [undefined, undefined, undefined]);
});

test("what an import has left that its node did not finish is dropped by whoever has it then", { skip }, async (t) => {
  const nodes = await nodesOf(t);
  const [a, b, alone] = [await nodes.open("a"), await nodes.open("b"), await nodes.alone()];
  await alone.start("tied", [""], { id: "comes" });
  await nodes.says("comes", "begun");
  const pieces: Uint8Array[] = [];
  for await (const piece of alone.export("comes")) pieces.push(piece);
  const bytes = Buffer.concat(pieces);
  const stuck = Promise.withResolvers<void>();
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, -1);
    await stuck.promise;
  }
  const importing = assert.rejects(a.import(broken(), { verify: false }));
  const count = async (): Promise<number> => (await b.list({ states: ["moving"], limit: 9 })).length;
  await eventually("its beginning", async () => (await count()) === 1);
  await a.close();
  stuck.resolve();
  await importing;
  assert.equal(await count(), 1);
  const c = await nodes.open("c");
  // It is in the hands of either of them.
  const handle = await c.import(
    (async function* () {
      yield bytes;
    })(),
  );
  assert.equal(await count(), 0);
  await handle.send("end");
  assert.equal(await handle.result(), "ended");
  assert.deepEqual([b.failure, c.failure], [undefined, undefined]);
});
