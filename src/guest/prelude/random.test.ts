import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { KeyStream } from "./chacha20.ts";
import { Sandbox } from "./testing.ts";

const draw = `[Math.random(), Math.random(), crypto.randomUUID(), [...crypto.getRandomValues(new Uint8Array(5))]]`;

async function drawn(seed: Uint8Array, code = draw): Promise<unknown> {
  const sandbox = await Sandbox.create({ seed });
  try {
    return sandbox.run(code);
  } finally {
    sandbox.dispose();
  }
}

const seedOf = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

test("the same seed gives the same values, another gives others", async () => {
  assert.deepEqual(await drawn(seedOf(1)), await drawn(seedOf(1)));
  assert.notDeepEqual(await drawn(seedOf(1)), await drawn(seedOf(2)));
});

test("drawing from one source does not move the other", async () => {
  assert.equal(
    await drawn(seedOf(1), "Math.random()"),
    await drawn(seedOf(1), "crypto.randomUUID(); return Math.random();"),
  );
});

test("the key stream is ChaCha20, as OpenSSL has it", () => {
  const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });
  fc.assert(
    fc.property(
      bytes(32),
      bytes(12),
      fc.nat(0xffff),
      fc.array(fc.nat(150), { maxLength: 4 }),
      (key, nonce, counter, sizes) => {
        const stream = new KeyStream(key, nonce, counter);
        const pieces = sizes.map((sizeBytes) => {
          const piece = new Uint8Array(sizeBytes);
          stream.draw(piece);
          return piece;
        });
        const iv = Buffer.alloc(16);
        iv.writeUInt32LE(counter);
        iv.set(nonce, 4);
        const total = sizes.reduce((sum, sizeBytes) => sum + sizeBytes, 0);
        const expected = createCipheriv("chacha20", key, iv).update(Buffer.alloc(total));
        assert.deepEqual(Buffer.concat(pieces), expected);
      },
    ),
  );
});

test("Math.random is spread evenly over [0, 1), with all of its 53 bits", async () => {
  const counts = (await drawn(
    seedOf(3),
    `const buckets = new Array(10).fill(0);
     let low = 0;
     for (let i = 0; i < 20_000; i++) {
       const value = Math.random();
       if (!(value >= 0 && value < 1)) throw new Error(String(value));
       buckets[Math.floor(value * 10)]++;
       if ((value * 2 ** 53) % 2 === 1) low++;
     }
     return [...buckets, low / 5];`,
  )) as number[];
  for (const count of counts) assert.ok(Math.abs(count - 2000) < 200, counts.join());
});

test("randomUUID is a version 4 UUID, each a new one", async () => {
  const ids = (await drawn(seedOf(4), `Array.from({ length: 50 }, () => crypto.randomUUID())`)) as string[];
  for (const id of ids) assert.match(id, /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
  assert.equal(new Set(ids).size, ids.length);
});

test("getRandomValues fills the view it is given, and only that", async () => {
  const [before, filled, after, same] = (await drawn(
    seedOf(5),
    `const whole = new Uint8Array(32);
     const view = new Uint32Array(whole.buffer, 8, 4);
     const same = crypto.getRandomValues(view) === view;
     return [[...whole.slice(0, 8)], [...whole.slice(8, 24)], [...whole.slice(24)], same];`,
  )) as [number[], number[], number[], boolean];
  assert.deepEqual([before, after, same], [new Array(8).fill(0), new Array(8).fill(0), true]);
  assert.ok(filled.some((byte) => byte !== 0));
});

test("getRandomValues refuses other arrays, and more than 64 KiB", async () => {
  const sandbox = await Sandbox.create();
  for (const bad of ["new Float64Array(1)", "[1, 2]", "new DataView(new ArrayBuffer(4))", "undefined"]) {
    assert.throws(() => sandbox.run(`crypto.getRandomValues(${bad})`), { name: "TypeMismatchError" });
  }
  assert.throws(() => sandbox.run(`crypto.getRandomValues(new Uint8Array(65_537))`), { name: "QuotaExceededError" });
  sandbox.dispose();
});

test("drawing before the start makes the program impure, and leaves no trace in what is drawn afterwards", async () => {
  for (const early of ["Math.random()", "crypto.randomUUID()", "crypto.getRandomValues(new Uint8Array(1))"]) {
    const sandbox = await Sandbox.create({ started: false });
    assert.equal(sandbox.run("__test.isImpure()"), false);
    sandbox.run(`${early}; return 1;`);
    assert.equal(sandbox.run("__test.isImpure()"), true, early);
    sandbox.run(`__test.seedRandom(new Uint8Array(32).fill(9))`);
    assert.deepEqual(sandbox.run(draw), await drawn(seedOf(9)));
    sandbox.dispose();
  }
});

test("a seed of another length is refused", async () => {
  const sandbox = await Sandbox.create({ started: false });
  assert.throws(() => sandbox.run("__test.seedRandom(new Uint8Array(16))"), /32 bytes, not 16/);
  sandbox.dispose();
});
