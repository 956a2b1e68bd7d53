import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "../journal/types.ts";
import { emitKind } from "../guest/runtime.ts";
import { decodeCommand, dispatchKind } from "./protocol.ts";

type Emitted = readonly [kind: number, number: number, a: string, b: string, ...chunks: Uint8Array[]];

const bytes = new Uint8Array([1, 2]);

const commands: readonly (readonly [emitted: Emitted, command: Command])[] = [
  [
    [1, 3, "app.ts#charge", "j[]"],
    { kind: "operation", number: 3, name: "app.ts#charge", options: "", args: { text: "j[]" } },
  ],
  [
    [1, 4, 'perdure:fetch\n{"mode":"at-least-once"}', "v[[1]]", bytes],
    {
      kind: "operation",
      number: 4,
      name: "perdure:fetch",
      options: '{"mode":"at-least-once"}',
      args: { text: "v[[1]]", chunks: [bytes] },
    },
  ],
  [[2, 3, "", ""], { kind: "abort", operation: 3 }],
  [[3, 1, "wall", "1700000000000"], { kind: "timer", number: 1, clock: "wall", dueMs: 1_700_000_000_000 }],
  [[3, 2, "service", "-0.5"], { kind: "timer", number: 2, clock: "service", dueMs: -0.5 }],
  [[3, 2, "service", "8640000000000000"], { kind: "timer", number: 2, clock: "service", dueMs: 8.64e15 }],
  [[4, 2, "", ""], { kind: "clear-timer", timer: 2 }],
  [[5, 0, "p2", "j1"], { kind: "send", to: "p2", body: { text: "j1" } }],
  [[6, 0, "warn", "a\nb"], { kind: "log", level: "warn", text: "a\nb" }],
  [[7, 0, "normal", "u"], { kind: "exit", reason: "normal", value: { text: "u" }, taken: 0 }],
  [
    [7, 2003, "cancelled", "v[[1]]", bytes],
    { kind: "exit", reason: "cancelled", value: { text: "v[[1]]", chunks: [bytes] }, taken: 2003 },
  ],
  [
    [8, 4, 'p3\napp.ts#run\nlink\n{"label":"a"}', "j[]"],
    {
      kind: "spawn",
      pid: "p3",
      entry: "app.ts#run",
      args: { text: "j[]" },
      link: true,
      monitor: 4,
      options: '{"label":"a"}',
    },
  ],
  [
    [8, 0, "p3\nrun\n\n", "j[]"],
    { kind: "spawn", pid: "p3", entry: "run", args: { text: "j[]" }, link: false, monitor: 0, options: "" },
  ],
  [[9, 0, "p2", ""], { kind: "link", to: "p2" }],
  [[10, 0, "p2", ""], { kind: "unlink", to: "p2" }],
  [[11, 5, "name", ""], { kind: "monitor", number: 5, to: "name" }],
  [[12, 5, "", ""], { kind: "demonitor", monitor: 5 }],
  [[13, 0, "kill\np2", "u"], { kind: "signal", to: "p2", reason: "kill", value: { text: "u" } }],
  [[13, 0, "shutdown\np2", "j1"], { kind: "signal", to: "p2", reason: "shutdown", value: { text: "j1" } }],
  [[14, 1, "", ""], { kind: "trap-exit", on: true }],
  [[14, 0, "", ""], { kind: "trap-exit", on: false }],
  [[15, 0, "", ""], { kind: "checkpoint" }],
  [[16, 0, "p2", "enough"], { kind: "cancel", to: "p2", reason: "enough" }],
];

function decode([kind, number, a, b, ...chunks]: Emitted): Command {
  return decodeCommand(kind, number, a, b, chunks);
}

for (const [emitted, command] of commands) {
  test(`${JSON.stringify(emitted.slice(0, 4))} is the command "${command.kind}"`, () => {
    assert.deepEqual(decode(emitted), command);
  });
}

test("every kind of command that the sandbox can issue is decoded", () => {
  const decoded = new Set<number>(commands.map(([emitted]) => emitted[0]));
  assert.deepEqual(decoded, new Set(Object.values(emitKind)));
});

test("every log level and exit reason is known, and nothing else", () => {
  for (const level of ["debug", "info", "log", "warn", "error"]) assert.equal(decode([6, 0, level, ""]).kind, "log");
  // An exit signal that is passed on can carry the host's reasons too.
  const words = [
    "normal",
    "shutdown",
    "error",
    "exit",
    "cancelled",
    "noproc",
    "killed",
    "stack_overflow",
    "out_of_memory",
  ];
  for (const reason of [...words, "out_of_fuel", "trap"]) assert.equal(decode([7, 0, reason, "u"]).kind, "exit");
  for (const reason of ["kill", "", "toString"])
    assert.throws(() => decode([7, 0, reason, "u"]), { code: "ENGINE_FAILED" });
});

const malformed: readonly Emitted[] = [
  [0, 1, "", ""],
  [17, 1, "", ""],
  [8, 1.5, "p\nrun\n\n", "u"],
  [11, 0, "p", ""],
  [12, -1, "", ""],
  [13, 0, "fine\np", "u"],
  [13, 0, "normal", "u"],
  [1.5, 1, "", ""],
  [NaN, 1, "", ""],
  [1, 0, "name", "u"],
  [1, -1, "name", "u"],
  [1, 1.5, "name", "u"],
  [1, NaN, "name", "u"],
  [1, 2 ** 53, "name", "u"],
  [2, Infinity, "", ""],
  [3, 1, "moon", "1"],
  [3, 1, "wall", ""],
  [3, 1, "wall", "NaN"],
  [3, 1, "wall", "Infinity"],
  [3, 1, "wall", "8640000000000001"],
  [3, 1, "wall", "tomorrow"],
  [3, NaN, "wall", "1"],
  [4, 0, "", ""],
  [6, 0, "fatal", "text"],
  [7, 0, "fine", "u"],
];
for (const emitted of malformed) {
  test(`${JSON.stringify(emitted.map(String))} is an error that names what is wrong`, () => {
    assert.throws(() => decode(emitted), { code: "ENGINE_FAILED", message: /unknown (command|number|time|word)/ });
  });
}

test("a long forged word is not repeated in full", () => {
  assert.throws(
    () => decode([6, 0, "x".repeat(1e6), ""]),
    (error: Error) => error.message.length < 300,
  );
});

test("kinds of inputs are numbered without doubles", () => {
  const kinds = Object.values(dispatchKind);
  assert.equal(new Set(kinds).size, kinds.length);
});
