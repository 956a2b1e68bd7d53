/** Bodies that are streams, beside Node's. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Sandbox, sameAsNode } from "./testing.ts";

let sandbox: Sandbox;
before(async () => {
  sandbox = await Sandbox.create();
});
after(() => sandbox.dispose());

const prelude = `
  const log = [];
  const settle = (promise) => promise.then((value) => ["ok", value], (error) => ["failed", error?.name ?? error]);
  const bytes = (text) => new TextEncoder().encode(text);
  const streamOf = (...chunks) => new ReadableStream({ start(c) { for (const chunk of chunks) c.enqueue(chunk); c.close(); } });
  const post = (body, more) => new Request("https://a", { method: "POST", body, duplex: "half", ...more });`;

const programs: Record<string, string> = {
  "a stream is read in every form": `
    for (const read of ["text", "json", "bytes", "arrayBuffer", "blob"]) {
      const response = new Response(streamOf(bytes("[1,"), bytes("2]")));
      log.push(response.headers.get("content-type"), response.bodyUsed);
      const value = await response[read]();
      log.push(read === "blob" ? [value.size, value.type] : value instanceof ArrayBuffer ? [...new Uint8Array(value)] : [...value], response.bodyUsed, response.body.locked, await settle(response.text()));
    }
    return log;`,
  "a form is read from a stream": `
    const form = await new Response(streamOf(bytes("a=1&"), bytes("b=2")), { headers: { "content-type": "application/x-www-form-urlencoded" } }).formData();
    return [...form];`,
  "a form that cannot be read has been read all the same": `
    const response = new Response("x"); return [await settle(response.formData()), response.bodyUsed];`,
  "chunks that are no bytes reject with a TypeError": `
    for (const chunk of ["text", 5, null, new ArrayBuffer(1)]) log.push(await settle(new Response(streamOf(chunk)).text()));
    return log;`,
  "a stream that fails rejects with its error": `
    return await settle(new Response(new ReadableStream({ pull() { throw new RangeError("x"); } })).text());`,
  "an async iterable is a body; texts in it are UTF-8": `
    return await new Response((async function* () { yield bytes("a"); yield "ü"; yield new Uint8Array(0); })()).text();`,
  "an iterable is not asked before the body is read": `
    const response = new Response((async function* () { log.push("asked"); yield bytes("a"); })());
    await null; await null; log.push("read"); log.push(await response.text()); return log;`,
  "the body is the stream that was given, unless it was touched": `
    const stream = streamOf(bytes("a")); log.push(new Response(stream).body === stream);
    const locked = streamOf(bytes("a")); locked.getReader(); const read = streamOf(bytes("a")); await read.cancel();
    for (const bad of [locked, read]) { try { new Response(bad); log.push("fine"); } catch (error) { log.push(error.name); } try { post(bad); log.push("fine"); } catch (error) { log.push(error.name); } }
    return log;`,
  "a reader locks the body, and reading uses it": `
    const response = new Response(streamOf(bytes("ab"), bytes("c"))); const reader = response.body.getReader();
    log.push(response.bodyUsed, await settle(response.text())); await reader.read(); reader.releaseLock();
    log.push(response.bodyUsed, await settle(response.text()), response.body.locked);
    try { response.clone(); } catch (error) { log.push(error.name); }
    return log;`,
  "a clone reads what the other reads": `
    const response = new Response(streamOf(bytes("ab"), bytes("c"))); const copy = response.clone();
    const first = (await response.body.getReader().read()).value;
    return [await copy.text(), response.bodyUsed, copy.bodyUsed, [...first]];`,
  "a clone of a clone": `
    const a = new Response(streamOf(bytes("x"))); const b = a.clone(); const c = b.clone();
    return [await c.text(), await a.text(), await b.text(), a.body !== b.body];`,
  "a text can be cloned after its stream was looked at": `
    const a = new Response("abc"); const stream = a.body; const b = a.clone();
    return [await b.text(), await a.text(), a.body.locked, stream.locked];`,
  "tee of a body gives it twice": `
    const response = new Response("abc"); const [a, b] = response.body.tee();
    return [await new Response(a).text(), await new Response(b).text(), response.bodyUsed, response.body.locked, await settle(response.text())];`,
  "what was read as a whole is locked": `
    const response = new Response("abc"); await response.text(); return [response.body.locked, response.bodyUsed, await settle(response.body.cancel())];`,
  "a request with a stream says duplex": `
    for (const init of [{ duplex: undefined }, { duplex: "full" }, { duplex: "half" }]) { try { const request = post(streamOf(bytes("x")), init); log.push(request.duplex, request.headers.get("content-type"), await request.text()); } catch (error) { log.push(error.name); } }
    for (const init of [{ duplex: undefined }, { duplex: "half" }]) { try { log.push(await post((async function* () { yield "x"; })(), init).text()); } catch (error) { log.push(error.name); } }
    for (const body of ["x", null]) log.push(await post(body, { duplex: undefined }).text());
    return log;`,
  "a request made of another takes its stream away; a clone shares it": `
    const first = post(streamOf(bytes("ab"))); const clone = first.clone(); const second = new Request(first);
    log.push(first.bodyUsed, first.body.locked, second.bodyUsed, await second.text(), await clone.text());
    try { new Request(first); log.push("fine"); } catch (error) { log.push(error.name); }
    const whole = post("text"); whole.body; log.push(await new Request(whole).text(), whole.bodyUsed, whole.body.locked);
    return log;`,
  "a request made of another whose stream fails fails too, and cancels it": `
    log.push(await settle(new Request(post(new ReadableStream({ pull() { throw new RangeError("x"); } }))).text()));
    await new Request(post(new ReadableStream({ cancel(reason) { log.push(reason); } }))).body.cancel("why");
    return log;`,
  "a blob's stream is its bytes": `
    const blob = new Blob(["abc"]); const seen = [];
    for await (const chunk of blob.stream()) seen.push(...chunk);
    return [seen, await new Response(blob.stream()).text(), await new Response(new Blob([]).stream()).text()];`,
  "an empty body is one that can be read": `
    for (const response of [new Response(""), new Response(streamOf()), new Response(null)]) log.push(response.body === null, await response.text(), response.bodyUsed, await settle(response.text()));
    return log;`,
};

for (const [rule, program] of Object.entries(programs)) {
  test(`bodies: ${rule}`, async () => {
    await sameAsNode(sandbox, `${prelude}${program}`, rule);
  });
}

test("bodies: a clone shares no bytes with the other, as the standard has it and Node has not", () => {
  const program = `
    const response = new Response(streamOf(bytes("ab"))); const copy = response.clone();
    (await response.bytes())[0] = 0;
    const other = new Response(streamOf(bytes("ab"))); const view = other.clone();
    (await other.body.getReader().read()).value[0] = 0;
    return [await copy.text(), await view.text()];`;
  assert.deepEqual(sandbox.run(`${prelude}${program}`), ["ab", "ab"]);
});
