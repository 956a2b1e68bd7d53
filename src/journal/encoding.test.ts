import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { isPerdureError } from "../base/errors.ts";
import { decodeInput, decodePayload, decodeTurn, encodeInput, encodePayload, encodeTurn } from "./encoding.ts";
import { arbitraryInput, arbitraryPayload, arbitraryTurn } from "../../test/arbitrary-turns.ts";
import type { Turn } from "./types.ts";

const small: Turn = {
  number: 2,
  timeMs: 1_750_000_000_000,
  inputs: [{ kind: "result", operation: 1, ok: true, value: { text: "j42" } }],
  commands: [{ kind: "operation", target: "app.ts#charge", digest: "0123456789abcdef" }],
};

const corrupt = { code: "JOURNAL_CORRUPT" };

describe("what is written is read again", () => {
  test("any turn", () => {
    fc.assert(fc.property(arbitraryTurn, (turn) => assert.deepStrictEqual(decodeTurn(encodeTurn(turn)), turn)));
  });

  test("any input", () => {
    fc.assert(fc.property(arbitraryInput, (input) => assert.deepStrictEqual(decodeInput(encodeInput(input)), input)));
  });

  test("any payload", () => {
    fc.assert(
      fc.property(arbitraryPayload, (payload) =>
        assert.deepStrictEqual(decodePayload(encodePayload(payload)), payload),
      ),
    );
  });

  test("texts of every length around the borders of short cuts, in ASCII and beyond", () => {
    for (const length of [0, 1, 23, 24, 25, 62, 63, 64, 65, 127, 128, 8191, 8192, 70_000]) {
      for (const character of ["a", "é", "€", "😀", "\ud800", "\ufeff", "\0"]) {
        const reason = `${character}${"x".repeat(Math.max(0, length - 1))}`;
        assert.deepStrictEqual(decodeInput(encodeInput({ kind: "cancel", reason })), { kind: "cancel", reason });
      }
    }
  });

  test("numbers up to 2^53-1", () => {
    for (const timer of [0, 127, 128, 2 ** 31, 2 ** 32, 2 ** 49, Number.MAX_SAFE_INTEGER]) {
      assert.deepStrictEqual(decodeInput(encodeInput({ kind: "timer", timer })), { kind: "timer", timer });
    }
  });

  test("32 MiB of bytes, and small rows after it", () => {
    const payload = { text: 'v[[1],["b",33554432]]', chunks: [new Uint8Array(32 * 1024 * 1024).fill(7)] };
    assert.equal(
      Buffer.compare(decodePayload(encodePayload(payload)).chunks?.[0] as Uint8Array, payload.chunks[0] as Uint8Array),
      0,
    );
    assert.deepStrictEqual(decodeTurn(encodeTurn(small)), small);
  });
});

describe("the format", () => {
  test("a turn of one result and one operation takes 40 bytes, laid out as specified", () => {
    const expected =
      "01" + // version
      "02" + // number
      "80b883a1f732" + // time
      "01" + // one input
      "0301" +
      "00066a3432" + // result of operation 1: not encrypted, 3 bytes, no chunks, j42
      "01" + // one command
      "010d6170702e747323636861726765" + // operation app.ts#charge
      "0123456789abcdef"; // digest
    assert.equal(Buffer.from(encodeTurn(small)).toString("hex"), expected);
    assert.equal(expected.length / 2, 40);
  });

  test("a payload with chunks can be skipped by its head", () => {
    const bytes = encodePayload({ text: "v1", chunks: [Uint8Array.of(9), new Uint8Array(0)] });
    assert.equal(Buffer.from(bytes).toString("hex"), "00" + "0d" + "027631" + "0109" + "00");
  });

  test("no chunks and an empty list of chunks are the same", () => {
    assert.deepStrictEqual(decodePayload(encodePayload({ text: "u", chunks: [] })), { text: "u" });
  });
});

describe("what cannot be given back is not written", () => {
  const refused: Readonly<Record<string, Turn>> = {
    "a fraction of a millisecond": { ...small, timeMs: 0.5 },
    "a negative number": { ...small, number: -1 },
    NaN: { ...small, timeMs: NaN },
    "a number beyond 2^53": { ...small, timeMs: 2 ** 53 },
    "a short digest": { ...small, commands: [{ kind: "log", target: "", digest: "0123" }] },
    "a digest with capitals": { ...small, commands: [{ kind: "log", target: "", digest: "0123456789ABCDEF" }] },
    "an unknown command": { ...small, commands: [{ kind: "dance" as "log", target: "", digest: "0123456789abcdef" }] },
    "an unknown input": { ...small, inputs: [{ kind: "dance" as "timer", timer: 1 }] },
    "an unknown fatal reason": { ...small, inputs: [{ kind: "fatal", reason: "dance" as "trap", detail: "" }] },
  };
  for (const [name, turn] of Object.entries(refused)) {
    test(name, () => {
      assert.throws(() => encodeTurn(turn), { code: "ARGUMENT_INVALID" });
      assert.deepStrictEqual(decodeTurn(encodeTurn(small)), small);
    });
  }
});

