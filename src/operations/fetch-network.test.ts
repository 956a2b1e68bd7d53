/** What the policy lets through to a real server, name look-ups included; and what a hostile server or program gets. */
import assert from "node:assert/strict";
import type { LookupAddress } from "node:dns";
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { inspect } from "node:util";
import { gzipSync } from "node:zlib";
import { performFetch } from "./fetch.ts";
import type { FetchRequest, FetchResult } from "./fetch.ts";
import { openNetwork } from "./fetch-network.ts";
import type { Network } from "./fetch-network.ts";
import { fetchGuard, openGuard } from "./fetch-policy.ts";
import type { FetchPolicy } from "./fetch-policy.ts";

const seen: { readonly url: string | undefined; readonly headers: IncomingMessage["headers"] }[] = [];
const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
const routes: Record<string, (response: ServerResponse) => void> = {
  "/text": (response) => response.end("hello"),
  "/once": (response) => response.setHeader("connection", "close").end("once"),
  "/bomb": (response) => response.setHeader("content-encoding", "gzip").end(bomb),
  "/endless": (response) => {
    const more = (): void => {
      while (!response.destroyed) if (!response.write(Buffer.alloc(65_536))) return void response.once("drain", more);
    };
    more();
  },
  "/slow": (response) => void response.write("begun"),
  "/cut": (response) => response.writeHead(200, { "content-length": 100 }).write("short", () => response.destroy()),
};

const server = createServer((request, response) => {
  request.resume().on("end", () => {
    seen.push({ url: request.url, headers: request.headers });
    const to = /^\/to\/(.*)/.exec(request.url ?? "")?.[1];
    if (to !== undefined) response.writeHead(302, { location: decodeURIComponent(to) }).end();
    else routes[request.url ?? ""]?.(response);
  });
});
let port = 0;
before(async () => {
  // Everywhere, so that what is refused would be answered if it got through.
  await once(server.listen(0), "listening");
  port = (server.address() as AddressInfo).port;
});
after(() => server.close().closeAllConnections());
beforeEach(() => void seen.splice(0));

const networks: Network[] = [];
afterEach(() => networks.splice(0).forEach((network) => network.close()));

/** Names that look-ups answer in turn; the last answer stays. */
type Answers = Record<string, string[][]>;

function open(policy: FetchPolicy | undefined, answers: Answers = {}) {
  const asked: string[] = [];
  const guard = policy === undefined ? openGuard : fetchGuard(policy);
  const network = openNetwork(guard, (name, _options, done) => {
    asked.push(name);
    const list = answers[name];
    const addresses = (list === undefined || list.length < 2 ? list?.[0] : list.shift()) ?? [];
    const found: LookupAddress[] = addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
    if (list === undefined) done(Object.assign(new Error(`no such name: ${name}`), { code: "ENOTFOUND" }), []);
    else done(null, found);
  });
  networks.push(network);
  const { signal, abort } = abortable();
  const get = (url: string, changes: Partial<FetchRequest> = {}): Promise<FetchResult> => {
    const request: FetchRequest = { url, method: "GET", headers: [], body: null, redirect: "follow", ...changes };
    return performFetch(request, { signal, guard, send: network.send, idempotencyKey: () => "the-key" });
  };
  return { get, abort, asked, network };
}

function abortable(): { readonly signal: AbortSignal; readonly abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort(new RangeError("enough")) };
}

const text = ({ body }: FetchResult): string => new TextDecoder().decode(body);
const anywhere: FetchPolicy = { origins: ["*"] };
/** 127.0.0.1 stands for the public internet, and 127.0.0.2 for what is behind it. */
const outside: FetchPolicy = { origins: ["*"], methods: ["*"], allowPrivate: ["127.0.0.1", "::1"] };
const refusedAddress = /does not allow requests to http:\/\/[a-z.]+:\d+, whose address.*allowPrivate/;

async function refused(run: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(run, (error: Error) => {
    assert.ok(error instanceof TypeError);
    assert.match(error.message, message);
    assert.doesNotMatch(
      inspect({ ...error, message: error.message, cause: error.cause }, { depth: 9 }),
      /127\.0\.0\.2|::1/,
    );
    return true;
  });
}

test("network: a name that leads to the public is reached, and the connection is used again", async () => {
  const { get, asked } = open(outside, { "a.test": [["127.0.0.1"]] });
  for (let round = 0; round < 2; round++) {
    assert.equal(text(await get(`http://a.test:${port}/text`)), "hello");
    await delay(10);
  }
  assert.deepEqual([asked, seen[0]?.headers.host], [["a.test"], `a.test:${port}`]);
});

test("network: a name that answers public first and private then (rebinding) is refused when it is connected to", async () => {
  const { get, asked } = open(outside, { "a.test": [["127.0.0.1"], ["127.0.0.2"]] });
  assert.equal(text(await get(`http://a.test:${port}/once`)), "once");
  await refused(get(`http://a.test:${port}/once`), refusedAddress);
  assert.deepEqual([asked, seen.length], [["a.test", "a.test"], 1]);
});

