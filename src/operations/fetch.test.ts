import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import type { OperationRequest } from "../kernel/ports.ts";
import { performFetch } from "./fetch.ts";
import type { FetchRequest, FetchResult } from "./fetch.ts";
import { openGuard } from "./fetch-policy.ts";
import type { FetchPolicy } from "./fetch-policy.ts";
import { harness, outcome } from "./harness.test.ts";
import type { Harness } from "./harness.test.ts";

interface Seen {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

const seen: Seen[] = [];
const routes: Record<string, (response: ServerResponse, url: URL) => void> = {
  "/text": (response) => response.setHeader("set-cookie", ["a=1", "b=2"]).end("hello"),
  "/gzip": (response) => response.setHeader("content-encoding", "gzip").end(gzipSync("unpacked")),
  "/empty": (response) => response.writeHead(204).end(),
  "/teapot": (response) => response.writeHead(418, "Short and stout").end("tea"),
  "/redirect": (response, url) => {
    response
      .writeHead(Number(url.searchParams.get("status")), { location: url.searchParams.get("to") ?? "" })
      .end("moved");
  },
  "/no-location": (response) => response.writeHead(302).end("nowhere"),
  "/loop": (response) => response.writeHead(302, { location: "/loop" }).end(),
  "/reset": (response) => response.socket?.destroy(),
  "/cut": (response) => response.writeHead(200, { "content-length": 100 }).write("short", () => response.destroy()),
  "/huge": (response, url) => {
    const chunk = Buffer.alloc(1024 * 1024);
    let left = Number(url.searchParams.get("bytes"));
    const more = (): void => {
      while (left > 0) {
        const part = chunk.subarray(0, Math.min(left, chunk.length));
        left -= part.length;
        if (!response.write(part)) return void response.once("drain", more);
      }
      response.end();
    };
    more();
  },
  "/hang": () => {},
};

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  seen.push({ method: request.method, path: request.url, headers: request.headers, body });
  const url = new URL(request.url ?? "", "http://server");
  (routes[url.pathname] ?? ((other) => other.writeHead(404).end("nothing here")))(response, url);
}

