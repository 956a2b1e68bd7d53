/** Turns, inputs and values as lines of JSON: what archives and process files have in common. The format is in `archive/format.ts`. */
import type { Payload } from "../../base/value.ts";
import type { Input, Turn } from "../../journal/types.ts";

export type Json = { readonly [key: string]: unknown };

export function line(record: Json): string {
  return `${JSON.stringify(record)}\n`;
}

export function turnLine(turn: Turn): string {
  return line({ kind: "turn", ...turn, inputs: turn.inputs.map(fromInput) });
}

/** Of a record of the kind "turn". */
export function toTurn(record: Json): Turn {
  const { kind: _, ...turn } = record as unknown as Turn & { kind: string };
  return { ...turn, inputs: turn.inputs.map((input) => toInput(input as unknown as Json)) };
}

/** Fields of inputs that hold a payload. */
const payloadFields: ReadonlySet<string> = new Set(["args", "body", "value"]);

export function fromInput(input: Input): Json {
  return mapped(input, (name, value) => {
    if (payloadFields.has(name)) return fromPayload(value as Payload);
    return value instanceof Uint8Array ? toBase64(value) : value;
  });
}

export function toInput(json: Json): Input {
  const input = mapped(json, (name, value) => {
    if (payloadFields.has(name)) return toPayload(value as Json);
    return name === "seed" ? fromBase64(value as string) : value;
  });
  return input as unknown as Input;
}

function mapped(object: object, map: (name: string, value: unknown) => unknown): Json {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(name, value)]));
}

export function fromPayload({ text, chunks }: Payload): Json {
  const bytes = chunks === undefined ? {} : { bytes: chunks.map(toBase64) };
  if (text === "u" && chunks === undefined) return { undefined: true };
  const isTree = text.startsWith("j") && chunks === undefined;
  if (isTree || text.startsWith("v")) {
    const parsed = parse(text.slice(1));
    // Byte by byte the same when it is read, or as the text it is.
    if (JSON.stringify(parsed) === text.slice(1)) return isTree ? { json: parsed } : { graph: parsed, ...bytes };
  }
  return { text, ...bytes };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function toPayload(json: Json): Payload {
  const chunks = json["bytes"] as readonly string[] | undefined;
  const rest = chunks === undefined ? {} : { chunks: chunks.map(fromBase64) };
  if ("undefined" in json) return { text: "u" };
  if ("json" in json) return { text: `j${JSON.stringify(json["json"])}` };
  if ("graph" in json) return { text: `v${JSON.stringify(json["graph"])}`, ...rest };
  return { text: json["text"] as string, ...rest };
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

export function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64"));
}