for (const [what, addresses] of [
  ["private", ["127.0.0.2"]],
  ["public and private", ["127.0.0.1", "127.0.0.2"]],
  ["private and public", ["127.0.0.2", "127.0.0.1"]],
  ["IPv4-mapped", ["::ffff:127.0.0.2"]],
  ["cloud metadata", ["169.254.169.254"]],
  ["nothing", []],
] as const) {
  test(`network: a name whose addresses are ${what} is refused`, async () => {
    const { get } = open(outside, { "a.test": [[...addresses]] });
    await refused(get(`http://a.test:${port}/text`), refusedAddress);
    assert.deepEqual(seen, []);
  });
}

test("network: localhost by the system's own look-up is refused, and allowed where it is", async () => {
  const guard = fetchGuard(anywhere);
  const system = openNetwork(guard);
  networks.push(system);
  await refused(system.send(new URL(`http://localhost:${port}/text`), {}), refusedAddress);
  const all = openNetwork(fetchGuard({ ...anywhere, allowPrivate: true }));
  networks.push(all);
  assert.equal(await (await all.send(new URL(`http://localhost:${port}/text`), {})).text(), "hello");
});

for (const host of ["127.0.0.2", "0x7f000002", "[::ffff:127.0.0.2]", "b.test"]) {
  test(`network: a redirect from the public to ${host} is refused`, async () => {
    const { get } = open(outside, { "a.test": [["127.0.0.1"]], "b.test": [["127.0.0.2"]] });
    const to = encodeURIComponent(`http://${host}:${port}/text`);
    await assert.rejects(get(`http://a.test:${port}/to/${to}`), /whose address is not one of the public internet/);
    assert.equal(seen.length, 1);
  });
}