const servers = [createServer(), createServer()] as const;
let base = "";
let other = "";
before(async () => {
  for (const server of servers) {
    server.on("request", (request, response) => void handle(request, response).catch(() => response.destroy()));
    await once(server.listen(0, "127.0.0.1"), "listening");
  }
  [base, other] = servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`) as [
    string,
    string,
  ];
});
after(() => {
  for (const server of servers) server.close().closeAllConnections();
});

const atLeastOnce = '{"mode":"at-least-once"}';

interface Call {
  readonly h: Harness;
  readonly token: string;
  /** Resolves when the attempt is over. */
  result(): Promise<FetchResult>;
}

function call(
  path: string,
  request: Partial<FetchRequest> = {},
  policy?: FetchPolicy,
  changes: Partial<OperationRequest> = {},
): Call {
  seen.length = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const h: Harness = harness(
    {},
    {
      fetchPolicy: policy,
      report: (reports) => {
        h.batches.push(reports);
        if (reports.some((report) => report.kind !== "begin")) resolve();
      },
    },
  );
  const url = path.startsWith("/") ? base + path : path;
  const args = [{ url, method: "GET", headers: [], body: null, redirect: "follow", ...request }];
  const token = h.start("perdure:fetch", args, { options: atLeastOnce, ...changes });
  return { h, token, result: () => promise.then(() => outcome(h.of(token)) as FetchResult) };
}

function get(path: string, request: Partial<FetchRequest> = {}, policy?: FetchPolicy): Promise<FetchResult> {
  return call(path, request, policy).result();
}

function redirect(status: number, to: string): string {
  return `/redirect?status=${status}&to=${encodeURIComponent(to)}`;
}

const text = (result: FetchResult): string => new TextDecoder().decode(result.body);
const post = {
  method: "POST",
  body: new TextEncoder().encode("data"),
  headers: [["content-type", "text/plain"]],
} satisfies Partial<FetchRequest>;

function isTypeError(pattern: RegExp): (error: Error) => boolean {
  return (error) => error instanceof TypeError && pattern.test(error.message);
}

test("fetch: a response arrives with status, headers, URL and body", async () => {
  const result = await get("/text");
  assert.deepEqual(
    [result.status, result.statusText, result.url, result.redirected],
    [200, "OK", `${base}/text`, false],
  );
  assert.equal(text(result), "hello");
  assert.deepEqual(
    result.headers.filter(([name]) => name === "set-cookie").map(([, value]) => value),
    ["a=1", "b=2"],
  );
});

test("fetch: an error status is a response like any other", async () => {
  const result = await get("/teapot");
  assert.deepEqual([result.status, result.statusText, text(result)], [418, "Short and stout", "tea"]);
});

test("fetch: method, headers and body are sent as given", async () => {
  await get("/text", {
    ...post,
    headers: [
      ["x-a", "1"],
      ["x-a", "2"],
      ["idempotency-key", "k"],
    ],
  });
  assert.deepEqual(
    [seen[0]?.method, seen[0]?.body, seen[0]?.headers["x-a"], seen[0]?.headers["idempotency-key"]],
    ["POST", "data", "1, 2", "k"],
  );
});

test("fetch: content encodings are undone", async () => {
  assert.equal(text(await get("/gzip")), "unpacked");
});

test("fetch: where HTTP has no body, it is empty", async () => {
  assert.deepEqual((await get("/empty")).body, new Uint8Array());
  assert.deepEqual((await get("/text", { method: "HEAD" })).body, new Uint8Array());
});

test("fetch: redirects are followed, relative ones too", async () => {
  const result = await get(redirect(302, `${other}/redirect?status=301&to=/text`));
  assert.deepEqual([text(result), result.url, result.redirected], ["hello", `${other}/text`, true]);
});

const becomesGet: [string, number, string][] = [
  ["POST", 301, "GET"],
  ["POST", 302, "GET"],
  ["POST", 303, "GET"],
  ["PUT", 303, "GET"],
  ["PUT", 301, "PUT"],
  ["PUT", 302, "PUT"],
  ["POST", 307, "POST"],
  ["POST", 308, "POST"],
  ["HEAD", 303, "HEAD"],
  ["GET", 307, "GET"],
];

for (const [method, status, expected] of becomesGet) {
  test(`fetch: ${method} redirected by ${status} goes on as ${expected}`, async () => {
    const hasBody = method === "POST" || method === "PUT";
    await get(redirect(status, "/text"), { ...post, method, body: hasBody ? post.body : null });
    const [, last] = seen;
    const keepsBody = hasBody && expected === method;
    assert.deepEqual(
      [last?.method, last?.body, last?.headers["content-type"]],
      [expected, keepsBody ? "data" : "", keepsBody || expected === method ? "text/plain" : undefined],
    );
  });
}

test("fetch: credentials do not follow a redirect to another origin, and do to the same one", async () => {
  const headers: [string, string][] = [
    ["authorization", "secret"],
    ["cookie", "c=1"],
    ["x-kept", "1"],
  ];
  await get(redirect(302, `${other}/text`), { headers });
  assert.deepEqual(
    [seen[1]?.headers.authorization, seen[1]?.headers.cookie, seen[1]?.headers["x-kept"]],
    [undefined, undefined, "1"],
  );
  await get(redirect(302, "/text"), { headers });
  assert.deepEqual([seen[1]?.headers.authorization, seen[1]?.headers.cookie], ["secret", "c=1"]);
});

test('fetch: redirect "manual" gives the redirect itself', async () => {
  const result = await get(redirect(302, "/text"), { redirect: "manual" });
  assert.deepEqual([result.status, text(result), result.redirected], [302, "moved", false]);
  assert.equal(new Headers(result.headers).get("location"), "/text");
});

test("fetch: a redirect status without a location is a response", async () => {
  assert.equal(text(await get("/no-location")), "nowhere");
});

const failures: [string, () => Promise<unknown>, RegExp][] = [
  [
    'redirect "error" refuses a redirect',
    () => get(redirect(302, "/text"), { redirect: "error" }),
    /redirect: "error"/,
  ],
  ["more than 20 redirects fail", () => get("/loop"), /more than 20 redirects/],
  ["a redirect to another scheme fails", () => get(redirect(302, "file:///etc/passwd")), /redirects to file:/],
  ["a redirect to what is no URL fails", () => get(redirect(302, "http://[")), /which is not a URL/],
  ["a URL that does not parse fails", () => get("http://["), /is not a URL/],
  ["a scheme that is not HTTP fails", () => get("gopher://x.test/"), /gopher: URLs cannot be fetched/],
  ["a file fails", () => get("file:///etc/passwd"), /file: URLs cannot be fetched/],
  ["a URL with credentials fails", () => get("http://user:pw@127.0.0.1/"), /contains credentials/],
  [
    "a redirect to a URL with credentials fails",
    () => get(redirect(302, `${other.replace("//", "//user:pw@")}/text`)),
    /with credentials/,
  ],
  ["a redirect to data: fails", () => get(redirect(302, "data:,x")), /redirects to data:/],
  ["a lost connection fails", () => get("/reset"), /fetch failed/],
  ["a body cut short fails", () => get("/cut"), /terminated|fetch failed/],
  ["a GET with a body fails", () => get("/text", { body: new Uint8Array(1) }), /body/],
  ["a header that is none fails", () => get("/text", { headers: [["a b", "1"]] }), /a b/],
  [
    "a malformed request fails",
    () => get("/text", { redirect: "maybe" as "follow" }),
    /perdure:fetch takes one argument/,
  ],
  ["a body beyond 32 MiB fails", () => get(`/huge?bytes=${32 * 1024 * 1024 + 1}`), /larger than 33554432 bytes/],
];

for (const [name, run, message] of failures) {
  test(`fetch: ${name} with a TypeError, and is not retried`, async () => {
    await assert.rejects(run(), isTypeError(message));
  });
}

test("fetch: a body of exactly 32 MiB arrives", async () => {
  const url = `${base}/huge?bytes=${32 * 1024 * 1024}`;
  const request = { url, method: "GET", headers: [], body: null, redirect: "follow" };
  const { body } = await performFetch(request, {
    signal: new AbortController().signal,
    guard: openGuard,
    send: (to, init) => fetch(to, init),
    idempotencyKey: () => "key",
  });
  assert.equal(body.byteLength, 32 * 1024 * 1024);
});

test("fetch: a refused connection says why in its cause", async () => {
  const closed = createServer();
  await once(closed.listen(0, "127.0.0.1"), "listening");
  const { port } = closed.address() as AddressInfo;
  closed.close();
  await assert.rejects(
    get(`http://127.0.0.1:${port}/`),
    (error: Error) => error instanceof TypeError && /ECONNREFUSED/.test(String(error.cause)),
  );
});

