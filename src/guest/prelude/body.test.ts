import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Sandbox, sameAsNode } from "./testing.ts";

let sandbox: Sandbox;
before(async () => {
  sandbox = await Sandbox.create();
});
after(() => sandbox.dispose());

test("each kind of body has its content type and bytes", async () => {
  const bodies = [
    "'ü'",
    "new Uint8Array([1, 2, 3]).subarray(1)",
    "new Uint8Array([1, 2]).buffer",
    "new DataView(new ArrayBuffer(2))",
  ];
  bodies.push(
    "new Blob(['x'], { type: 'text/X' })",
    "new Blob(['x'])",
    "new URLSearchParams({ a: 'b c' })",
    "5",
    "null",
    "undefined",
    "''",
  );
  for (const body of bodies) {
    await sameAsNode(
      sandbox,
      `const response = new Response(${body});
       return [response.headers.get("content-type"), response.body === null, [...new Uint8Array(await response.arrayBuffer())], response.bodyUsed];`,
    );
  }
});

test("a body is read once, in any form", async () => {
  await sameAsNode(
    sandbox,
    `const seen = [];
     for (const read of ["text", "json", "bytes", "arrayBuffer", "blob"]) {
       const response = new Response('{"a":[1]}');
       const value = await response[read]();
       seen.push(typeof value === "string" ? value : value.a ?? value.size ?? value.byteLength, response.bodyUsed);
       try { await response.text(); } catch (error) { seen.push(error.name); }
       try { response.clone(); } catch (error) { seen.push(error.name); }
     }
     return seen;`,
  );
});

test("text and json are UTF-8 without a byte order mark; malformed JSON is a SyntaxError", async () => {
  await sameAsNode(
    sandbox,
    `const bytes = new Uint8Array([0xef, 0xbb, 0xbf, 0x31, 0xff]);
     return [await new Response(bytes).text(), await new Response(bytes.subarray(0, 4)).json()];`,
  );
  await sameAsNode(sandbox, `new Response("{").json()`);
});

test("a body is what it was when it was given", () => {
  assert.equal(
    sandbox.run(
      `const bytes = new Uint8Array([65]); const response = new Response(bytes); bytes[0] = 66; return response.text();`,
    ),
    "A",
  );
  assert.deepEqual(
    sandbox.run(`
      const response = new Response("AB"); const copy = response.clone();
      (await response.bytes())[0] = 0;
      return [await copy.text(), response.bodyUsed, copy.bodyUsed];`),
    ["AB", true, true],
  );
});

test("a response's status, text and headers are checked as in Node", async () => {
  const inits = [
    "{ status: 199 }",
    "{ status: 600 }",
    "{ status: 204 }",
    "{ status: 'x' }",
    "{ statusText: 'a\\nb' }",
    "{ headers: { a: '\\n.\\n' } }",
  ];
  inits.push("{ status: 404, statusText: 'é' }", "{ status: 299, headers: [['a', '1']] }", "undefined");
  for (const init of inits) {
    await sameAsNode(
      sandbox,
      `const { status, statusText, ok, type, url, redirected, headers } = new Response("b", ${init});
       return [status, statusText, ok, type, url, redirected, [...headers]];`,
    );
  }
  await sameAsNode(sandbox, `new Response(null, { status: 204 }).status`);
});

test("Response.json, error and redirect are the web's", async () => {
  await sameAsNode(
    sandbox,
    `const json = Response.json({ a: 1 }, { status: 201, headers: { x: "y" } });
     const error = Response.error();
     const redirect = Response.redirect("https://a/ü", 307);
     const seen = [json.status, [...json.headers], await json.text(), error.type, error.status, redirect.status, redirect.headers.get("location")];
     for (const bad of [() => Response.json(undefined), () => Response.redirect("/x"), () => Response.redirect("https://a", 200), () => error.headers.set("a", "b")]) {
       try { bad(); seen.push("fine"); } catch (caught) { seen.push(caught.name); }
     }
     return seen;`,
  );
});

