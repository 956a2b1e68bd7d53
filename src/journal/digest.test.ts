import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { arbitraryCommand, arbitraryCommands } from "../../test/arbitrary-turns.ts";
import { commandDigest } from "./digest.ts";
import { Hasher } from "./hash.ts";
import type { Command } from "./types.ts";

const payload = { text: "j42" };

describe("commandDigest", () => {
  test("names the target for people", () => {
    const targets: readonly (readonly [Command, string])[] = [
      [{ kind: "operation", number: 3, name: "app.ts#charge", args: payload, options: "" }, "app.ts#charge"],
      [{ kind: "abort", operation: 3 }, "3"],
      [{ kind: "timer", number: 4, clock: "wall", dueMs: 1 }, "4"],
      [{ kind: "clear-timer", timer: 5 }, "5"],
      [{ kind: "send", to: "order-1", body: payload }, "order-1"],
      [{ kind: "log", level: "warn", text: "hot" }, "warn"],
      [{ kind: "exit", reason: "normal", value: payload }, "normal"],
    ];
    for (const [command, target] of targets) {
      const result = commandDigest(command);
      assert.equal(result.kind, command.kind);
      assert.equal(result.target, target);
      assert.match(result.digest, /^[0-9a-f]{16}$/);
    }
  });

  test("is the same in every release, since journals hold it", () => {
    const command: Command = {
      kind: "operation",
      number: 1,
      name: "app.ts#charge",
      args: { text: 'v[[1],["b",5]]', chunks: [Uint8Array.of(1, 2, 3, 4, 5)] },
      options: "",
    };
    assert.equal(commandDigest(command).digest, "9a7595b91f47762a");
  });

  test("is the same for equal commands", () => {
    fc.assert(
      fc.property(arbitraryCommand, (command) => {
        assert.deepStrictEqual(commandDigest(structuredClone(command)), commandDigest(command));
      }),
    );
  });

  for (const [kind, arbitrary] of Object.entries(arbitraryCommands)) {
    test(`of ${kind} differs when any field does`, () => {
      fc.assert(
        fc.property(arbitrary, arbitrary, (command, other) => {
          for (const [field, value] of Object.entries(other)) {
            const changed = { ...command, [field]: value } as Command;
            if (isDeepStrictEqual(changed, command)) continue;
            assert.notEqual(commandDigest(changed).digest, commandDigest(command).digest, field);
          }
        }),
        { numRuns: 300 },
      );
    });
  }

  test("differs when one character or one byte does", () => {
    const character = fc.record({ at: fc.nat(), add: fc.integer({ min: 1, max: 255 }) });
    fc.assert(
      fc.property(
        fc.string({ minLength: 1, unit: "binary" }),
        fc.uint8Array({ minLength: 1 }),
        character,
        (text, bytes, { at, add }) => {
          const digest = (text: string, bytes: Uint8Array) =>
            commandDigest({ kind: "send", to: "x", body: { text, chunks: [bytes] } }).digest;
          const index = at % text.length;
          const unit = String.fromCharCode(text.charCodeAt(index) ^ add);
          assert.notEqual(digest(`${text.slice(0, index)}${unit}${text.slice(index + 1)}`, bytes), digest(text, bytes));
          const changed = bytes.slice();
          changed[at % bytes.length] = (changed[at % bytes.length] as number) ^ add;
          assert.notEqual(digest(text, changed), digest(text, bytes));
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("tells where one field ends and the next begins", () => {
    const operation = (name: string, options: string, text: string, chunks: Uint8Array[] = []) =>
      commandDigest({ kind: "operation", number: 1, name, options, args: { text, chunks } }).digest;
    const digests = [
      operation("ab", "", ""),
      operation("a", "b", ""),
      operation("a", "", "b"),
      operation("", "ab", ""),
      operation("", "", "ab"),
      operation("", "", "", [Uint8Array.of(0x61, 0, 0x62, 0)]),
      operation("", "", "", [Uint8Array.of(0x61, 0), Uint8Array.of(0x62, 0)]),
      operation("", "", "", [new Uint8Array(0), Uint8Array.of(0x61, 0, 0x62, 0)]),
    ];
    assert.equal(new Set(digests).size, digests.length);
  });
});

describe("Hasher", () => {
  test("gives 200,000 similar texts as many hashes, and each half of them few repetitions", () => {
    const count = 200_000;
    const wholes = new Set<string>();
    const firsts = new Set<string>();
    const seconds = new Set<string>();
    for (let i = 0; i < count; i++) {
      const hasher = new Hasher();
      hasher.text(`order-${i}`);
      const digest = hasher.digest();
      wholes.add(digest);
      firsts.add(digest.slice(0, 8));
      seconds.add(digest.slice(8));
    }
    assert.equal(wholes.size, count);
    // Chance gives about 4.7 repetitions of 32 bits.
    for (const halves of [firsts, seconds]) assert.ok(count - halves.size < 25, `${count - halves.size} repetitions`);
  });

  test("changes about half of its bits when one bit of the input changes", () => {
    const bits = (digest: string) => BigInt(`0x${digest}`);
    let changed = 0;
    const samples = 2000;
    for (let i = 0; i < samples; i++) {
      const [one, other] = [new Hasher(), new Hasher()];
      one.number(i);
      other.number(i ^ (1 << (i % 20)));
      changed += (bits(one.digest()) ^ bits(other.digest())).toString(2).replaceAll("0", "").length;
    }
    const mean = changed / samples;
    assert.ok(mean > 31 && mean < 33, `${mean} of 64 bits`);
  });
});
