/**
 * How turns, inputs and payloads lie in the store.
 *
 *     turn     = version number time count input … count command … [count dropped …]
 *     input    = 1 entry seed count (name value) … payload     start      seed is length and bytes; names and values are env
 *              | 2 from payload                                message
 *              | 3 operation payload                           result, ok
 *              | 4 operation payload                           result, failed
 *              | 5 timer                                       timer
 *              | 6 reason                                      cancel
 *              | 7 fatal detail                                fatal; `fatal` is a byte of `exitReasons`
 *              | 8 from reason payload linked held             exit; `reason` as above, `linked` a byte, `held` an input's kind or ""
 *              | 9 monitor from reason payload                 down
 *              | 10 life seed count dropped …                  restore
 *              | 11                                            pause
 *              | 12                                            resume
 *              | 13 message                                    discard
 *              | 14 file request                               export
 *              | 15 verdict by operation                       verdict; `verdict` is a byte of `verdicts`
 *              | 16 shard since                                move
 *     dropped  = number name state attempt                     state is a byte of `droppedStates`
 *     command  = kind target digest                            kind is a byte of `commandKinds`
 *     payload  = key head body
 *
 * - `version` is a byte, 1. An input stored by itself has it too; a payload has not, because its key does that work.
 * - `key` is a byte: who encrypted the body. 0 is nobody, and as yet the only one. `head` is a varint, twice the body's
 *   length in bytes, plus one if it has chunks. So a payload can be skipped without being understood.
 * - `body` without chunks is the text. With chunks it is the text's length, the text, then for each chunk its length and
 *   its bytes, up to the body's end.
 * - All other numbers, counts and lengths are varints: seven bits a byte, lowest first, in the shortest form, below 2^53.
 * - Texts are their length in bytes and UTF-8 (WTF-8 where surrogates stand alone).
 * - A digest is eight bytes.
 * - A turn ends after its commands if it dropped no operation.
 *
 * A row is read to its last byte and nothing else is accepted. Checksums are the store's business.
 */
import { PerdureError } from "../base/errors.ts";
import type { Payload } from "../base/value.ts";
import { Reader, Writer } from "./bytes.ts";
import type {
  Command,
  CommandDigest,
  DroppedOperation,
  ExitReason,
  FatalReason,
  Input,
  Turn,
  Verdict,
} from "./types.ts";
import { utf8 } from "./utf8.ts";

const version = 1;
const notEncrypted = 0;

/** Released numbers stay; new kinds take the next. */
const exitReasons: Readonly<Record<ExitReason, number>> = {
  out_of_fuel: 1,
  out_of_memory: 2,
  stack_overflow: 3,
  trap: 4,
  killed: 5,
  normal: 6,
  shutdown: 7,
  error: 8,
  exit: 9,
  cancelled: 10,
  noproc: 11,
  noconnection: 12,
};

const fatalReasons: ReadonlySet<ExitReason> = new Set<FatalReason>([
  "out_of_fuel",
  "out_of_memory",
  "stack_overflow",
  "trap",
  "killed",
]);

/** Released numbers stay; new kinds take the next. They are part of every command's digest too. */
export const commandKinds: Readonly<Record<Command["kind"], number>> = {
  operation: 1,
  abort: 2,
  timer: 3,
  "clear-timer": 4,
  send: 5,
  log: 6,
  exit: 7,
  spawn: 8,
  link: 9,
  unlink: 10,
  monitor: 11,
  demonitor: 12,
  signal: 13,
  "trap-exit": 14,
  checkpoint: 15,
  cancel: 16,
};

/** Released numbers stay. */
const droppedStates: Readonly<Record<DroppedOperation["state"], number>> = {
  queued: 1,
  running: 2,
  waiting: 3,
  ended: 4,
};

/** Released numbers stay. */
const verdicts: Readonly<Record<Verdict, number>> = { previous: 1, checkpoint: 2, release: 3, pause: 4, resume: 5 };