test("a request normalises and checks what it is made of", async () => {
  const requests = [
    "'https://a/x#f', { method: 'post', body: 'b' }",
    "'https://a', { method: 'purge' }",
    "'https://a', { method: 'CONNECT' }",
  ];
  requests.push(
    "'https://a', { method: 'a b' }",
    "'https://user:pw@a/'",
    "'/relative'",
    "new URL('https://a?x=1'), { redirect: 'manual' }",
  );
  requests.push(
    "'https://a', { body: 'x' }",
    "'https://a', { method: 'HEAD', body: '' }",
    "'https://a', { redirect: 'x' }",
  );
  requests.push(
    "'https://a', { signal: {} }",
    "new Request('https://a', { method: 'PUT', headers: { a: '1' }, body: 'x' }), { headers: { b: '2' } }",
    "new Request('https://a', { method: 'PUT', body: 'x' }), { method: 'GET' }",
  );
  for (const args of requests) {
    await sameAsNode(
      sandbox,
      `const request = new Request(${args});
       return [request.url, request.method, request.redirect, [...request.headers], await request.text(), request.signal.aborted];`,
    );
  }
});

test("a request made of another takes its body away; a clone does not", async () => {
  await sameAsNode(
    sandbox,
    `const first = new Request("https://a", { method: "POST", body: "x" });
     const clone = first.clone();
     const second = new Request(first);
     const seen = [first.bodyUsed, second.bodyUsed, await second.text(), await clone.text(), clone.headers.get("content-type")];
     try { new Request(first); } catch (error) { seen.push(error.name); }
     return seen;`,
  );
});

test("a request's signal follows the one it was given", async () => {
  await sameAsNode(
    sandbox,
    `const controller = new AbortController();
     const request = new Request("https://a", { signal: controller.signal });
     const clone = request.clone();
     const seen = [request.signal === request.signal, request.signal === controller.signal, request.signal.aborted];
     controller.abort("why");
     return [...seen, request.signal.reason, clone.signal.reason];`,
  );
});

test("body is a stream that can be read, iterated and cancelled", async () => {
  await sameAsNode(
    sandbox,
    `const seen = [];
     const response = new Response("abc");
     const reader = response.body.getReader();
     seen.push(response.body.locked, response.bodyUsed);
     try { await response.text(); } catch (error) { seen.push(error.name); }
     const { done, value } = await reader.read();
     seen.push(done, [...value], response.bodyUsed, (await reader.read()).done);
     await reader.closed;
     reader.releaseLock();
     seen.push(response.body.locked);
     const pieces = [];
     for await (const piece of new Response("de").body) pieces.push(...piece);
     const cancelled = new Response("f");
     await cancelled.body.cancel();
     return [...seen, pieces, cancelled.bodyUsed, response.body === response.body];`,
  );
});

test("another response's body is a body", () => {
  assert.deepEqual(
    sandbox.run(`
      const first = new Response("abc");
      const second = new Response(first.body);
      return [await second.text(), first.bodyUsed, second.headers.get("content-type")];`),
    ["abc", true, null],
  );
});

test("blobs join, slice and lower their types as in Node", async () => {
  await sameAsNode(
    sandbox,
    `const blob = new Blob(["ab", new Uint8Array([99]), new Blob(["d"]), new Uint8Array([101]).buffer, 5], { type: "Text/PLAIN" });
     const slices = [[], [1], [1, 3], [-2], [0, -1], [3, 1], [9]].map((range) => blob.slice(...range));
     return [blob.size, blob.type, await blob.text(), [...await blob.bytes()], new Blob([], { type: "é" }).type, ...await Promise.all(slices.map((slice) => slice.text())), blob.slice(0, 1, "x/y").type];`,
  );
  for (const bad of ["new Blob('text')", "new Blob(5)", "new File(['a'])"]) await sameAsNode(sandbox, bad);
});

test("a file has a name and the turn's time", () => {
  assert.deepEqual(
    sandbox.run(
      `const file = new File(["a"], "n.txt", { type: "text/plain" }); return [file.name, file.lastModified, file.size, file instanceof Blob];`,
    ),
    ["n.txt", sandbox.timeMs, 1, true],
  );
});

