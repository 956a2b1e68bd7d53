/** Values of user SQL: on their way to the server as text, of which the server makes what the statement wants; and back. */
import { PerdureError } from "../../../base/errors.ts";
import type { PostgresParam, PostgresValue } from "../../transactions.ts";

/** `place` is the `n` of `$n`. Throws ARGUMENT_INVALID. */
export function encodeParam(value: unknown, place: number): string | Uint8Array | null {
  if (value === null) return null;
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return arrayText(value as readonly PostgresParam[], place);
  return scalarText(value, place);
}

function scalarText(value: unknown, place: number): string {
  switch (typeof value) {
    case "string":
      return value;
    case "number":
    case "bigint":
    case "boolean":
      return String(value);
    default:
      if (value instanceof Date && !Number.isNaN(value.getTime())) return dateText(value);
      throw unfit(value, place);
  }
}

/** PostgreSQL has no year 0, and says BC. */
function dateText(date: Date): string {
  const year = date.getUTCFullYear();
  const rest = date.toISOString().replace(/^[+-]?\d+/, "");
  return year > 0 ? `${String(year).padStart(4, "0")}${rest}` : `${String(1 - year).padStart(4, "0")}${rest} BC`;
}

function arrayText(values: readonly unknown[], place: number): string {
  const items = Array.from(values, (value) => {
    if (value === null) return "NULL";
    if (Array.isArray(value)) return arrayText(value, place);
    if (value instanceof Uint8Array) return `"\\\\x${Buffer.from(value).toString("hex")}"`;
    return `"${scalarText(value, place).replaceAll(/["\\]/g, "\\$&")}"`;
  });
  return `{${items.join(",")}}`;
}

function unfit(value: unknown, place: number): PerdureError {
  const what =
    value === undefined ? "undefined" : value instanceof Date ? "an invalid Date" : `a value of type ${typeof value}`;
  const advice =
    value === undefined
      ? "Give null for what is not known."
      : "Give null, a boolean, number, bigint, string, Date, Uint8Array or an array of those; JSON as JSON.stringify(value).";
  return new PerdureError("ARGUMENT_INVALID", `The value for $${place} is ${what}. ${advice}`, { details: { place } });
}

/** Reads a column that the server has shown as text, by the id of its type. */
export function decodeText(text: string, typeId: number): PostgresValue {
  switch (typeId) {
    case 16:
      return text === "t";
    case 17:
      return decodeBytes(text);
    case 20: {
      const number = Number(text);
      return Number.isSafeInteger(number) ? number : BigInt(text);
    }
    case 21:
    case 23:
    case 26:
    case 700:
    case 701:
      return Number(text);
    case 114:
    case 3802:
      return JSON.parse(text);
    case 1184:
      return decodeTime(text);
    case 2278:
      // A function that returns nothing.
      return null;
    default:
      return text;
  }
}

function decodeBytes(text: string): Uint8Array {
  // The same buffer as others' would be one large value where it is copied.
  if (text.startsWith("\\x")) return new Uint8Array(Buffer.from(text.slice(2), "hex"));
  const bytes = text.replaceAll(/\\(\\|[0-7]{3})/g, (_, code: string) =>
    code === "\\" ? "\\" : String.fromCharCode(Number.parseInt(code, 8)),
  );
  return new Uint8Array(Buffer.from(bytes, "latin1"));
}

const timeShown =
  /^(\d{4,6})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?( BC)?$/;

/** `infinity`, and what is beyond the times of a Date, stays what the server says. */
function decodeTime(text: string): Date | string {
  const found = timeShown.exec(text);
  if (found === null) return text;
  const [years = 0, month = 1, day = 1, hours = 0, minutes = 0, seconds = 0] = found.slice(1, 7).map(Number);
  const [offsetHours = 0, offsetMinutes = 0, offsetSeconds = 0] = found.slice(9, 12).map((part) => Number(part ?? 0));
  const year = found[12] === undefined ? years : 1 - years;
  const ms = Number((found[7] ?? "").padEnd(3, "0").slice(0, 3));
  const offsetMs = ((offsetHours * 60 + offsetMinutes) * 60 + offsetSeconds) * 1000 * (found[8] === "-" ? -1 : 1);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hours, minutes, seconds, ms);
  const moved = new Date(date.getTime() - offsetMs);
  return Number.isNaN(moved.getTime()) ? text : moved;
}
