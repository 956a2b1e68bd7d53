/** Process files where several nodes own the store: whichever node is asked, and whatever becomes of the shares meanwhile. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Engine } from "perdure/engine";
import type { LogEntry } from "perdure/engine";
import { Shop } from "../support/cli.ts";
import type { Running } from "../support/cli.ts";
import { linesOf } from "../support/process-file.ts";
import { writeProject } from "../support/project.ts";
import { byHand, rowsByHand, skip } from "../support/postgres-place.ts";
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
  readonly url: string;
  /** Whether the whole file is in the hands of the store. */
  isHandedOver(file: Buffer): Promise<boolean>;
  /** SQL; `~` is the schema. */
  byHand(sql: string): Promise<void>;
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
    url,
    isHandedOver: async (file) => {
      const { id } = JSON.parse(linesOf(file)[0] ?? "") as { id: string };
      return (
        (await rowsByHand(server.url, `SELECT 1 FROM "${schema}".handover WHERE file = '${id}' AND state <> 'coming'`))
          .length > 0
      );
    },
    byHand: (sql) => byHand(server.url, sql.replaceAll("~", `"${schema}"`)),
    open: (name) => open(url, name),
    alone: () => open("memory:", "alone"),
    says: (pid, text) => eventually(`${pid}: ${text}`, () => said(pid, text)).then(() => undefined),
  };
}

/** A process that has begun elsewhere, as a file. */
async function fileOf(nodes: Nodes, pid: string): Promise<Buffer> {
  const alone = await nodes.alone();
  await alone.start("tied", [""], { id: pid });
  await nodes.says(pid, "begun");
  const pieces: Uint8Array[] = [];
  for await (const piece of alone.export(pid)) pieces.push(piece);
  return Buffer.concat(pieces);
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
  const a = await nodes.open("a");
  const joined = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const bytes = await fileOf(nodes, "comes");
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
  const [a, b] = [await nodes.open("a"), await nodes.open("b")];
  const bytes = await fileOf(nodes, "comes");
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

test("a file that a command hands over is imported by one of the nodes, once", { skip }, async (t) => {
  const nodes = await nodesOf(t);
  const [a, b] = [await nodes.open("a"), await nodes.open("b")];
  const shop = await Shop.open(t, {});
  const files = new Map<string, Buffer>();
  for (const pid of ["comes", "paused", "killed"]) {
    files.set(pid, await fileOf(nodes, pid));
    writeFileSync(path.join(shop.folder, `${pid}.perdure`), files.get(pid) ?? "");
  }
  const start = (pid: string, ...more: readonly string[]): Running =>
    shop.start("import", `${pid}.perdure`, "--no-verify", "--store", nodes.url, ...more);
  // Two at once, one of another, and one that is killed when its file waits.
  const [one, two, paused, killed] = [start("comes"), start("comes"), start("paused", "--paused"), start("killed")];
  let isOver = false;
  void killed.ended.then(() => (isOver = true));
  const handed = files.get("killed") ?? Buffer.alloc(0);
  await eventually("the file to be killed over", async () => isOver || (await nodes.isHandedOver(handed)));
  killed.kill("SIGKILL");
  const ended = await Promise.all([one.ended, two.ended]);
  const [first, second] = ended.toSorted((x, y) => (x.code ?? 9) - (y.code ?? 9));
  assert.deepEqual([first?.code, first?.stdout.trim()], [0, "comes"], first?.stderr);
  assert.deepEqual([second?.code, /IMPORT_REFUSED/.test(second?.stderr ?? "")], [1, true], second?.stderr);
  const other = await paused.ended;
  assert.deepEqual([other.code, other.stdout.trim()], [0, "paused"], other.stderr);
  await eventually("what the killed command has handed over", async () =>
    (await b.list({ states: ["running"], limit: 9 })).some(({ pid }) => pid === "killed"),
  );
  const again = await start("killed").ended;
  assert.deepEqual([again.code, again.stderr.includes("IMPORT_REFUSED")], [1, true], again.stderr);
  await b.get("comes").send("end");
  assert.equal(await a.get("comes").result(), "ended");
  const left = (await b.list({ states: ["running", "paused", "moving"], limit: 9 })).map(
    (each) => each.pid + " " + each.state,
  );
  assert.deepEqual(left.sort(), ["killed running", "paused paused"]);
  assert.deepEqual([a.failure, b.failure], [undefined, undefined]);
});

test("a file that was handed over outlives the node that was just importing it", { skip }, async (t) => {
  const nodes = await nodesOf(t);
  const both = [await nodes.open("a"), await nodes.open("b")] as const;
  const shop = await Shop.open(t, {});
  writeFileSync(path.join(shop.folder, "comes.perdure"), await fileOf(nodes, "comes"));
  // Its last commit is the end of whichever node imports it.
  await nodes.byHand("ALTER TABLE ~.process ADD CONSTRAINT never CHECK (pid <> 'comes')");
  const command = shop.start("import", "comes.perdure", "--no-verify", "--store", nodes.url);
  await eventually("the end of a node", () => both.some(({ failure }) => failure !== undefined));
  await nodes.byHand("ALTER TABLE ~.process DROP CONSTRAINT never");
  const { code, stdout, stderr } = await command.ended;
  assert.deepEqual([code, stdout.trim(), stderr], [0, "comes", ""]);
  const survivor = both.find(({ failure }) => failure === undefined);
  await survivor?.get("comes").send("end");
  assert.equal(await survivor?.get("comes").result(), "ended");
  assert.deepEqual(await survivor?.list({ states: ["moving"], limit: 9 }), []);
});
