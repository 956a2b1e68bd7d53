/** Arbitraries of the journal's vocabulary, for property tests. */
import fc from "fast-check";
import type { Payload } from "../src/base/value.ts";
import { commandKinds } from "../src/journal/encoding.ts";
import { exitReasons } from "../src/journal/types.ts";
import type { Command, CommandDigest, DroppedOperation, Input, Turn } from "../src/journal/types.ts";

const text = fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.string({ minLength: 20, maxLength: 200 }));
/** Also halves of surrogate pairs. */
const anyText = fc.oneof(
  text,
  fc.array(fc.integer({ min: 0xd7f0, max: 0xe010 })).map((units) => String.fromCharCode(...units)),
);
const count = fc.oneof(fc.nat(300), fc.maxSafeNat());
const plain = { noNullPrototype: true } as const;
const bytes = fc.uint8Array({ maxLength: 200 });

export const arbitraryPayload: fc.Arbitrary<Payload> = fc.oneof(
  fc.record({ text }, plain),
  fc.record({ text, chunks: fc.array(bytes, { minLength: 1, maxLength: 4 }) }, plain),
);

const fatalReasons = ["out_of_fuel", "out_of_memory", "stack_overflow", "trap", "killed"] as const;
const reason = fc.constantFrom(...exitReasons);
const seed = fc.uint8Array({ minLength: 32, maxLength: 32 });

const arbitraryDropped: fc.Arbitrary<DroppedOperation> = fc.record(
  { number: count, name: anyText, state: fc.constantFrom("queued", "running", "waiting", "ended"), attempt: count },
  plain,
);
/** Where nothing was dropped, nothing is said of it. */
const someDropped = fc.array(arbitraryDropped, { minLength: 1, maxLength: 4 });

export const arbitraryInput: fc.Arbitrary<Input> = fc.oneof(
  record("start", {
    entry: text,
    args: arbitraryPayload,
    seed,
    env: fc.dictionary(anyText, anyText, { noNullPrototype: true, maxKeys: 5 }),
  }),
  record("message", { from: anyText, body: arbitraryPayload }),
  record("result", { operation: count, ok: fc.boolean(), value: arbitraryPayload }),
  record("timer", { timer: count }),
  record("cancel", { reason: anyText }),
  record("fatal", { reason: fc.constantFrom(...fatalReasons), detail: anyText }),
  record("exit", {
    from: anyText,
    reason,
    value: arbitraryPayload,
    linked: fc.boolean(),
    held: fc.constantFrom("", "message", "result", "exit", "down"),
  }),
  record("down", { monitor: count, from: anyText, reason, value: arbitraryPayload }),
  record("restore", { life: count, seed }),
  record("restore", { life: count, seed, dropped: someDropped }),
  record("discard", { message: count }),
  fc.constantFrom({ kind: "pause" } as const, { kind: "resume" } as const),
  record("verdict", {
    verdict: fc.constantFrom("previous", "checkpoint", "release", "pause", "resume"),
    by: count,
    operation: count,
  }),
  record("move", { shard: count, sinceMs: count }),
  record("export", { file: text, request: text }),
);

const digest = fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: 16, maxLength: 16 });

const arbitraryDigest: fc.Arbitrary<CommandDigest> = fc.record(
  {
    kind: fc.constantFrom(...(Object.keys(commandKinds) as Command["kind"][])),
    target: anyText,
    digest,
  },
  plain,
);

export const arbitraryTurn: fc.Arbitrary<Turn> = fc.record(
  {
    number: count,
    timeMs: fc.oneof(count, fc.date({ min: new Date(0), noInvalidDate: true }).map(Number)),
    inputs: fc.array(arbitraryInput, { maxLength: 6 }),
    commands: fc.array(arbitraryDigest, { maxLength: 6 }),
    dropped: someDropped,
  },
  { ...plain, requiredKeys: ["number", "timeMs", "inputs", "commands"] },
);

export const arbitraryCommands: Readonly<Record<Command["kind"], fc.Arbitrary<Command>>> = {
  operation: record("operation", { number: count, name: text, args: arbitraryPayload, options: text }),
  abort: record("abort", { operation: count }),
  timer: record("timer", {
    number: count,
    clock: fc.constantFrom("wall", "service"),
    dueMs: fc.double({ noNaN: true, noDefaultInfinity: true }),
  }),
  "clear-timer": record("clear-timer", { timer: count }),
  send: record("send", { to: anyText, body: arbitraryPayload }),
  log: record("log", { level: fc.constantFrom("debug", "info", "log", "warn", "error"), text: anyText }),
  exit: record("exit", { reason, value: arbitraryPayload }),
  spawn: record("spawn", {
    pid: anyText,
    entry: anyText,
    args: arbitraryPayload,
    link: fc.boolean(),
    monitor: count,
    options: anyText,
  }),
  link: record("link", { to: anyText }),
  unlink: record("unlink", { to: anyText }),
  monitor: record("monitor", { number: count, to: anyText }),
  demonitor: record("demonitor", { monitor: count }),
  signal: record("signal", { to: anyText, reason: fc.constantFrom(...exitReasons, "kill"), value: arbitraryPayload }),
  cancel: record("cancel", { to: anyText, reason: anyText }),
  "trap-exit": record("trap-exit", { on: fc.boolean() }),
  checkpoint: fc.constant({ kind: "checkpoint" }),
};

export const arbitraryCommand: fc.Arbitrary<Command> = fc.oneof(...Object.values(arbitraryCommands));

/** A record of this kind, with the prototype that decoded ones have. */
function record<K extends string, T>(
  kind: K,
  fields: { [Key in keyof T]: fc.Arbitrary<T[Key]> },
): fc.Arbitrary<{ kind: K } & T> {
  return fc.record(fields).map((values) => ({ kind, ...(values as T) }));
}
