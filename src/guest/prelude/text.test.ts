import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { Sandbox, sameAsNode } from "./testing.ts";

let sandbox: Sandbox;
before(async () => {
  sandbox = await Sandbox.create();
});
after(() => sandbox.dispose());

test("TextEncoder writes UTF-8 as in Node, with U+FFFD for lone surrogates", async () => {
  const texts = ["", "abc", "ü€😀", "a\ud800b", "\udc00", "\ud83d\ude00\ud83d", "\0\x7f\x80\u07ff\u0800\uffff"];
  await sameAsNode(sandbox, `${JSON.stringify(texts)}.map((text) => [...new TextEncoder().encode(text)])`);
  await sameAsNode(
    sandbox,
    `[new TextEncoder().encoding, new TextEncoder().encode().length, [...new TextEncoder().encode(12)]]`,
  );
});

test("TextEncoder keeps surrogate pairs whole wherever a long text is cut", async () => {
  for (const shift of ["", "a", "ab", "abc"]) {
    await sameAsNode(
      sandbox,
      `const text = ${JSON.stringify(shift)} + "😀ü€".repeat(30_000);
       const bytes = new TextEncoder().encode(text);
       return [bytes.length, bytes.indexOf(0xef), new TextDecoder().decode(bytes) === text];`,
    );
  }
});

test("encodeInto writes whole characters and says how far it came", async () => {
  await sameAsNode(
    sandbox,
    `const seen = [];
     for (const text of ["abc", "ü€😀x", "a\\ud800b", "😀😀", "abcdefghij"])
       for (let size = 0; size < 12; size++) {
         const bytes = new Uint8Array(size);
         seen.push(new TextEncoder().encodeInto(text, bytes), [...bytes]);
       }
     return seen;`,
  );
  await sameAsNode(sandbox, `new TextEncoder().encodeInto("a", new ArrayBuffer(3))`);
});

test("TextDecoder reads malformed UTF-8 as in Node", async () => {
  const seed = Date.now() % 0x7fffffff;
  const byte = fc.constantFrom(
    0x41,
    0x7f,
    0x80,
    0x8f,
    0x90,
    0x9f,
    0xa0,
    0xbf,
    0xc0,
    0xc2,
    0xe0,
    0xe2,
    0xed,
    0xef,
    0xf0,
    0xf4,
    0xf5,
    0xff,
  );
  const cases = fc.sample(fc.array(byte, { maxLength: 8 }), { seed, numRuns: 1000 });
  await sameAsNode(
    sandbox,
    `return ${JSON.stringify(cases)}.map((bytes) => {
      const input = new Uint8Array(bytes);
      let fatal;
      try { fatal = new TextDecoder("utf-8", { fatal: true }).decode(input); } catch (error) { fatal = error instanceof TypeError; }
      return [new TextDecoder().decode(input), fatal];
    });`,
    `seed ${seed}`,
  );
});

test("a malformed byte in a long text spoils only its own place", async () => {
  await sameAsNode(
    sandbox,
    `const bytes = new TextEncoder().encode("aü€😀".repeat(9_000));
     for (const index of [0, 1, 5000, 24_575, 24_576, 40_001, bytes.length - 1]) bytes[index] = 0xff;
     const text = new TextDecoder().decode(bytes);
     return [text.length, [...text.matchAll(/\\ufffd/g)].map((found) => found.index)];`,
  );
});

test("with stream, characters may be cut anywhere, in every encoding", async () => {
  const seed = Date.now() % 0x7fffffff;
  const byte = fc.constantFrom(
    0xef,
    0xbb,
    0xbf,
    0xff,
    0xfe,
    0xf0,
    0x9f,
    0x98,
    0x80,
    0x41,
    0x3d,
    0xd8,
    0x00,
    0xde,
    0xe2,
    0x82,
    0xac,
  );
  const cases = fc.sample(fc.array(fc.array(byte, { maxLength: 4 }), { maxLength: 5 }), { seed, numRuns: 400 });
  await sameAsNode(
    sandbox,
    `return ${JSON.stringify(cases)}.flatMap((pieces) => ["utf-8", "utf-16le"].flatMap((encoding) => [true, false].map((ignoreBOM) => {
      const decoder = new TextDecoder(encoding, { ignoreBOM });
      const texts = pieces.map((bytes) => decoder.decode(new Uint8Array(bytes), { stream: true }));
      return [...texts, decoder.decode(), decoder.decode(new Uint8Array([0x41, 0]))];
    })));`,
    `seed ${seed}`,
  );
});

test("TextDecoder knows the web's names of its three encodings and refuses others", async () => {
  const labels = [
    "utf8",
    " UTF-8\n",
    "unicode-1-1-utf-8",
    "utf-16",
    "ucs-2",
    "latin1",
    "ascii",
    "iso-8859-1",
    "windows-1252",
    "l1",
  ];
  await sameAsNode(sandbox, `${JSON.stringify(labels)}.map((label) => new TextDecoder(label).encoding)`);
  for (const label of ["", "utf-7", "utf", "shift_jis"]) {
    assert.throws(() => sandbox.run(`new TextDecoder(${JSON.stringify(label)})`), { name: "RangeError" });
  }
});

test("latin1 is windows-1252, as the web has it", () => {
  const text = sandbox.run(`new TextDecoder("latin1").decode(Uint8Array.from({ length: 256 }, (_, index) => index))`);
  const expected = Array.from({ length: 256 }, (_, index) => String.fromCharCode(index));
  const upper = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ";
  for (const [index, character] of [...upper].entries()) expected[0x80 + index] = character;
  assert.equal(text, expected.join(""));
});

test("TextDecoder takes buffers and views, and nothing else", async () => {
  await sameAsNode(
    sandbox,
    `const bytes = new Uint8Array([65, 66, 67, 68]);
     return [bytes.buffer, bytes.subarray(1, 3), new DataView(bytes.buffer, 2), new Uint16Array(bytes.buffer), undefined]
       .map((input) => new TextDecoder().decode(input));`,
  );
  await sameAsNode(sandbox, `new TextDecoder().decode("text")`);
});

test("what TextEncoder writes TextDecoder reads, for any text", () => {
  const seed = Date.now() % 0x7fffffff;
  const text = fc.array(fc.nat(0xffff), { maxLength: 40 }).map((units) => String.fromCharCode(...units));
  const texts = fc.sample(text, { seed, numRuns: 300 });
  const read = sandbox.run(
    `return ${JSON.stringify(texts)}.map((text) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(text)));`,
  );
  assert.deepEqual(
    read,
    texts.map((one) => one.toWellFormed()),
    `seed ${seed}`,
  );
});

test("1 MiB takes well under a second either way", () => {
  const startedMs = performance.now();
  sandbox.run(`
    const bytes = new TextEncoder().encode("grüße ".repeat(150_000));
    if (new TextDecoder().decode(bytes).length !== 900_000) throw new Error("wrong length");
    return true;`);
  assert.ok(performance.now() - startedMs < 2_000);
});

test("atob and btoa are the web's", async () => {
  await sameAsNode(sandbox, `[btoa("a\\xff"), atob("YQ=="), atob(" Y Q ")]`);
  for (const bad of [`atob("%")`, `btoa("€")`]) {
    assert.throws(() => sandbox.run(bad), { name: "InvalidCharacterError" });
  }
});