const inputKinds: Readonly<Record<Input["kind"], true>> = {
  start: true,
  message: true,
  result: true,
  timer: true,
  cancel: true,
  fatal: true,
  exit: true,
  down: true,
  restore: true,
  pause: true,
  resume: true,
  discard: true,
  verdict: true,
  move: true,
  export: true,
};

const exitReasonsByNumber = byNumber(exitReasons);
const commandKindsByNumber = byNumber(commandKinds);
const droppedStatesByNumber = byNumber(droppedStates);
const verdictsByNumber = byNumber(verdicts);

function byNumber<K extends string>(numbers: Readonly<Record<K, number>>): readonly (K | undefined)[] {
  const names: K[] = [];
  for (const name of Object.keys(numbers) as K[]) names[numbers[name]] = name;
  return names;
}

const writer = new Writer();

/** Throws ARGUMENT_INVALID for a turn that the journal could not give back. */
export function encodeTurn(turn: Turn): Uint8Array {
  return written(() => {
    writer.byte(version);
    writer.varint(turn.number);
    writer.varint(turn.timeMs);
    writer.varint(turn.inputs.length);
    for (const input of turn.inputs) writeInput(input);
    writer.varint(turn.commands.length);
    for (const command of turn.commands) {
      writer.byte(numberOf(commandKinds, command.kind));
      writer.text(command.target);
      writer.digest(command.digest);
    }
    if (turn.dropped !== undefined && turn.dropped.length > 0) writeDropped(turn.dropped);
  });
}

/** Throws JOURNAL_CORRUPT. */
export function decodeTurn(bytes: Uint8Array): Turn {
  const reader = versioned(bytes);
  const number = reader.varint();
  const timeMs = reader.varint();
  const inputs: Input[] = [];
  for (let count = reader.varint(); count > 0; count--) inputs.push(readInput(reader));
  const commands: CommandDigest[] = [];
  for (let count = reader.varint(); count > 0; count--) {
    const kind = commandKindsByNumber[reader.byte()];
    if (kind === undefined) throw reader.corrupt("a command is of an unknown kind", reader.position - 1);
    commands.push({ kind, target: reader.text(), digest: reader.digest() });
  }
  if (reader.ended) return { number, timeMs, inputs, commands };
  const start = reader.position;
  const dropped = readDropped(reader);
  if (dropped.length === 0) throw reader.corrupt("a turn says twice that it dropped nothing", start);
  reader.end();
  return { number, timeMs, inputs, commands, dropped };
}

function writeDropped(dropped: readonly DroppedOperation[]): void {
  writer.varint(dropped.length);
  for (const { number, name, state, attempt } of dropped) {
    writer.varint(number);
    writer.text(name);
    writer.byte(numberOf(droppedStates, state));
    writer.varint(attempt);
  }
}

function readDropped(reader: Reader): DroppedOperation[] {
  const dropped: DroppedOperation[] = [];
  for (let count = reader.varint(); count > 0; count--) {
    const [number, name] = [reader.varint(), reader.text()];
    const state = droppedStatesByNumber[reader.byte()];
    if (state === undefined) throw reader.corrupt("an operation was dropped in an unknown state", reader.position - 1);
    dropped.push({ number, name, state, attempt: reader.varint() });
  }
  return dropped;
}

/** Throws ARGUMENT_INVALID for an input that the journal could not give back. */
export function encodeInput(input: Input): Uint8Array {
  return written(() => {
    writer.byte(version);
    writeInput(input);
  });
}

/** Throws JOURNAL_CORRUPT. */
export function decodeInput(bytes: Uint8Array): Input {
  const reader = versioned(bytes);
  const input = readInput(reader);
  reader.end();
  return input;
}

export function encodePayload(payload: Payload): Uint8Array {
  return written(() => writePayload(payload));
}

/** Throws JOURNAL_CORRUPT. Whether the text says a value is `decodeValue`'s business. */
export function decodePayload(bytes: Uint8Array): Payload {
  const reader = new Reader(bytes);
  const payload = readPayload(reader);
  reader.end();
  return payload;
}

function written(write: () => void): Uint8Array {
  try {
    write();
    return writer.take();
  } catch (error) {
    writer.reset();
    throw error;
  }
}

