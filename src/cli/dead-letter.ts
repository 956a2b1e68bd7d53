/** Dead letters as people and tools read them. */
import type { StoredLetter } from "../engine/dead-letters.ts";
import { decodeValue } from "../base/value.ts";
import type { StoreReader } from "../store/port.ts";
import { headOf } from "./guest-error.ts";
import type { Json } from "./json-value.ts";
import { errorToJson, toJson } from "./json-value.ts";
import { formatBriefly } from "./outcome.ts";
import { mapErrorsWithin } from "./stacks.ts";

export interface Letter extends Omit<StoredLetter, "body" | "value" | "program"> {
  readonly message: unknown;
  /** What it led to, with its stack in terms of the user's files. */
  readonly error: unknown;
}

export async function readLetter(reader: StoreReader, stored: StoredLetter): Promise<Letter> {
  const { body, value, program, ...rest } = stored;
  const error = decodeValue(value);
  await mapErrorsWithin(reader, program, error);
  return { ...rest, message: decodeValue(body), error };
}

export function letterDocument({ seq, pid, from, atMs, message, reason, error }: Letter): Json {
  return { seq, pid, from, atMs, message: toJson(message), reason, error: errorToJson(error) };
}

/** A call or a cast, as the program would write it; any other message as it is. */
export function describeMessage(message: unknown): string {
  if (Array.isArray(message)) {
    const call: readonly unknown[] = message[0] === "perdure:call" ? message.slice(3) : message.slice(1);
    const [method, args] = call;
    if (["perdure:call", "perdure:cast"].includes(message[0] as string) && Array.isArray(args)) {
      return `${String(method)}(${args.map(formatBriefly).join(", ")})`;
    }
  }
  return formatBriefly(message);
}

/** Without its stack. */
export function describeFailure(error: unknown): string {
  if (error instanceof Error) return headOf(error);
  return typeof error === "string" ? error : error === undefined ? "" : formatBriefly(error);
}