test("network: a request that the policy does not allow is never sent, and no name is looked up", async () => {
  const { get, asked } = open({ origins: ["https://api.example.com"] });
  await refused(get(`http://a.test:${port}/text`), /requests to http:\/\/a\.test:\d+ \(fetchPolicy\.origins/);
  assert.deepEqual([asked, seen], [[], []]);
});

test("network: every hop of a redirect passes the policy, its method too", async () => {
  const { get } = open(
    { ...outside, origins: [`http://a.test:${port}`], methods: ["POST"] },
    { "a.test": [["127.0.0.1"]] },
  );
  const post = { method: "POST", body: new Uint8Array(1) };
  await refused(
    get(`http://a.test:${port}/to/${encodeURIComponent("http://b.test/")}`, post),
    /requests to http:\/\/b\.test /,
  );
  await refused(get(`http://a.test:${port}/to/%2Ftext`, post), /the method GET/);
  assert.equal(seen.length, 2);
});

test("network: errors under a policy say what happened, but name no address", async () => {
  const closed = createServer();
  await once(closed.listen(0, "127.0.0.2"), "listening");
  const { port: dead } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  const { get } = open({ ...outside, allowPrivate: ["127.0.0.0/8"] }, { "a.test": [["127.0.0.2"]] });
  const codes: unknown[] = [];
  for (const url of [`http://a.test:${dead}/`, `http://none.test/`, `http://a.test:${port}/cut`]) {
    await refused(
      get(url).catch((error: Error) => {
        codes.push((error.cause as NodeJS.ErrnoException).code);
        throw error;
      }),
      /fetch failed|terminated/,
    );
  }
  assert.deepEqual(codes, ["ECONNREFUSED", "ENOTFOUND", "UND_ERR_SOCKET"]);
});

test("network: maxResponseBytes counts what comes out of a content encoding, and cuts the connection", async () => {
  const { get } = open({ ...outside, maxResponseBytes: 1_000_000 }, { "a.test": [["127.0.0.1"]] });
  await refused(get(`http://a.test:${port}/bomb`), /larger than 1000000 bytes \(fetchPolicy\.maxResponseBytes\)/);
  const [response] = await Promise.all([
    once(server, "request").then(([, answer]) => answer as ServerResponse),
    refused(get(`http://a.test:${port}/endless`), /larger than 1000000 bytes/),
  ]);
  if (!response.destroyed) await once(response, "close");
});

test("network: without a policy a bomb meets the limit of 32 MiB", async () => {
  await assert.rejects(open(undefined).get(`http://127.0.0.1:${port}/bomb`), /larger than 33554432 bytes/);
});

test("network: what is just as large as allowed passes, in both directions", async () => {
  const { get } = open({ ...outside, maxResponseBytes: 5, maxRequestBytes: 3 }, { "a.test": [["127.0.0.1"]] });
  const url = `http://a.test:${port}/text`;
  assert.equal(text(await get(url, { method: "PUT", body: new Uint8Array(3) })), "hello");
  await refused(get(url, { method: "PUT", body: new Uint8Array(4) }), /a body of 4 bytes/);
  assert.equal(seen.length, 1);
});

for (const policy of [undefined, outside]) {
  const name = policy === undefined ? "without a policy" : "under a policy";

  test(`network: ${name} an abort ends a body that never ends, with the signal's reason`, async () => {
    const { get, abort } = open(policy);
    const running = get(`http://127.0.0.1:${port}/slow`);
    const [, response] = (await once(server, "request")) as [IncomingMessage, ServerResponse];
    await Promise.all([
      once(response, "close"),
      assert.rejects(running, { name: "RangeError", message: "enough" }),
      Promise.resolve().then(abort),
    ]);
  });

  for (const [header, value] of [
    ["x-a", "1\r\nx-injected: 2"],
    ["x-a\r\nx-injected", "2"],
    ["transfer-encoding", "chunked"],
    ["content-length", "99"],
    ["upgrade", "websocket"],
  ] as const) {
    test(`network: ${name} a header ${JSON.stringify(`${header}: ${value}`)} is refused, and nothing is sent`, async () => {
      const request = { method: "POST", body: new Uint8Array(2), headers: [[header, value]] } as const;
      await assert.rejects(open(policy).get(`http://127.0.0.1:${port}/text`, request), TypeError);
      assert.deepEqual(seen, []);
    });
  }

  test(`network: ${name} data: is decoded without a request`, async () => {
    const result = await open(policy).get("data:text/plain;base64,aGk=");
    assert.deepEqual(
      [result.status, text(result), new Headers(result.headers).get("content-type")],
      [200, "hi", "text/plain"],
    );
  });

  test(`network: ${name} the host's key is a header of every hop, and one that was sent along stays`, async () => {
    const { get } = open(policy);
    const post = { method: "POST", idempotencyKey: true } as const;
    await get(`http://127.0.0.1:${port}/to/${encodeURIComponent("/text")}`, post);
    assert.deepEqual(
      seen.map(({ headers }) => headers["idempotency-key"]),
      ["the-key", "the-key"],
    );
  });
}

test("network: the Host header cannot name another origin under a policy", async () => {
  const { get } = open(outside, { "a.test": [["127.0.0.1"]] });
  await refused(get(`http://a.test:${port}/text`, { headers: [["Host", "b.test"]] }), /a Host header that differs/);
  assert.deepEqual(seen, []);
});

test("network: closing ends connections that are kept alive, and those in use", async () => {
  const { get, network } = open(outside, { "a.test": [["127.0.0.1"]] });
  await get(`http://a.test:${port}/text`);
  const running = get(`http://a.test:${port}/slow`);
  const [request] = (await once(server, "request")) as [IncomingMessage];
  const closed = new Promise((resolve) => request.socket.on("error", () => undefined).once("close", resolve));
  network.close();
  await Promise.all([assert.rejects(running, TypeError), closed]);
  await assert.rejects(get(`http://a.test:${port}/text`), /the engine is closing/);
});

/** A server that exists only here: what is sent where, whatever the scheme. */
async function hops(first: string, ...locations: string[]): Promise<{ url: string; headers: Headers }[]> {
  const sent: { url: string; headers: Headers }[] = [];
  const headers: [string, string][] = [
    ["authorization", "secret"],
    ["cookie", "c=1"],
    ["proxy-authorization", "secret"],
    ["x-kept", "1"],
  ];
  await performFetch(
    { url: first, method: "GET", headers, body: null, redirect: "follow" },
    {
      signal: new AbortController().signal,
      guard: openGuard,
      idempotencyKey: () => "key",
      send: async (url, init) => {
        sent.push({ url: url.href, headers: new Headers(init.headers) });
        const location = locations[sent.length - 1];
        return new Response(null, location === undefined ? {} : { status: 302, headers: { location } });
      },
    },
  );
  return sent;
}

for (const [from, to, isSame] of [
  ["https://a.test/x", "https://a.test:443/y", true],
  ["https://a.test/x", "/y", true],
  ["https://a.test/x", "http://a.test/x", false],
  ["http://a.test/x", "https://a.test/x", false],
  ["https://a.test/x", "https://a.test:8443/x", false],
  ["https://a.test/x", "https://b.a.test/x", false],
  ["https://b.a.test/x", "https://a.test/x", false],
  ["https://a.test/x", "//b.test/x", false],
] as const) {
  test(`redirects: credentials ${isSame ? "go" : "do not go"} from ${from} to ${to}`, async () => {
    const [, second] = await hops(from, to);
    const given = ["authorization", "cookie", "proxy-authorization", "x-kept"].map((name) => second?.headers.get(name));
    assert.deepEqual(given, isSame ? ["secret", "c=1", "secret", "1"] : [null, null, null, "1"]);
  });
}

test("redirects: credentials that were dropped on the way do not come back", async () => {
  const sent = await hops("https://a.test/", "https://b.test/", "https://a.test/back");
  assert.deepEqual(
    sent.map(({ headers }) => headers.get("authorization")),
    ["secret", null, null],
  );
});

test("redirects: a location is UTF-8, and keeps the fragment of what it came from", async () => {
  const latin1 = Buffer.from("/ü").toString("latin1");
  const sent = await hops("https://a.test/#there", latin1, "/z#own");
  assert.deepEqual(
    sent.map(({ url }) => url),
    ["https://a.test/#there", "https://a.test/%C3%BC#there", "https://a.test/z#own"],
  );
});