function versioned(bytes: Uint8Array): Reader {
  const reader = new Reader(bytes);
  const found = reader.byte();
  if (found > version) {
    throw new PerdureError(
      "JOURNAL_CORRUPT",
      `A journal row has format ${found}, and this release reads up to format ${version}: a newer release of Perdure wrote it. ` +
        "Run that release or a later one.",
      { details: { offset: 0, format: found } },
    );
  }
  if (found !== version) throw reader.corrupt(`format ${found} does not exist`, 0);
  return reader;
}

function writeInput(input: Input): void {
  switch (input.kind) {
    case "start": {
      const names = Object.keys(input.env);
      writer.byte(1);
      writer.text(input.entry);
      writer.varint(input.seed.length);
      writer.raw(input.seed);
      writer.varint(names.length);
      for (const name of names) {
        writer.text(name);
        writer.text(input.env[name] as string);
      }
      writePayload(input.args);
      return;
    }
    case "message":
      writer.byte(2);
      writer.text(input.from);
      writePayload(input.body);
      return;
    case "result":
      writer.byte(input.ok ? 3 : 4);
      writer.varint(input.operation);
      writePayload(input.value);
      return;
    case "timer":
      writer.byte(5);
      writer.varint(input.timer);
      return;
    case "cancel":
      writer.byte(6);
      writer.text(input.reason);
      return;
    case "fatal":
      writer.byte(7);
      writer.byte(numberOf(exitReasons, input.reason));
      writer.text(input.detail);
      return;
    default:
      return writeSignal(input);
  }
}

type Signal = Exclude<Input, { kind: "start" | "message" | "result" | "timer" | "cancel" | "fatal" }>;

function writeSignal(input: Signal): void {
  switch (input.kind) {
    case "exit":
      writer.byte(8);
      writer.text(input.from);
      writer.byte(numberOf(exitReasons, input.reason));
      writePayload(input.value);
      writer.byte(input.linked ? 1 : 0);
      writer.text(input.held);
      return;
    case "down":
      writer.byte(9);
      writer.varint(input.monitor);
      writer.text(input.from);
      writer.byte(numberOf(exitReasons, input.reason));
      writePayload(input.value);
      return;
    case "restore":
      writer.byte(10);
      writer.varint(input.life);
      writer.varint(input.seed.length);
      writer.raw(input.seed);
      writeDropped(input.dropped ?? []);
      return;
    case "pause":
      writer.byte(11);
      return;
    case "resume":
      writer.byte(12);
      return;
    case "discard":
      writer.byte(13);
      writer.varint(input.message);
      return;
    case "verdict":
      writer.byte(15);
      writer.byte(numberOf(verdicts, input.verdict));
      writer.varint(input.by);
      writer.varint(input.operation);
      return;
    case "move":
      writer.byte(16);
      writer.varint(input.shard);
      writer.varint(input.sinceMs);
      return;
    case "export":
      writer.byte(14);
      writer.text(input.file);
      writer.text(input.request);
      return;
    default:
      throw unknown((input as { kind: unknown }).kind);
  }
}

function numberOf<K extends string>(numbers: Readonly<Record<K, number>>, name: K): number {
  const number: number | undefined = numbers[name];
  if (number === undefined) throw unknown(name);
  return number;
}

function unknown(name: unknown): PerdureError {
  return new PerdureError(
    "ARGUMENT_INVALID",
    `The journal has no number for ${String(name)}. Give it one in encoding.ts.`,
  );
}

function readInput(reader: Reader): Input {
  const start = reader.position;
  const kind = reader.byte();
  switch (kind) {
    case 1:
      return readStart(reader);
    case 2:
      return { kind: "message", from: reader.text(), body: readPayload(reader) };
    case 3:
    case 4:
      return { kind: "result", operation: reader.varint(), ok: kind === 3, value: readPayload(reader) };
    case 5:
      return { kind: "timer", timer: reader.varint() };
    case 6:
      return { kind: "cancel", reason: reader.text() };
    case 7: {
      const reason = readReason(reader);
      if (!isFatal(reason)) throw reader.corrupt("a fatal input has a reason that is not", start + 1);
      return { kind: "fatal", reason, detail: reader.text() };
    }
    default:
      return readSignal(reader, kind, start);
  }
}