test("fetch: 20 redirects are followed", async () => {
  routes["/count"] = (response, url) => {
    const left = Number(url.searchParams.get("left"));
    response.writeHead(left === 0 ? 200 : 302, { location: `/count?left=${left - 1}` }).end("done");
  };
  assert.equal(text(await get("/count?left=20")), "done");
  await assert.rejects(get("/count?left=21"), isTypeError(/more than 20 redirects/));
});

test("fetch: an at-most-once request is sent only after its start is on record, and not at all when interrupted", async () => {
  const options = '{"mode":"at-most-once"}';
  const sent = call("/text", post, undefined, { options });
  const { h, token } = sent;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(h.of(token), [{ token, kind: "begin" }]);
  assert.deepEqual(seen, []);
  h.runner.proceed(token);
  assert.equal((await sent.result()).status, 200);
  const interrupted = call("/text", post, undefined, { options, doubt: "fresh" });
  await assert.rejects(interrupted.result(), { name: "UncertainOperationError", operation: "perdure:fetch" });
  assert.deepEqual(seen, []);
});

test("fetch: an abort closes the connection", async () => {
  const { h, token } = call("/hang");
  const [request] = (await once(servers[0], "request")) as [IncomingMessage];
  h.runner.abort(token);
  await once(request.socket, "close");
  assert.deepEqual(h.of(token), []);
});
