import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Sandbox, sameAsNode } from "./testing.ts";

let sandbox: Sandbox;
before(async () => {
  sandbox = await Sandbox.create();
});
after(() => sandbox.dispose());

/** Tells what a value is, down to classes, holes, bytes and shared references, in a way both engines agree on. */
const tell = `
  const tell = (value, seen = new Map()) => {
    if (typeof value === "bigint") return value + "n";
    if (Object.is(value, -0)) return "-0";
    if (typeof value === "number" || value === undefined) return String(value);
    if (typeof value !== "object" || value === null) return value;
    if (seen.has(value)) return "same as " + seen.get(value);
    seen.set(value, seen.size);
    const inner = (item) => tell(item, seen);
    const kind = Object.prototype.toString.call(value) + " " + (Object.getPrototypeOf(value)?.constructor?.name);
    const fields = Object.keys(value).map((key) => [key, inner(value[key])]);
    if (value instanceof Map) return [kind, [...value].map(([key, item]) => [inner(key), inner(item)])];
    if (value instanceof Set) return [kind, [...value].map(inner)];
    if (value instanceof Date) return [kind, value.getTime()];
    if (value instanceof RegExp) return [kind, String(value), value.lastIndex];
    if (value instanceof Error) return [kind, value.name, value.message, inner(value.cause), Object.keys(value)];
    if (value instanceof ArrayBuffer) return [kind, [...new Uint8Array(value)]];
    if (ArrayBuffer.isView(value)) return [kind, value.byteOffset, value.byteLength, inner(value.buffer)];
    if (value instanceof Number || value instanceof String || value instanceof Boolean) return [kind, String(value), fields];
    return [kind, value.length ?? "", fields];
  };`;

const cloned = [
  `1`,
  `"x"`,
  `null`,
  `undefined`,
  `-0`,
  `10n`,
  `{ a: [1, { b: undefined }], "c d": null }`,
  `[1, , 3]`,
  `Object.assign([1], { extra: 1 })`,
  `/(a)b/.exec("xab")`,
  `new Map([[{ k: 1 }, new Set([1, "a"])]])`,
  `new Date(5)`,
  `new Date(NaN)`,
  `Object.assign(/a/gi, { lastIndex: 3 })`,
  `[Object(1), Object("ab"), Object(false)]`,
  `Object.assign(new TypeError("m", { cause: { c: 1 } }), { extra: 1 })`,
  `new (class Own extends Error { name = "Own"; })("m")`,
  `new (class extends RangeError {})("m")`,
  `(() => { const o = { list: [] }; o.self = o; o.list.push(o.list, o); return o; })()`,
  `(() => { const shared = {}; return [shared, shared]; })()`,
  `(() => { const map = new Map(); map.set(map, map); return map; })()`,
  `new (class Point { x = 1; #hidden = 2; get y() { return 3; } })()`,
  `{ get computed() { return { deep: 1 }; } }`,
  `Object.create({ inherited: 1 }, { hidden: { value: 1 }, shown: { value: 2, enumerable: true } })`,
  `Object.create(null, { a: { value: 1, enumerable: true } })`,
  `{ [Symbol("s")]: 1, a: 2 }`,
  `JSON.parse('{"__proto__": {"polluted": true}}')`,
  `new (class extends Map { extra = 1; })([[1, 2]])`,
  `new (class extends Array {})(1, 2)`,
  `(() => { const buffer = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]).buffer; return [buffer, new Uint8Array(buffer, 2, 3), new DataView(buffer, 1), new Uint16Array(buffer, 4)]; })()`,
  `[new Float32Array([1.5]), new BigInt64Array([1n]), new Uint8ClampedArray([300])]`,
];

for (const value of cloned) {
  test(`structuredClone(${value}) is what it is in Node`, async () => {
    await sameAsNode(sandbox, `${tell} return tell(structuredClone(${value}));`);
  });
}

test("what cannot be cloned is a DataCloneError, as in Node", async () => {
  const refused = [
    "() => 1",
    "Symbol('s')",
    "{ a: [class A {}] }",
    "new WeakMap()",
    "new WeakSet()",
    "new WeakRef({})",
  ];
  refused.push(
    "Promise.resolve()",
    "(function* () {})()",
    "new Map([[1, () => 1]])",
    "new Response()",
    "new Headers()",
  );
  for (const value of refused) {
    assert.throws(() => sandbox.run(`structuredClone(${value})`), { name: "DataCloneError" }, value);
  }
  assert.equal(
    sandbox.run(
      `try { structuredClone(() => 1); } catch (error) { return error instanceof DOMException && error.code; }`,
    ),
    25,
  );
});

test("the copy shares nothing with the original", () => {
  assert.deepEqual(
    sandbox.run(`
      const original = { list: [1], map: new Map([["a", { n: 1 }]]), bytes: new Uint8Array([1]) };
      const copy = structuredClone(original);
      copy.list.push(2); copy.map.get("a").n = 2; copy.bytes[0] = 2;
      return [original.list, original.map.get("a").n, original.bytes[0]];`),
    [[1], 1, 1],
  );
});

test("a transferred buffer moves: the original loses its bytes", async () => {
  await sameAsNode(
    sandbox,
    `const bytes = new Uint8Array([1, 2, 3]);
     const copy = structuredClone({ bytes }, { transfer: [bytes.buffer] });
     return [[...copy.bytes], bytes.length, bytes.buffer.detached];`,
  );
});

test("a failed clone leaves the buffers to be transferred alone", async () => {
  await sameAsNode(
    sandbox,
    `const buffer = new ArrayBuffer(2);
     const names = [];
     for (const transfer of [[buffer], [buffer, buffer], [{}]]) {
       try { structuredClone(transfer.length === 1 ? () => 1 : buffer, { transfer }); } catch (error) { names.push(error.name); }
     }
     return [names, buffer.byteLength, buffer.detached];`,
  );
});

test("blobs and files are cloned with their content", () => {
  assert.deepEqual(
    sandbox.run(`
      const { blob, file } = structuredClone({ blob: new Blob(["ab"], { type: "text/x" }), file: new File(["c"], "n", { lastModified: 5 }) });
      return [blob instanceof Blob, blob.type, await blob.text(), file instanceof File, file.name, file.lastModified, await file.text()];`),
    [true, "text/x", "ab", true, "n", 5, "c"],
  );
});

test("values larger than the border allows are cloned all the same", () => {
  assert.equal(sandbox.run(`structuredClone({ text: "x".repeat(3_000_000) }).text.length`), 3_000_000);
});
