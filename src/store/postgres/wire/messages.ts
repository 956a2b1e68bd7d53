/**
 * The messages of PostgreSQL's protocol, version 3.0: those this client sends, and the stream of those it gets.
 *
 * A message is a byte that says its kind, its length as int32 (counting itself but not the kind), and its content. The very first
 * messages of a connection have no kind.
 */
import { encodeParameter, typeIds } from "./values.ts";
import type { Type, Value } from "./values.ts";

export function message(kind: string, ...parts: readonly Uint8Array[]): Uint8Array[] {
  let length = 4;
  for (const part of parts) length += part.length;
  const head = Buffer.allocUnsafe(kind.length + 4);
  head.write(kind, 0, "latin1");
  head.writeInt32BE(length, kind.length);
  return [head, ...parts];
}

/** Texts that end with NUL. */
export function texts(...all: readonly string[]): Uint8Array {
  return Buffer.from(all.map((text) => `${text}\0`).join(""), "utf8");
}

function int32s(...values: readonly number[]): Uint8Array {
  const bytes = Buffer.allocUnsafe(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeInt32BE(value, i * 4);
  return bytes;
}

function int16s(...values: readonly number[]): Uint8Array {
  const bytes = Buffer.allocUnsafe(values.length * 2);
  for (const [i, value] of values.entries()) bytes.writeInt16BE(value, i * 2);
  return bytes;
}

export function startup(parameters: Readonly<Record<string, string>>): Uint8Array[] {
  return message("", int32s(3 << 16), texts(...Object.entries(parameters).flat(), ""));
}

export const sslRequest: readonly Uint8Array[] = message("", int32s(80877103));
export const sync: readonly Uint8Array[] = message("S");
export const terminate: readonly Uint8Array[] = message("X");
/** The unnamed portal, all rows. */
export const execute: readonly Uint8Array[] = message("E", texts(""), int32s(0));
export const describePortal: readonly Uint8Array[] = message("D", texts("P"));

export function describeStatement(name: string): Uint8Array[] {
  return message("D", texts(`S${name}`));
}

export function parse(name: string, sql: string, types: readonly (Type | 0)[]): Uint8Array[] {
  const ids = types.map((type) => (type === 0 ? 0 : typeIds[type]));
  return message("P", texts(name, sql), int16s(ids.length), int32s(...ids));
}

/** Parameters and results in the binary format. */
export function bind(statement: string, values: readonly Value[], types: readonly Type[]): Uint8Array[] {
  const parameters = values.flatMap((value, i) => encodeParameter(value, types[i] ?? "text"));
  return message("B", texts("", statement), int16s(1, 1, values.length), ...parameters, int16s(1, 1));
}

/** Parameters as text, bytes as they are, for a statement that says nothing about their types; results as text. */
export function bindTexts(values: readonly (string | Uint8Array | null)[]): Uint8Array[] {
  const formats = values.map((value) => (value instanceof Uint8Array ? 1 : 0));
  const parameters = values.flatMap((value) => {
    if (value === null) return [int32s(-1)];
    const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value;
    return [int32s(bytes.length), bytes];
  });
  return message("B", texts("", ""), int16s(values.length, ...formats, values.length), ...parameters, int16s(0));
}

/** One message that has arrived: its kind, and its content. */
export type Take = (kind: string, content: Buffer) => void;

/** A server's rows can be as large as a value: anything beyond is no PostgreSQL. */
const maxMessageBytes = 1 << 30;

/** Cuts what arrives into messages. */
export class MessageStream {
  #chunks: Buffer[] = [];
  #length = 0;
  /** No message ends before so many bytes are there. */
  #wanted = 5;

  push(chunk: Buffer, take: Take): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length < this.#wanted) return;
    const all = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#length);
    let at = 0;
    this.#wanted = 5;
    while (all.length - at >= 5) {
      const end = at + 1 + all.readInt32BE(at + 1);
      if (end < at + 5 || end - at > maxMessageBytes)
        throw new Error("what answers does not speak PostgreSQL's protocol");
      if (end > all.length) {
        this.#wanted = end - at;
        break;
      }
      take(String.fromCharCode(all[at] ?? 0), all.subarray(at + 5, end));
      at = end;
    }
    this.#chunks = at === all.length ? [] : [all.subarray(at)];
    this.#length = all.length - at;
  }
}

/** Texts that each end with NUL, one after the other. */
export function readTexts(content: Buffer, from = 0): string[] {
  return content.toString("utf8", from).split("\0").slice(0, -1);
}

/** The fields of an error or a notice, by their letters. */
export function readFields(content: Buffer): Map<string, string> {
  return new Map(
    readTexts(content).flatMap((field) => (field === "" ? [] : [[field.slice(0, 1), field.slice(1)] as const])),
  );
}

export interface Column {
  readonly name: string;
  readonly typeId: number;
}

export function readColumns(content: Buffer): Column[] {
  const columns: Column[] = [];
  let at = 2;
  for (let left = content.readInt16BE(0); left > 0; left--) {
    const end = content.indexOf(0, at);
    columns.push({ name: content.toString("utf8", at, end), typeId: content.readInt32BE(end + 7) });
    at = end + 19;
  }
  return columns;
}
