/** `fetch` of real programs, against a server of the test's own. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine } from "perdure/engine";
import type { FetchPolicy } from "perdure/engine";
import { EngineProcess } from "./support/engine-process.ts";
import { storeFile } from "./support/engine.ts";
import { eventually } from "./support/wait.ts";

const file = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const program = file("test/fixtures/fetch/app.ts");

const keys: (string | undefined)[] = [];
let answersPayments = true;
const server = createServer((request, response) => void serve(request, response).catch(() => response.destroy()));
let url = "";
before(async () => {
  await once(server.listen(0, "127.0.0.1"), "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => server.close().closeAllConnections());

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await buffer(request);
  const type = request.headers["content-type"];
  if (type !== undefined) response.setHeader("content-type", type);
  if (request.url === "/silent") return;
  if (request.url === "/pay") {
    keys.push(request.headers["idempotency-key"] as string | undefined);
    if (!answersPayments) return;
  }
  response.end(body);
}

const engine = await Engine.open({ store: "memory:", program });
after(() => engine.close());

async function run(entry: string, args: unknown[], on: Engine = engine): Promise<unknown> {
  return await (await on.start(entry, args)).result();
}

test("bodies of every kind arrive as they were given, with their content type", async () => {
  assert.deepEqual(await run("bodies", [url]), [
    { type: "text/plain;charset=UTF-8", text: "zwölf" },
    { type: null, text: "bytes" },
    { type: null, text: "yt" },
    { type: "text/html", text: "<p>" },
    { type: "application/x-www-form-urlencoded;charset=UTF-8", text: "a=b+c" },
    { type: null, text: "bytes" },
    { type: "application/json", text: '{"a":1}' },
  ]);
});

test("a form is sent, and read from an answer", async () => {
  assert.deepEqual(await run("form", [url]), ["Ann", "a.bin", "x/y", [0, 13, 10, 255]]);
});

test("bodies are streamed in both directions", async () => {
  assert.deepEqual(await run("streams", [url]), [6_000_000, true, 3_000_000, true]);
});

test("aborts reject with their reason, network errors and refused URLs with a TypeError", async () => {
  assert.deepEqual(await run("outcomes", [url]), [
    "TimeoutError: The operation was aborted due to timeout",
    "RangeError: no patience",
    "RangeError: early",
    "RangeError: late",
    "TypeError: fetch failed",
    "TypeError: fetch failed: file: URLs cannot be fetched, only http:, https: and data:",
  ]);
});

test("the engine's policy is in force, and what it refuses is a TypeError that says so", async () => {
  const outcome = async (fetchPolicy: FetchPolicy): Promise<unknown> => {
    await using guarded = await Engine.open({ store: "memory:", program, fetchPolicy });
    return await run("plain", [`${url}/echo`], guarded);
  };
  assert.match(String(await outcome({ origins: ["*"] })), /^TypeError: .*fetchPolicy\.allowPrivate/);
  assert.equal(await outcome({ origins: [url], allowPrivate: true }), "");
});

test("idempotencyKey: a payment that was under way when its node was killed is sent again, with the same key", async (t) => {
  const options = { store: storeFile(t), program };
  keys.length = 0;
  answersPayments = false;
  {
    await using node = new EngineProcess(options, {});
    await node.start("order", "pay", [url, true]);
    await eventually("the first attempt", () => keys.length === 1);
    await node.kill();
  }
  answersPayments = true;
  await using node = new EngineProcess(options, {});
  assert.equal(await node.result("order"), "12.50");
  await node.close();
  assert.equal(keys.length, 2);
  assert.ok(keys[0] !== undefined && keys[0].length >= 16 && keys[0] === keys[1], String(keys));
});

test("idempotencyKey: two requests have two keys, and a key of one's own is sent as it is", async () => {
  keys.length = 0;
  for (const key of [true, true, "mine", false]) await run("pay", [url, key]);
  const [first, second, ...others] = keys;
  assert.notEqual(first, second);
  assert.deepEqual(others, ["mine", undefined]);
});
