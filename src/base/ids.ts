import { PerdureError } from "./errors.ts";
import type { Random } from "./ports.ts";

/** Crockford's base 32: no i, l, o and u, which are mistaken for others when read aloud. */
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
const pidLength = 20;
const maxPidLength = 200;

/** A new process id: 20 characters, 100 random bits. */
export function newPid(random: Random): string {
  let id = "";
  let bits = 0;
  let bitCount = 0;
  for (const byte of random.bytes(Math.ceil((pidLength * 5) / 8))) {
    bits = (bits << 8) | byte;
    for (bitCount += 8; bitCount >= 5 && id.length < pidLength;) {
      bitCount -= 5;
      id += alphabet[(bits >> bitCount) & 31] as string;
    }
    bits &= (1 << bitCount) - 1;
  }
  return id;
}

const notPrintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/**
 * Checks an id that a caller chose. An id is 1 to 200 characters (UTF-16 units) of printable text, without "/" and without a
 * space at either end; "." and ".." are not ids, since a URL could not hold them. Throws ARGUMENT_INVALID.
 */
export function validatePid(id: string): void {
  const problem = problemOf(id);
  if (problem === undefined) return;
  const shown = typeof id === "string" ? JSON.stringify(id.length > 60 ? `${id.slice(0, 60)}…` : id) : `a ${typeof id}`;
  throw new PerdureError(
    "ARGUMENT_INVALID",
    `${shown} cannot be a process id: ${problem}. Use 1 to ${maxPidLength} printable characters, for example "order-1042".`,
  );
}

function problemOf(id: unknown): string | undefined {
  if (typeof id !== "string") return "it is not a string";
  if (id === "") return "it is empty";
  if (id.length > maxPidLength) return `it has ${id.length} characters`;
  if (notPrintable.test(id)) return "it holds a character that does not print";
  if (id.includes("/")) return 'it holds a "/"';
  if (id.trim() !== id) return "it begins or ends with a space";
  if (id === "." || id === "..") return "a URL cannot hold it";
  return undefined;
}
