import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Sandbox } from "./testing.ts";

const operationKind = 1;
const abortKind = 2;
let sandbox: Sandbox;
beforeEach(async () => {
  sandbox = await Sandbox.create();
});
afterEach(() => sandbox.dispose());

/** Begins a fetch whose outcome is told by `after(response)`. */
function begin(args: string, after = "response.status"): void {
  sandbox.start(`const response = await fetch(${args}); return ${after};`);
}

/** The operation's name, options, and its argument as the host decodes it. */
function issued(): [name: string, mode: unknown, request: unknown] {
  const [operation, ...others] = sandbox.take(operationKind);
  assert.ok(operation !== undefined && others.length === 0);
  const [name, options] = operation.a.split("\n") as [string, string];
  const chunks = operation.chunks.map((chunk) => `new Uint8Array([${chunk.join()}])`).join();
  const request = sandbox.run(`
    const [request, ...others] = __test.decodeValue({ text: ${JSON.stringify(operation.b)}, chunks: [${chunks}] });
    return others.length === 0 && { ...request, body: request.body && [...request.body] };`);
  return [name, JSON.parse(options), request];
}

const answer = (fields = ""): string =>
  `{ url: "https://a/final", status: 200, statusText: "Fine", headers: [["X-A", "1"], ["set-cookie", "c"]], body: new TextEncoder().encode("hello"), redirected: true, ${fields} }`;

test("fetch is one operation that carries everything about the request", () => {
  begin(`"https://a/x?y#z", { method: "post", headers: { "X-B": "2" }, body: "hü", redirect: "manual" }`);
  assert.deepEqual(issued(), [
    "perdure:fetch",
    { mode: "at-most-once" },
    {
      url: "https://a/x?y#z",
      method: "POST",
      headers: [
        ["content-type", "text/plain;charset=UTF-8"],
        ["x-b", "2"],
      ],
      body: [...new TextEncoder().encode("hü")],
      redirect: "manual",
    },
  ]);
});

test("a request without a body, or made of a Request, is the same", () => {
  begin(`new URL("https://a")`);
  const plain = { url: "https://a/", method: "GET", headers: [], body: null, redirect: "follow" };
  assert.deepEqual(issued(), ["perdure:fetch", { mode: "at-least-once" }, plain]);
  begin(
    `new Request("https://a", { method: "PUT", body: new Uint8Array([1, 2, 3]).subarray(1) }), { headers: { a: "1" } }`,
  );
  assert.deepEqual(issued()[2], { ...plain, method: "PUT", headers: [["a", "1"]], body: [2, 3] });
});

test("a slice of a blob crosses the border without the rest of it", () => {
  begin(`"https://a", { method: "PUT", body: new Blob(["x".repeat(1000)]).slice(0, 3) }`);
  assert.deepEqual(
    sandbox.take(operationKind)[0]!.chunks.map((chunk) => chunk.length),
    [3],
  );
});

for (const method of ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH", "REPORT"]) {
  for (const key of [false, true]) {
    const repeatable = key || !["POST", "PATCH", "REPORT"].includes(method);
    const mode = repeatable ? "at-least-once" : "at-most-once";
    test(`${method} ${key ? "with" : "without"} an idempotency key is sent ${mode}`, () => {
      begin(`"https://a", { method: "${method}", headers: { ${key ? '"Idempotency-Key": "k"' : ""} } }`);
      assert.deepEqual(issued()[1], { mode });
    });
  }
}

test("the result is a Response with the answer's parts", () => {
  const parts =
    "[response.status, response.statusText, response.ok, response.url, response.redirected, response.type, [...response.headers], await response.text()]";
  begin(`"https://a"`, parts);
  assert.equal(sandbox.outcome(), undefined);
  sandbox.settle(1, true, answer());
  const headers = [
    ["set-cookie", "c"],
    ["x-a", "1"],
  ];
  assert.deepEqual(sandbox.outcome(), [200, "Fine", true, "https://a/final", true, "basic", headers, "hello"]);
});