function readSignal(reader: Reader, kind: number, start: number): Input {
  switch (kind) {
    case 8: {
      const [from, reason, value] = [reader.text(), readReason(reader), readPayload(reader)];
      const linked = reader.byte();
      const held = reader.text();
      if (linked > 1 || !isHeld(held)) throw reader.corrupt("an exit signal is not one", start);
      return { kind: "exit", from, reason, value, linked: linked === 1, held };
    }
    case 9: {
      const monitor = reader.varint();
      return { kind: "down", monitor, from: reader.text(), reason: readReason(reader), value: readPayload(reader) };
    }
    case 10:
      return readRestore(reader);
    case 11:
      return { kind: "pause" };
    case 12:
      return { kind: "resume" };
    case 13:
      return { kind: "discard", message: reader.varint() };
    case 14:
      return { kind: "export", file: reader.text(), request: reader.text() };
    case 15: {
      const verdict = verdictsByNumber[reader.byte()];
      if (verdict === undefined) throw reader.corrupt("a verdict is unknown", start + 1);
      return { kind: "verdict", verdict, by: reader.varint(), operation: reader.varint() };
    }
    case 16:
      return { kind: "move", shard: reader.varint(), sinceMs: reader.varint() };
    default:
      throw reader.corrupt("an input is of an unknown kind", start);
  }
}

function readRestore(reader: Reader): Input {
  const [life, seed] = [reader.varint(), reader.raw(reader.varint())];
  const dropped = readDropped(reader);
  return dropped.length === 0 ? { kind: "restore", life, seed } : { kind: "restore", life, seed, dropped };
}

function readReason(reader: Reader): ExitReason {
  const reason = exitReasonsByNumber[reader.byte()];
  if (reason === undefined) throw reader.corrupt("an exit reason is unknown", reader.position - 1);
  return reason;
}

function isFatal(reason: ExitReason): reason is FatalReason {
  return fatalReasons.has(reason);
}

function isHeld(text: string): text is "" | Input["kind"] {
  return text === "" || Object.hasOwn(inputKinds, text);
}

function readStart(reader: Reader): Input {
  const entry = reader.text();
  const seed = reader.raw(reader.varint());
  const pairs: [string, string][] = [];
  for (let count = reader.varint(); count > 0; count--) pairs.push([reader.text(), reader.text()]);
  const env = Object.fromEntries(pairs);
  return { kind: "start", entry, args: readPayload(reader), seed, env };
}

function writePayload({ text, chunks }: Payload): void {
  writer.byte(notEncrypted);
  if (chunks === undefined || chunks.length === 0) {
    writer.text(text, 2);
    return;
  }
  const textBytes = utf8(text);
  let length = varintLength(textBytes.length) + textBytes.length;
  for (const chunk of chunks) length += varintLength(chunk.length) + chunk.length;
  writer.varint(length * 2 + 1);
  writer.varint(textBytes.length);
  writer.raw(textBytes);
  for (const chunk of chunks) {
    writer.varint(chunk.length);
    writer.raw(chunk);
  }
}

function readPayload(reader: Reader): Payload {
  const start = reader.position;
  const key = reader.byte();
  if (key !== notEncrypted) {
    throw reader.corrupt(`a value is encrypted with key ${key}, which this release does not know`, start);
  }
  const head = reader.varint();
  const length = Math.floor(head / 2);
  if (head % 2 === 0) return { text: reader.utf8(length) };
  const end = reader.position + length;
  const text = reader.text();
  const chunks: Uint8Array[] = [];
  while (reader.position < end) chunks.push(reader.raw(reader.varint()));
  if (reader.position !== end || chunks.length === 0)
    throw reader.corrupt("a value has another length than announced", start);
  return { text, chunks };
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
  return length;
}