describe("a damaged row is JOURNAL_CORRUPT", () => {
  const bytes = encodeTurn(small);

  test("when it ends too early, wherever that is", () => {
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(() => decodeTurn(bytes.subarray(0, length)), corrupt);
    }
  });

  test("when it goes on", () => {
    assert.throws(() => decodeTurn(Uint8Array.of(...bytes, 0)), corrupt);
    assert.throws(() => decodeInput(Uint8Array.of(...encodeInput({ kind: "timer", timer: 1 }), 0)), corrupt);
    assert.throws(() => decodePayload(Uint8Array.of(...encodePayload({ text: "u" }), 0)), corrupt);
  });

  test("with the place in message and details", () => {
    assert.throws(
      () => decodeTurn(Uint8Array.of(1, 2, 3, 1, 99)),
      (error) => {
        assert.ok(isPerdureError(error, "JOURNAL_CORRUPT"));
        assert.match(error.message, /at byte 4 of 5/);
        assert.deepStrictEqual(error.details, { offset: 4, sizeBytes: 5 });
        return true;
      },
    );
  });

  test("when a newer release wrote it, and says so", () => {
    for (const decode of [decodeTurn, decodeInput]) {
      assert.throws(() => decode(Uint8Array.of(2, ...bytes.subarray(1))), { ...corrupt, message: /newer release/ });
      assert.throws(() => decode(Uint8Array.of(0, ...bytes.subarray(1))), { ...corrupt, message: /format 0/ });
    }
  });

  const damaged: Readonly<Record<string, readonly number[]>> = {
    "an unknown kind of input": [1, 8],
    "an unknown fatal reason": [1, 7, 6, 0],
    "a number in a longer form than needed": [1, 5, 0x80, 0],
    "a number beyond 2^53": [1, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f],
    "a number without end": [1, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    "a text longer than the row": [1, 6, 5, 0x61],
    "a text of 2^50 bytes": [1, 6, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02],
    "a text that is not UTF-8": [1, 6, 1, 0xff],
    "a text in an overlong form": [1, 6, 2, 0xc0, 0x80],
    "a text with a cut character": [1, 6, 2, 0xe2, 0x82],
    "a text with a surrogate pair as two characters": [1, 6, 6, 0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80],
    "a text beyond Unicode": [1, 6, 4, 0xf4, 0x90, 0x80, 0x80],
    "a value that is encrypted": [1, 2, 0, 1, 2, 0x75],
    "a value with chunks beyond its length": [1, 2, 0, 0, 5, 1, 0x75, 1],
    "a value that announces chunks and has none": [1, 2, 0, 0, 5, 1, 0x75],
  };
  for (const [name, row] of Object.entries(damaged)) {
    test(name, () => assert.throws(() => decodeInput(Uint8Array.from(row)), corrupt));
  }

  test("or another row, and nothing else, whatever bytes are changed", () => {
    const change = fc.tuple(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.nat(255));
    fc.assert(
      fc.property(arbitraryTurn, fc.array(change, { minLength: 1, maxLength: 3 }), (turn, changes) => {
        const row = encodeTurn(turn);
        for (const [at, byte] of changes) row[Math.floor(at * row.length)] = byte;
        let decoded: Turn;
        try {
          decoded = decodeTurn(row);
        } catch (error) {
          assert.ok(isPerdureError(error, "JOURNAL_CORRUPT"), String(error));
          return;
        }
        // There is one way only to write a turn; but of repeated names in env the last one wins.
        const [start] = decoded.inputs;
        if (start?.kind !== "start") assert.deepStrictEqual(encodeTurn(decoded), row);
      }),
      { numRuns: 1000 },
    );
  });

  test("or another row, and nothing else, when the bytes are random", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (row) => {
        for (const decode of [decodeTurn, decodeInput, decodePayload]) {
          try {
            decode(row);
          } catch (error) {
            assert.ok(isPerdureError(error, "JOURNAL_CORRUPT"), String(error));
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});
