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

test("a signal that aborts after the answer came takes away what was not read, as on the web", () => {
  sandbox.run(`globalThis.controller = new AbortController(); return 1;`);
  begin(
    `"https://a", { signal: controller.signal }`,
    `await (async () => {
      const copy = response.clone(); const reader = response.clone().body.getReader(); const read = response.clone(); await read.text();
      controller.abort(new RangeError("late"));
      const tries = [response.text(), copy.json(), reader.read(), read.text()];
      return (await Promise.allSettled(tries)).map(({ status, reason }) => reason?.name ?? status);
    })()`,
  );
  sandbox.settle(1, true, answer());
  assert.deepEqual(sandbox.outcome(), ["RangeError", "RangeError", "RangeError", "TypeError"]);
  assert.deepEqual(sandbox.take(abortKind), []);
});

test("AbortSignal.timeout and any reach a request through Request and init, init first", () => {
  sandbox.run(`globalThis.first = new AbortController(); globalThis.second = new AbortController(); return 1;`);
  const request = `new Request("https://a", { signal: first.signal })`;
  begin(`${request}, { signal: AbortSignal.any([second.signal, AbortSignal.timeout(50)]) }`);
  sandbox.start(`first.abort(); return 1;`);
  assert.deepEqual(sandbox.take(abortKind), []);
  const [timer] = sandbox.take(3);
  sandbox.fireTimer(timer!.number);
  assert.deepEqual(
    sandbox.take(abortKind).map(({ number }) => number),
    [1],
  );
  begin(`new Request("https://a", { signal: AbortSignal.timeout(50) })`);
  sandbox.fireTimer(sandbox.take(3)[0]!.number);
  assert.throws(() => sandbox.outcome(), { name: "TimeoutError" });
});

test("a request that a null signal is given for follows none", () => {
  sandbox.run(`globalThis.controller = new AbortController(); return 1;`);
  begin(`new Request("https://a", { signal: controller.signal }), { signal: null }`);
  sandbox.run(`controller.abort(); return 1;`);
  assert.deepEqual(sandbox.take(abortKind), []);
});

test("a body that is a stream is read to its end before the request is sent, whatever it waits for", () => {
  sandbox.start(`
    const slow = new ReadableStream({ async pull(c) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      if (++pulls > 2) c.close(); else c.enqueue(new TextEncoder().encode("part " + pulls + " "));
    } });
    globalThis.pulls = 0;
    return (await fetch("https://a", { method: "PUT", body: slow, duplex: "half" })).status;`);
  for (let pull = 1; pull <= 3; pull++) {
    assert.deepEqual(sandbox.take(operationKind), []);
    sandbox.fireTimer(sandbox.take(3)[0]!.number);
  }
  const sent = issued();
  assert.deepEqual(sent[1], { mode: "at-least-once" });
  assert.deepEqual((sent[2] as { body: number[] }).body, [...new TextEncoder().encode("part 1 part 2 ")]);
});

test("an async iterable is such a body too", () => {
  begin(
    `"https://a", { method: "POST", duplex: "half", body: (async function* () { yield "a"; yield new Uint8Array([98]); })() }`,
  );
  assert.deepEqual((issued()[2] as { body: number[] }).body, [97, 98]);
});

test("an abort while the body is read ends the fetch at once, and tells the stream why", () => {
  sandbox.start(`
    const controller = new AbortController(); globalThis.reasons = [];
    const stalled = new ReadableStream({ cancel(reason) { reasons.push(reason.message); } });
    const running = fetch("https://a", { method: "POST", body: stalled, duplex: "half", signal: controller.signal });
    controller.abort(new RangeError("stop"));
    await running;`);
  assert.throws(() => sandbox.outcome(), { name: "RangeError", message: "stop" });
  assert.deepEqual(sandbox.take(operationKind), []);
  const early = `new ReadableStream({ cancel(reason) { reasons.push(reason.message); } })`;
  assert.throws(
    () =>
      sandbox.run(
        `fetch("https://a", { method: "POST", body: ${early}, duplex: "half", signal: AbortSignal.abort(new RangeError("early")) })`,
      ),
    { name: "RangeError", message: "early" },
  );
  assert.deepEqual(sandbox.run("reasons"), ["stop", "early"]);
});

