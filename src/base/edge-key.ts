/**
 * Keys under which callers outside ask for something once. Whoever asks under a key has an address, `@key:<digest>:<key>`: it is
 * the sender of the message, and where the answer of a call goes. It begins with "@" like every address outside.
 */
import { PerdureError } from "./errors.ts";

const maxKeyLength = 200;
const notPrintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
const prefix = "@key:";
/** 128 bits of a SHA-256, hex: enough to tell accidents apart. */
export const edgeDigestLength = 32;

/** A key is 1 to 200 characters (UTF-16 units) of printable text. Throws ARGUMENT_INVALID. */
export function validateEdgeKey(key: string): void {
  const problem = problemOf(key);
  if (problem === undefined) return;
  const shown =
    typeof key === "string" ? JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key) : `a ${typeof key}`;
  throw new PerdureError(
    "ARGUMENT_INVALID",
    `${shown} cannot be a key: ${problem}. Use 1 to ${maxKeyLength} printable characters, for example "payment-1042".`,
  );
}

function problemOf(key: unknown): string | undefined {
  if (typeof key !== "string") return "it is not a string";
  if (key === "") return "it is empty";
  if (key.length > maxKeyLength) return `it has ${key.length} characters`;
  if (notPrintable.test(key)) return "it holds a character that does not print";
  return undefined;
}

export interface EdgeAddress {
  readonly digest: string;
  readonly key: string;
}

export function edgeAddress({ digest, key }: EdgeAddress): string {
  return `${prefix}${digest}:${key}`;
}

/** Undefined if it is no such address: the text may come out of any program. */
export function readEdgeAddress(address: string): EdgeAddress | undefined {
  if (!address.startsWith(prefix)) return undefined;
  const digest = address.slice(prefix.length, prefix.length + edgeDigestLength);
  const key = address.slice(prefix.length + edgeDigestLength + 1);
  const isOne =
    /^[0-9a-f]{32}$/.test(digest) && address[prefix.length + edgeDigestLength] === ":" && problemOf(key) === undefined;
  return isOne ? { digest, key } : undefined;
}
