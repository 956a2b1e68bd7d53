/** Values on their way to a server and back, in PostgreSQL's binary format. */
import type { ColumnValue } from "../../columns.ts";

/** The types parameters have. Every integer goes as int8: the server converts it to what the column holds. */
export type Type = "int8" | "float8" | "text" | "bytea" | `${"int8" | "float8" | "text" | "bytea"}[]`;

export type Scalar = number | string | Uint8Array | null;
export type Value = Scalar | readonly Scalar[];

export const typeIds: Readonly<Record<Type, number>> = {
  bytea: 17,
  int8: 20,
  text: 25,
  float8: 701,
  "bytea[]": 1001,
  "text[]": 1009,
  "int8[]": 1016,
  "float8[]": 1022,
};

/**
 * A text in PostgreSQL cannot hold NUL; programs print it all the same. So NUL goes as this character and "0", and the character
 * itself, which nobody uses, as itself and "1".
 */
const escape = "\uf8fe";

export function escapeText(text: string): string {
  if (!text.includes("\0") && !text.includes(escape)) return text;
  return text.replaceAll(escape, `${escape}1`).replaceAll("\0", `${escape}0`);
}

export function unescapeText(text: string): string {
  if (!text.includes(escape)) return text;
  return text.replaceAll(`${escape}0`, "\0").replaceAll(`${escape}1`, escape);
}

/** The bytes of a parameter, with their length before them. */
export function encodeParameter(value: Value, type: Type): Uint8Array[] {
  if (value === null) return [int32(-1)];
  if (!type.endsWith("[]")) return sized(encodeScalar(value as Scalar, type));
  const element = type.slice(0, -2) as Type;
  const parts: Uint8Array[] = [];
  const items = value as readonly Scalar[];
  if (element === "int8" || element === "float8")
    parts.push(encodeNumbers(items as readonly (number | null)[], element));
  else {
    for (const item of items) {
      if (item === null) parts.push(int32(-1));
      else parts.push(...sized(encodeScalar(item, element)));
    }
  }
  const head = Buffer.allocUnsafe(items.length === 0 ? 12 : 20);
  head.writeInt32BE(items.length === 0 ? 0 : 1, 0);
  head.writeInt32BE(items.includes(null) ? 1 : 0, 4);
  head.writeInt32BE(typeIds[element], 8);
  if (items.length > 0) {
    head.writeInt32BE(items.length, 12);
    head.writeInt32BE(1, 16);
  }
  let length = head.length;
  if (items.length > 0) for (const part of parts) length += part.length;
  return items.length === 0 ? [int32(length), head] : [int32(length), head, ...parts];
}

/** All in one piece: most arrays are of numbers. */
function encodeNumbers(items: readonly (number | null)[], type: "int8" | "float8"): Uint8Array {
  const bytes = Buffer.allocUnsafe(items.length * 12);
  let at = 0;
  for (const item of items) {
    bytes.writeInt32BE(item === null ? -1 : 8, at);
    if (item !== null) writeNumber(bytes, item, at + 4, type);
    at += item === null ? 4 : 12;
  }
  return bytes.subarray(0, at);
}

function writeNumber(bytes: Buffer, value: number, at: number, type: Type): void {
  if (type === "float8") bytes.writeDoubleBE(value, at);
  else if (Number.isSafeInteger(value)) {
    bytes.writeInt32BE(Math.floor(value / 2 ** 32), at);
    bytes.writeUInt32BE(value - Math.floor(value / 2 ** 32) * 2 ** 32, at + 4);
  } else throw new Error(`${value} is no whole number that can be stored exactly`);
}

function encodeScalar(value: Scalar, type: Type): Uint8Array {
  if (type === "text") return Buffer.from(escapeText(value as string), "utf8");
  if (type === "bytea") return value as Uint8Array;
  const bytes = Buffer.allocUnsafe(8);
  writeNumber(bytes, value as number, 0, type);
  return bytes;
}

function sized(bytes: Uint8Array): [Uint8Array, Uint8Array] {
  return [int32(bytes.length), bytes];
}

function int32(value: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** Reads one column of a row, by the id of its type. Booleans are 1 and 0. */
export function decodeColumn(bytes: Buffer, typeId: number): ColumnValue {
  switch (typeId) {
    case 16:
      return bytes.readUInt8(0);
    case 17:
      return new Uint8Array(bytes);
    case 20:
      return readInt8(bytes);
    case 21:
      return bytes.readInt16BE(0);
    case 23:
      return bytes.readInt32BE(0);
    case 26:
      return bytes.readUInt32BE(0);
    case 700:
      return bytes.readFloatBE(0);
    case 701:
      return bytes.readDoubleBE(0);
    case 19:
    case 25:
    case 1042:
    case 1043:
      return unescapeText(bytes.toString("utf8"));
    case 2278:
      // A function that returns nothing.
      return null;
    default:
      throw new Error(`a column has the type number ${typeId}, which no statement asks for`);
  }
}

function readInt8(bytes: Buffer): number | bigint {
  const value = bytes.readInt32BE(0) * 2 ** 32 + bytes.readUInt32BE(4);
  return Number.isSafeInteger(value) ? value : bytes.readBigInt64BE(0);
}