for (const [what, source, cause] of [
  ["fails", `{ pull() { throw new RangeError("mine"); } }`, "mine"],
  ["gives what is no bytes", `{ pull(c) { c.enqueue("text"); } }`, "Uint8Array"],
  ["gives more than 32 MiB", `{ pull(c) { c.enqueue(new Uint8Array(5e6)); } }`, "larger than 33554432"],
] as const) {
  test(`a body that ${what} rejects with a TypeError that says why, and nothing is sent`, () => {
    const body = `new ReadableStream(${source})`;
    sandbox.start(`
      try { await fetch("https://a", { method: "POST", body: ${body}, duplex: "half" }); }
      catch (error) { return [error.name, error.cause.message]; }`);
    const [name, message] = sandbox.outcome() as string[];
    assert.equal(name, "TypeError");
    assert.ok(message?.includes(cause), message);
    assert.deepEqual(sandbox.take(operationKind), []);
  });
}

test("a body of more than 32 MiB is refused before it is sent", () => {
  const body = `new Uint8Array(32 * 1024 * 1024 + 1)`;
  assert.throws(() => sandbox.run(`fetch("https://a", { method: "POST", body: ${body} })`), {
    name: "TypeError",
    message: /32 MiB/,
  });
  assert.deepEqual(sandbox.take(operationKind), []);
});

test("idempotencyKey: true asks the host for a key, and is sent at least once", () => {
  for (const args of [
    `"https://a", { method: "POST", idempotencyKey: true }`,
    `new Request("https://a", { method: "POST", idempotencyKey: true })`,
    `new Request("https://a", { method: "POST", idempotencyKey: true }).clone()`,
    `new Request(new Request("https://a", { idempotencyKey: true }), { method: "POST" })`,
  ]) {
    begin(args);
    const plain = { url: "https://a/", method: "POST", headers: [], body: null, redirect: "follow" };
    assert.deepEqual(issued().slice(1), [{ mode: "at-least-once" }, { ...plain, idempotencyKey: true }], args);
  }
});

test("idempotencyKey as a text is the header, and takes the place of another", () => {
  for (const init of [
    `{ method: "POST", idempotencyKey: "k" }`,
    `{ method: "POST", idempotencyKey: "k", headers: { "Idempotency-Key": "old" } }`,
  ]) {
    begin(`"https://a", ${init}`);
    const [, mode, request] = issued();
    assert.deepEqual(mode, { mode: "at-least-once" });
    assert.deepEqual((request as { headers: unknown }).headers, [["idempotency-key", "k"]]);
  }
});

test("idempotencyKey: false asks for none, and a header of another request's own is used instead of one that is made", () => {
  begin(`new Request("https://a", { method: "POST", idempotencyKey: true }), { idempotencyKey: false }`);
  assert.deepEqual(issued()[1], { mode: "at-most-once" });
  begin(
    `new Request("https://a", { method: "POST", idempotencyKey: true }), { headers: { "Idempotency-Key": "mine" } }`,
  );
  assert.equal("idempotencyKey" in (issued()[2] as object), false);
});

for (const init of [
  `{ idempotencyKey: "" }`,
  `{ idempotencyKey: 5 }`,
  `{ idempotencyKey: null }`,
  `{ idempotencyKey: "a\\nb" }`,
  `{ idempotencyKey: true, headers: { "Idempotency-Key": "k" } }`,
]) {
  test(`a request with ${init} is refused`, () => {
    assert.throws(() => sandbox.run(`new Request("https://a", ${init})`), { name: "TypeError" });
  });
}

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
