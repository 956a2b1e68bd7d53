/** Programs without an entry. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine } from "perdure/engine";
import { EngineProcess } from "./support/engine-process.ts";
import { inspectStore } from "./support/inspection.ts";
import { storeFile } from "./support/engine.ts";
import { eventually } from "./support/wait.ts";

const file = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

async function serve(
  t: TestContext,
  handler: (request: IncomingMessage, response: ServerResponse) => unknown,
): Promise<string> {
  const server: Server = createServer((request, response) => void handler(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function service(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await text(request);
  if (request.url === "/json") {
    response.setHeader("x-service", "test").setHeader("content-type", "application/json");
    response.end('{"words":["top","level"]}');
  } else if (request.url?.startsWith("/echo") === true) {
    response.end(`${request.method} ${request.url} ${request.headers["content-type"]} ${body}`);
  } else {
    response.writeHead(404).end();
  }
}

test("a script with top-level await, fetch and timers runs, and ends when it waits for nothing", async (t) => {
  process.env["SERVICE_URL"] = await serve(t, service);
  const logs: string[] = [];
  await using engine = await Engine.open({
    store: "memory:",
    program: file("test/fixtures/engine/script.ts"),
    env: ["SERVICE_URL"],
    onLog: (log) => logs.push(log.text),
  });
  assert.equal(await (await engine.start("", [])).result(), undefined);
  assert.deepEqual(logs, [
    "200 test top level",
    "POST /echo?a=b text/plain zwölf",
    "404 false",
    "true TypeError: fetch failed",
    "true",
    "tick 1",
    "tick 2",
    "tick 3",
  ]);
});

test("a signal that is to abort much later keeps no script alive, and one that aborts while it waits is heard", async (t) => {
  process.env["SERVICE_URL"] = await serve(t, service);
  const logs: string[] = [];
  await using engine = await Engine.open({
    store: "memory:",
    program: file("test/fixtures/engine/signal-script.ts"),
    env: ["SERVICE_URL"],
    onLog: (log) => logs.push(log.text),
  });
  assert.equal(await (await engine.start("", [])).result(), undefined);
  assert.deepEqual(logs, ["TimeoutError"]);
});

test("examples/heartbeat.ts imports nothing and survives kill -9: no beat is lost, none is counted twice", async (t) => {
  let requests = 0;
  const url = await serve(t, (_, response) => {
    requests++;
    response.end();
  });
  const store = storeFile(t);
  const env = { HEARTBEAT_URL: url, HEARTBEATS: "9", HEARTBEAT_PAUSE_MS: "20" };
  const options = { store, program: file("examples/heartbeat.ts"), env: Object.keys(env) };
  for (const beats of [3, 6]) {
    await using node = new EngineProcess(options, env);
    await node.start("heart", "");
    await eventually(`beat ${beats}`, () => requests >= beats);
    await node.kill();
  }
  await using last = new EngineProcess(options, env);
  assert.equal(await last.start("heart", ""), false);
  assert.equal(await last.result("heart"), undefined);
  await last.close();
  const lines = (await inspectStore(store, ["heart"])).get("heart")?.logs.map((log) => log.text);
  assert.deepEqual(
    lines,
    Array.from({ length: 9 }, (_, index) => `beat ${index + 1}: 200, ${index + 1} of ${index + 1} well`),
  );
  assert.ok(requests >= 9 && requests <= 11, `${requests} requests for 9 beats and 2 kills`);
});
