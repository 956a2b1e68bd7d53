import assert from "node:assert/strict";
import { request } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { Health } from "../engine/health.ts";
import { serveHealth } from "./health.ts";

const active: Health = {
  isLive: true,
  isReady: true,
  state: "active",
  node: "web-1",
  incarnation: 3,
  sinceMs: 1000,
  message: "",
  release: "0.1.0",
};

async function serving(t: TestContext, health: () => Health | Promise<Health>): Promise<string> {
  const server = await serveHealth({ port: 0, health });
  t.after(() => server.close());
  return server.url;
}

test("both paths answer what there is to say, and nothing else", async (t) => {
  const url = await serving(t, () => active);
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  for (const path of ["/livez", "/readyz", "/readyz?verbose"]) {
    const response = await fetch(url + path);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "application/json");
    assert.equal(response.headers.get("cache-control"), "no-store");
    const { isLive, isReady, ...said } = active;
    assert.deepEqual(await response.json(), { status: "ok", ...said });
    void [isLive, isReady];
  }
});

const cases: readonly (readonly [isLive: boolean, isReady: boolean, livez: number, readyz: number])[] = [
  [true, true, 200, 200],
  [true, false, 200, 503],
  [false, false, 503, 503],
];
for (const [isLive, isReady, livez, readyz] of cases) {
  test(`a node that is ${isLive ? "" : "not "}live and ${isReady ? "" : "not "}ready: ${livez} and ${readyz}`, async (t) => {
    const url = await serving(t, () => ({ ...active, isLive, isReady, message: "the reason" }));
    for (const [path, status] of [
      ["/livez", livez],
      ["/readyz", readyz],
    ] as const) {
      const response = await fetch(url + path);
      const document = (await response.json()) as { status: string; message: string };
      assert.equal(response.status, status);
      assert.deepEqual([document.status, document.message], [status === 200 ? "ok" : "unavailable", "the reason"]);
    }
  });
}

test("HEAD has the same head and no body; other methods and paths are refused without one", async (t) => {
  const url = await serving(t, () => active);
  const head = await fetch(`${url}/livez`, { method: "HEAD" });
  assert.deepEqual([head.status, await head.text()], [200, ""]);
  const length = Number((await fetch(`${url}/livez`)).headers.get("content-length"));
  assert.equal(Number(head.headers.get("content-length")), length);
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
    const refused = await fetch(`${url}/readyz`, { method });
    assert.deepEqual([refused.status, refused.headers.get("allow"), await refused.text()], [405, "GET, HEAD", ""]);
  }
  for (const path of ["/", "/live", "/livez/", "/readyz/x", "/metrics", "//livez"]) {
    const unknown = await fetch(url + path);
    assert.deepEqual([unknown.status, await unknown.text()], [404, ""], path);
  }
});

test("a question that fails ends the connection, and the next one is answered", async (t) => {
  let isBroken = true;
  const url = await serving(t, () => {
    if (isBroken) throw new Error("broken");
    return active;
  });
  await assert.rejects(fetch(`${url}/livez`));
  isBroken = false;
  assert.equal((await fetch(`${url}/livez`)).status, 200);
});

test("what is no request is answered with 400, a head that is too large with 431", async (t) => {
  const url = new URL(await serving(t, () => active));
  const status = (text: string): Promise<string> =>
    new Promise((resolve, reject) => {
      let heard = "";
      const socket = connect(Number(url.port), url.hostname, () => socket.write(text));
      socket.on("error", reject).on("data", (chunk) => (heard += chunk.toString()));
      socket.on("close", () => resolve(heard.split("\r\n")[0] ?? ""));
    });
  assert.match(await status("nonsense\r\n\r\n"), /^HTTP\/1\.1 400 /);
  assert.match(await status(`GET /livez HTTP/1.1\r\nhost: x\r\nx: ${"y".repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
});

test("a body that somebody sends along is not waited for", async (t) => {
  const url = await serving(t, () => active);
  const status = await new Promise((resolve, reject) => {
    const sent = request(`${url}/livez`, { method: "GET", headers: { "content-length": 1000 } }, (response) => {
      resolve(response.statusCode);
      response.resume();
      sent.destroy();
    });
    sent.on("error", reject);
    sent.flushHeaders();
  });
  assert.equal(status, 200);
});

test("a port that is taken is LISTEN_FAILED, which names it", async (t) => {
  const { hostname, port } = new URL(await serving(t, () => active));
  await assert.rejects(serveHealth({ host: hostname, port: Number(port), health: () => active }), {
    code: "LISTEN_FAILED",
    message: `Cannot serve the node's health on 127.0.0.1:${port}: another program listens there. Choose another port, or stop that one.`,
  });
});

test("an address that this machine does not have is LISTEN_FAILED", async () => {
  // Of the range that is kept for documentation.
  const away = { host: "192.0.2.1", port: 0, health: () => active };
  await assert.rejects(serveHealth(away), { code: "LISTEN_FAILED", message: /192\.0\.2\.1:0: .*EADDRNOTAVAIL/ });
});