test("FormData is an ordered list of texts and files", async () => {
  await sameAsNode(
    sandbox,
    `const form = new FormData();
     form.append("a", "1"); form.append("b", 2); form.append("a", new Blob(["x"], { type: "t/y" }), "n.txt"); form.append("f", new Blob(["y"]));
     const seen = [[...form.keys()], form.get("a"), form.getAll("a").length, form.get("none"), form.has("b"), form.get("f").name];
     form.set("a", "3"); form.delete("b"); form.set("c", new File(["z"], "z"));
     return [...seen, [...form].map(([name, value]) => [name, value.name ?? value, value.type])];`,
  );
});

test("a form goes through multipart and comes back, in order and with its files", () => {
  assert.deepEqual(
    sandbox.run(`
      const form = new FormData();
      form.append("text", "a\\nb\\r\\nc"); form.append('quo"te\\n', "ü"); form.append("file", new File([new Uint8Array([0, 13, 10, 45, 45, 255])], 'n"1.bin', { type: "x/y" }));
      form.append("empty", "");
      const response = new Response(form);
      const back = await response.formData();
      const file = back.get("file");
      return [[...back].map(([name, value]) => [name, value.name ?? value]), file.type, [...await file.bytes()]];`),
    [
      [
        ["text", "a\r\nb\r\nc"],
        ['quo"te\r\n', "ü"],
        ["file", 'n"1.bin'],
        ["empty", ""],
      ],
      "x/y",
      [0, 13, 10, 45, 45, 255],
    ],
  );
});

test("Node reads the multipart the sandbox writes", async () => {
  const [type, bytes] = sandbox.run(`
    const form = new FormData();
    form.append("a", "1"); form.append("f", new Blob(["content"], { type: "text/plain" }), "ü.txt");
    const response = new Response(form);
    return [response.headers.get("content-type"), [...await response.bytes()]];`) as [string, number[]];
  const form = await new Response(new Uint8Array(bytes), { headers: { "content-type": type } }).formData();
  const file = form.get("f") as File;
  assert.deepEqual([form.get("a"), file.name, file.type, await file.text()], ["1", "ü.txt", "text/plain", "content"]);
});

test("the sandbox reads multipart as others write it, and refuses what is broken", () => {
  const read = (text: string, type = "multipart/form-data; boundary=b"): unknown =>
    sandbox.run(`
      const response = new Response(${JSON.stringify(text)}, { headers: { "content-type": ${JSON.stringify(type)} } });
      return [...await response.formData()].map(([name, value]) => [name, value.name ?? value]);`);
  const part = '--b\r\ncontent-disposition: form-data; name="x"\r\nx-other: 1\r\n\r\n1\r\n';
  assert.deepEqual(read(`preamble\r\n${part}--b--\r\n`), [["x", "1"]]);
  assert.deepEqual(read(`${part}--b--`, 'multipart/form-data; charset=utf-8; boundary="b"'), [["x", "1"]]);
  for (const broken of [
    "",
    "--b\r\n",
    part,
    "--b\r\nno header\r\n--b--",
    "--b\r\ncontent-type: a/b\r\n\r\nx\r\n--b--",
  ]) {
    assert.throws(() => read(broken), { name: "TypeError" }, broken);
  }
  assert.throws(() => read("x", "text/plain"), { name: "TypeError" });
  assert.deepEqual(read("a=1&b=%20+", "application/x-www-form-urlencoded; charset=UTF-8"), [
    ["a", "1"],
    ["b", "  "],
  ]);
});

test("the boundary of multipart comes from the process's seed", async () => {
  const type = `new Response(new FormData()).headers.get("content-type")`;
  const again = await Sandbox.create();
  const other = await Sandbox.create({ seed: new Uint8Array(32).fill(8) });
  const fresh = await Sandbox.create();
  assert.equal(again.run(type), fresh.run(type));
  assert.notEqual(other.run(type), fresh.run(type));
  for (const one of [again, other, fresh]) one.dispose();
});