test("an answer's headers cannot be changed; those of its copy can", () => {
  begin(
    `"https://a"`,
    `(() => { new Response(null, response).headers.set("x", "y"); response.headers.set("x", "y"); })()`,
  );
  sandbox.settle(1, true, answer());
  assert.throws(() => sandbox.outcome(), { name: "TypeError", message: /immutable/ });
});

test("an answer of status 204 has no body", () => {
  begin(`"https://a"`, "[response.body, await response.text(), response.bodyUsed]");
  sandbox.settle(1, true, answer("status: 204, body: new Uint8Array(0)"));
  assert.deepEqual(sandbox.outcome(), [null, "", false]);
});

test("a network error rejects with the host's TypeError", () => {
  begin(`"https://a"`);
  sandbox.settle(1, false, `new TypeError("fetch failed", { cause: new Error("ECONNREFUSED") })`);
  assert.throws(() => sandbox.outcome(), { name: "TypeError", message: "fetch failed" });
});

for (const [what, args] of [
  ["a relative URL", `"/path"`],
  ["a URL with credentials", `"https://user:pw@a/"`],
  ["a GET with a body", `"https://a", { body: "x" }`],
  ["a forbidden method", `"https://a", { method: "TRACE" }`],
  ["a header that is none", `"https://a", { headers: { "a b": "c" } }`],
  ["integrity, which is not checked", `"https://a", { integrity: "sha256-x" }`],
  [
    "a body that was read",
    `(() => { const r = new Request("https://a", { method: "POST", body: "x" }); r.text(); return r; })()`,
  ],
] as const) {
  test(`${what} rejects with a TypeError, and nothing is sent`, () => {
    assert.throws(() => sandbox.run(`fetch(${args})`), { name: "TypeError" });
    assert.deepEqual(sandbox.take(operationKind), []);
  });
}

test("a signal that is aborted already keeps the request from being sent", () => {
  assert.throws(() => sandbox.run(`fetch("https://a", { signal: AbortSignal.abort(new RangeError("early")) })`), {
    name: "RangeError",
  });
  assert.deepEqual(sandbox.take(operationKind), []);
});

test("aborting rejects with the signal's reason and tells the host", () => {
  sandbox.run(`globalThis.controller = new AbortController(); return 1;`);
  begin(`"https://a", { signal: controller.signal }`);
  sandbox.start(`controller.abort(); return 1;`);
  assert.deepEqual(
    sandbox.take(abortKind).map(({ number }) => number),
    [1],
  );
  begin(`new Request("https://a", { signal: controller.signal })`);
  assert.throws(() => sandbox.outcome(), { name: "AbortError" });
});

test("aborting while the request runs rejects it", () => {
  sandbox.start(`
    const controller = new AbortController();
    const running = fetch("https://a", { signal: controller.signal });
    controller.abort(new RangeError("too late"));
    return running;`);
  assert.throws(() => sandbox.outcome(), { name: "RangeError", message: "too late" });
  sandbox.settle(1, true, answer());
  assert.throws(() => sandbox.outcome(), { name: "RangeError" });
});

test("aborting after the answer came does nothing", () => {
  sandbox.run(`globalThis.controller = new AbortController(); return 1;`);
  begin(`"https://a", { signal: controller.signal }`, "await response.text()");
  sandbox.settle(1, true, answer());
  assert.equal(sandbox.outcome(), "hello");
  sandbox.run(`controller.abort(); return 1;`);
  assert.deepEqual(sandbox.take(abortKind), []);
});

test("a cancel of the process rejects the request and tells the host", () => {
  begin(`"https://a"`);
  sandbox.cancel("enough");
  assert.throws(() => sandbox.outcome(), { name: "RangeError", message: "enough" });
  assert.deepEqual(
    sandbox.take(abortKind).map(({ number }) => number),
    [1],
  );
});

test("fetch before the start makes the program impure", async () => {
  const early = await Sandbox.create({ started: false });
  early.start(`return fetch("https://a")`);
  assert.deepEqual([early.run("__test.isImpure()"), early.emitted], [true, []]);
  early.dispose();
});
